#pragma once

namespace elman {

/// Where a leaky cell leaks (docs/leaky.md). W_x x_t + b_x + W_h (...) + b_h + p_t is a_t:
///
///   - rate:    h_t = (1 - alpha) h_{t-1} + alpha f(a_t); W_h reads h_{t-1}; the output is h_t.
///   - current: v_t = (1 - alpha) v_{t-1} + alpha a_t; W_h reads f(v_{t-1}); the output is f(v_t),
///     while hx and h_n are v.
enum class LeakForm { kRate, kCurrent };

}  // namespace elman
