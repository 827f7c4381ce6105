#pragma once

#include <ATen/core/Tensor.h>

#include <tuple>
#include <vector>

#include "arguments.h"

namespace elman::composite {

/// The windows of csrc/truncation.h, run side by side (docs/design.md, "Truncation is data"), in
/// ATen operators: right for every device, dtype (complex included) and argument (packed input,
/// reset, carry_scale), at the price of an operator call per step. The fused kernels are the fast
/// path beside it.
///
/// The states, and the dropout masks if some are drawn, are saved for `backward` as `keep` says.
/// Plain autograd can differentiate the values in forward mode; in reverse mode that would be full
/// BPTT, and `backward` is the gradient instead.
std::tuple<at::Tensor, at::Tensor, Saved> forward(const RnnArguments& args, Keep keep);

/// The gradients that `output_mask` asks for, in order and without gaps, truncated as args.k1,
/// args.k2 say. Uses the saved states as constants.
std::vector<at::Tensor> backward(const RnnArguments& args, const BackwardArguments& grads);

/// The same values as a differentiable function of RnnArguments::with_gradient, grad_output and
/// grad_h_n: the states are recomputed from the arguments, so that autograd through the result, in
/// either mode, is the exact derivative of the truncated gradient, of any order. Of what was saved
/// it reads the dropout masks only; `grads.output` and `grads.saved.states` may be undefined.
std::vector<at::Tensor> differentiable_backward(const RnnArguments& args,
                                                const BackwardArguments& grads);

/// [L, lags] real, what `elman::gradient_by_lag` returns for the first `lags` <= T lags.
at::Tensor lag_norms(const RnnArguments& args, const BackwardArguments& grads, int64_t lags);

}  // namespace elman::composite
