#pragma once

#include <elman/leaky_options.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <cstdint>
#include <iosfwd>
#include <optional>
#include <string_view>
#include <utility>

#include "nn/module_parts.h"

namespace elman::detail {

/// What `LeakyRNN` and `LeakyRNNCell` do with the part of their options that they share.

/// Throws where alpha, the noise or the form is wrong.
///
/// alpha: [], [H] or [cells, H]
void check_leak(const torch::Tensor& alpha, bool learn_alpha, double noise, int64_t cells,
                int64_t hidden_size);

/// Registers the parameter `raw_alpha` or the buffer `alpha`, or neither, and sets it.
void register_leak(torch::nn::Module& module, const torch::Tensor& alpha, bool learn_alpha,
                   LeakyForm form);

/// Sets what `register_leak` registered to the options' value.
void reset_leak(torch::nn::Module& module, const torch::Tensor& alpha);

/// The module's alpha as it is now; undefined for 1 in the rate form.
torch::Tensor current_alpha(const torch::nn::Module& module);

/// sqrt(2 / alpha) sigma xi, [..., features]; [L, ..., features] of several layers.
///
/// input: [..., I], alpha: [L*D, H], undefined means 1
torch::Tensor draw_noise(const torch::Tensor& input, const torch::Tensor& alpha, double sigma,
                         int64_t num_layers, int64_t features,
                         const std::optional<at::Generator>& generator);

/// Their sum. A wrong shape is refused here, before broadcasting makes it look right.
torch::Tensor add_noise(const torch::Tensor& preactivation, const torch::Tensor& noise);

/// f(state) in the current form, else the state itself.
torch::Tensor output_of(const torch::Tensor& state, LeakyForm form,
                        const Nonlinearity& nonlinearity);

/// The operators' name of a form.
inline std::string_view schema_name(LeakyForm form) {
  return form == LeakyForm::kRate ? "rate" : "current";
}

/// The operators' `leak` [L*D, H] and `preactivation` of a call, with its noise.
template <typename Options>
std::pair<std::optional<at::Tensor>, std::optional<at::Tensor>> leak_and_noise(
    const torch::nn::Module& module, const Options& options, const torch::Tensor& input,
    const torch::Tensor& preactivation, int64_t num_layers, int64_t directions,
    int64_t hidden_size) {
  torch::Tensor alpha = current_alpha(module);
  if (alpha.defined()) alpha = alpha.expand({num_layers * directions, hidden_size});
  torch::Tensor added = preactivation;
  if (options.noise() > 0 && (module.is_training() || options.noise_in_eval())) {
    const auto noise = draw_noise(input, alpha, options.noise(), num_layers,
                                  directions * hidden_size, options.generator());
    added = add_noise(preactivation, noise);
  }
  return {as_optional(alpha), as_optional(added)};
}

/// Prints ", alpha=..., form=..." and what is not at its default.
template <typename Options>
void print_leak(const Options& options, std::ostream& stream) {
  const torch::Tensor& alpha = options.alpha();
  stream << ", alpha=";
  if (alpha.dim() == 0) {
    stream << alpha.template item<double>();
  } else {
    stream << alpha.sizes();
  }
  stream << ", form=" << schema_name(options.form());
  if (options.learn_alpha()) stream << ", learn_alpha=true";
  if (options.noise() > 0) stream << ", noise=" << options.noise();
  if (options.noise() > 0 && !options.noise_in_eval()) stream << ", noise_in_eval=false";
}

}  // namespace elman::detail
