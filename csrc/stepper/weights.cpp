#include "stepper/weights.h"

#include <algorithm>

namespace elman::stepper {
namespace {

/// Puts the transpose of matrix: [n, k] into the panels, from their row `first` on.
template <typename T>
void pack(const T* matrix, int64_t k, int64_t first, int64_t panel_columns, PackedLayer<T>& into) {
  const int64_t width = padded(into.n);
  for (int64_t j = 0; j < width; j += panel_columns) {
    const int64_t columns = std::min(panel_columns, width - j);
    T* const panel = into.panels.get() + j * into.k;
    for (int64_t c = 0; c < columns && j + c < into.n; ++c)
      for (int64_t p = 0; p < k; ++p) panel[(first + p) * columns + c] = matrix[(j + c) * k + p];
  }
}

template <typename T>
PackedLayer<T> make_layer(int64_t n, int64_t k, const T* bias, const T* second_bias) {
  PackedLayer<T> layer{n, k, Buffer<T>(padded(n) * k), Buffer<T>(padded(n)), {}, {}};
  for (int64_t j = 0; j < n; ++j)
    layer.bias.get()[j] =
        (bias != nullptr ? bias[j] : 0) + (second_bias != nullptr ? second_bias[j] : 0);
  layer.epilogue = {Form::kPlain, Activation::kIdentity, n, layer.bias.get(), nullptr};
  return layer;
}

}  // namespace

template <typename T>
Weights<T>::Weights(const StepperParameters<T>& parameters)
    : kernels(stepper::kernels<T>()),
      input_size(parameters.input_size),
      hidden_size(parameters.hidden_size),
      output_size(parameters.output_size > 0 ? parameters.output_size : parameters.hidden_size) {
  const Functions functions = check_parameters(parameters);
  const int64_t H = hidden_size;
  for (const StepperLayer<T>& from : parameters.layers) {
    const int64_t I = layers.empty() ? input_size : H;
    PackedLayer<T>& layer = layers.emplace_back(make_layer(H, H + I, from.bias_ih, from.bias_hh));
    pack(from.weight_hh, H, 0, kernels.panel_columns, layer);
    pack(from.weight_ih, I, H, kernels.panel_columns, layer);
    layer.epilogue.activation = functions.activation;
    if (from.alpha == nullptr) continue;
    layer.alpha = Buffer<T>(padded(H));
    std::copy_n(from.alpha, H, layer.alpha.get());
    layer.epilogue.form = functions.form;
    layer.epilogue.alpha = layer.alpha.get();
  }
  if (parameters.output_size == 0) return;
  PackedLayer<T>& out =
      head.emplace_back(make_layer(output_size, H, parameters.bias_out, static_cast<T*>(nullptr)));
  pack(parameters.weight_out, H, 0, kernels.panel_columns, out);
  out.epilogue.form = functions.output_form;
  out.epilogue.activation = functions.output;
}

template struct Weights<float>;
template struct Weights<double>;

}  // namespace elman::stepper
