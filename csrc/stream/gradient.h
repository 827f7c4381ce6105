#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "arguments.h"
#include "stream/history.h"

namespace elman {

/// Makes `output`, that of the last `count` steps of `stretch` in the caller's layout, the result
/// of an autograd node whose edges are RnnArguments::with_gradient, none of them hx's.
void record_gradient(const at::Tensor& output, const RnnArguments& args, const Stretch& stretch,
                     int64_t count);

}  // namespace elman
