#pragma once

#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

#include "stack.h"

namespace elman::cpu {

// The CPU kernels' entry points, for S = double, float, c10::BFloat16 and c10::Half (the last two
// computed in float).

/// Runs the whole stack forward: h_t = f(W_x x_t + b_x + W_h h_{t-1} + b_h).
template <typename S>
void rnn_forward(const StackForward& stack);

/// Runs the truncated backward pass of the whole stack and writes the gradients that are asked for.
template <typename S>
void rnn_backward(const StackBackward& stack);

}  // namespace elman::cpu
