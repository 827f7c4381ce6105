#include <elman/functional.h>
#include <elman/kernel_info.h>

#include "dispatch/operators.h"
#include "dispatch/signatures.h"

// The public functions. They have the operators' own types, so that a kernel's adapter serves.

namespace elman {

std::tuple<at::Tensor, at::Tensor> rnn(const at::Tensor& input, const std::optional<at::Tensor>& hx,
                                       at::TensorList params, bool has_biases, int64_t num_layers,
                                       double dropout, bool train, bool bidirectional,
                                       bool batch_first, std::string_view nonlinearity, int64_t k1,
                                       int64_t k2, const std::optional<at::Tensor>& reset,
                                       const std::optional<at::Tensor>& carry_scale,
                                       const std::optional<at::Tensor>& leak,
                                       std::string_view leak_form,
                                       const std::optional<at::Tensor>& preactivation) {
  return Padded<RnnResult>::kernel<call_rnn>(
      input, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first,
      nonlinearity, k1, k2, reset, carry_scale, leak, leak_form, preactivation);
}

std::tuple<at::Tensor, at::Tensor> rnn(const at::Tensor& data, const at::Tensor& batch_sizes,
                                       const std::optional<at::Tensor>& hx, at::TensorList params,
                                       bool has_biases, int64_t num_layers, double dropout,
                                       bool train, bool bidirectional,
                                       std::string_view nonlinearity, int64_t k1, int64_t k2,
                                       const std::optional<at::Tensor>& leak,
                                       std::string_view leak_form,
                                       const std::optional<at::Tensor>& preactivation) {
  return Packed<RnnResult>::kernel<call_rnn>(data, batch_sizes, hx, params, has_biases, num_layers,
                                             dropout, train, bidirectional, nonlinearity, k1, k2,
                                             leak, leak_form, preactivation);
}

std::string kernel_info(const at::Tensor& input, const std::optional<at::Tensor>& hx,
                        at::TensorList params, bool has_biases, int64_t num_layers, double dropout,
                        bool train, bool bidirectional, bool batch_first,
                        std::string_view nonlinearity, int64_t k1, int64_t k2,
                        const std::optional<at::Tensor>& reset,
                        const std::optional<at::Tensor>& carry_scale,
                        const std::optional<at::Tensor>& leak, std::string_view leak_form,
                        const std::optional<at::Tensor>& preactivation) {
  return Padded<std::string>::kernel<call_kernel_info>(
      input, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first,
      nonlinearity, k1, k2, reset, carry_scale, leak, leak_form, preactivation);
}

std::string kernel_info(const at::Tensor& data, const at::Tensor& batch_sizes,
                        const std::optional<at::Tensor>& hx, at::TensorList params, bool has_biases,
                        int64_t num_layers, double dropout, bool train, bool bidirectional,
                        std::string_view nonlinearity, int64_t k1, int64_t k2,
                        const std::optional<at::Tensor>& leak, std::string_view leak_form,
                        const std::optional<at::Tensor>& preactivation) {
  return Packed<std::string>::kernel<call_kernel_info>(
      data, batch_sizes, hx, params, has_biases, num_layers, dropout, train, bidirectional,
      nonlinearity, k1, k2, leak, leak_form, preactivation);
}

at::Tensor rnn_cell(const at::Tensor& input, const std::optional<at::Tensor>& hx,
                    const at::Tensor& w_ih, const at::Tensor& w_hh,
                    const std::optional<at::Tensor>& b_ih, const std::optional<at::Tensor>& b_hh,
                    std::string_view nonlinearity, const std::optional<at::Tensor>& leak,
                    std::string_view leak_form, const std::optional<at::Tensor>& preactivation) {
  return call_rnn_cell(
      {input, hx, w_ih, w_hh, b_ih, b_hh, nonlinearity, leak, leak_form, preactivation});
}

}  // namespace elman
