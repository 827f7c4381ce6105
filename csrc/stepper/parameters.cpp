#include "stepper/parameters.h"

#include <stdexcept>
#include <string>

namespace elman::stepper {
namespace {

/// Sizes beyond are mistakes; below, products of two of them do not overflow.
constexpr int64_t kMaxSize = int64_t{1} << 24;

[[noreturn]] void refuse(const std::string& message) { throw std::invalid_argument(message); }

void check_size(const char* name, int64_t size, int64_t least) {
  if (size < least || size > kMaxSize)
    refuse(std::string(name) + " must be between " + std::to_string(least) + " and " +
           std::to_string(kMaxSize) + ", got " + std::to_string(size));
}

std::string activation_names() {
  std::string names;
  for (const ActivationInfo& info : kActivations)
    names += (names.empty() ? "'" : ", '") + std::string(info.name) + "'";
  return names;
}

template <typename T>
void check_layer(const StepperLayer<T>& layer, int64_t hidden_size, const std::string& suffix) {
  if (layer.weight_ih == nullptr) refuse("weight_ih" + suffix + " is missing");
  if (layer.weight_hh == nullptr) refuse("weight_hh" + suffix + " is missing");
  if (layer.alpha == nullptr) return;
  for (int64_t j = 0; j < hidden_size; ++j) {
    if (!(layer.alpha[j] > 0 && layer.alpha[j] <= 1))
      refuse("alpha" + suffix + " must be in (0, 1], got " + std::to_string(layer.alpha[j]) +
             " for unit " + std::to_string(j));
  }
}

}  // namespace

std::optional<Activation> find_activation(std::string_view name) {
  for (const ActivationInfo& info : kActivations)
    if (info.name == name) return info.activation;
  return std::nullopt;
}

template <typename T>
Functions check_parameters(const StepperParameters<T>& parameters) {
  check_size("input_size", parameters.input_size, 1);
  check_size("hidden_size", parameters.hidden_size, 1);
  check_size("output_size", parameters.output_size, 0);
  if (parameters.layers.empty()) refuse("layers must not be empty");
  const auto activation = find_activation(parameters.nonlinearity);
  if (!activation)
    refuse("Unknown nonlinearity '" + parameters.nonlinearity + "'. Select from " +
           activation_names());
  if (parameters.leak_form != "rate" && parameters.leak_form != "current")
    refuse("Unknown leak_form '" + parameters.leak_form + "'. Select from 'rate', 'current'");
  const auto output = find_activation(parameters.output);
  if (!output && parameters.output != "softmax")
    refuse("Unknown output '" + parameters.output + "'. Select from " + activation_names() +
           ", 'softmax'");
  for (std::size_t l = 0; l < parameters.layers.size(); ++l)
    check_layer(parameters.layers[l], parameters.hidden_size, "_l" + std::to_string(l));
  if (parameters.output_size > 0 && parameters.weight_out == nullptr)
    refuse("weight_out is missing: output_size is " + std::to_string(parameters.output_size));
  if (parameters.output_size == 0 && parameters.weight_out != nullptr)
    refuse("output_size must be greater than zero where there is a weight_out, got 0");
  return {*activation, parameters.leak_form == "rate" ? Form::kRate : Form::kCurrent,
          output.value_or(Activation::kIdentity), output ? Form::kPlain : Form::kSoftmax};
}

template Functions check_parameters(const StepperParameters<float>&);
template Functions check_parameters(const StepperParameters<double>&);

}  // namespace elman::stepper
