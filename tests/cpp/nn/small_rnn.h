#pragma once

#include <elman/elman.h>
#include <torch/nn/options/rnn.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace elman_test {

constexpr int64_t kSteps = 7, kBatch = 3, kInput = 4, kHidden = 5;

/// The activations that torch::nn::RNN has not.
inline const std::vector<std::pair<elman::Nonlinearity, std::string>> kOwnActivations{
    {torch::kSigmoid, "sigmoid"}, {elman::kSoftplus, "softplus"}, {elman::kIdentity, "identity"}};

inline torch::nn::RNNOptions small_options() { return {kInput, kHidden}; }

}  // namespace elman_test
