#pragma once

#include <ATen/core/Tensor.h>
#include <elman/export.h>

#include <cstdint>
#include <optional>
#include <string_view>
#include <tuple>

namespace elman {

/// Runs a stack of Elman layers over a padded (or unbatched) sequence; `torch.ops.elman.rnn`, one
/// autograd node.
///
///     h_t = f(W_x x_t + b_x + W_h h_{t-1} + b_h)
///
/// T steps, B rows of the batch, I = input_size, H = hidden_size, L layers, D directions (1 or 2).
///
/// Arguments (order as ATen's `rnn_tanh`):
///   - input: [T, B, I]; [B, T, I] if `batch_first`; [T, I] unbatched. T >= 1.
///   - hx: [L*D, B, H], [L*D, H] unbatched, the states h_0 of layer 0 forward, layer 0 reverse,
///     layer 1 forward, ...; `std::nullopt` means zeros.
///   - params: for each layer, for each direction: weight_ih [H, I] ([H, D*H] above the first
///     layer), weight_hh [H, H] and, if `has_biases`, bias_ih [H], bias_hh [H].
///   - num_layers: L >= 1.
///   - dropout: probability in [0, 1] with which an element of a layer's output, except the last
///     layer's, is zeroed while `train` holds.
///   - nonlinearity: f, one of "tanh", "relu", "sigmoid", "softplus", which is log(1 + e^a), and
///     "identity", a linear network.
///   - k1, k2: truncated back-propagation through time, TBPTT(k1, k2): the losses of each k1
///     outputs go back through at most k2 >= k1 steps (Williams & Peng 1990; Sutskever 2013). 0, 0
///     is full BPTT. Two directions allow k1 = k2 only. The values returned never depend on it.
///   - reset: bool, [T, B] ([B, T] if `batch_first`; [T] unbatched): where true, h_{t-1} counts as
///     zero for step t.
///   - carry_scale: floating, as `reset` or [T]: scales the gradient that flows from step t to the
///     state of step t-1; one direction only, never differentiated itself.
///   - leak: [L*D, H], each unit's alpha in (0, 1], of `input`'s dtype or the real one that it is
///     computed in; differentiable. `std::nullopt` means 1, the plain cell.
///   - leak_form: where the cell leaks, with a_t what f is applied to above: "rate",
///     `h_t = (1 - alpha) h_{t-1} + alpha f(a_t)`; "current",
///     `v_t = (1 - alpha) v_{t-1} + alpha a_t` with output f(v_t), where W_h reads f(v_{t-1}), and
///     `hx` and h_n are v.
///   - preactivation: added to a_t; laid out as `input` with D*H in the last dimension, behind a
///     dimension of L ([L, T, B, D*H]), which one layer may do without; differentiable.
///
/// Returns output, [T, B, D*H] (laid out as `input`), the last layer's states, and h_n, [L*D, B, H]
/// ([L*D, H] unbatched), the final state of each layer and direction.
///
/// Dtypes: float64, float32, bfloat16, float16; complex128 and complex64 (not with "relu" or
/// "softplus"); the same for `input`, `hx` and `params`. Throws `c10::Error` naming the argument
/// that is wrong.
///
/// Example:
/// ```
/// auto [output, h_n] = elman::rnn(input, std::nullopt, {weight_ih, weight_hh, bias_ih, bias_hh},
///                                 /*has_biases=*/true, /*num_layers=*/1, /*dropout=*/0.0,
///                                 /*train=*/true, /*bidirectional=*/false,
///                                 /*batch_first=*/false, "tanh", /*k1=*/10, /*k2=*/50);
/// ```
ELMAN_API std::tuple<at::Tensor, at::Tensor> rnn(
    const at::Tensor& input, const std::optional<at::Tensor>& hx, at::TensorList params,
    bool has_biases, int64_t num_layers, double dropout, bool train, bool bidirectional,
    bool batch_first, std::string_view nonlinearity = "tanh", int64_t k1 = 0, int64_t k2 = 0,
    const std::optional<at::Tensor>& reset = std::nullopt,
    const std::optional<at::Tensor>& carry_scale = std::nullopt,
    const std::optional<at::Tensor>& leak = std::nullopt, std::string_view leak_form = "rate",
    const std::optional<at::Tensor>& preactivation = std::nullopt);

/// The same over a packed sequence; `torch.ops.elman.rnn.data`.
///
///   - data: [N, I], the steps of all sequences, step by step, the longest sequence first
///     (`torch::nn::utils::rnn::PackedSequence::data`).
///   - batch_sizes: [T], int64 on the CPU, non-increasing, with sum N: the rows alive at each step.
///   - hx: [L*D, B, H] with B = batch_sizes[0], in the order of the packed rows; `std::nullopt`
///     means zeros.
///
///   - preactivation: [N, D*H], or [L, N, D*H].
///
/// TBPTT windows are counted on each sequence's own steps. Returns output, [N, D*H], packed as
/// `data`, and h_n, [L*D, B, H], each row's state at its own last valid step (at its first for the
/// reverse direction).
ELMAN_API std::tuple<at::Tensor, at::Tensor> rnn(
    const at::Tensor& data, const at::Tensor& batch_sizes, const std::optional<at::Tensor>& hx,
    at::TensorList params, bool has_biases, int64_t num_layers, double dropout, bool train,
    bool bidirectional, std::string_view nonlinearity = "tanh", int64_t k1 = 0, int64_t k2 = 0,
    const std::optional<at::Tensor>& leak = std::nullopt, std::string_view leak_form = "rate",
    const std::optional<at::Tensor>& preactivation = std::nullopt);

/// One step of one layer, h' = f(W_x x + b_x + W_h h + b_h); `torch.ops.elman.rnn_cell`.
///
///   - input: [B, I] or [I].
///   - hx: [B, H] or [H], as `input`; `std::nullopt` means zeros.
///   - w_ih: [H, I], w_hh: [H, H], b_ih and b_hh: [H], both or neither.
///   - nonlinearity: f, one of "tanh", "relu", "sigmoid", "softplus", which is log(1 + e^a), and
///     "identity", a linear network.
///   - leak: [H], leak_form, preactivation: [B, H] or [H]; as for `rnn`.
///
/// Returns h' (in the current form v'), [B, H] or [H]. Throws `c10::Error` naming the argument that
/// is wrong.
ELMAN_API at::Tensor rnn_cell(const at::Tensor& input, const std::optional<at::Tensor>& hx,
                              const at::Tensor& w_ih, const at::Tensor& w_hh,
                              const std::optional<at::Tensor>& b_ih = std::nullopt,
                              const std::optional<at::Tensor>& b_hh = std::nullopt,
                              std::string_view nonlinearity = "tanh",
                              const std::optional<at::Tensor>& leak = std::nullopt,
                              std::string_view leak_form = "rate",
                              const std::optional<at::Tensor>& preactivation = std::nullopt);

}  // namespace elman
