#pragma once

#include <ATen/core/Tensor.h>
#include <elman/export.h>
#include <elman/leaky_rnn.h>
#include <elman/rnn.h>

#include <cstdint>
#include <optional>
#include <string_view>

namespace elman {

/// How far back in time gradients reach: their norm by layer and by lag, the distance in steps from
/// the output that a gradient came from. T steps, B rows, I = input_size, H = hidden_size, L
/// layers.
///
///     result[l, j] = mean over rows and over t = j+1 ... T of |delta_{t-j}|_2
///
/// where delta_{t-j}: [H] is the gradient at layer l's pre-activation at step t-j of output t's
/// loss alone. It is what a sliding window, TBPTT(1, max_lag), computes on its way, and costs as
/// much as that one backward pass. The module's own truncation plays no part.
///
///   - input: [T, B, I]; [B, T, I] with `batch_first`; [T, I] unbatched
///   - max_lag: how many lags, from 0 on; at least 1
///   - hx: [L, B, H], [L, H] unbatched, the initial states; undefined means zeros
///   - grad_output: the output's shape, the gradient of the loss; undefined means ones
///   - reset: bool, the input's shape without its last dimension, as `RNN::forward`
///
/// Returns [L, max_lag], float64 for float64 and complex128 arguments, else float32; zeros at lags
/// j >= T. Never differentiated. Throws `c10::Error` for two directions and for arguments that
/// `RNN::forward` refuses.
ELMAN_API at::Tensor gradient_by_lag(const RNN& rnn, const at::Tensor& input, int64_t max_lag,
                                     const at::Tensor& hx = {}, const at::Tensor& grad_output = {},
                                     const at::Tensor& reset = {});

/// The same of leaky cells, with their noise.
///
///   - preactivation: as `LeakyRNN::forward`
ELMAN_API at::Tensor gradient_by_lag(const LeakyRNN& rnn, const at::Tensor& input, int64_t max_lag,
                                     const at::Tensor& hx = {}, const at::Tensor& grad_output = {},
                                     const at::Tensor& reset = {},
                                     const at::Tensor& preactivation = {});

/// The same with everything that `elman::rnn` takes; `torch.ops.elman.gradient_by_lag`.
ELMAN_API at::Tensor gradient_by_lag(const at::Tensor& input, const std::optional<at::Tensor>& hx,
                                     at::TensorList params, bool has_biases, int64_t num_layers,
                                     double dropout, bool train, bool bidirectional,
                                     bool batch_first, int64_t max_lag,
                                     std::string_view nonlinearity = "tanh",
                                     const std::optional<at::Tensor>& grad_output = std::nullopt,
                                     const std::optional<at::Tensor>& reset = std::nullopt,
                                     const std::optional<at::Tensor>& leak = std::nullopt,
                                     std::string_view leak_form = "rate",
                                     const std::optional<at::Tensor>& preactivation = std::nullopt);

}  // namespace elman
