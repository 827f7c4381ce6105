#pragma once

#include <elman/export.h>
#include <elman/leaky_rnn.h>
#include <elman/leaky_rnn_cell.h>
#include <elman/network.h>
#include <elman/rnn.h>
#include <elman/rnn_cell.h>
#include <elman/stepper.h>
#include <torch/nn/modules/rnn.h>
#include <torch/types.h>

#include <vector>

namespace elman {

/// A module's parameters for a stepper, and the tensors that they point into.
template <typename T>
struct ModuleParameters {
  StepperParameters<T> parameters;
  std::vector<torch::Tensor> tensors;
};

/// Reads a module's parameters as they are now, converted to T (float or double), from any device.
/// Dropout has no part in a stepper; a `Network` of any mapping gives its output at every step.
/// A leaky module's outputs are r. Throws `c10::Error` for a module with two directions, complex
/// parameters, or noise in evaluation, which a stepper does not add.
template <typename T>
ELMAN_API ModuleParameters<T> stepper_parameters(const RNN& module);
template <typename T>
ELMAN_API ModuleParameters<T> stepper_parameters(const RNNCell& module);
template <typename T>
ELMAN_API ModuleParameters<T> stepper_parameters(const LeakyRNN& module);
template <typename T>
ELMAN_API ModuleParameters<T> stepper_parameters(const LeakyRNNCell& module);
template <typename T>
ELMAN_API ModuleParameters<T> stepper_parameters(const Network& module);
template <typename T>
ELMAN_API ModuleParameters<T> stepper_parameters(const torch::nn::RNN& module);
template <typename T>
ELMAN_API ModuleParameters<T> stepper_parameters(const torch::nn::RNNCell& module);

/// For the modules that there is a `stepper_parameters` for; see `elman::Stepper`.
template <typename Module>
struct ModuleSource {
  template <typename T>
  static ModuleParameters<T> read(const Module& module) {
    return stepper_parameters<T>(module);
  }
  static bool is_double(const Module& module) {
    return module->parameters().front().scalar_type() == torch::kDouble;
  }
};
template <>
struct StepperSource<RNN> : ModuleSource<RNN> {};
template <>
struct StepperSource<RNNCell> : ModuleSource<RNNCell> {};
template <>
struct StepperSource<LeakyRNN> : ModuleSource<LeakyRNN> {};
template <>
struct StepperSource<LeakyRNNCell> : ModuleSource<LeakyRNNCell> {};
template <>
struct StepperSource<Network> : ModuleSource<Network> {};
template <>
struct StepperSource<torch::nn::RNN> : ModuleSource<torch::nn::RNN> {};
template <>
struct StepperSource<torch::nn::RNNCell> : ModuleSource<torch::nn::RNNCell> {};

}  // namespace elman
