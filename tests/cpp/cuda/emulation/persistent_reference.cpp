#include <algorithm>
#include <cmath>
#include <random>

#include "cuda/emulation/persistent_call.h"

namespace elman::cuda::persistent {
namespace {

template <typename S>
double rounded(double x) {
  return static_cast<double>(static_cast<S>(static_cast<float>(x)));
}
template <>
double rounded<double>(double x) {
  return x;
}

double rounded_to_tf32(double x) { return device::round_to_tf32(static_cast<float>(x)); }

using Rounding = double (*)(double);

/// How a value is kept in the storage type of `arithmetic`.
Rounding storage_rounding(Arithmetic arithmetic) {
  const Rounding roundings[] = {rounded<double>, rounded<float>, rounded<float>,
                                rounded<device::bfloat16>, rounded<device::float16>};
  return roundings[static_cast<int>(arithmetic)];
}
/// What the recurrent product keeps of its operands.
Rounding product_rounding(Arithmetic arithmetic) {
  return arithmetic == Arithmetic::kTf32 ? rounded_to_tf32 : storage_rounding(arithmetic);
}

double activation_of(Activation activation, double x) {
  switch (activation) {
    case Activation::kTanh:
      return std::tanh(x);
    case Activation::kRelu:
      return std::max(x, 0.0);
    case Activation::kSigmoid:
      return 1 / (1 + std::exp(-x));
    case Activation::kSoftplus:
      return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x)));
    case Activation::kIdentity:
      return x;
  }
  __builtin_unreachable();
}
double derivative_of(Activation activation, double h) {
  switch (activation) {
    case Activation::kTanh:
      return 1 - h * h;
    case Activation::kRelu:
      return h > 0;
    case Activation::kSigmoid:
      return h * (1 - h);
    case Activation::kSoftplus:
      return -std::expm1(-h);
    case Activation::kIdentity:
      return 1;
  }
  __builtin_unreachable();
}

}  // namespace

double tolerance(Arithmetic arithmetic) {
  const double roundings[] = {1e-14, 1e-6, 0x1p-11, 0x1p-9, 0x1p-12};
  return roundings[static_cast<int>(arithmetic)];
}

Values::Values(const Case& c, std::uint32_t seed) {
  std::mt19937 random(seed);
  const Rounding round = storage_rounding(c.arithmetic);
  const auto fill = [&](std::vector<double>& values, int count, double scale) {
    std::uniform_real_distribution<double> uniform(-scale, scale);
    values.resize(count);
    for (double& value : values) value = round(uniform(random));
  };
  const int rows = c.steps * c.batch, size = rows * c.hidden;
  for (int b = 0; b < c.batch; ++b)
    lengths.push_back(c.packed ? 1 + static_cast<int>(random() % c.steps) : c.steps);
  lengths[0] = c.steps;
  std::sort(lengths.rbegin(), lengths.rend());
  offsets.push_back(0);
  for (int t = 0; t < c.steps; ++t)
    offsets.push_back(offsets.back() +
                      std::count_if(lengths.begin(), lengths.end(), [&](int n) { return n > t; }));
  for (int i = 0; i < rows; ++i) reset.push_back(random() % 3 == 0);
  fill(weight_hh, c.hidden * c.hidden, 1.5 / std::sqrt(c.hidden));
  fill(bias_ih, c.hidden, 0.5);
  fill(bias_hh, c.hidden, 0.5);
  fill(hx, c.batch * c.hidden, 1);
  fill(projected, size, 1);
  fill(states, size, 0.9);
  fill(grad_output, size, 1);
  fill(grad_h_n, c.batch * c.hidden, 1);
  fill(carry_scale, rows, 1.2);
}

ForwardResult forward_reference(const Case& c, const Values& v) {
  const int hidden = c.hidden;
  const Rounding store = storage_rounding(c.arithmetic), round = product_rounding(c.arithmetic);
  ForwardResult result{std::vector<double>(c.steps * c.batch * hidden, 0),
                       std::vector<double>(c.batch * hidden)};
  for (int b = 0; b < c.batch; ++b) {
    std::vector<double> h(hidden, 0.0);
    if (c.hx) h.assign(v.hx.begin() + b * hidden, v.hx.begin() + (b + 1) * hidden);
    for (int s = 0; s < v.lengths[b]; ++s) {
      const int t = c.reverse ? v.lengths[b] - 1 - s : s;
      const int border = c.reverse ? t + 1 : t;
      if (c.reset && border < c.steps && v.reset[border * c.batch + b]) h.assign(hidden, 0.0);
      std::vector<double> next(hidden);
      for (int n = 0; n < hidden; ++n) {
        double x = v.projected[(t * c.batch + b) * hidden + n];
        if (c.bias) x += v.bias_ih[n] + v.bias_hh[n];
        for (int k = 0; k < hidden; ++k) x += round(v.weight_hh[n * hidden + k]) * round(h[k]);
        next[n] = store(activation_of(c.activation, x));
        result.states[(t * c.batch + b) * hidden + n] = next[n];
      }
      h = next;
    }
    std::copy(h.begin(), h.end(), result.h_n.begin() + b * hidden);
  }
  return result;
}

std::vector<double> backward_reference(const Case& c, const Values& v) {
  const int hidden = c.hidden;
  std::vector<double> sum(c.steps * c.batch * hidden, 0);
  const Windows windows = c.windows();
  const Rounding round = product_rounding(c.arithmetic);
  for (int b = 0; b < c.batch; ++b) {
    const int length = v.lengths[b];
    for (int m = 1; m <= windows.count; ++m) {  // the definition counts windows and steps from 1
      const int end = m * static_cast<int>(windows.k1);
      const int first = std::max<int>(1, end - windows.k2 + 1), last = std::min(end, length);
      std::vector<double> delta(hidden, 0.0);
      for (int i = first; i <= last; ++i) {
        const int t = (c.reverse ? first + (i - first) : last - (i - first)) - 1;
        const int from = c.reverse ? t - 1 : t + 1;  // whose delta flows here
        std::vector<double> flow(hidden, 0.0);
        if (i > first) {
          const int border = c.reverse ? t : t + 1;
          if (!c.reset || !v.reset[border * c.batch + b]) {
            const double scale = c.carry_scale ? v.carry_scale[from * c.batch + b] : 1.0;
            for (int n = 0; n < hidden; ++n)
              for (int k = 0; k < hidden; ++k)
                flow[n] += round(scale * delta[k]) * round(v.weight_hh[k * hidden + n]);
          }
        }
        for (int n = 0; n < hidden; ++n) {
          const int at = (t * c.batch + b) * hidden + n;
          double g = flow[n];
          const bool owned = end - windows.k1 < t + 1;
          if (owned && c.grad_output) g += v.grad_output[at];
          if (owned && c.grad_h_n && t == (c.reverse ? 0 : length - 1))
            g += v.grad_h_n[b * hidden + n];
          delta[n] = derivative_of(c.activation, v.states[at]) * g;
          sum[at] += delta[n];
        }
      }
    }
  }
  return sum;
}

}  // namespace elman::cuda::persistent
