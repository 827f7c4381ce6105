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

/// The backward recurrence of one layer in one direction, all windows side by side as rows:
/// sequential depth is k2, whatever T is.
class Sweep {
 public:
  /// derivative: [T, B, H] f' (its conjugate), weight_hh: [H, H] (its conjugate), cut: [T, B, 1]
  /// bool or undefined, scale: [T, B or 1, 1] or undefined.
  Sweep(const Windows& windows, bool reverse, const at::Tensor& derivative, at::Tensor weight_hh,
        const at::Tensor& cut, const at::Tensor& scale);

  /// Goes to the next lag. arriving: [windows active at this lag, B, H], the gradient that reaches
  /// the state from outside the recurrence, or undefined (only after the first lag). Returns delta
  /// in the same shape.
  at::Tensor step(const at::Tensor& arriving);

  /// [T, B, H] the sum of delta over the windows, once all k2 lags are done.
  at::Tensor total() const;

 private:
  at::Tensor carried() const;

  Windows windows_;
  bool reverse_;
  at::Tensor weight_hh_;
  ByLag derivative_;
  ByLag cut_;
  ByLag scale_;
  int64_t lag_ = 0;
  at::Tensor delta_;                // at the lag before lag_
  std::vector<at::Tensor> totals_;  // per lag modulo k1: [count, B, H], by chunk
};

}  // namespace elman::composite
