#include <ATen/core/dispatch/Dispatcher.h>
#include <elman/functional.h>

#include "ops/signatures.h"

namespace elman {

// The dispatcher's typed handles are looked up once, at the first call of each function.

std::tuple<at::Tensor, at::Tensor> rnn(const at::Tensor& input, const std::optional<at::Tensor>& hx,
                                       at::TensorList params, bool has_biases, int64_t num_layers,
                                       double dropout, bool train, bool bidirectional,
                                       bool batch_first, std::string_view nonlinearity, int64_t k1,
                                       int64_t k2, const std::optional<at::Tensor>& reset,
                                       const std::optional<at::Tensor>& carry_scale) {
  static const auto op =
      c10::Dispatcher::singleton().findSchemaOrThrow("elman::rnn", "").typed<RnnSignature>();
  return op.call(input, hx, params, has_biases, num_layers, dropout, train, bidirectional,
                 batch_first, nonlinearity, k1, k2, reset, carry_scale);
}

std::tuple<at::Tensor, at::Tensor> rnn(const at::Tensor& data, const at::Tensor& batch_sizes,
                                       const std::optional<at::Tensor>& hx, at::TensorList params,
                                       bool has_biases, int64_t num_layers, double dropout,
                                       bool train, bool bidirectional,
                                       std::string_view nonlinearity, int64_t k1, int64_t k2) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("elman::rnn", "data")
                             .typed<RnnDataSignature>();
  return op.call(data, batch_sizes, hx, params, has_biases, num_layers, dropout, train,
                 bidirectional, nonlinearity, k1, k2);
}

at::Tensor rnn_cell(const at::Tensor& input, const std::optional<at::Tensor>& hx,
                    const at::Tensor& w_ih, const at::Tensor& w_hh,
                    const std::optional<at::Tensor>& b_ih, const std::optional<at::Tensor>& b_hh,
                    std::string_view nonlinearity) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("elman::rnn_cell", "")
                             .typed<decltype(rnn_cell)>();
  return op.call(input, hx, w_ih, w_hh, b_ih, b_hh, nonlinearity);
}

}  // namespace elman
