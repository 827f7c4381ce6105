#pragma once

#include <elman/elman.h>
#include <torch/types.h>

#include <cstdint>
#include <vector>

// A network small enough to run for many chunks, as the tests of streams share it.

namespace elman_test {

constexpr int64_t kBatch = 2, kInput = 3, kHidden = 4;

inline elman::RNN make_rnn(const elman::RNNOptions& options) {
  elman::RNN rnn(options);
  rnn->to(torch::kDouble);
  return rnn;
}

inline std::vector<torch::Tensor> gradients(const elman::RNN& rnn) {
  std::vector<torch::Tensor> result;
  for (const auto& parameter : rnn->parameters()) result.push_back(parameter.grad().clone());
  return result;
}

}  // namespace elman_test
