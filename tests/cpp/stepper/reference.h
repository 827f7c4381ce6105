#pragma once

#include <elman/stepper.h>

#include <cmath>
#include <random>
#include <string>
#include <vector>

// A network written out in long double, which shares no code with the stepper.
namespace reference {

inline long double activate(const std::string& name, long double a) {
  if (name == "tanh") return std::tanh(a);
  if (name == "relu") return std::isnan(a) ? a : std::max(a, 0.0L);
  if (name == "sigmoid") return 1 / (1 + std::exp(-a));
  if (name == "softplus") return std::max(a, 0.0L) + std::log1p(std::exp(-std::abs(a)));
  return a;  // identity
}

struct Options {
  int64_t I = 3, H = 5, L = 1, O = 0, rows = 1;
  std::string nonlinearity = "tanh", form;  ///< form: "", "rate" or "current"
  std::string output = "identity";
  bool bias = true;
};

template <typename T>
struct Network {
  explicit Network(const Options& options_, unsigned seed = 1) : options(options_) {
    std::mt19937 generator(seed);
    const auto [I, H, L, O, rows, f, form, f_y, bias] = options;
    const auto draw = [&](int64_t count, double low, double high) {
      std::uniform_real_distribution<double> uniform(low, high);
      auto& values = storage.emplace_back(static_cast<size_t>(count));
      for (T& value : values) value = static_cast<T>(uniform(generator));
      return values.data();
    };
    storage.reserve(static_cast<size_t>(5 * L + 2));  // pointers stay
    parameters.input_size = I;
    parameters.hidden_size = H;
    parameters.nonlinearity = f;
    if (!form.empty()) parameters.leak_form = form;
    const double scale = 1 / std::sqrt(static_cast<double>(H));
    for (int64_t l = 0; l < L; ++l) {
      elman::StepperLayer<T>& layer = parameters.layers.emplace_back();
      layer.weight_ih = draw(H * (l == 0 ? I : H), -scale, scale);
      layer.weight_hh = draw(H * H, -scale, scale);
      if (bias) layer.bias_ih = draw(H, -scale, scale);
      if (bias) layer.bias_hh = draw(H, -scale, scale);
      if (!form.empty()) layer.alpha = draw(H, 0.05, 1);
    }
    if (O > 0) {
      parameters.output_size = O;
      parameters.output = f_y;
      parameters.weight_out = draw(O * H, -scale, scale);
      if (bias) parameters.bias_out = draw(O, -scale, scale);
    }
    state.assign(static_cast<size_t>(L * rows * H), 0);
  }

  /// x: [rows, I]; returns y: [rows, O]
  std::vector<long double> step(const T* x) {
    std::vector<long double> y;
    for (int64_t row = 0; row < options.rows; ++row) {
      std::vector<long double> input(x + row * options.I, x + (row + 1) * options.I);
      for (int64_t l = 0; l < options.L; ++l) input = advance(l, row, input);
      const auto out = head(input);
      y.insert(y.end(), out.begin(), out.end());
    }
    return y;
  }

  Options options;
  elman::StepperParameters<T> parameters;
  std::vector<std::vector<T>> storage;
  std::vector<long double> state;  ///< [L, rows, H], h, or v in the current form

 private:
  static std::vector<long double> affine(const T* weight, const T* bias, int64_t n,
                                         const std::vector<long double>& x) {
    std::vector<long double> y(static_cast<size_t>(n));
    for (int64_t j = 0; j < n; ++j) {
      long double sum = bias != nullptr ? bias[j] : 0;
      for (size_t p = 0; p < x.size(); ++p)
        sum += static_cast<long double>(weight[static_cast<size_t>(j) * x.size() + p]) * x[p];
      y[static_cast<size_t>(j)] = sum;
    }
    return y;
  }

  std::vector<long double> advance(int64_t l, int64_t row, const std::vector<long double>& x) {
    const auto& layer = parameters.layers[static_cast<size_t>(l)];
    const auto H = static_cast<size_t>(options.H);
    long double* const carried = state.data() + static_cast<size_t>(l * options.rows + row) * H;
    std::vector<long double> before(carried, carried + H);
    const bool current = options.form == "current";
    if (current)
      for (long double& v : before) v = activate(options.nonlinearity, v);
    const auto of_x = affine(layer.weight_ih, layer.bias_ih, options.H, x);
    const auto of_h = affine(layer.weight_hh, layer.bias_hh, options.H, before);
    std::vector<long double> h(H);
    for (size_t j = 0; j < H; ++j) {
      const long double a = of_x[j] + of_h[j];
      const long double alpha = layer.alpha != nullptr ? layer.alpha[j] : 1;
      const long double drive = current ? a : activate(options.nonlinearity, a);
      carried[j] = (1 - alpha) * carried[j] + alpha * drive;
      h[j] = current ? activate(options.nonlinearity, carried[j]) : carried[j];
    }
    return h;
  }

  std::vector<long double> head(const std::vector<long double>& h) const {
    if (options.O == 0) return h;
    auto y = affine(parameters.weight_out, parameters.bias_out, options.O, h);
    if (options.output != "softmax") {
      for (long double& value : y) value = activate(options.output, value);
      return y;
    }
    long double sum = 0;
    for (long double& value : y) sum += value = std::exp(value);
    for (long double& value : y) value /= sum;
    return y;
  }
};

/// x: [steps, rows, I]
template <typename T>
std::vector<T> make_input(const Options& options, int64_t steps, unsigned seed = 7) {
  std::mt19937 generator(seed);
  std::normal_distribution<double> normal;
  std::vector<T> x(static_cast<size_t>(steps * options.rows * options.I));
  for (T& value : x) value = static_cast<T>(normal(generator));
  return x;
}

}  // namespace reference
