#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <tuple>
#include <vector>

#include "arguments.h"
#include "composite/rnn.h"

namespace elman::cuda {

/// The forward and backward pass on a CUDA device, for every size and every dtype but the complex
/// ones: matrix products by torch, with fused kernels between them (pointwise.h): per step, or per
/// lag of all windows, one product and one launch. Everything is queued on the current stream;
/// nothing waits, nothing is read back.
///
/// The arguments have been checked. The results are those of composite::forward and
/// composite::backward.
std::tuple<at::Tensor, at::Tensor, Saved> forward(const RnnArguments& args, Keep keep);
std::vector<at::Tensor> backward(const RnnArguments& args, const BackwardArguments& grads);

/// Which path forward and backward take with these arguments, and why.
std::string kernel_info(const RnnArguments& args);

}  // namespace elman::cuda
