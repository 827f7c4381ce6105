#pragma once

#include <ATen/core/Tensor.h>
#include <elman/export.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace elman {

/// Which kernel `elman::rnn` takes with these arguments, forward and backward, and why, in words
/// meant for people; `torch.ops.elman.kernel_info`. On the CPU also how the threads that the
/// calling one finds now divide the work. Nothing is computed. Throws as `rnn` does.
ELMAN_API std::string kernel_info(const at::Tensor& input, const std::optional<at::Tensor>& hx,
                                  at::TensorList params, bool has_biases, int64_t num_layers,
                                  double dropout, bool train, bool bidirectional, bool batch_first,
                                  std::string_view nonlinearity = "tanh", int64_t k1 = 0,
                                  int64_t k2 = 0,
                                  const std::optional<at::Tensor>& reset = std::nullopt,
                                  const std::optional<at::Tensor>& carry_scale = std::nullopt,
                                  const std::optional<at::Tensor>& leak = std::nullopt,
                                  std::string_view leak_form = "rate",
                                  const std::optional<at::Tensor>& preactivation = std::nullopt);

/// The same for a packed sequence; `torch.ops.elman.kernel_info.data`.
ELMAN_API std::string kernel_info(const at::Tensor& data, const at::Tensor& batch_sizes,
                                  const std::optional<at::Tensor>& hx, at::TensorList params,
                                  bool has_biases, int64_t num_layers, double dropout, bool train,
                                  bool bidirectional, std::string_view nonlinearity = "tanh",
                                  int64_t k1 = 0, int64_t k2 = 0,
                                  const std::optional<at::Tensor>& leak = std::nullopt,
                                  std::string_view leak_form = "rate",
                                  const std::optional<at::Tensor>& preactivation = std::nullopt);

}  // namespace elman
