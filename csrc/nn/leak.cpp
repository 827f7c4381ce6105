#include "nn/leak.h"

#include <cmath>
#include <limits>

#include "autocast/rnn.h"
#include "composite/activate.h"

namespace elman::detail {

using torch::Tensor;

void check_leak(const Tensor& alpha, bool learn_alpha, double noise, int64_t cells,
                int64_t hidden_size) {
  TORCH_CHECK_VALUE(alpha.defined(),
                    "alpha: expected a value in (0, 1], or tau with dt (alpha = dt / tau)");
  TORCH_CHECK_TYPE(alpha.is_floating_point(),
                   "alpha should be a floating point Tensor, got: ", alpha.scalar_type());
  const auto sizes = alpha.sizes();
  TORCH_CHECK_VALUE(
      alpha.dim() == 0 || sizes.equals({hidden_size}) || sizes.equals({cells, hidden_size}),
      "alpha must be a number or of shape [", hidden_size, "] or [", cells, ", ", hidden_size,
      "], got ", sizes);
  // As the module has it: what is near 0 or 1 may be one of them.
  const Tensor stored = alpha.to(c10::typeMetaToScalarType(torch::get_default_dtype()));
  const double smallest = stored.min().item<double>(), largest = stored.max().item<double>();
  TORCH_CHECK_VALUE(smallest > 0 && largest <= 1, "alpha must lie in (0, 1], got values from ",
                    smallest, " to ", largest);
  TORCH_CHECK_VALUE(!learn_alpha || largest < 1,
                    "alpha must be less than 1 where learn_alpha is true: it is learnt as a "
                    "sigmoid, which does not reach 1");
  TORCH_CHECK_VALUE(noise >= 0 && std::isfinite(noise),
                    "noise must be finite and not negative, got ", noise);
}

void register_leak(torch::nn::Module& module, const Tensor& alpha, bool learn_alpha,
                   LeakyForm form) {
  const auto dtype = torch::get_default_dtype();
  if (learn_alpha) {
    module.register_parameter("raw_alpha", torch::empty(alpha.sizes(), dtype));
  } else if (form == LeakyForm::kCurrent || !alpha.eq(1).all().item<bool>()) {
    module.register_buffer("alpha", torch::empty(alpha.sizes(), dtype));
  }
  reset_leak(module, alpha);
}

void reset_leak(torch::nn::Module& module, const Tensor& alpha) {
  torch::NoGradGuard no_grad;
  if (auto* raw = module.named_parameters(/*recurse=*/false).find("raw_alpha")) {
    raw->copy_(torch::logit(alpha.to(torch::kDouble)));
  } else if (auto* fixed = module.named_buffers(/*recurse=*/false).find("alpha")) {
    fixed->copy_(alpha);
  }
}

Tensor current_alpha(const torch::nn::Module& module) {
  const auto parameters = module.named_parameters(/*recurse=*/false);
  if (const auto* raw = parameters.find("raw_alpha")) {
    // The smallest number above zero keeps what underflows inside of (0, 1].
    const Tensor real = raw->is_complex() ? torch::real(*raw) : *raw;
    const bool half = real.scalar_type() == torch::kHalf;
    return torch::sigmoid(real).clamp_min(half ? 6.2e-5 : 1.2e-38);
  }
  const auto buffers = module.named_buffers(/*recurse=*/false);
  const auto* fixed = buffers.find("alpha");
  if (fixed == nullptr) return {};
  return fixed->is_complex() ? torch::real(*fixed) : *fixed;
}

Tensor draw_noise(const Tensor& input, const Tensor& alpha, double sigma, int64_t num_layers,
                  int64_t features, const std::optional<at::Generator>& generator) {
  std::vector<int64_t> sizes = input.sizes().vec();
  TORCH_CHECK_VALUE(!sizes.empty(), "input must have at least one dimension, got none");
  sizes.back() = features;
  if (num_layers > 1) sizes.insert(sizes.begin(), num_layers);
  const Tensor xi = at::randn(sizes, generator, input.options().requires_grad(false));
  if (!alpha.defined()) return xi * (sigma * std::sqrt(2.0));
  std::vector<int64_t> by_layer{features};
  if (num_layers > 1) {
    by_layer.assign(sizes.size(), 1);
    by_layer.front() = num_layers;
    by_layer.back() = features;
  }
  const Tensor scale = sigma * torch::sqrt(2.0 / alpha);
  return (xi * scale.reshape(by_layer)).to(input.scalar_type());
}

Tensor add_noise(const Tensor& preactivation, const Tensor& noise) {
  if (!preactivation.defined()) return noise;
  auto sizes = preactivation.sizes();
  // A dimension of layers in front, of a single one.
  if (preactivation.dim() == noise.dim() + 1 && sizes[0] == 1) sizes = sizes.slice(1);
  TORCH_CHECK(sizes == noise.sizes(), "preactivation must have the shape ", noise.sizes(), ", got ",
              preactivation.sizes());
  TORCH_CHECK(preactivation.scalar_type() == noise.scalar_type() || autocast_is_on(noise),
              "preactivation must have the input's dtype ", noise.scalar_type(), ", got ",
              preactivation.scalar_type());
  return preactivation + noise;
}

Tensor output_of(const Tensor& state, LeakyForm form, const Nonlinearity& nonlinearity) {
  if (form == LeakyForm::kRate) return state;
  return composite::activate(state, kActivations[nonlinearity.index()].activation);
}

}  // namespace elman::detail
