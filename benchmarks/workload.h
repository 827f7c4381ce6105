#pragma once

#include <c10/core/ScalarType.h>
#include <elman/elman.h>
#include <torch/nn/modules/rnn.h>

#include <string>
#include <vector>

#include "cases.h"

namespace elman::bench {

// What is measured of a case. `k` of the truncated ones: gradients go back k steps, chunk by chunk.
struct Mode {
  const char* name;
  bool backward;
  int64_t k;  // 0: full back-propagation

  double Flops(const Case& c) const { return (backward ? 3 : 1) * c.ForwardFlops(); }
};

// The modes that mean something for the case: a detach loop cannot do two directions, whose reverse
// one begins at the sequence's end, and truncation to k needs more than k steps.
std::vector<Mode> Modes(const Case& c);

// One case on both sides: elman::RNN and torch::nn::RNN with the same weights and the same input.
// Gradients are those of the weights and of the input.
class Workload {
 public:
  Workload(const Case& c, at::ScalarType dtype);

  // One call of the mode. With k, elman::RNN runs the whole sequence in one call, and
  // torch::nn::RNN runs a loop that calls, propagates back and detaches every k steps.
  void RunElman(const Mode& mode);
  void RunTorch(const Mode& mode);

  // Largest difference of output and gradients, each relative to the tensor's largest value. In
  // bfloat16 of the output alone: torch's loop adds up gradients in bfloat16, and what it is off by
  // depends on the numbers (tests/python/test_dtypes.py compares ours with float64).
  double Compare(const Mode& mode);

 private:
  void Clear();

  torch::nn::RNN torch_;
  elman::RNN elman_;
  bool compares_gradients_;
  at::Tensor input_;        // [T, B, I]
  at::Tensor grad_output_;  // [T, B, D*H]
  // The loop's input, cut beforehand, as a program has it that reads its input piece by piece:
  // taking slices of one leaf would cost a zero-filled gradient of the whole input for each.
  std::vector<at::Tensor> pieces_;
  at::Tensor output_;  // [T, B, D*H] of the last call, except a loop's
  std::vector<at::Tensor> piece_outputs_;
};

}  // namespace elman::bench
