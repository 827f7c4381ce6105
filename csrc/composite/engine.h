#pragma once

#include <ATen/core/Tensor.h>

#include <tuple>
#include <vector>

#include "arguments.h"

namespace elman::composite {

/// The engine of csrc/truncation.h and DESIGN's side-by-side algorithm written in ATen operators:
/// right for every device, dtype (complex included) and argument (packed input, reset,
/// carry_scale), and differentiable by plain autograd, at the price of an operator call per step.
/// The fused kernels are the fast path beside it.
std::tuple<at::Tensor, at::Tensor, Saved> forward(const RnnArguments& args, bool save_states);

/// The gradients that `output_mask` asks for, in order and without gaps, truncated as args.k1,
/// args.k2 say. Uses the saved states as constants.
std::vector<at::Tensor> backward(const RnnArguments& args, const BackwardArguments& grads);

/// The same values as a differentiable function of input, hx, params, grad_output and grad_h_n: the
/// states are recomputed from the arguments (with the saved dropout masks), so that autograd
/// through the result is the exact derivative of the truncated gradient, of any order.
std::vector<at::Tensor> differentiable_backward(const RnnArguments& args,
                                                const BackwardArguments& grads);

/// [L, lags] real, what `elman::gradient_by_lag` returns for the first `lags` <= T lags.
at::Tensor lag_norms(const RnnArguments& args, const BackwardArguments& grads, int64_t lags);

}  // namespace elman::composite
