#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "arguments.h"
#include "composite/rnn.h"

namespace elman::cpu {

/// `composite::lag_norms` on the CPU's kernels, for what they take. At least one row.
at::Tensor lag_norms(const RnnArguments& args, const BackwardArguments& grads, int64_t lags);

}  // namespace elman::cpu
