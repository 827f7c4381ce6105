#include "composite/sweep.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/where.h>

#include <algorithm>
#include <utility>

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

Sweep::Sweep(const Windows& windows, bool reverse, const at::Tensor& derivative,
             at::Tensor weight_hh, const at::Tensor& cut, const at::Tensor& scale)
    : windows_(windows),
      reverse_(reverse),
      weight_hh_(std::move(weight_hh)),
      derivative_(derivative, windows, reverse),
      cut_(cut, windows, reverse),
      scale_(scale, windows, reverse),
      totals_(windows.k1) {}

at::Tensor Sweep::carried() const {
  // Where the walk leaves a chunk, every window moves one chunk down and the lowest one has nowhere
  // to go: its rows come first.
  const int64_t leaving = lag_ % windows_.k1 == 0 ? 1 : 0;
  const auto staying = [&](const at::Tensor& x) {
    return leaving == 0 ? x : x.narrow(0, leaving, x.size(0) - leaving);
  };
  auto gradient = at::matmul(staying(delta_), weight_hh_);
  if (scale_.defined()) gradient = gradient * staying(scale_.at(lag_ - 1));
  if (cut_.defined()) gradient = at::where(staying(cut_.at(lag_ - 1)), 0, gradient);
  return gradient;
}

at::Tensor Sweep::step(const at::Tensor& arriving) {
  auto gradient = arriving;
  if (lag_ > 0) gradient = arriving.defined() ? arriving + carried() : carried();
  delta_ = derivative_.at(lag_) * gradient;

  auto& total = totals_[lag_ % windows_.k1];
  const int64_t active = delta_.size(0);
  if (lag_ < windows_.k1) {
    total = delta_;
  } else {
    // Out of place, since autograd and vmap may be watching.
    const int64_t others = total.size(0) - active;
    total = at::cat({total.narrow(0, 0, active) + delta_, total.narrow(0, active, others)});
  }
  ++lag_;
  return delta_;
}

at::Tensor Sweep::total() const {
  auto places = totals_;
  if (!reverse_) std::reverse(places.begin(), places.end());
  return at::stack(places, 1).flatten(0, 1).narrow(0, 0, windows_.steps);
}

}  // namespace elman::composite
