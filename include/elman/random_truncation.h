#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>
#include <elman/export.h>

#include <cstdint>
#include <optional>

namespace elman {

/// A `carry_scale` for unbiased random truncation, ARTBP (Tallec & Ollivier, "Unbiasing Truncated
/// Backpropagation Through Time", 2017, with the same chance of a cut at every step).
///
/// Each step of each row is cut, with probability 1 / length, independently of all others; a
/// gradient that passes is scaled by 1 / (1 - 1 / length), so that its mean is the gradient without
/// truncation, while it goes back `length` steps in the mean.
///
///   - T, B: steps and rows, at least 0
///   - length: > 1, in steps; need not be whole
///   - generator: where the random numbers come from; the device's default one if none
///   - device: of the result; CPU if none
///
/// Returns [T, B] in the default dtype, each element 0 or 1 / (1 - 1 / length); transpose it for
/// `batch_first`. Throws `c10::Error` naming the argument that is wrong.
ELMAN_API at::Tensor random_truncation(int64_t T, int64_t B, double length,
                                       std::optional<at::Generator> generator = std::nullopt,
                                       std::optional<at::Device> device = std::nullopt);

}  // namespace elman
