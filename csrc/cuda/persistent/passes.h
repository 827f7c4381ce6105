#pragma once

#include "cuda/activate.h"
#include "cuda/persistent/device.h"
#include "cuda/persistent/layout.h"
#include "cuda/persistent/operands.h"

namespace elman::cuda::persistent {

ELMAN_DEVICE int min_of(int a, int b) { return a < b ? a : b; }
ELMAN_DEVICE int max_of(int a, int b) { return a < b ? b : a; }

ELMAN_DEVICE std::int64_t row_of(const Sequence& sequence, int t, int b) {
  const std::int64_t first = sequence.offsets != nullptr
                                 ? sequence.offsets[t]
                                 : static_cast<std::int64_t>(t) * sequence.batch;
  return first + b;
}

/// Steps of row b: the first t whose batch does not reach it.
ELMAN_DEVICE int length_of(const Sequence& sequence, int b) {
  if (sequence.offsets == nullptr) return sequence.steps;
  int low = 0, high = sequence.steps;
  while (low < high) {
    const int middle = low + (high - low) / 2;
    if (sequence.offsets[middle + 1] - sequence.offsets[middle] > b) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

/// Whether the border (t-1 | t) is closed in row b; at the ends of the sequence it is open.
ELMAN_DEVICE bool is_closed(const Sequence& sequence, int t, int b) {
  return sequence.reset != nullptr && t < sequence.steps &&
         sequence.reset[static_cast<std::int64_t>(t) * sequence.batch + b];
}

/// What run_recurrence (recurrence.h) asks of a pass. `feature` is always the same in a thread.
template <typename P>
class ForwardPass {
 public:
  using S = typename P::Storage;
  using C = typename P::Compute;

  struct Operands {
    std::int64_t row;
    C projected;
  };

  explicit ELMAN_DEVICE ForwardPass(const ForwardOperands& operands) : o_(operands) {}

  ELMAN_DEVICE RowInfo info(int row) const {
    const int steps = o_.sequence.steps, length = length_of(o_.sequence, row);
    if (o_.sequence.reverse) return {steps - length, steps, steps - 1, row, -1};
    return {0, length, 0, row, -1};
  }

  ELMAN_DEVICE void start(int feature) {
    if (o_.bias_ih != nullptr) {
      bias_ = device::to_compute(static_cast<const S*>(o_.bias_ih)[feature]) +
              device::to_compute(static_cast<const S*>(o_.bias_hh)[feature]);
    }
  }

  /// The state that enters a row's first step.
  ELMAN_DEVICE C initial(const RowInfo& info, int feature) const {
    if (o_.hx == nullptr || (!o_.sequence.reverse && is_closed(o_.sequence, 0, info.batch)))
      return 0;
    return device::to_compute(
        static_cast<const S*>(o_.hx)[static_cast<std::int64_t>(info.batch) * o_.hidden + feature]);
  }

  ELMAN_DEVICE void fetch(Operands& operands, const RowInfo& info, int s, int feature) const {
    if (s < info.begin || s >= info.end) return;
    operands.row = row_of(o_.sequence, time(info, s), info.batch);
    operands.projected =
        static_cast<const C*>(o_.projected)[operands.row * o_.projected_stride + feature];
  }

  /// Stores the state of step s and returns the one that enters the next step.
  ELMAN_DEVICE C finish(const Operands& operands, const RowInfo& info, int s, int feature,
                        C product) const {
    if (s < info.begin) return initial(info, feature);
    if (s >= info.end) return 0;
    const S h =
        device::to_storage<S>(activate<C>(operands.projected + product + bias_, o_.activation));
    static_cast<S*>(o_.states)[operands.row * o_.states_stride + feature] = h;
    if (s == info.end - 1) {
      const std::int64_t at = static_cast<std::int64_t>(info.batch) * o_.hidden + feature;
      static_cast<S*>(o_.h_n)[at] = h;
    }
    const int t = time(info, s);
    return is_closed(o_.sequence, o_.sequence.reverse ? t : t + 1, info.batch)
               ? C(0)
               : device::to_compute(h);
  }

 private:
  ELMAN_DEVICE int time(const RowInfo& info, int s) const {
    return o_.sequence.reverse ? info.base - s : info.base + s;
  }

  const ForwardOperands& o_;
  C bias_ = 0;
};

template <typename P>
class BackwardPass {
 public:
  using S = typename P::Storage;
  using C = typename P::Compute;

  struct Operands {
    std::int64_t row;
    C gradient, h, sum;
  };

  explicit ELMAN_DEVICE BackwardPass(const BackwardOperands& operands) : o_(operands) {}

  ELMAN_DEVICE RowInfo info(int row) const {
    const bool overlap = o_.k1 < o_.k2;
    const int window = overlap ? row % o_.window_count : row / o_.sequence.batch;
    const int b = overlap ? row / o_.window_count : row % o_.sequence.batch;
    const int length = length_of(o_.sequence, b);
    if (o_.sequence.reverse) {
      const int first = window * o_.k1;
      return {0, max_of(0, min_of(o_.k2, length - first)), first, b, window == 0 ? 0 : -1};
    }
    // The nominal end may lie beyond the row's last step.
    const int end = (window + 1) * o_.k1 - 1;
    const int last = end - (length - 1);
    return {max_of(0, last), min_of(o_.k2, end + 1), end, b, last >= 0 && last < o_.k1 ? last : -1};
  }

  ELMAN_DEVICE void start(int) {}
  ELMAN_DEVICE C initial(const RowInfo&, int) const { return 0; }

  ELMAN_DEVICE void fetch(Operands& operands, const RowInfo& info, int s, int feature) const {
    if (s < info.begin || s >= info.end) return;
    operands.row = row_of(o_.sequence, time(info, s), info.batch);
    operands.h = device::to_compute(
        static_cast<const S*>(o_.states)[operands.row * o_.states_stride + feature]);
    operands.sum = 0;
    // Other threads of this block may have added to it, before the last barrier.
    if (o_.k1 < o_.k2) operands.sum = delta(operands.row, feature);
    operands.gradient = 0;
    if (s < o_.k1) {  // else another window owns the step's losses
      const std::int64_t at = operands.row * o_.grad_stride + feature;
      if (o_.grad_h != nullptr) {
        operands.gradient = static_cast<const C*>(o_.grad_h)[at];
      } else if (o_.grad_output != nullptr) {
        operands.gradient = device::to_compute(static_cast<const S*>(o_.grad_output)[at]);
      }
    }
    if (s == info.arrival && o_.grad_h_n != nullptr) {
      const std::int64_t at = static_cast<std::int64_t>(info.batch) * o_.hidden + feature;
      operands.gradient += device::to_compute(static_cast<const S*>(o_.grad_h_n)[at]);
    }
  }

  /// Adds the step's delta to Delta and returns what flows on to the step before it.
  ELMAN_DEVICE C finish(const Operands& operands, const RowInfo& info, int s, int feature,
                        C product) const {
    if (s < info.begin || s >= info.end) return 0;
    const C error = slope<C>(operands.h, o_.activation) * (operands.gradient + product);
    delta(operands.row, feature) = operands.sum + error;
    const int t = time(info, s);
    if (is_closed(o_.sequence, o_.sequence.reverse ? t + 1 : t, info.batch)) return 0;
    if (o_.carry_scale == nullptr) return error;
    return error * static_cast<const C*>(
                       o_.carry_scale)[t * o_.carry_scale_step + info.batch * o_.carry_scale_batch];
  }

 private:
  ELMAN_DEVICE int time(const RowInfo& info, int s) const {
    return o_.sequence.reverse ? info.base + s : info.base - s;
  }
  ELMAN_DEVICE C& delta(std::int64_t row, int feature) const {
    return static_cast<C*>(o_.delta)[row * o_.hidden + feature];
  }

  const BackwardOperands& o_;
};

}  // namespace elman::cuda::persistent
