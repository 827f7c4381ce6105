#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cumsum.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/isfinite.h>
#include <ATen/ops/where.h>
#include <elman/adaptive_truncation.h>

#include <cmath>
#include <limits>

namespace elman {
namespace {

constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinite = std::numeric_limits<double>::infinity();

/// phi: [K] float64. The factor by which phi changes from one lag to the next, from the
/// least-squares line through log phi.
double decay_rate(const at::Tensor& phi) {
  const int64_t lags = phi.size(0);
  const auto tail = phi.slice(0, lags / 2);
  const auto positive = tail.gt(0);
  const auto y = tail.masked_select(positive).log();
  if (y.size(0) < 2) return kUnknown;
  const auto lag = at::arange(tail.size(0), tail.options()).masked_select(positive);
  const auto centred = lag - lag.mean();
  const double slope = ((centred * y).sum() / (centred * centred).sum()).item<double>();
  return std::exp(slope);
}

}  // namespace

GradientDecay estimate_decay(const at::Tensor& norms) {
  TORCH_CHECK(norms.defined() && norms.dim() == 2 && norms.size(0) > 0 && norms.size(1) > 0 &&
                  at::isFloatingType(norms.scalar_type()),
              "norms must be a floating point tensor of shape [num_layers, lags], as "
              "gradient_by_lag returns it, got ",
              norms.defined() ? norms.toString() : "an undefined tensor", " of shape ",
              norms.defined() ? norms.sizes() : at::IntArrayRef());
  const auto negative = norms.detach().masked_select(norms.lt(0));
  TORCH_CHECK_VALUE(negative.numel() == 0, "norms must not be negative, got ",
                    negative[0].item<double>());
  const auto phi = norms.detach().to(at::kCPU, at::kDouble).amax(0);
  if (!phi.isfinite().all().item<bool>()) return {kUnknown, at::full_like(phi, kInfinite)};
  const double rate = decay_rate(phi);
  if (!(rate < 1)) return {rate, at::full_like(phi, kInfinite)};
  const auto tail = phi * (rate / (1 - rate));
  const auto rest = phi.cumsum(0) - tail;
  return {rate, at::where(rest.gt(0), tail / rest, kInfinite)};
}

AdaptiveTruncation::AdaptiveTruncation(double tolerance, int64_t max_length, double hysteresis)
    : tolerance_(tolerance), max_length_(max_length), hysteresis_(hysteresis) {
  TORCH_CHECK_VALUE(tolerance > 0, "tolerance must be greater than 0, got ", tolerance);
  TORCH_CHECK_VALUE(max_length >= 1, "max_length must be at least 1, got ", max_length);
  TORCH_CHECK_VALUE(hysteresis >= 0, "hysteresis must not be negative, got ", hysteresis);
}

int64_t AdaptiveTruncation::update(const at::Tensor& norms) {
  const auto bias = estimate_decay(norms).relative_bias.slice(0, 0, max_length_);
  TORCH_CHECK_VALUE(norms.isfinite().all().item<bool>(),
                    "norms must be finite to estimate their decay from, got NaN or infinity: the "
                    "gradient has overflowed");
  TORCH_CHECK_VALUE(norms.ne(0).any().item<bool>(),
                    "norms must not be all zero: there is no gradient to estimate a decay from");
  const auto within = bias.le(tolerance_);
  // argmax is the first of several largest values.
  const int64_t proposal =
      within.any().item<bool>() ? within.to(at::kByte).argmax().item<int64_t>() + 1 : max_length_;
  const double change = std::abs(static_cast<double>(proposal - length()));
  if (!length_ || change > hysteresis_ * static_cast<double>(*length_)) length_ = proposal;
  return *length_;
}

void AdaptiveTruncation::set_proposal(std::optional<int64_t> length) {
  TORCH_CHECK_VALUE(!length || (*length >= 1 && *length <= max_length_),
                    "length must lie in [1, max_length = ", max_length_, "], got ",
                    length.value_or(0));
  length_ = length;
}

}  // namespace elman
