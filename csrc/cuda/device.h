#pragma once

#include <ATen/core/Tensor.h>

#include "cuda/element.h"

// What the general path takes from the device beside kernels. Tests that run it on the CPU bring
// their own definitions (tests/cpp/cuda/on_cpu/device.cpp).

namespace elman::cuda {

/// The stream that torch's operators use now on this tensor's device.
Stream current_stream(const at::Tensor& tensor);

/// Throws, with CUDA's own words, unless the launch was accepted.
void check_launch(LaunchError error);

/// out = a b, or out += a b: one product by torch's own choice of library, precision (TF32) and
/// workspace. out is of the storage type of a and b or of its accumulation type.
void multiply(const at::Tensor& out, const at::Tensor& a, const at::Tensor& b, bool accumulate);

}  // namespace elman::cuda
