#pragma once

#include <elman/stepper.h>

#include <cstddef>
#include <string>
#include <vector>

namespace elman::stepper {

// The file of a stepper is a safetensors file. Metadata:
//   elman_stepper  "1", the version of what follows
//   nonlinearity   f
//   leak_form      "rate" or "current", where layers have alpha
//   output         f_y, where there is a head
// Tensors, all of one dtype: weight_ih_l<l>, weight_hh_l<l>, and where they are there bias_ih_l<l>,
// bias_hh_l<l> and alpha_l<l> [H]; out.weight and out.bias of the head.

/// Parameters and what they point to.
template <typename T>
struct OwnedParameters {
  StepperParameters<T> parameters;
  std::vector<std::vector<T>> tensors;
};

/// Throw std::runtime_error with the reason, read_file's with the path.
template <typename T>
OwnedParameters<T> parse_file(const void* data, std::size_t size);
template <typename T>
OwnedParameters<T> read_file(const std::string& path);

/// The whole file.
template <typename T>
std::string write_file(const StepperParameters<T>& parameters);

}  // namespace elman::stepper
