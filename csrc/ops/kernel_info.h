#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <string>
#include <string_view>

#include "arguments.h"

namespace elman {

using KernelInfoSignature = std::string(const at::Tensor& input,
                                        const std::optional<at::Tensor>& hx, at::TensorList params,
                                        bool has_biases, int64_t num_layers, double dropout,
                                        bool train, bool bidirectional, bool batch_first,
                                        std::string_view nonlinearity, int64_t k1, int64_t k2,
                                        const std::optional<at::Tensor>& reset,
                                        const std::optional<at::Tensor>& carry_scale);

using KernelInfoDataSignature = std::string(const at::Tensor& data, const at::Tensor& batch_sizes,
                                            const std::optional<at::Tensor>& hx,
                                            at::TensorList params, bool has_biases,
                                            int64_t num_layers, double dropout, bool train,
                                            bool bidirectional, std::string_view nonlinearity,
                                            int64_t k1, int64_t k2);

/// impl(const RnnArguments&) as kernels of `kernel_info` and `kernel_info.data`.
template <auto impl>
struct KernelInfo {
  static std::string rnn(const at::Tensor& input, const std::optional<at::Tensor>& hx,
                         at::TensorList params, bool has_biases, int64_t num_layers, double dropout,
                         bool train, bool bidirectional, bool batch_first,
                         std::string_view nonlinearity, int64_t k1, int64_t k2,
                         const std::optional<at::Tensor>& reset,
                         const std::optional<at::Tensor>& carry_scale) {
    return impl({input, hx, params, has_biases, num_layers, dropout, train, bidirectional,
                 batch_first, nonlinearity, k1, k2, std::nullopt, reset, carry_scale});
  }

  static std::string data(const at::Tensor& data, const at::Tensor& batch_sizes,
                          const std::optional<at::Tensor>& hx, at::TensorList params,
                          bool has_biases, int64_t num_layers, double dropout, bool train,
                          bool bidirectional, std::string_view nonlinearity, int64_t k1,
                          int64_t k2) {
    return impl({data, hx, params, has_biases, num_layers, dropout, train, bidirectional,
                 /*batch_first=*/false, nonlinearity, k1, k2, batch_sizes, std::nullopt,
                 std::nullopt});
  }
};

}  // namespace elman
