#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "activation.h"
#include "cuda/call.h"
#include "cuda/device.h"
#include "cuda/pointwise.h"
#include "truncation.h"

namespace elman::cuda {

/// What enters and leaves the backward recurrence of one cell.
struct SweepOperands {
  int64_t cell;
  bool reverse;
  at::Tensor states;  ///< [rows, H] S, h, columns of the layer's states; in the rate form, with
                      ///< a leak, those of f(a_t)
  at::Tensor grad_output;  ///< [rows, H] S with the strides of states, or undefined
  at::Tensor grad_states;  ///< the same in A, or undefined
  at::Tensor grad_h_n;     ///< [B, H] S or undefined
  at::Tensor mask;         ///< [rows, H] S with the strides of states: factors of from_above
  bool wants_errors;       ///< whether the sum of e over the windows is asked for, too (leak only)
};

/// What a backward recurrence leaves: sums over the windows.
struct SweptTotals {
  at::Tensor delta;  ///< [rows, H] A
  at::Tensor error;  ///< the same of e, the gradient at a leaky cell's state; undefined if not
                     ///< asked for
};

/// The backward recurrence of one cell, all windows side by side as rows, one lag at a time: one
/// product and one launch a lag.
class LagSweep {
 public:
  LagSweep(const Call& call, const Windows& windows, Activation activation, Stream stream,
           SweepOperands operands);

  /// Goes to the next lag. from_above: [windows * B, H] A, the error that the layer above hands
  /// down at this lag, or undefined.
  void step(const at::Tensor& from_above);

  /// Rows of `delta` that the last lag has made: [windows * B, H] A or S matrices are narrowed
  /// alike.
  at::Tensor active(const at::Tensor& by_window) const {
    return by_window.narrow(0, first_ * call_.batch, (end_ - first_) * call_.batch);
  }
  /// [windows * B, H] S, at the last lag.
  const at::Tensor& delta() const { return delta_; }
  /// Once all lags are done.
  SweptTotals totals() const { return {total_, error_total_}; }

 private:
  int64_t capacity() const;
  void carry_on(int64_t first, int64_t end);

  const Call& call_;
  const Windows windows_;
  const Activation activation_;
  const Stream stream_;
  const SweepOperands operands_;
  const at::Tensor total_;
  const at::Tensor delta_;
  const at::Tensor carried_;  // [windows * B, H] A, delta of the lag before times W_h
  const at::Tensor error_;    // [windows * B, H] A, e of the lag before; undefined without leak
  const at::Tensor error_total_;
  int64_t lag_ = 0;
  int64_t first_ = 0;  // windows that have a step at the last lag
  int64_t end_ = 0;
};

}  // namespace elman::cuda
