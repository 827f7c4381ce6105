#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "truncation.h"

namespace elman::composite {

/// A tensor x: [T, B, C] as the windows see it, lag by lag.
///
/// Time is padded with zeros to windows.count * k1 steps and cut into chunks of k1. At lag j the
/// windows stand one chunk apart, on the chunks 0 ... count-1 - floor(j / k1): the first floor(j /
/// k1) windows have passed step 1 and are no longer there, so the rows of a lag always start at
/// chunk 0. Padding is safe because f' is padded too: delta is zero wherever a step does not exist.
class ByLag {
 public:
  ByLag() = default;
  ByLag(const at::Tensor& x, const Windows& windows, bool reverse);

  bool defined() const { return !places_.empty(); }

  /// [windows active at this lag, B, C]; undefined if x was.
  at::Tensor at(int64_t lag) const;

 private:
  int64_t k1_ = 0;
  std::vector<at::Tensor> places_;  // per lag modulo k1: [count, B, C]
};

/// a + b, where an undefined one counts as zero.
at::Tensor sum(const at::Tensor& a, const at::Tensor& b);

/// The sum over the windows of what each has at its steps.
class WindowSum {
 public:
  WindowSum(const Windows& windows, bool reverse)
      : windows_(windows), reverse_(reverse), places_(windows.k1) {}

  /// x: [windows active at this lag, B, H]. Out of place, since autograd and vmap may be watching.
  void add(int64_t lag, const at::Tensor& x);
  /// [T, B, H] once all k2 lags are done.
  at::Tensor total() const;

 private:
  Windows windows_;
  bool reverse_;
  std::vector<at::Tensor> places_;  // per lag modulo k1: [count, B, H], by chunk
};

/// What a cell's backward recurrence is made of.
struct SweepCell {
  bool reverse;
  at::Tensor derivative;  ///< [T, B, H] f' (its conjugate)
  at::Tensor weight_hh;   ///< [H, H] (its conjugate)
  at::Tensor cut;         ///< [T, B, 1] bool or undefined
  at::Tensor scale;       ///< [T, B or 1, 1] or undefined
  at::Tensor valid;       ///< [T, B, 1] bool or undefined
  at::Tensor alpha;       ///< [H] the leak, or undefined
  bool current;           ///< whether it leaks in the current form
};

/// The backward recurrence of one layer in one direction, all windows side by side as rows:
/// sequential depth is k2, whatever T is. With a leak, beside delta, the gradient at the
/// pre-activation, goes e, the gradient at the carried state.
class WindowSweep {
 public:
  WindowSweep(const Windows& windows, const SweepCell& cell);

  /// Goes to the next lag. arriving, final: [windows active at this lag, B, H], the gradients that
  /// reach the output and the carried state (through h_n) from outside the recurrence; either may
  /// be undefined, at the first lag only one. Returns delta in the same shape.
  at::Tensor step(const at::Tensor& arriving, const at::Tensor& final);

  /// [T, B, H] the sums of delta and of e over the windows, once all k2 lags are done.
  at::Tensor total() const { return deltas_.total(); }
  at::Tensor state_total() const { return states_.total(); }

 private:
  at::Tensor staying(const at::Tensor& x) const;
  at::Tensor gated(at::Tensor gradient) const;

  const Windows windows_;
  const bool current_;
  const at::Tensor weight_hh_, alpha_;
  const ByLag derivative_, cut_, scale_, valid_;
  int64_t lag_ = 0;
  at::Tensor delta_, state_;  // delta and e at the lag before lag_
  WindowSum deltas_, states_;
};

}  // namespace elman::composite
