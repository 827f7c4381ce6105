// elman::Stream, and what chooses and measures truncation.

#include <c10/core/Allocator.h>
#include <elman/elman.h>
#include <gtest/gtest.h>
#include <torch/nn/modules/rnn.h>
#include <torch/optim/adam.h>
#include <torch/optim/sgd.h>
#include <torch/serialize.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <map>
#include <sstream>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "oracle.h"
#include "testing.h"

namespace {

using elman::RNNOptions;
using elman_test::close;
using elman_test::random;
using elman_test::random_leaf;
using torch::Tensor;

constexpr int64_t kBatch = 2, kInput = 3, kHidden = 4;

elman::RNN make_rnn(const RNNOptions& options) {
  elman::RNN rnn(options);
  rnn->to(torch::kDouble);
  return rnn;
}

std::vector<Tensor> gradients(const elman::RNN& rnn) {
  std::vector<Tensor> result;
  for (const auto& parameter : rnn->parameters()) result.push_back(parameter.grad().clone());
  return result;
}

// k1, k2, whether there are resets and scales
class StreamWindows : public testing::TestWithParam<std::tuple<int, int, bool>> {};

TEST_P(StreamWindows, WithConstantWeightsTheSumIsThatOfTheWindows) {
  const auto [k1, k2, borders] = GetParam();
  constexpr int64_t kSteps = 11, kLayers = 2;
  torch::manual_seed(3);
  elman::RNN rnn = make_rnn(RNNOptions(kInput, kHidden).num_layers(kLayers));
  elman_test::Problem problem;
  problem.input = random({kSteps, kBatch, kInput});
  problem.params = rnn->all_weights();
  problem.num_layers = kLayers;
  problem.k1 = k1;
  problem.k2 = k2;
  if (borders) {
    problem.reset = torch::rand({kSteps, kBatch}) < 0.3;
    problem.carry_scale = torch::rand({kSteps, kBatch}, torch::kDouble);
  }
  const Tensor grad = random({kSteps, kBatch, kHidden});
  const auto expected = elman_test::brute_force_tbptt(
      problem, grad, torch::zeros({kLayers, kBatch, kHidden}, torch::kDouble));

  elman::Stream stream(rnn, k1, k2);
  for (int64_t t = 0; t < kSteps; t += k1) {
    const auto chunk = [&](const Tensor& x) { return x.defined() ? x.slice(0, t, t + k1) : x; };
    const Tensor y = stream(chunk(problem.input), chunk(problem.reset), chunk(problem.carry_scale));
    EXPECT_TRUE(close(y, chunk(expected.output)));
    y.backward(chunk(grad));
  }
  EXPECT_TRUE(close(stream.state(), expected.h_n));
  const auto found = gradients(rnn);
  for (size_t i = 0; i < found.size(); ++i) {
    EXPECT_TRUE(close(found[i], expected.gradients[2 + i])) << "parameter " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(K1K2, StreamWindows,
                         testing::Combine(testing::Values(1, 3), testing::Values(3, 5, 30),
                                          testing::Bool()));

/// The gradient of one layer over a window by the textbook: states as they were made, W_h as it is.
struct Textbook {
  std::vector<Tensor> x, entering, made;  // per step of the stream

  void forward(const elman::RNN& rnn, const Tensor& chunk) {
    torch::NoGradGuard no_grad;
    const auto w = rnn->all_weights();
    for (const Tensor& input : chunk.unbind(0)) {
      entering.push_back(made.empty() ? torch::zeros({kBatch, kHidden}, torch::kDouble)
                                      : made.back());
      x.push_back(input);
      made.push_back(torch::tanh(input.mm(w[0].t()) + entering.back().mm(w[1].t()) + w[2] + w[3]));
    }
  }

  std::vector<Tensor> gradient(const elman::RNN& rnn, const Tensor& grad, int64_t k2) const {
    torch::NoGradGuard no_grad;
    const auto w = rnn->all_weights();
    std::vector<Tensor> result;
    for (const Tensor& weight : w) result.push_back(torch::zeros_like(weight));
    const int64_t steps = made.size(), k1 = grad.size(0);
    Tensor later = torch::zeros({kBatch, kHidden}, torch::kDouble);
    for (int64_t t = steps - 1; t >= std::max<int64_t>(0, steps - k2); --t) {
      if (t >= steps - k1) later = later + grad[t - (steps - k1)];
      const Tensor delta = (1 - made[t] * made[t]) * later;
      result[0] += delta.t().mm(x[t]);
      result[1] += delta.t().mm(entering[t]);
      result[2] += delta.sum(0);
      result[3] += delta.sum(0);
      later = delta.mm(w[1]);
    }
    return result;
  }
};

TEST(Stream, AnOptimizerStepsBetweenChunks) {
  constexpr int64_t k1 = 2, k2 = 7;
  elman::RNN rnn = make_rnn(RNNOptions(kInput, kHidden));
  elman::Stream stream(rnn, k1, k2);
  EXPECT_EQ(stream.k1(), k1);
  EXPECT_EQ(stream.k2(), k2);
  torch::optim::Adam optimizer(rnn->parameters(), 0.05);
  Textbook textbook;
  for (int update = 0; update < 12; ++update) {
    const Tensor x = random_leaf({k1, kBatch, kInput}), grad = random({k1, kBatch, kHidden});
    optimizer.zero_grad();
    stream(x).backward(grad);
    textbook.forward(rnn, x.detach());
    const auto expected = textbook.gradient(rnn, grad, k2);
    const auto found = gradients(rnn);
    for (size_t i = 0; i < found.size(); ++i) EXPECT_TRUE(close(found[i], expected[i])) << i;
    EXPECT_EQ(x.grad().sizes(), x.sizes());
    optimizer.step();
  }
}

TEST(Stream, GoesOnToTheBitFromAnArchive) {
  torch::manual_seed(5);
  elman::RNN rnn = make_rnn(RNNOptions(kInput, kHidden).num_layers(2).batch_first(true));
  elman::Stream stream(rnn, 2, 9);
  const Tensor reset = torch::tensor({{false, true}, {false, false}});
  for (int i = 0; i < 6; ++i) stream(random({kBatch, 2, kInput}), reset);
  std::stringstream stored;
  torch::save(stream, stored);
  elman::Stream again(rnn, 2, 9);
  torch::load(again, stored);
  const Tensor x = random({kBatch, 2, kInput});
  stream(x).sum().backward();
  const auto expected = gradients(rnn);
  rnn->zero_grad();
  again(x).sum().backward();
  const auto found = gradients(rnn);
  for (size_t i = 0; i < found.size(); ++i) EXPECT_TRUE(torch::equal(found[i], expected[i])) << i;
  EXPECT_TRUE(torch::equal(again.state(), stream.state()));

  std::stringstream other;
  torch::save(stream, other);
  elman::Stream longer(rnn, 2, 10);
  EXPECT_ERROR(torch::load(longer, other), "'truncation' must be that of the stream, (2, 10)");
}

TEST(Stream, OfNoRowsGoesOnFromAnArchive) {
  for (const int64_t layers : {1, 2}) {
    elman::RNN rnn = make_rnn(RNNOptions(kInput, kHidden).num_layers(layers).dropout(0.5));
    elman::Stream stream(rnn, 2, 9), again(rnn, 2, 9);
    for (int i = 0; i < 3; ++i) stream(random({2, 0, kInput}));
    std::stringstream stored;
    torch::save(stream, stored);
    torch::load(again, stored);
    EXPECT_EQ(again.state().sizes(), torch::IntArrayRef({layers, 0, kHidden}));
    again(random({2, 0, kInput})).sum().backward();
    for (const Tensor& gradient : gradients(rnn)) EXPECT_FALSE(gradient.any().item<bool>());
    rnn->zero_grad();
  }
}

/// Every tensor of an archive x every defect.
TEST(Stream, RefusesAnArchiveThatDoesNotFit) {
  using Archive = std::map<std::string, Tensor>;
  const auto load = [](elman::Stream& stream, const Archive& tensors) {
    torch::serialize::OutputArchive out;
    for (const auto& [name, tensor] : tensors) out.write(name, tensor, /*is_buffer=*/true);
    std::stringstream stored;
    out.save_to(stored);
    torch::load(stream, stored);
  };
  elman::RNN rnn = make_rnn(RNNOptions(kInput, kHidden).num_layers(2).dropout(0.5));
  elman::Stream stream(rnn, 2, 9);
  for (int i = 0; i < 3; ++i) {
    stream(random({2, kBatch, kInput}), torch::zeros({2, kBatch}, torch::kBool), torch::ones({2}));
  }
  stream.set_state(random({2, kBatch, kHidden}));
  torch::serialize::OutputArchive out;
  stream.save(out);
  std::stringstream stored;
  out.save_to(stored);
  torch::serialize::InputArchive in;
  in.load_from(stored);
  Archive right;
  for (const auto& name : in.keys()) in.read(name, right[name], /*is_buffer=*/true);
  EXPECT_EQ(right.size(), 12u);
  load(stream, right);
  for (const auto& [name, tensor] : right) {
    const std::vector<std::pair<const char*, Tensor>> spoilt{
        {"float32", tensor.to(torch::kFloat)},
        {"int16", tensor.to(torch::kShort)},
        {"one dimension more", tensor.unsqueeze(0)},
        {"twice", tensor.dim() == 0 ? tensor.expand({2}) : torch::cat({tensor, tensor}, -1)},
        {"none", tensor.flatten().narrow(0, 0, 0)},
    };
    for (const auto& [defect, with] : spoilt) {
      // How wide the input is, the module knows.
      if (name == "input" && defect == std::string("twice")) continue;
      SCOPED_TRACE(name + " " + defect);
      Archive wrong = right;
      wrong[name] = with;
      EXPECT_ERROR(load(stream, wrong), "state_dict: '");
      load(stream, right);
    }
  }
}

TEST(Stream, NewSequencesInSomeRows) {
  elman::RNN rnn = make_rnn(RNNOptions(kInput, kHidden));
  elman::Stream stream(rnn, 2, 8);
  EXPECT_FALSE(stream.state().defined());
  stream(random({2, kBatch, kInput}));
  const Tensor start = random({1, kBatch, kHidden}), rows = torch::tensor({false, true});
  stream.set_state(start, rows);
  const Tensor x = random({2, kBatch, kInput});
  stream(x).select(1, 1).sum().backward();
  const auto found = gradients(rnn);
  rnn->zero_grad();
  std::get<0>(rnn->forward(x.slice(1, 1), start.slice(1, 1))).sum().backward();
  const auto expected = gradients(rnn);
  for (size_t i = 0; i < found.size(); ++i) EXPECT_TRUE(close(found[i], expected[i])) << i;

  stream.detach();
  const Tensor state = stream.state();
  rnn->zero_grad();
  stream(x).sum().backward();
  const auto cut = gradients(rnn);
  rnn->zero_grad();
  std::get<0>(rnn->forward(x, state)).sum().backward();
  for (size_t i = 0; i < cut.size(); ++i) EXPECT_TRUE(close(cut[i], gradients(rnn)[i])) << i;
  stream.reset();
  EXPECT_FALSE(stream.state().defined());
}

TEST(Stream, NamesWhatIsWrong) {
  elman::RNN rnn = make_rnn(RNNOptions(kInput, kHidden));
  EXPECT_ERROR(elman::Stream(rnn, 0, 1), "k1 must be at least 1");
  EXPECT_ERROR(elman::Stream(rnn, 3, 2), "k2 must be at least k1");
  EXPECT_ERROR(elman::Stream(rnn, 1, INT64_MIN), "k2 must be at least k1");
  EXPECT_ERROR(elman::Stream(rnn, INT64_MIN, 1), "k1 must be at least 1");
  EXPECT_ERROR(elman::Stream(elman::RNN(RNNOptions(kInput, kHidden).bidirectional(true)), 1, 1),
               "rnn: a stream is not defined for a bidirectional network");
  elman::Stream stream(rnn, 2, 3);
  EXPECT_ERROR(stream(random({3, kBatch, kInput})), "at most k1 = 2 steps, got 3");
  stream(random({2, kBatch, kInput}));
  EXPECT_ERROR(stream(random({2, 5, kInput})), "expected 2, got 5");
}

TEST(Stream, RefusesACallDuringABackwardPass) {
  elman::Stream stream(make_rnn(RNNOptions(kInput, kHidden)), 2, 3);
  const Tensor x = random({2, kBatch, kInput}).requires_grad_();
  x.register_hook([&](const Tensor&) { stream(random({2, kBatch, kInput})); });
  const Tensor output = stream(x);
  const Tensor state = stream.state();
  EXPECT_ERROR(output.sum().backward(), "cannot be called during a backward pass");
  EXPECT_TRUE(torch::equal(stream.state(), state));
  stream(random({2, kBatch, kInput})).sum().backward();
}

/// Counts the bytes in use, on top of the allocator that was there.
class CountingAllocator final : public c10::Allocator {
 public:
  explicit CountingAllocator(c10::Allocator* inner) : inner_(inner) {}
  c10::DataPtr allocate(size_t bytes) override {
    auto* const block = new Block{inner_->allocate(bytes), bytes, this};
    used_ += bytes;
    return {block->data.get(), block, &CountingAllocator::release, block->data.device()};
  }
  void copy_data(void* to, const void* from, size_t bytes) const override {
    default_copy_data(to, from, bytes);
  }
  size_t used() const { return used_; }

 private:
  struct Block {
    c10::DataPtr data;
    size_t bytes;
    CountingAllocator* owner;
  };
  static void release(void* context) {
    auto* const block = static_cast<Block*>(context);
    block->owner->used_ -= block->bytes;
    delete block;
  }

  c10::Allocator* inner_;
  std::atomic<size_t> used_{0};
};

TEST(Stream, MemoryIsFlatOver100000Steps) {
  constexpr int64_t kSteps = 100000, k1 = 10, k2 = 40;
  // Lives as long as the last block that it gave out, so it is never destroyed.
  static auto& allocator = *new CountingAllocator(c10::GetAllocator(c10::DeviceType::CPU));
  c10::SetAllocator(c10::DeviceType::CPU, &allocator, /*priority=*/200);
  elman::RNN rnn(RNNOptions(kInput, kHidden).num_layers(2));
  elman::Stream stream(rnn, k1, k2);
  torch::optim::SGD optimizer(rnn->parameters(), 1e-3);
  const Tensor x = torch::randn({k1, kBatch, kInput});
  size_t first = 0, later = 0;  // the most in use in the first hundredth, and after it
  for (int64_t step = 0; step < kSteps; step += k1) {
    optimizer.zero_grad();
    const Tensor y = stream(x);
    size_t& most = step < kSteps / 100 ? first : later;
    most = std::max(most, allocator.used());
    y.square().mean().backward();
    optimizer.step();
  }
  EXPECT_GT(first, 0u);
  EXPECT_LE(later, first);
}

TEST(AdaptiveTruncation, FindsAGeometricDecay) {
  const Tensor norms =
      torch::pow(torch::full({1}, 0.8, torch::kDouble), torch::arange(200)).unsqueeze(0);
  const auto [rate, bias] = elman::estimate_decay(norms);
  EXPECT_NEAR(rate, 0.8, 1e-12);
  // In closed form: tail(K) = 0.8^K / 0.2, sum = (1 - 0.8^K) / 0.2.
  const double power = std::pow(0.8, 12);
  EXPECT_NEAR(bias[11].item<double>(), power / (1 - 2 * power), 1e-12);
  elman::AdaptiveTruncation adaptive(0.1, 200);
  EXPECT_EQ(adaptive.length(), 200);
  const int64_t length = adaptive.update(norms);
  EXPECT_LE(bias[length - 1].item<double>(), 0.1);
  EXPECT_GT(bias[length - 2].item<double>(), 0.1);
  EXPECT_EQ(adaptive.update(torch::ones({1, 200})), 200);
  adaptive.set_proposal(7);
  EXPECT_THROW(adaptive.update(torch::zeros({1, 200})), c10::ValueError);
  EXPECT_THROW(adaptive.update(torch::full({1, 200}, std::nan(""))), c10::ValueError);
  EXPECT_EQ(adaptive.length(), 7);
}

TEST(GradientByLag, IsThatOfASlidingWindow) {
  elman::RNN rnn = make_rnn(RNNOptions(kInput, kHidden));
  const Tensor x = random({6, kBatch, kInput});
  const Tensor norms = elman::gradient_by_lag(rnn, x, 8);
  ASSERT_EQ(norms.sizes(), (std::vector<int64_t>{1, 8}));
  // At lag 0 the gradient is f'(h) times ones.
  const Tensor h = std::get<0>(rnn->forward(x)).detach();
  EXPECT_NEAR(norms[0][0].item<double>(), (1 - h * h).norm(2, -1).mean().item<double>(), 1e-12);
  const Tensor delta =
      (1 - h * h).slice(0, 1).matmul(rnn->all_weights()[1].detach()) * (1 - h * h).slice(0, 0, 5);
  EXPECT_NEAR(norms[0][1].item<double>(), delta.norm(2, -1).mean().item<double>(), 1e-12);
  EXPECT_EQ(norms[0][6].item<double>(), 0);
  EXPECT_EQ(norms[0][7].item<double>(), 0);
}

TEST(Stream, BurnInIsChunksWithoutALoss) {
  for (const bool batch_first : {false, true}) {
    elman::RNN rnn(elman::RNNOptions(3, 5).batch_first(batch_first));
    rnn->to(torch::kDouble);
    const int64_t dim = batch_first ? 1 : 0;
    const Tensor steps = torch::randn({24, 2, 3}, torch::kDouble);
    const Tensor x = batch_first ? steps.transpose(0, 1) : steps;
    elman::Stream stream(rnn, 4, 8);
    stream.burn_in(x.narrow(dim, 0, 20), {}, torch::ones({20}, torch::kDouble));
    const Tensor expected = std::get<0>(rnn->forward(x)).narrow(dim, 20, 4);
    EXPECT_TRUE(torch::allclose(stream(x.narrow(dim, 20, 4)), expected));
    EXPECT_ERROR(stream.burn_in(x.narrow(dim, 0, 6)),
                 "input: burn_in takes a multiple of k1 = 4 steps, got 6");
  }
}

TEST(RandomTruncation, DrawsCutsAndFactors) {
  const Tensor scale = elman::random_truncation(100, 50, 2.5);
  EXPECT_EQ(scale.sizes(), (std::vector<int64_t>{100, 50}));
  EXPECT_TRUE(scale.eq(0).logical_or(scale.sub(5.0 / 3).abs().lt(1e-6)).all().item<bool>());
  EXPECT_NEAR(scale.mean().item<double>(), 1, 0.06);  // five standard deviations
  EXPECT_ERROR(elman::random_truncation(3, 2, 1), "length must be greater than 1");
}

}  // namespace
