#pragma once

#include <cstdint>

namespace elman {

/// The activation f of the recurrence h_t = f(W_x x_t + b_x + W_h h_{t-1} + b_h).
///
/// This enum is the one list of activations: `csrc/checks/` maps the schema's names to it, the
/// device kernels switch on it. Each f is one whose derivative can be written in terms of h = f(a)
/// alone, so that a backward pass needs the states and nothing else:
///   tanh' = 1 - h^2,   relu' = [not (h <= 0)] (so that NaN passes),   sigmoid' = h (1 - h).
enum class Activation : std::int8_t { kTanh, kRelu, kSigmoid };

}  // namespace elman
