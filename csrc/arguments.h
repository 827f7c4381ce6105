#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/SymInt.h>
#include <c10/util/ArrayRef.h>

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "activation.h"

namespace elman {

/// The arguments of the operators `elman::rnn` and `elman::rnn.data`, as the caller gave them,
/// checked by `check_arguments` (checks.h) before anything else looks at them. T steps, B rows of
/// the batch, I = input_size, H = hidden_size, L layers, D directions.
///
/// input: [T, B, I]; [B, T, I] if batch_first; [T, I] unbatched; [sum of batch_sizes, I] packed
///
/// hx: [L*D, B, H]; [L*D, H] unbatched; none means zeros
///
/// params: for each layer, for each direction: weight_ih [H, I or D*H], weight_hh [H, H] and, if
/// has_biases, bias_ih [H], bias_hh [H]
///
/// batch_sizes: [T] int64 on the CPU, non-increasing: the rows alive at each step (packed only)
///
/// reset: bool, the input's shape without its last dimension: h_{t-1} counts as zero for step t
///
/// carry_scale: floating, as reset or [T]: scales the gradient that flows from step t to the state
/// of step t-1
///
/// masks: as Saved::masks; the dropout masks to use, whatever `dropout` and `train` say. Without
/// them they are drawn if dropout and train ask for it.
struct RnnArguments {
  const at::Tensor& input;
  const std::optional<at::Tensor>& hx;
  at::TensorList params;
  bool has_biases;
  int64_t num_layers;
  double dropout;
  bool train;
  bool bidirectional;
  bool batch_first;
  std::string_view nonlinearity;
  int64_t k1;
  int64_t k2;
  std::optional<at::Tensor> batch_sizes;
  std::optional<at::Tensor> reset;
  std::optional<at::Tensor> carry_scale;
  std::optional<at::Tensor> masks = std::nullopt;

  int64_t num_directions() const { return bidirectional ? 2 : 1; }
  int64_t params_per_cell() const { return has_biases ? 4 : 2; }
  bool packed() const { return batch_sizes.has_value(); }
  bool batched() const { return packed() || input.dim() == 3; }
  bool draws_dropout() const { return !masks && train && dropout > 0 && num_layers > 1; }

  /// The shape of Saved's tensors: [L-1, T, B, D*H]; [L-1, sum of batch_sizes, D*H] packed.
  std::vector<c10::SymInt> saved_sizes() const {
    const c10::SymInt features = params[1].sym_size(1) * num_directions();
    if (packed()) return {num_layers - 1, input.sym_size(0), features};
    if (!batched()) return {num_layers - 1, input.sym_size(0), 1, features};
    return {num_layers - 1, input.sym_size(batch_first ? 1 : 0),
            input.sym_size(batch_first ? 0 : 1), features};
  }

  /// The four parameters of layer `layer` in direction `direction`; the biases are undefined
  /// tensors without has_biases.
  struct Cell {
    at::Tensor weight_ih, weight_hh, bias_ih, bias_hh;
  };
  Cell cell(int64_t layer, int64_t direction) const {
    const auto i = (layer * num_directions() + direction) * params_per_cell();
    if (!has_biases) return {params[i], params[i + 1], {}, {}};
    return {params[i], params[i + 1], params[i + 2], params[i + 3]};
  }
};

/// What the forward pass hands to the backward pass beside its arguments and its output (the top
/// layer's states).
struct Saved {
  /// states: [L-1, T, B, D*H] ([L-1, sum of batch_sizes, D*H] packed), the lower layers' states,
  /// before dropout, time major whatever batch_first says; [0] if L == 1 or if nothing is to be
  /// saved.
  at::Tensor states;
  /// masks: as states, the dropout masks between the layers, each element 0 or 1 / (1 - dropout);
  /// [0] if the call drew none.
  at::Tensor masks;
};

/// What arrives at the backward pass, checked by `check_backward_arguments` (checks.h).
struct BackwardArguments {
  std::optional<at::Tensor> grad_output;  ///< shape of `output`; none means zeros
  std::optional<at::Tensor> grad_h_n;     ///< shape of h_n; none means zeros
  at::Tensor output;                      ///< the forward's output, in the caller's layout
  Saved saved;
  /// Which gradients are asked for: input, hx, then each of params.
  std::vector<bool> output_mask;
};

}  // namespace elman
