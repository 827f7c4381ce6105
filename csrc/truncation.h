#pragma once

#include <algorithm>
#include <cstdint>

namespace elman {

/// Truncated back-propagation through time, TBPTT(k1, k2) (Williams & Peng 1990, Sutskever 2013),
/// over `steps` steps: every k1 steps the losses of the last k1 outputs go back through at most k2
/// steps.
///
/// Window m = 0 ... count-1 ends nominally at step (m + 1) * k1 (1-based; the last one may lie
/// beyond the end) and covers the k2 steps up to there; it owns the losses of its last k1 steps.
/// The *lag* j = 0 ... k2-1 of a step is its distance from the window's nominal end. This struct is
/// the data that every kernel is given; full BPTT is the one window {steps, steps}.
struct Windows {
  int64_t steps;  ///< T
  int64_t k1;     ///< steps between window ends; also how many outputs a window owns
  int64_t k2;     ///< steps that a window covers, k1 <= k2
  int64_t count;  ///< number of windows, ceil(T / k1)

  /// Brings (k1, k2) to its simplest equivalent form. k1 == 0 (operators only) means full BPTT, and
  /// so does every k2 that lets each window start at step 1: then one window is run, not `count` of
  /// them.
  static Windows make(int64_t steps, int64_t k1, int64_t k2) {
    if (k1 <= 0) return {steps, steps, steps, 1};
    // k1 >= T is one window whatever k2 >= k1 is; asked first so that the product below cannot
    // overflow.
    if (k1 >= steps) return {steps, steps, steps, 1};
    const int64_t count = (steps + k1 - 1) / k1;
    if (k2 >= k1 * count) return {steps, steps, steps, 1};
    return {steps, k1, k2, count};
  }

  /// Whether no step lies in two windows; then a step's window is known from the step alone.
  bool disjoint() const { return k1 == k2; }

  /// The 0-based step of window m at lag j, for a layer that runs forward or in reverse; it may lie
  /// outside [0, steps). In reverse (defined for disjoint windows only) the window's first step was
  /// computed last, so its lags count up from there.
  int64_t step(int64_t m, int64_t j, bool reverse) const {
    return reverse ? m * k1 + j : (m + 1) * k1 - 1 - j;
  }

  /// The windows [first_active(j), end_active(j)) are those whose step at lag j exists. The step
  /// grows with m, so they are contiguous.
  int64_t first_active(int64_t j, bool reverse) const {
    // (m + 1) k1 - 1 - j >= 0
    return reverse ? 0 : std::min(count, (j + k1) / k1 - 1);
  }
  int64_t end_active(int64_t j, bool reverse) const {
    // forward: (m + 1) k1 - 1 - j <= T - 1;  reverse: m k1 + j <= T - 1
    return reverse ? std::min(count, (steps - 1 - j) / k1 + 1) : std::min(count, (steps + j) / k1);
  }
};

}  // namespace elman
