// elman::Stepper against a step inside one long call of elman::rnn, elman::rnn and torch::nn::RNN
// called for one step, and `process` against elman::rnn at as many rows. One thread, float32, tanh,
// I = H. The sides take turns; a figure is the median of all turns, a ratio that of the turns'
// ratios.
//
//   elman_stepper_bench [--seconds S per turn, 0.004] [--turns N, 25] [--json FILE] [--verify]

#include <ATen/Parallel.h>
#include <c10/core/InferenceMode.h>
#include <elman/elman.h>
#include <time.h>
#include <torch/nn/modules/rnn.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <string>
#include <tuple>
#include <vector>

#include "peak.h"

namespace elman::bench {
namespace {

constexpr int64_t kLong = 1000;  // steps of a long call

struct Settings {
  double seconds = 0.004;
  int turns = 25;
  bool verify_only = false;
  std::string json;
};

// Of this thread's processor: what other programs take away meanwhile does not count.
double ThreadSeconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

double SecondsOf(const std::function<void()>& call, int64_t calls) {
  const double start = ThreadSeconds();
  for (int64_t i = 0; i < calls; ++i) call();
  return ThreadSeconds() - start;
}

double Median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<int64_t>(values.size()) / 2;
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

struct Side {
  const char* name;
  int64_t steps;  // of a call
  std::function<void()> call;
  std::vector<double> seconds = {};  // per step, turn by turn
};

void Measure(const Settings& settings, std::vector<Side>& sides) {
  std::vector<int64_t> calls;
  for (Side& side : sides) {
    side.call();
    const double once = SecondsOf(side.call, 3) / 3;
    calls.push_back(std::max<int64_t>(1, static_cast<int64_t>(settings.seconds / once)));
  }
  for (int turn = 0; turn < settings.turns; ++turn) {
    for (size_t i = 0; i < sides.size(); ++i) {
      sides[i].call();  // what others left in the caches
      sides[i].seconds.push_back(SecondsOf(sides[i].call, calls[i]) /
                                 static_cast<double>(calls[i] * sides[i].steps));
    }
  }
}

// The median over the turns of b's time by a's: how often as fast a is.
double Ratio(const Side& a, const Side& b) {
  std::vector<double> ratios;
  for (size_t i = 0; i < a.seconds.size(); ++i) ratios.push_back(b.seconds[i] / a.seconds[i]);
  return Median(ratios);
}

// One case; returns whether both sides computed the same.
bool Run(int64_t H, int64_t layers, int64_t rows, double peak, const Settings& settings,
         std::ofstream& json) {
  torch::manual_seed(1);
  RNN module(RNNOptions(H, H).num_layers(layers));
  torch::nn::RNN torch_module(torch::nn::RNNOptions(H, H).num_layers(layers));
  {
    const torch::NoGradGuard no_grad;
    const auto from = module->named_parameters();
    for (auto& parameter : torch_module->named_parameters())
      parameter.value().copy_(from[parameter.key()]);
  }
  const c10::InferenceMode inference;
  const auto x = torch::randn({kLong, rows, H});
  const auto one = x.slice(0, 0, 1);
  auto y = torch::empty({kLong, rows, H});
  Stepper stepper(module, rows);
  const float* const x_data = x.const_data_ptr<float>();
  float* const y_data = y.mutable_data_ptr<float>();
  stepper.process(x_data, y_data, kLong);
  const auto long_y = std::get<0>(module->forward(x));
  const double difference = (y - long_y).abs().max().item<double>();
  if (!(difference < 1e-5)) {
    std::printf("H %lld: stepper and elman::rnn differ by %.1e\n", static_cast<long long>(H),
                difference);
    return false;
  }
  if (settings.verify_only) return true;

  int64_t t = 0;
  torch::Tensor h = torch::zeros({layers, rows, H});
  std::vector<Side> sides = {
      {"step", 1,
       [&] {
         stepper.step(x_data + t * rows * H, y_data);
         t = t + 1 == kLong ? 0 : t + 1;
       }},
      {"process", kLong, [&] { stepper.process(x_data, y_data, kLong); }},
      {"long call", kLong, [&] { module->forward(x); }},
      {"elman::rnn", 1, [&] { h = std::get<1>(module->forward(one, h)); }},
      {"torch::nn::RNN", 1, [&] { h = std::get<1>(torch_module->forward(one, h)); }}};
  Measure(settings, sides);
  const double flops = 2.0 * static_cast<double>(rows * 2 * H * H * layers);
  const double step = Median(sides[0].seconds);
  std::printf("| %lld | %lld | %lld |", static_cast<long long>(H), static_cast<long long>(layers),
              static_cast<long long>(rows));
  for (const Side& side : sides) std::printf(" %.3f |", Median(side.seconds) * 1e6);
  std::printf(" %.2f | %.2f | %.0f | %.0f | %.0f |\n", 1 / Ratio(sides[0], sides[2]),
              Ratio(sides[1], sides[2]), Ratio(sides[0], sides[3]), Ratio(sides[0], sides[4]),
              100 * flops / step / peak);
  std::fflush(stdout);
  if (json) {
    json << "{\"H\":" << H << ",\"layers\":" << layers << ",\"rows\":" << rows;
    for (const Side& side : sides) json << ",\"" << side.name << "\":" << Median(side.seconds);
    json << "}\n";
  }
  return true;
}

int Main(int argc, char** argv) {
  Settings settings;
  for (int i = 1; i < argc; ++i) {
    const std::string flag = argv[i];
    if (flag == "--verify") {
      settings.verify_only = true;
    } else if (flag == "--seconds" && i + 1 < argc) {
      settings.seconds = std::atof(argv[++i]);
    } else if (flag == "--turns" && i + 1 < argc) {
      settings.turns = std::max(1, std::atoi(argv[++i]));
    } else if (flag == "--json" && i + 1 < argc) {
      settings.json = argv[++i];
    } else {
      std::fprintf(stderr, "Unknown option %s\n", flag.c_str());
      return 2;
    }
  }
  at::set_num_threads(1);
  std::ofstream json;
  if (!settings.json.empty()) json.open(settings.json);
  double peak = 0;
  if (!settings.verify_only) {
    for (int i = 0; i < 5; ++i) {
      double flops = 0;
      const double seconds = SecondsOf([&] { flops += RunPeak(); }, 20);
      peak = std::max(peak, flops / seconds);
    }
    std::printf("Vectors: %s; peak of a core: %.0f GFLOP/s; microseconds per step\n\n",
                stepper_instruction_set(), peak / 1e9);
    std::printf(
        "| H = I | layers | rows | step | process | long call | elman::rnn, T = 1 | "
        "torch::nn::RNN, T = 1 | step / long call | process is faster | elman::rnn / step | "
        "torch / step | %% of the peak |\n|--|--|--|--|--|--|--|--|--|--|--|--|--|\n");
  }
  bool equal = true;
  for (const int64_t layers : {1, 2})
    for (const int64_t rows : {1, 8})
      for (const int64_t H : {8, 16, 32, 64, 128, 256})
        equal = Run(H, layers, rows, peak, settings, json) && equal;
  if (settings.verify_only) std::printf("24 cases computed: %s\n", equal ? "equal" : "DIFFERENT");
  return equal ? 0 : 1;
}

}  // namespace
}  // namespace elman::bench

int main(int argc, char** argv) { return elman::bench::Main(argc, argv); }
