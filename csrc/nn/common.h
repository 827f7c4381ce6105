#pragma once

#include <elman/options.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <cstdint>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "activation.h"
#include "as_optional.h"

namespace elman::detail {

static_assert(std::variant_size_v<Nonlinearity> == std::size(kActivations));

/// The operators' name of an activation; the tags stand in the order of the list.
inline std::string_view schema_name(const Nonlinearity& nonlinearity) {
  return kActivations[nonlinearity.index()].name;
}

/// What torch's modules print for a module: "elman::RNN" for an elman::RNNImpl.
inline std::string printed_name(const torch::nn::Module& module) {
  constexpr std::string_view kSuffix = "Impl";
  return module.name().substr(0, module.name().size() - kSuffix.size());
}

inline void check_sizes(int64_t input_size, int64_t hidden_size) {
  TORCH_CHECK_VALUE(input_size > 0, "input_size must be greater than zero, got ", input_size);
  TORCH_CHECK_VALUE(hidden_size > 0, "hidden_size must be greater than zero, got ", hidden_size);
}

/// Draws the parameters, in their order, as torch's recurrent modules do.
void init_parameters(torch::nn::Module& module, int64_t hidden_size);

}  // namespace elman::detail
