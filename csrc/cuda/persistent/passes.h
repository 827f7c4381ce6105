#pragma once

#include "activation.h"
#include "cuda/persistent/device.h"
#include "cuda/persistent/launch_layout.h"
#include "cuda/persistent/operands.h"

namespace elman::cuda::persistent {

ELMAN_DEVICE int min_of(int a, int b) { return a < b ? a : b; }
ELMAN_DEVICE int max_of(int a, int b) { return a < b ? b : a; }

/// Row (t, b) of the data; the planner sees to it that an int holds it.
ELMAN_DEVICE int row_of(const Sequence& sequence, int t, int b) {
  return (sequence.offsets != nullptr ? static_cast<int>(sequence.offsets[t])
                                      : t * sequence.batch) +
         b;
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
         sequence.reset[static_cast<std::int64_t>(t) * sequence.batch + b] != 0;
}

/// Where a result goes: its row in the data, and whether nothing of it enters the next step.
class Place {
 public:
  Place() = default;
  ELMAN_DEVICE Place(int row, bool closed) : word_(2 * row + (closed ? 1 : 0)) {}

  ELMAN_DEVICE bool alive() const { return word_ >= 0; }
  ELMAN_DEVICE bool goes_on() const { return word_ >= 0 && (word_ & 1) == 0; }
  /// Where it lies in a matrix [rows of the data, ...].
  ELMAN_DEVICE std::int64_t at(std::int64_t stride, int feature) const {
    return static_cast<std::int64_t>(word_ >> 1) * static_cast<int>(stride) + feature;
  }

 private:
  int word_ = -1;
};

/// Of step t in row b; nothing crosses the border (border - 1 | border) if that is closed.
ELMAN_DEVICE Place place_of(const Sequence& sequence, int t, int b, int border, bool alive) {
  const int row = row_of(sequence, alive ? t : 0, b);
  const bool closed = sequence.reset != nullptr && alive && is_closed(sequence, border, b);
  return alive ? Place(row, closed) : Place();
}

/// each(v[i]) for kCount values, side by side.
template <int kCount, typename C, typename Each>
ELMAN_DEVICE void for_each_value(C* v, const Each& each) {
  ELMAN_UNROLL
  for (int i = 0; i < kCount; ++i) v[i] = each(v[i]);
}

/// f of kCount values: one switch for all of them, so that they are computed side by side.
template <int kCount, typename C>
ELMAN_DEVICE void activate_all(C* v, Activation activation) {
  with_activation(activation, [v](auto f) {
    for_each_value<kCount>(v, [](C x) { return activate<decltype(f)::value>(x); });
  });
}

/// f' from kCount states.
template <int kCount, typename C>
ELMAN_DEVICE void slope_all(C* h, Activation activation) {
  with_activation(activation, [h](auto f) {
    for_each_value<kCount>(h, [](C x) { return slope<decltype(f)::value>(x); });
  });
}

// What run_recurrence (recurrence.h) asks of a pass. `feature` is always the same in a thread.
// `fetch` only loads: what is computed from the loads waits for them, and a thread fetches several
// results.

template <typename P>
class ForwardPass {
 public:
  using S = typename P::Storage;
  using C = typename P::Compute;
  using Result = S;  ///< a state
  static constexpr int kResults = P::kResults;

  struct Operands {
    Place place;
    C projected = 0;
  };

  explicit ELMAN_DEVICE ForwardPass(const ForwardOperands& operands) : o_(operands) {}

  ELMAN_DEVICE RowInfo info(int row) const {
    const int steps = o_.sequence.steps, length = length_of(o_.sequence, row);
    if (o_.sequence.reverse) return {steps - length, steps, steps - 1, row, row, -1};
    return {0, length, 0, row, row, -1};
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
    return device::to_compute(static_cast<const S*>(o_.hx)[of_batch(info, feature)]);
  }

  ELMAN_DEVICE void fetch(Operands& operands, const RowInfo& info, bool alive, int s,
                          int feature) const {
    const int t = o_.sequence.reverse ? info.base - s : info.base + s;
    operands.place = place_of(o_.sequence, t, info.batch, o_.sequence.reverse ? t : t + 1, alive);
    operands.projected =
        alive ? static_cast<const C*>(o_.projected)[operands.place.at(o_.projected_stride, feature)]
              : C(0);
  }

  /// What else is added to a product at step s = info.arrival.
  ELMAN_DEVICE C arriving(const RowInfo&, int) const { return 0; }

  /// v: in the products, out what enters the next step.
  template <int kCount>
  ELMAN_DEVICE void finish(const Operands* operands, C* v, Result* results) const {
    ELMAN_UNROLL
    for (int i = 0; i < kCount; ++i) v[i] += operands[i].projected + bias_;
    activate_all<kCount>(v, o_.activation);
    ELMAN_UNROLL
    for (int i = 0; i < kCount; ++i) {
      results[i] = device::to_storage<S>(v[i]);
      v[i] = operands[i].place.goes_on() ? device::to_compute(results[i]) : C(0);
    }
  }

  /// Whether a result is added to by others at the very next step.
  ELMAN_DEVICE bool shares_results() const { return false; }

  ELMAN_DEVICE void store(const Operands& operands, Result result, const RowInfo&,
                          int feature) const {
    if (operands.place.alive())
      static_cast<S*>(o_.states)[operands.place.at(o_.states_stride, feature)] = result;
  }
  /// A row's last result.
  ELMAN_DEVICE void store_last(const RowInfo& info, Result result, int feature) const {
    static_cast<S*>(o_.h_n)[of_batch(info, feature)] = result;
  }

 protected:
  ELMAN_DEVICE std::int64_t of_batch(const RowInfo& info, int feature) const {
    return static_cast<std::int64_t>(info.batch) * o_.hidden + feature;
  }

  const ForwardOperands& o_;
  C bias_ = 0;
};

template <typename P>
class BackwardPass {
 public:
  using S = typename P::Storage;
  using C = typename P::Compute;
  using Result = C;  ///< delta
  static constexpr int kResults = P::kResults;

  struct Operands {
    Place place;
    S h = device::to_storage<S>(0.0f);
    union {
      C computed = 0;
      S stored;
    } gradient;
  };

  explicit ELMAN_DEVICE BackwardPass(const BackwardOperands& operands) : o_(operands) {}

  ELMAN_DEVICE RowInfo info(int row) const {
    const int window = shares_results() ? row % o_.window_count : row / o_.sequence.batch;
    const int b = shares_results() ? row / o_.window_count : row % o_.sequence.batch;
    const int length = length_of(o_.sequence, b);
    const bool arrives = o_.grad_h_n != nullptr;
    if (o_.sequence.reverse) {
      const int first = window * o_.k1;
      return {0, max_of(0, min_of(o_.k2, length - first)), first, row,
              b, arrives && window == 0 ? 0 : -1};
    }
    // The nominal end may lie beyond the row's last step.
    const int end = (window + 1) * o_.k1 - 1;
    const int last = end - (length - 1);
    return {max_of(0, last),
            min_of(o_.k2, end + 1),
            end,
            row,
            b,
            arrives && last >= 0 && last < o_.k1 ? last : -1};
  }

  ELMAN_DEVICE void start(int) {}
  ELMAN_DEVICE C initial(const RowInfo&, int) const { return 0; }

  ELMAN_DEVICE void fetch(Operands& operands, const RowInfo& info, bool alive, int s,
                          int feature) const {
    const int t = o_.sequence.reverse ? info.base + s : info.base - s;
    operands.place = place_of(o_.sequence, t, info.batch, o_.sequence.reverse ? t + 1 : t, alive);
    if (alive)
      operands.h = static_cast<const S*>(o_.states)[operands.place.at(o_.states_stride, feature)];
    const bool owned = alive && s < o_.k1;  // else another window owns the step's losses
    const std::int64_t at = operands.place.at(o_.grad_stride, feature);
    if (o_.grad_h != nullptr) {
      if (owned) operands.gradient.computed = static_cast<const C*>(o_.grad_h)[at];
    } else if (o_.grad_output != nullptr) {
      if (owned) operands.gradient.stored = static_cast<const S*>(o_.grad_output)[at];
    }
  }

  ELMAN_DEVICE C arriving(const RowInfo& info, int feature) const {
    const std::int64_t at = static_cast<std::int64_t>(info.batch) * o_.hidden + feature;
    return device::to_compute(static_cast<const S*>(o_.grad_h_n)[at]);
  }

  /// v: in the products, out what flows on to the step before.
  template <int kCount>
  ELMAN_DEVICE void finish(const Operands* operands, C* v, Result* results) const {
    C slopes[kCount];
    ELMAN_UNROLL
    for (int i = 0; i < kCount; ++i) {
      slopes[i] = device::to_compute(operands[i].h);
      v[i] += gradient_of(operands[i]);
    }
    slope_all<kCount>(slopes, o_.activation);
    ELMAN_UNROLL
    for (int i = 0; i < kCount; ++i) {
      v[i] *= slopes[i];
      results[i] = v[i];
    }
    if (o_.carry_scale != nullptr) {
      ELMAN_UNROLL
      for (int i = 0; i < kCount; ++i) v[i] *= scale_of(operands[i]);
    }
    ELMAN_UNROLL
    for (int i = 0; i < kCount; ++i) v[i] = operands[i].place.goes_on() ? v[i] : C(0);
  }

  /// Windows that overlap add to the same Delta, lag by lag.
  ELMAN_DEVICE bool shares_results() const { return o_.k1 < o_.k2; }

  ELMAN_DEVICE void store(const Operands& operands, Result result, const RowInfo&,
                          int feature) const {
    if (operands.place.alive()) add(o_.delta, operands.place, result, feature);
  }
  ELMAN_DEVICE void store_last(const RowInfo&, Result, int) const {}

 protected:
  ELMAN_DEVICE C gradient_of(const Operands& operands) const {
    return o_.grad_h != nullptr ? operands.gradient.computed
                                : device::to_compute(operands.gradient.stored);
  }
  /// The factor of what passes the border before a step.
  ELMAN_DEVICE C scale_of(const Operands& operands) const {
    return o_.carry_scale != nullptr && operands.place.alive()
               ? static_cast<const C*>(o_.carry_scale)[operands.place.at(1, 0)]
               : C(1);
  }
  /// sums: [rows of the data, H] C
  ELMAN_DEVICE void add(void* sums, const Place& place, C result, int feature) const {
    C& sum = static_cast<C*>(sums)[place.at(o_.hidden, feature)];
    // Other threads of this block may have added to it, before the last barrier.
    sum = shares_results() ? sum + result : result;
  }

  const BackwardOperands& o_;
};

}  // namespace elman::cuda::persistent
