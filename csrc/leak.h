#pragma once

#include "host_device.h"

namespace elman {

/// Where a leaky cell leaks (docs/leaky.md). W_x x_t + b_x + W_h (...) + b_h + p_t is a_t:
///
///   - rate:    h_t = (1 - alpha) h_{t-1} + alpha f(a_t); W_h reads h_{t-1}; the output is h_t.
///   - current: v_t = (1 - alpha) v_{t-1} + alpha a_t; W_h reads f(v_{t-1}); the output is f(v_t),
///     while hx and h_n are v.
enum class LeakForm { kRate, kCurrent };

/// (1 - alpha) value, of numbers or tensors; zero where alpha is 1. Not as it is written: the
/// rounding of 1 - alpha is the same at every step, and over the 1 / alpha steps that a state lasts
/// it adds up to more than those of the steps do.
template <typename Value, typename Alpha>
ELMAN_HOST_DEVICE Value remaining(const Value& value, const Alpha& alpha) {
  return value - alpha * value;
}

}  // namespace elman
