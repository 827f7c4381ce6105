#pragma once

#include <ATen/core/Tensor.h>
#include <elman/export.h>

#include <cstdint>
#include <optional>

namespace elman {

/// The geometric decay of a gradient with the lag, and what cutting it off would cost.
struct GradientDecay {
  /// beta: the factor from one lag to the next, from the least-squares slope of log phi over the
  /// last half of the lags, where phi_j is the largest layer's norm at lag j; lags with phi_j = 0
  /// are left out. NaN where fewer than two lags are left, or where a norm is not finite.
  double rate;
  /// relative_bias: [K] float64, element K - 1 that of a gradient cut off after K lags: tail(K) /
  /// (sum_{j<K} phi_j - tail(K)) with tail(K) = phi_{K-1} beta / (1 - beta). Infinite where beta >=
  /// 1 or unknown, or where the tail is not smaller than the sum.
  at::Tensor relative_bias;
};

/// norms: [L, K] as `elman::gradient_by_lag` returns them. Throws `c10::Error` for another shape or
/// dtype, `c10::ValueError` for a negative one.
ELMAN_API GradientDecay estimate_decay(const at::Tensor& norms);

/// Chooses the truncation length k2 from how fast the gradient decays (after Aicher, Foti & Fox,
/// "Adaptively Truncating Backpropagation Through Time to Control Gradient Bias", 2019): the
/// smallest whose estimated relative bias is within the tolerance.
///
/// Example:
/// ```
/// elman::AdaptiveTruncation adaptive(/*tolerance=*/0.1, /*max_length=*/100);
/// const int64_t k2 = adaptive.update(elman::gradient_by_lag(rnn, input, 100));
/// rnn->options.truncation(1, k2);
/// ```
class ELMAN_API AdaptiveTruncation {
 public:
  /// tolerance > 0, max_length >= 1, hysteresis >= 0; throws `c10::Error` otherwise.
  AdaptiveTruncation(double tolerance, int64_t max_length, double hysteresis = 0.1);

  /// Takes norms by lag, [L, K], and returns the length proposed: the smallest K with
  /// relative_bias(K) <= tolerance, `max_length` where there is none up to it. The proposal changes
  /// only where the new one differs from it by more than `hysteresis`, relative to it. Throws
  /// `c10::ValueError` where there is no gradient to go by: norms that are not finite, negative or
  /// all zero.
  int64_t update(const at::Tensor& norms);

  /// The proposal; `max_length` before the first update.
  int64_t length() const { return length_.value_or(max_length_); }

  /// The same, none before the first update; to store, and to take up where another one left off: 1
  /// <= length <= max_length.
  std::optional<int64_t> proposal() const { return length_; }
  void set_proposal(std::optional<int64_t> length);

 private:
  double tolerance_;
  int64_t max_length_;
  double hysteresis_;
  std::optional<int64_t> length_;
};

}  // namespace elman
