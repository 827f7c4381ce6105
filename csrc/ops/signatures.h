#pragma once

#include <ATen/core/List.h>
#include <ATen/core/Tensor.h>
#include <c10/util/ArrayRef.h>

#include <optional>
#include <string_view>
#include <tuple>
#include <vector>

#include "arguments.h"

namespace elman {

// The C++ types of the schemas in torch_ext/library.cpp, for registering kernels and for calling
// operators.
using RnnSignature = std::tuple<at::Tensor, at::Tensor>(
    const at::Tensor& input, const std::optional<at::Tensor>& hx, at::TensorList params,
    bool has_biases, int64_t num_layers, double dropout, bool train, bool bidirectional,
    bool batch_first, std::string_view nonlinearity, int64_t k1, int64_t k2,
    const std::optional<at::Tensor>& reset, const std::optional<at::Tensor>& carry_scale);

using RnnDataSignature = std::tuple<at::Tensor, at::Tensor>(
    const at::Tensor& data, const at::Tensor& batch_sizes, const std::optional<at::Tensor>& hx,
    at::TensorList params, bool has_biases, int64_t num_layers, double dropout, bool train,
    bool bidirectional, std::string_view nonlinearity, int64_t k1, int64_t k2);

using RnnForwardSignature = std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor>(
    const at::Tensor& input, const std::optional<at::Tensor>& hx, at::TensorList params,
    bool has_biases, int64_t num_layers, double dropout, bool train, bool bidirectional,
    bool batch_first, std::string_view nonlinearity, int64_t k1, int64_t k2,
    const std::optional<at::Tensor>& batch_sizes, const std::optional<at::Tensor>& reset,
    const std::optional<at::Tensor>& carry_scale, const std::optional<at::Tensor>& masks,
    bool save_states);

using RnnBackwardSignature = std::vector<at::Tensor>(
    const std::optional<at::Tensor>& grad_output, const std::optional<at::Tensor>& grad_h_n,
    const at::Tensor& output, const at::Tensor& states, const at::Tensor& masks,
    const at::Tensor& input, const std::optional<at::Tensor>& hx, at::TensorList params,
    bool has_biases, int64_t num_layers, bool bidirectional, bool batch_first,
    std::string_view nonlinearity, int64_t k1, int64_t k2,
    const std::optional<at::Tensor>& batch_sizes, const std::optional<at::Tensor>& reset,
    const std::optional<at::Tensor>& carry_scale, c10::List<bool> output_mask);

/// A kernel function `impl(RnnArguments, ...)` as the four schemas want it: these adapters gather
/// an operator's arguments into the structs, so that every kernel is written once, whatever its
/// overload.
template <auto impl>
struct RnnKernel {
  static std::tuple<at::Tensor, at::Tensor> rnn(
      const at::Tensor& input, const std::optional<at::Tensor>& hx, at::TensorList params,
      bool has_biases, int64_t num_layers, double dropout, bool train, bool bidirectional,
      bool batch_first, std::string_view nonlinearity, int64_t k1, int64_t k2,
      const std::optional<at::Tensor>& reset, const std::optional<at::Tensor>& carry_scale) {
    return impl({input, hx, params, has_biases, num_layers, dropout, train, bidirectional,
                 batch_first, nonlinearity, k1, k2, std::nullopt, reset, carry_scale});
  }

  static std::tuple<at::Tensor, at::Tensor> data(
      const at::Tensor& data, const at::Tensor& batch_sizes, const std::optional<at::Tensor>& hx,
      at::TensorList params, bool has_biases, int64_t num_layers, double dropout, bool train,
      bool bidirectional, std::string_view nonlinearity, int64_t k1, int64_t k2) {
    return impl({data, hx, params, has_biases, num_layers, dropout, train, bidirectional,
                 /*batch_first=*/false, nonlinearity, k1, k2, batch_sizes, std::nullopt,
                 std::nullopt});
  }
};

/// impl(const RnnArguments&, bool save_states) as a kernel of `_rnn_forward`.
template <auto impl>
std::tuple<at::Tensor, at::Tensor, at::Tensor, at::Tensor> rnn_forward_kernel(
    const at::Tensor& input, const std::optional<at::Tensor>& hx, at::TensorList params,
    bool has_biases, int64_t num_layers, double dropout, bool train, bool bidirectional,
    bool batch_first, std::string_view nonlinearity, int64_t k1, int64_t k2,
    const std::optional<at::Tensor>& batch_sizes, const std::optional<at::Tensor>& reset,
    const std::optional<at::Tensor>& carry_scale, const std::optional<at::Tensor>& masks,
    bool save_states) {
  auto [output, h_n, saved] =
      impl({input, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first,
            nonlinearity, k1, k2, batch_sizes, reset, carry_scale, masks},
           save_states);
  return {std::move(output), std::move(h_n), std::move(saved.states), std::move(saved.masks)};
}

/// impl(const RnnArguments&, const BackwardArguments&) as a kernel of `_rnn_backward`.
template <auto impl>
std::vector<at::Tensor> rnn_backward_kernel(
    const std::optional<at::Tensor>& grad_output, const std::optional<at::Tensor>& grad_h_n,
    const at::Tensor& output, const at::Tensor& states, const at::Tensor& masks,
    const at::Tensor& input, const std::optional<at::Tensor>& hx, at::TensorList params,
    bool has_biases, int64_t num_layers, bool bidirectional, bool batch_first,
    std::string_view nonlinearity, int64_t k1, int64_t k2,
    const std::optional<at::Tensor>& batch_sizes, const std::optional<at::Tensor>& reset,
    const std::optional<at::Tensor>& carry_scale, c10::List<bool> output_mask) {
  return impl({input, hx, params, has_biases, num_layers, /*dropout=*/0, /*train=*/false,
               bidirectional, batch_first, nonlinearity, k1, k2, batch_sizes, reset, carry_scale},
              {grad_output, grad_h_n, output, Saved{states, masks},
               std::vector<bool>(output_mask.begin(), output_mask.end())});
}

}  // namespace elman
