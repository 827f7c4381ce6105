#pragma once

#include <elman/network_options.h>
#include <elman/options.h>
#include <torch/nn/module.h>
#include <torch/nn/utils/rnn.h>
#include <torch/types.h>

#include <cstdint>
#include <iosfwd>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

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

/// Registers a cell's parameters. Without biases their names are still registered, as torch does:
/// its archives have them.
template <typename Cell>
void register_weights(Cell& cell, int64_t input_size, int64_t hidden_size, bool bias) {
  cell.weight_ih = cell.register_parameter("weight_ih", torch::empty({hidden_size, input_size}));
  cell.weight_hh = cell.register_parameter("weight_hh", torch::empty({hidden_size, hidden_size}));
  for (auto& [name, parameter] :
       {std::pair("bias_ih", &cell.bias_ih), std::pair("bias_hh", &cell.bias_hh)}) {
    *parameter = bias ? cell.register_parameter(name, torch::empty({hidden_size}))
                      : cell.register_parameter(name, {}, /*requires_grad=*/false);
  }
}

/// Draws the parameters, in their order, as torch's recurrent modules do.
void init_parameters(const std::vector<torch::Tensor>& parameters, int64_t hidden_size);

/// Throws, in torch's words, where a stack of layers cannot be made.
void check_options(const RNNOptions& options);

/// Names and sizes of a stack's weights, layer by layer, direction by direction, as the operator
/// takes them.
std::vector<std::pair<std::string, std::vector<int64_t>>> weights_of(const RNNOptions& options);

/// The name of a head's function, as Python has it.
std::string_view name_of(OutputFunction output);

/// Prints the options as torch::nn::RNN does, then those that it does not have.
void print_options(const RNNOptions& options, std::ostream& stream);

/// `hx` ([L*D, B, H], in the order of the sequences; zeros if undefined) in the order of the packed
/// rows. One of another shape is returned as it is: the operator's checks say best what is wrong.
torch::Tensor packed_state(const torch::nn::utils::rnn::PackedSequence& input,
                           const torch::Tensor& hx, const RNNOptions& options);

}  // namespace elman::detail
