#pragma once

#include "cuda/persistent/passes.h"

namespace elman::cuda::persistent {

// The passes of leaky cells. What goes on from step to step beside what W_h multiplies lies in
// memory (Leak::carried), where each element is read and written by the thread that owns the row's
// feature, and by no other.

/// 1 where there is no leak: the current form without one.
template <typename C>
ELMAN_DEVICE C alpha_of(const Leak& leak, int feature) {
  return leak.alpha != nullptr ? static_cast<const C*>(leak.alpha)[feature] : C(1);
}

template <typename C>
ELMAN_DEVICE C& carried_by(const Leak& leak, const RowInfo& info, int hidden, int feature) {
  return static_cast<C*>(leak.carried)[static_cast<std::int64_t>(info.row) * hidden + feature];
}

template <typename P>
class LeakyForwardPass : public ForwardPass<P> {
  using Base = ForwardPass<P>;
  using Base::o_;

 public:
  using S = typename P::Storage;
  using C = typename P::Compute;
  static constexpr int kResults = kLeakyResults;
  static_assert(kResults <= P::kResults);

  struct Result {
    S output, drive;
    C state;
  };
  struct Operands : Base::Operands {
    C before = 0;  ///< the state that enters the step
  };

  explicit ELMAN_DEVICE LeakyForwardPass(const ForwardOperands& operands) : Base(operands) {}

  ELMAN_DEVICE void start(int feature) {
    Base::start(feature);
    alpha_ = alpha_of<C>(o_.leak, feature);
  }

  /// What W_h reads first.
  ELMAN_DEVICE C initial(const RowInfo& info, int feature) const {
    const bool closed = !o_.sequence.reverse && is_closed(o_.sequence, 0, info.batch);
    return o_.hx == nullptr || closed
               ? read_of_zero()
               : device::to_compute(static_cast<const S*>(o_.hx)[Base::of_batch(info, feature)]);
  }

  ELMAN_DEVICE void fetch(Operands& operands, const RowInfo& info, bool alive, int s,
                          int feature) const {
    Base::fetch(operands, info, alive, s, feature);
    const bool reverse = o_.sequence.reverse;
    const int entered = reverse ? info.base - s + 1 : info.base + s;  // the border before the step
    const bool cut =
        o_.sequence.reset != nullptr && alive && is_closed(o_.sequence, entered, info.batch);
    if (alive && !cut) operands.before = carried_by<C>(o_.leak, info, o_.hidden, feature);
  }

  template <int kCount>
  ELMAN_DEVICE void finish(const Operands* operands, C* v, Result* results) const {
    ELMAN_UNROLL
    for (int i = 0; i < kCount; ++i) v[i] += operands[i].projected + Base::bias_;
    if (!current()) activate_all<kCount>(v, o_.activation);
    ELMAN_UNROLL
    for (int i = 0; i < kCount; ++i) {
      const C before = operands[i].before;
      results[i].drive = device::to_storage<S>(current() ? v[i] - before : v[i]);
      v[i] = remaining(before, alpha_) + alpha_ * v[i];
      // A unit that does not leak is a plain cell's, rounded as it is stored.
      results[i].state =
          current() || alpha_ != 1 ? v[i] : device::to_compute(device::to_storage<S>(v[i]));
    }
    if (current()) activate_all<kCount>(v, o_.activation);
    // Not kept from step to step: there is no register left for it.
    const C of_zero = o_.sequence.reset != nullptr ? read_of_zero() : C(0);
    ELMAN_UNROLL
    for (int i = 0; i < kCount; ++i) {
      results[i].output = device::to_storage<S>(v[i]);
      v[i] = operands[i].place.goes_on() ? device::to_compute(results[i].output) : of_zero;
    }
  }

  ELMAN_DEVICE void store(const Operands& operands, const Result& result, const RowInfo& info,
                          int feature) const {
    if (!operands.place.alive()) return;
    const std::int64_t at = operands.place.at(o_.states_stride, feature);
    static_cast<S*>(o_.states)[at] = result.output;
    if (o_.drive != nullptr) static_cast<S*>(o_.drive)[at] = result.drive;
    carried_by<C>(o_.leak, info, o_.hidden, feature) = result.state;
  }
  ELMAN_DEVICE void store_last(const RowInfo&, const Result&, int) const {}

 private:
  ELMAN_DEVICE bool current() const { return o_.leak.form == LeakForm::kCurrent; }

  /// What W_h reads of a state that is zero.
  ELMAN_DEVICE C read_of_zero() const {
    C zero = 0;
    if (current()) activate_all<1>(&zero, o_.activation);
    return device::to_compute(device::to_storage<S>(zero));
  }

  C alpha_ = 1;
};

template <typename P>
class LeakyBackwardPass : public BackwardPass<P> {
  using Base = BackwardPass<P>;
  using Base::o_;

 public:
  using S = typename P::Storage;
  using C = typename P::Compute;
  static constexpr int kResults = kLeakyResults;
  static_assert(kResults <= P::kResults);

  struct Result {
    C delta, error;
    C leaked;  ///< what of the error goes on beside delta
  };
  struct Operands : Base::Operands {
    C leaked = 0;  ///< of the step behind; at a row's first step the gradient of h_n
  };

  explicit ELMAN_DEVICE LeakyBackwardPass(const BackwardOperands& operands) : Base(operands) {}

  ELMAN_DEVICE void start(int feature) { alpha_ = alpha_of<C>(o_.leak, feature); }

  ELMAN_DEVICE void fetch(Operands& operands, const RowInfo& info, bool alive, int s,
                          int feature) const {
    Base::fetch(operands, info, alive, s, feature);
    if (!alive) return;
    if (s > info.begin) {
      operands.leaked = carried_by<C>(o_.leak, info, o_.hidden, feature);
    } else if (s == info.arrival) {
      operands.leaked = Base::arriving(info, feature);
    }
  }

  /// The gradient of h_n arrives at the state, not at what W_h has read.
  ELMAN_DEVICE C arriving(const RowInfo&, int) const { return 0; }

  template <int kCount>
  ELMAN_DEVICE void finish(const Operands* operands, C* v, Result* results) const {
    C slopes[kCount];
    ELMAN_UNROLL
    for (int i = 0; i < kCount; ++i) {
      slopes[i] = device::to_compute(operands[i].h);
      v[i] += Base::gradient_of(operands[i]);
    }
    slope_all<kCount>(slopes, o_.activation);
    const bool current = o_.leak.form == LeakForm::kCurrent;
    ELMAN_UNROLL
    for (int i = 0; i < kCount; ++i) {
      const C error = (current ? slopes[i] * v[i] : v[i]) + operands[i].leaked;
      v[i] = current ? alpha_ * error : alpha_ * error * slopes[i];
      results[i] = {v[i], error, remaining(error, alpha_)};
    }
    ELMAN_UNROLL
    for (int i = 0; i < kCount; ++i) {
      const C scale = Base::scale_of(operands[i]);
      const bool goes_on = operands[i].place.goes_on();
      v[i] = goes_on ? v[i] * scale : C(0);
      results[i].leaked = goes_on ? results[i].leaked * scale : C(0);
    }
  }

  ELMAN_DEVICE void store(const Operands& operands, const Result& result, const RowInfo& info,
                          int feature) const {
    if (!operands.place.alive()) return;
    Base::add(o_.delta, operands.place, result.delta, feature);
    if (o_.errors != nullptr) Base::add(o_.errors, operands.place, result.error, feature);
    carried_by<C>(o_.leak, info, o_.hidden, feature) = result.leaked;
  }
  ELMAN_DEVICE void store_last(const RowInfo&, const Result&, int) const {}

 private:
  C alpha_ = 1;
};

}  // namespace elman::cuda::persistent
