#include "lockstep.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "common/interrupt.h"
#include "trainer.h"

namespace char_lm {
namespace {

constexpr double kTolerance = 1e-10;

// Largest difference between two models' parameters, each relative to its tensor's largest value.
double Distance(const Trainer& a, const Trainer& b) {
  const std::vector<at::Tensor> ours = a.parameters();
  const std::vector<at::Tensor> theirs = b.parameters();
  double distance = 0;
  for (size_t i = 0; i < ours.size(); ++i) {
    const at::Tensor difference = (ours[i] - theirs[i]).abs().max() / theirs[i].abs().max();
    // A comparison that NaN passes, so that it counts as a difference.
    const double value = difference.item<double>();
    if (!(value <= distance)) distance = value;
  }
  return distance;
}

}  // namespace

bool RunLockstep(const Text& text, const Settings& settings, int64_t updates) {
  ElmanTrainer elman(text, settings, at::kDouble);
  DetachLoopTrainer detach_loop(text, settings, at::kDouble);
  std::printf(
      "float64 in lockstep: elman::RNN with truncation(%lld), one call for %lld steps, and\n",
      static_cast<long long>(settings.truncation), static_cast<long long>(settings.chunk));
  std::printf("torch::nn::RNN in a loop that detaches every %lld; H = %lld, B = %lld, L = %lld\n\n",
              static_cast<long long>(settings.truncation),
              static_cast<long long>(settings.hidden_size), static_cast<long long>(settings.batch),
              static_cast<long long>(settings.num_layers));
  std::printf("%8s %20s %20s %14s %14s\n", "update", "loss, elman", "loss, torch", "difference",
              "of weights");
  double loss_distance = 0;
  double weight_distance = Distance(elman, detach_loop);
  for (int64_t update = 1; update <= updates && !examples::Interrupted(); ++update) {
    elman.Update();
    detach_loop.Update();
    const double ours = elman.losses().back();
    const double theirs = detach_loop.losses().back();
    const double difference = std::abs(ours - theirs) / std::abs(theirs);
    if (!(difference <= loss_distance)) loss_distance = difference;
    weight_distance = std::max(weight_distance, Distance(elman, detach_loop));
    if (update % std::max<int64_t>(1, updates / 10) == 0) {
      std::printf("%8lld %20.15f %20.15f %14.1e %14.1e\n", static_cast<long long>(update), ours,
                  theirs, difference, Distance(elman, detach_loop));
      std::fflush(stdout);
    }
  }
  const bool equal = loss_distance <= kTolerance && weight_distance <= kTolerance;
  std::printf(
      "\nlargest relative difference in %lld updates: %.1e of the losses, %.1e of the weights: "
      "%s\n",
      static_cast<long long>(elman.updates()), loss_distance, weight_distance,
      equal ? "equal to 1e-10" : "NOT equal to 1e-10");
  return equal;
}

}  // namespace char_lm
