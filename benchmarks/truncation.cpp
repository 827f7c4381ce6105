// What elman's truncation engine does in one call, against the loops that people write for it with
// torch::nn::RNN, on Google Benchmark. First both sides of every pair are run and compared; a side
// that computed something else would make its times worthless.
//
//   elman_truncation_bench [--verify (measure nothing)] [--benchmark_...]

#include <ATen/Parallel.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <benchmark/benchmark.h>
#include <elman/elman.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/nn/modules/rnn.h>
#include <torch/version.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace elman::bench {
namespace {

// Sums of a few thousand float32 terms, in different orders on the two sides.
constexpr double kTolerance = 1e-3;

using Tensors = std::vector<at::Tensor>;
using Call = std::function<Tensors()>;

// Two ways to compute the same. Each call is one unit of work, in a state of its own, and returns
// what it computed.
struct Pair {
  std::string name;
  Call elman;
  Call loop;
  int calls_before_comparison = 1;
};

Tensors TakeGradients(torch::nn::Module& module) {
  Tensors gradients;
  for (const at::Tensor& parameter : module.parameters()) {
    gradients.push_back(parameter.grad());
    parameter.mutable_grad().reset();
  }
  return gradients;
}

void CopyParameters(torch::nn::Module& from, torch::nn::Module& to) {
  const at::NoGradGuard no_grad;
  Tensors source = from.parameters(), target = to.parameters();
  for (size_t i = 0; i < source.size(); ++i) target[i].copy_(source[i]);
}

struct Networks {
  Networks(int64_t inputs, int64_t hidden)
      : torch(torch::nn::RNNOptions(inputs, hidden)), elman(elman::RNNOptions(inputs, hidden)) {
    CopyParameters(*torch, *elman);
  }
  torch::nn::RNN torch;
  elman::RNN elman;
};

// ---- streams: one call is one chunk of k1 steps, forward and backward ----

constexpr int64_t kStreamBatch = 16, kStreamHidden = 128, kStreamK1 = 5, kStreamK2 = 50;

// An endless sequence, the same for everyone.
class Chunks {
 public:
  const at::Tensor& Next() {
    static const Tensors chunks = at::randn({8, kStreamK1, kStreamBatch, kStreamHidden}).unbind();
    return chunks[next_++ % chunks.size()];
  }

 private:
  size_t next_ = 0;
};

at::Tensor LossOf(const at::Tensor& output) { return output.square().sum(); }

Call StreamCall(const std::shared_ptr<Networks>& networks, int64_t k2) {
  auto stream = std::make_shared<elman::Stream>(networks->elman, kStreamK1, k2);
  auto chunks = std::make_shared<Chunks>();
  return [=] {
    LossOf((*stream)(chunks->Next())).backward();
    return TakeGradients(*networks->elman);
  };
}

// The recipe of PyTorch's forum: every step is a graph of its own, and a chunk's error is walked
// through the last k2 of them, which retain_graph keeps alive. (It cannot take a step of the
// optimizer: autograd refuses graphs whose weights have changed.)
Call RetainGraphCall(const std::shared_ptr<Networks>& networks) {
  struct Step {
    at::Tensor entering, made;
  };
  struct State {
    Chunks chunks;
    std::deque<Step> steps;
  };
  auto state = std::make_shared<State>();
  return [=] {
    auto& steps = state->steps;
    at::Tensor loss;
    for (const at::Tensor& x : state->chunks.Next().split(1)) {
      Step step;
      step.entering =
          steps.empty() ? at::zeros({1, kStreamBatch, kStreamHidden}) : steps.back().made.detach();
      step.entering.requires_grad_();
      const auto [output, made] = networks->torch->forward(x, step.entering);
      loss = loss.defined() ? loss + LossOf(output) : LossOf(output);
      step.made = made;
      steps.push_back(step);
      if (steps.size() > kStreamK2) steps.pop_front();
    }
    for (Step& step : steps) step.entering.mutable_grad().reset();
    loss.backward({}, /*retain_graph=*/true);
    for (size_t i = steps.size() - 1; i > 0; --i) {
      steps[i - 1].made.backward(steps[i].entering.grad(), /*retain_graph=*/true);
    }
    return TakeGradients(*networks->torch);
  };
}

// The recipe that survives the optimizer: run the last k2 steps again for every chunk.
Call RecomputeCall(const std::shared_ptr<Networks>& networks) {
  struct State {
    Chunks chunks;
    at::Tensor inputs;  // [up to k2 - k1, B, I]
    at::Tensor states;  // [one more, B, H]
  };
  auto state = std::make_shared<State>();
  return [=] {
    const at::Tensor& chunk = state->chunks.Next();
    if (!state->states.defined()) {
      state->inputs = chunk.slice(0, 0, 0);
      state->states = at::zeros({1, kStreamBatch, kStreamHidden});
    }
    const at::Tensor inputs = at::cat({state->inputs, chunk});
    const at::Tensor output =
        std::get<0>(networks->torch->forward(inputs, state->states.slice(0, 0, 1)));
    LossOf(output.slice(0, -kStreamK1)).backward();
    const int64_t kept = kStreamK2 - kStreamK1;
    state->inputs = inputs.slice(0, std::max<int64_t>(0, inputs.size(0) - kept));
    const at::Tensor states = at::cat({state->states.slice(0, 0, 1), output.detach()});
    state->states = states.slice(0, std::max<int64_t>(0, states.size(0) - kept - 1));
    return TakeGradients(*networks->torch);
  };
}

// TBPTT(k1, k1), the loop that everyone has: what the longer memory is compared with.
Call DetachCall(const std::shared_ptr<Networks>& networks) {
  struct State {
    Chunks chunks;
    at::Tensor hidden;
  };
  auto state = std::make_shared<State>();
  return [=] {
    const auto [output, h_n] = networks->torch->forward(state->chunks.Next(), state->hidden);
    LossOf(output).backward();
    state->hidden = h_n.detach();
    return TakeGradients(*networks->torch);
  };
}

// ---- whole sequences: one call is forward and backward over T steps ----

// Episodes that end inside a batch, by a loop over steps of torch::nn::RNNCell.
Pair ResetPair() {
  constexpr int64_t kSteps = 256, kBatch = 16, kHidden = 128;
  elman::RNN rnn(elman::RNNOptions(kHidden, kHidden));
  torch::nn::RNNCell cell(torch::nn::RNNCellOptions(kHidden, kHidden));
  CopyParameters(*rnn, *cell);
  const at::Tensor x = at::randn({kSteps, kBatch, kHidden});
  const at::Tensor reset = at::rand({kSteps, kBatch}) < 0.02;
  const auto ours = [=]() mutable {
    LossOf(std::get<0>(rnn->forward(x, {}, reset))).backward();
    return TakeGradients(*rnn);
  };
  const auto loop = [=]() mutable {
    at::Tensor h = at::zeros({kBatch, kHidden});
    Tensors outputs;
    const Tensors inputs = x.unbind(0), borders = reset.logical_not().unsqueeze(2).unbind(0);
    for (int64_t t = 0; t < kSteps; ++t) {
      h = cell->forward(inputs[t], h * borders[t]);
      outputs.push_back(h);
    }
    LossOf(at::stack(outputs)).backward();
    return TakeGradients(*cell);
  };
  return {"reset_T256_B16_H128/step_loop", ours, loop};
}

// The norms of gradients by lag: a loop differentiates each output by itself.
Pair GradientByLagPair() {
  constexpr int64_t kLags = 50, kBatch = 4, kHidden = 64;
  auto networks = std::make_shared<Networks>(kHidden, kHidden);
  const at::Tensor x = at::randn({kLags, kBatch, kHidden});
  const auto ours = [=] { return Tensors{elman::gradient_by_lag(networks->elman, x, kLags)}; };
  const auto loop = [=] {
    Tensors states;
    at::Tensor h = at::zeros({1, kBatch, kHidden});
    for (const at::Tensor& step : x.split(1)) {
      h = std::get<1>(networks->torch->forward(step, h));
      states.push_back(h);
    }
    at::Tensor sums = at::zeros({kLags}), counts = at::zeros({kLags});
    for (int64_t t = 0; t < kLags; ++t) {
      const Tensors reached(states.begin(), states.begin() + t + 1);
      const Tensors grads =
          torch::autograd::grad({states[t].sum()}, reached, {}, /*retain_graph=*/true);
      const at::NoGradGuard no_grad;
      for (int64_t lag = 0; lag <= t; ++lag) {
        const at::Tensor& made = states[t - lag];
        sums[lag] += ((1 - made * made) * grads[t - lag]).norm(2, -1).mean();
        counts[lag] += 1;
      }
    }
    return Tensors{(sums / counts).unsqueeze(0)};
  };
  return {"gradient_by_lag_K50_B4_H64/autograd_calls", ours, loop};
}

// TBPTT(1, 20): a loop runs each output's window by itself.
Pair SlidingPair() {
  constexpr int64_t kSteps = 200, kBatch = 4, kHidden = 64, k2 = 20;
  auto networks = std::make_shared<Networks>(kHidden, kHidden);
  networks->elman->options.truncation(1, k2);
  const at::Tensor x = at::randn({kSteps, kBatch, kHidden});
  const auto ours = [=] {
    LossOf(std::get<0>(networks->elman->forward(x))).backward();
    return TakeGradients(*networks->elman);
  };
  const auto loop = [=] {
    at::Tensor states;  // [T + 1, B, H]
    {
      const at::NoGradGuard no_grad;
      states = at::cat({at::zeros({1, kBatch, kHidden}), std::get<0>(networks->torch->forward(x))});
    }
    for (int64_t t = 0; t < kSteps; ++t) {
      const int64_t first = std::max<int64_t>(0, t + 1 - k2);
      const at::Tensor output = std::get<0>(
          networks->torch->forward(x.slice(0, first, t + 1), states.slice(0, first, first + 1)));
      LossOf(output[-1]).backward();
    }
    return TakeGradients(*networks->torch);
  };
  return {"sliding_k20_T200_B4_H64/window_loop", ours, loop};
}

std::vector<Pair> Pairs() {
  const std::string stream = "stream_k5_k50_B16_H128/";
  const auto networks = [] { return std::make_shared<Networks>(kStreamHidden, kStreamHidden); };
  const auto retained = networks(), recomputed = networks(), detached = networks(),
             both = networks();
  constexpr int kChunks = kStreamK2 / kStreamK1 + 2;  // until the past is as long as it gets
  return {
      {stream + "retain_graph", StreamCall(retained, kStreamK2), RetainGraphCall(retained),
       kChunks},
      {stream + "recompute", StreamCall(recomputed, kStreamK2), RecomputeCall(recomputed), kChunks},
      {"stream_k5_k5_B16_H128/detach_loop", StreamCall(detached, kStreamK1), DetachCall(detached),
       kChunks},
      // The price of memory: the same stream with ten times the steps in its backward pass.
      {"stream_k5_k50_B16_H128/stream_k5_k5", StreamCall(both, kStreamK2),
       StreamCall(both, kStreamK1), 1},
      ResetPair(),
      GradientByLagPair(),
      SlidingPair()};
}

// Largest difference, each relative to the tensor's largest value.
double Difference(const Tensors& ours, const Tensors& theirs) {
  double largest = 0;
  for (size_t i = 0; i < ours.size(); ++i) {
    const double difference =
        ((ours[i] - theirs[i]).abs().max() / theirs[i].abs().max()).item<double>();
    // A comparison that NaN passes, so that it counts as a difference.
    if (!(difference <= largest)) largest = difference;
  }
  return largest;
}

bool Verify(const std::vector<Pair>& pairs) {
  bool equal = true;
  for (const Pair& pair : pairs) {
    Tensors ours, theirs;
    for (int i = 0; i < pair.calls_before_comparison; ++i) {
      ours = pair.elman();
      theirs = pair.loop();
    }
    const double difference = Difference(ours, theirs);
    if (difference <= kTolerance) continue;
    std::printf("%s: the two sides differ by %.1e, expected at most %.0e\n", pair.name.c_str(),
                difference, kTolerance);
    equal = false;
  }
  std::printf("%zu pairs computed on both sides: %s\n", pairs.size(),
              equal ? "the same results" : "DIFFERENT results");
  return equal;
}

void Register(const std::string& name, const Call& call) {
  benchmark::RegisterBenchmark(name.c_str(),
                               [call](benchmark::State& state) {
                                 call();  // what others left in the caches
                                 for (auto _ : state) call();
                               })
      ->UseRealTime()
      ->Unit(benchmark::kMillisecond);
}

int Main(int argc, char** argv) {
  bool verify_only = false;
  int kept = 1;
  for (int i = 1; i < argc; ++i) {
    if (std::strcmp(argv[i], "--verify") == 0) {
      verify_only = true;
    } else {
      argv[kept++] = argv[i];
    }
  }
  argc = kept;
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::AddCustomContext("torch", TORCH_VERSION);
  benchmark::AddCustomContext("threads", std::to_string(at::get_num_threads()));
  const std::vector<Pair> pairs = Pairs();
  if (!Verify(pairs)) return 1;
  if (verify_only) return 0;
  for (const Pair& pair : pairs) {
    Register(pair.name + "/elman", pair.elman);
    Register(pair.name + "/loop", pair.loop);
  }
  benchmark::RunSpecifiedBenchmarks();
  benchmark::Shutdown();
  return 0;
}

}  // namespace
}  // namespace elman::bench

int main(int argc, char** argv) { return elman::bench::Main(argc, argv); }
