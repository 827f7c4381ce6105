#include "composite/sweep.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/where.h>

#include <algorithm>
#include <utility>

#include "leak.h"

namespace elman::composite {

ByLag::ByLag(const at::Tensor& x, const Windows& windows, bool reverse) : k1_(windows.k1) {
  if (!x.defined()) return;
  const int64_t missing = windows.count * windows.k1 - windows.steps;
  const auto padded = missing == 0 ? x : at::constant_pad_nd(x, {0, 0, 0, 0, 0, missing}, 0);
  places_ = padded.reshape({windows.count, windows.k1, x.size(1), x.size(2)}).unbind(1);
  // Backward, the direction of time walks a chunk from its end; reverse time, from its start.
  if (!reverse) std::reverse(places_.begin(), places_.end());
}

at::Tensor ByLag::at(int64_t lag) const {
  if (!defined()) return {};
  const auto& place = places_[lag % k1_];
  const int64_t passed = lag / k1_;
  return passed == 0 ? place : place.narrow(0, 0, place.size(0) - passed);
}

at::Tensor sum(const at::Tensor& a, const at::Tensor& b) {
  if (!a.defined()) return b;
  return b.defined() ? a + b : a;
}

void WindowSum::add(int64_t lag, const at::Tensor& x) {
  auto& place = places_[lag % windows_.k1];
  if (lag < windows_.k1) {
    place = x;
    return;
  }
  const int64_t active = x.size(0), others = place.size(0) - active;
  place = at::cat({place.narrow(0, 0, active) + x, place.narrow(0, active, others)});
}

at::Tensor WindowSum::total() const {
  auto places = places_;
  if (!reverse_) std::reverse(places.begin(), places.end());
  return at::stack(places, 1).flatten(0, 1).narrow(0, 0, windows_.steps);
}

WindowSweep::WindowSweep(const Windows& windows, const SweepCell& cell)
    : windows_(windows),
      current_(cell.current),
      weight_hh_(cell.weight_hh),
      alpha_(cell.alpha),
      derivative_(cell.derivative, windows, cell.reverse),
      cut_(cell.cut, windows, cell.reverse),
      scale_(cell.scale, windows, cell.reverse),
      valid_(cell.alpha.defined() ? cell.valid : at::Tensor(), windows, cell.reverse),
      deltas_(windows, cell.reverse),
      states_(windows, cell.reverse) {}

/// The rows of the lag before that have a step at this one. Where the walk leaves a chunk, every
/// window moves one chunk down and the lowest one has nowhere to go: its rows come first.
at::Tensor WindowSweep::staying(const at::Tensor& x) const {
  return lag_ % windows_.k1 == 0 ? x.narrow(0, 1, x.size(0) - 1) : x;
}

/// What of a gradient passes the border from the step at the lag before to the one at this lag.
at::Tensor WindowSweep::gated(at::Tensor gradient) const {
  if (scale_.defined()) gradient = gradient * staying(scale_.at(lag_ - 1));
  if (cut_.defined()) gradient = at::where(staying(cut_.at(lag_ - 1)), 0, gradient);
  return gradient;
}

at::Tensor WindowSweep::step(const at::Tensor& arriving, const at::Tensor& final) {
  at::Tensor through_weight, kept;
  if (lag_ > 0) {
    through_weight = gated(at::matmul(staying(delta_), weight_hh_));
    if (alpha_.defined()) kept = gated(remaining(staying(state_), alpha_));
  }
  const auto derivative = derivative_.at(lag_);
  if (current_) {
    // f comes between the state and the output, and what W_h reads.
    const auto read = sum(arriving, through_weight);
    state_ = sum(sum(read.defined() ? derivative * read : read, final), kept);
    delta_ = alpha_.defined() ? alpha_ * state_ : state_;
  } else {
    state_ = sum(sum(sum(arriving, final), through_weight), kept);
    delta_ = derivative * state_;
    if (alpha_.defined()) delta_ = alpha_ * delta_;
  }
  if (valid_.defined()) {
    // Where a step does not exist, f' is zero; the state's own way on is not.
    const auto valid = valid_.at(lag_);
    state_ = at::where(valid, state_, 0);
    delta_ = at::where(valid, delta_, 0);
  }
  deltas_.add(lag_, delta_);
  if (alpha_.defined()) states_.add(lag_, state_);
  ++lag_;
  return delta_;
}

}  // namespace elman::composite
