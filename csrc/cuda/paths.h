#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "cuda/call.h"
#include "cuda/choice.h"
#include "cuda/sweep.h"
#include "truncation.h"

namespace elman::cuda {

/// Which path the recurrences of a call take on its device, which has to be the current one. The
/// environment's ELMAN_CUDA_PATH is a Preference.
Choice forward_choice(const Call& call);
Choice backward_choice(const Call& call, const Windows& windows);

/// A cell's forward recurrence by the persistent path. projected: [rows, H] A the input's product,
/// states: [rows, H] S, drives: the same with the same strides, or undefined, h_n: [B, H] S.
void persistent_forward(const Call& call, const persistent::Plan& plan, int64_t cell, bool reverse,
                        const at::Tensor& projected, const at::Tensor& states,
                        const at::Tensor& drives, const at::Tensor& h_n);

/// A cell's backward recurrence.
SweptTotals persistent_backward(const Call& call, const persistent::Plan& plan,
                                const Windows& windows, const SweepOperands& given);

}  // namespace elman::cuda
