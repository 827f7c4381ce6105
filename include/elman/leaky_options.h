#pragma once

#include <ATen/core/Generator.h>
#include <elman/export.h>
#include <elman/options.h>
#include <torch/types.h>

#include <cstdint>
#include <optional>
#include <utility>

namespace elman {

/// Where a leaky cell leaks. With a_t = W_x x_t + b_x + W_h r_{t-1} + b_h + p_t,
///
///   - kRate:    h_t = (1 - alpha) h_{t-1} + alpha f(a_t), r_t = h_t
///   - kCurrent: v_t = (1 - alpha) v_{t-1} + alpha a_t,    r_t = f(v_t)
///
/// r is the output; h or v is what is carried, and what `hx` and h_n are.
enum class LeakyForm { kRate, kCurrent };

/// What the options of leaky modules have in common. alpha or tau is needed.
template <typename Derived>
class LeakOptions {
 public:
  /// In (0, 1]: a number, or a tensor of [H] or [L*D, H], one for each unit.
  Derived& alpha(double alpha) { return alpha_of("alpha", torch::tensor(alpha, torch::kDouble)); }
  Derived& alpha(const torch::Tensor& alpha) { return alpha_of("alpha", alpha); }
  /// The other way to say it: alpha = dt / tau.
  Derived& tau(double tau, double dt) {
    return alpha_of("tau", torch::tensor(dt / tau, torch::kDouble));
  }
  Derived& tau(const torch::Tensor& tau, double dt) { return alpha_of("tau", dt / tau); }
  const torch::Tensor& alpha() const noexcept { return alpha_; }

  /// Whether alpha is learnt, in the shape in which it was given, as the sigmoid of the parameter
  /// `raw_alpha`. Default: ``false``
  Derived& learn_alpha(bool learn_alpha) { return set(learn_alpha_, learn_alpha); }
  bool learn_alpha() const noexcept { return learn_alpha_; }

  /// Default: ``LeakyForm::kRate``
  Derived& form(LeakyForm form) { return set(form_, form); }
  LeakyForm form() const noexcept { return form_; }

  /// sigma: adds sqrt(2 / alpha) sigma xi to a_t, xi standard normal, for each unit and step; drawn
  /// once for the forward and the backward pass of a call. Default: 0
  Derived& noise(double noise) { return set(noise_, noise); }
  double noise() const noexcept { return noise_; }

  /// Whether there is noise in evaluation mode, too. Default: ``true``
  Derived& noise_in_eval(bool noise_in_eval) { return set(noise_in_eval_, noise_in_eval); }
  bool noise_in_eval() const noexcept { return noise_in_eval_; }

  /// What the noise is drawn with. Default: ``std::nullopt``, torch's own generator
  Derived& generator(std::optional<at::Generator> generator) {
    return set(generator_, std::move(generator));
  }
  const std::optional<at::Generator>& generator() const noexcept { return generator_; }

 private:
  template <typename T>
  Derived& set(T& member, T value) {
    member = std::move(value);
    return static_cast<Derived&>(*this);
  }

  Derived& alpha_of(const char* given, torch::Tensor value) {
    TORCH_CHECK_VALUE(!given_ || given_ == std::string_view(given), given, ": expected alpha, or ",
                      "tau with dt (alpha = dt / tau), but ", given_, " was given before");
    given_ = given;
    return set(alpha_, std::move(value));
  }

  torch::Tensor alpha_;
  const char* given_ = nullptr;
  bool learn_alpha_ = false;
  LeakyForm form_ = LeakyForm::kRate;
  double noise_ = 0;
  bool noise_in_eval_ = true;
  std::optional<at::Generator> generator_;
};

/// Options for the `LeakyRNN` module: those of `RNN`, and the leak's.
///
/// Example:
/// ```
/// LeakyRNN model(LeakyRNNOptions(RNNOptions(3, 50).nonlinearity(torch::kReLU))
///                    .tau(/*tau=*/100, /*dt=*/20)
///                    .noise(0.05));
/// ```
struct LeakyRNNOptions : LeakOptions<LeakyRNNOptions> {
  LeakyRNNOptions(RNNOptions rnn) : rnn_(std::move(rnn)) {}
  LeakyRNNOptions(int64_t input_size, int64_t hidden_size)
      : LeakyRNNOptions(RNNOptions(input_size, hidden_size)) {}

  /// The stack of layers.
  TORCH_ARG(RNNOptions, rnn);
};

/// Options for the `LeakyRNNCell` module: those of `RNNCell`, and the leak's.
///
/// Example:
/// ```
/// LeakyRNNCell model(LeakyRNNCellOptions(20, 10).alpha(0.2).form(LeakyForm::kCurrent));
/// ```
struct LeakyRNNCellOptions : LeakOptions<LeakyRNNCellOptions> {
  LeakyRNNCellOptions(RNNCellOptions cell) : cell_(std::move(cell)) {}
  LeakyRNNCellOptions(int64_t input_size, int64_t hidden_size)
      : LeakyRNNCellOptions(RNNCellOptions(input_size, hidden_size)) {}

  /// The cell.
  TORCH_ARG(RNNCellOptions, cell);
};

}  // namespace elman
