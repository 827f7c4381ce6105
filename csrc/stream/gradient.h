#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "stream/engine.h"
#include "stream/history.h"

namespace elman {

/// Whether a call has anything to record for autograd.
bool records_gradient(const at::Tensor& input, at::TensorList params);

/// Makes `output`, that of the last `count` steps of `stretch` in the caller's layout, the result
/// of an autograd node whose edges are input and module.params.
void record_gradient(const at::Tensor& output, const at::Tensor& input, const StreamModule& module,
                     const Stretch& stretch, int64_t count);

}  // namespace elman
