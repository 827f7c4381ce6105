#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/SymInt.h>
#include <c10/util/ArrayRef.h>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace elman {

/// The arguments of the operators `elman::rnn` and `elman::rnn.data`, as the caller gave them,
/// checked by `check_arguments` (checks.h) before anything else looks at them. T steps, B rows of
/// the batch, I = input_size, H = hidden_size, L layers, D directions.
///
/// This is the one description of a call. A new argument is a member here, in the order of the
/// schema of `_rnn_forward` (torch_ext/library.cpp), and a word in `padded_members` or `members`,
/// and in `with_gradient` if it has one; what owns it and what it holds are told by
/// `OwnedArguments` (owned_arguments.h). The signatures of all operators but those of packed input,
/// autograd, what it saves, vmap, autocast, shapes without values and the checks of storages follow
/// from these. The rest is in CONTRIBUTING.md.
///
/// input: [T, B, I]; [B, T, I] if batch_first; [T, I] unbatched; [sum of batch_sizes, I] packed
///
/// hx: [L*D, B, H]; [L*D, H] unbatched; none means zeros
///
/// params: for each layer, for each direction: weight_ih [H, I or D*H], weight_hh [H, H] and, if
/// has_biases, bias_ih [H], bias_hh [H]
///
/// reset: bool, the input's shape without its last dimension: h_{t-1} counts as zero for step t
///
/// carry_scale: floating, as reset or [T]: scales the gradient that flows from step t to the state
/// of step t-1
///
/// leak: [L*D, H] alpha, each in (0, 1], of the input's dtype or of the (real) one that it is
/// computed in; none means 1, which in the rate form is the plain cell
///
/// leak_form: "rate" or "current" (leak.h)
///
/// preactivation: added to a_t; the input's shape with D*H in the last dimension, behind a
/// dimension of L (which a single layer may do without)
///
/// batch_sizes: [T] int64 on the CPU, non-increasing: the rows alive at each step (packed only)
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
  std::optional<at::Tensor> reset;
  std::optional<at::Tensor> carry_scale;
  std::optional<at::Tensor> leak = std::nullopt;
  std::string_view leak_form = "rate";
  std::optional<at::Tensor> preactivation = std::nullopt;
  std::optional<at::Tensor> batch_sizes = std::nullopt;
  std::optional<at::Tensor> masks = std::nullopt;

  /// f(every member, in the order above).
  template <typename F>
  decltype(auto) members(const F& f) const {
    return padded_members(
        [&](const auto&... padded) -> decltype(auto) { return f(padded..., batch_sizes, masks); });
  }

  /// f(every member that padded input may come with: those of `elman::rnn`, in its order).
  template <typename F>
  decltype(auto) padded_members(const F& f) const {
    return f(input, hx, params, has_biases, num_layers, dropout, train, bidirectional, batch_first,
             nonlinearity, k1, k2, reset, carry_scale, leak, leak_form, preactivation);
  }

  /// f(every member that has a gradient, in the order of `_rnn_backward`'s results). leak and
  /// preactivation are the last ones: kernels find their gradients there.
  template <typename F>
  decltype(auto) with_gradient(const F& f) const {
    return f(input, hx, params, leak, preactivation);
  }

  int64_t num_directions() const { return bidirectional ? 2 : 1; }
  int64_t num_cells() const { return num_layers * num_directions(); }
  int64_t params_per_cell() const { return has_biases ? 4 : 2; }
  bool packed() const { return batch_sizes.has_value(); }
  bool batched() const { return packed() || input.dim() == 3; }
  bool draws_dropout() const { return !masks && train && dropout > 0 && num_layers > 1; }
  /// Whether a step is more than h_t = f(a_t). In the current form states are given before f even
  /// without `leak`.
  bool leaky() const { return leak.has_value() || leak_form == "current"; }
  /// Whether a backward pass reads Saved::drives: f' of the rate form does, and alpha's gradient.
  bool reads_drives(bool wants_leak) const {
    return leak.has_value() && (wants_leak || leak_form != "current");
  }
  /// Whether `preactivation` has a dimension of layers.
  bool preactivation_by_layer() const { return preactivation->dim() > input.dim(); }

  /// The shape of Saved's tensors: [layers, T, B, D*H]; [layers, sum of batch_sizes, D*H] packed.
  std::vector<c10::SymInt> saved_sizes(int64_t layers) const {
    const c10::SymInt features = params[1].sym_size(1) * num_directions();
    if (packed()) return {layers, input.sym_size(0), features};
    if (!batched()) return {layers, input.sym_size(0), 1, features};
    return {layers, input.sym_size(batch_first ? 1 : 0), input.sym_size(batch_first ? 0 : 1),
            features};
  }
  /// Of all but the top layer.
  std::vector<c10::SymInt> saved_sizes() const { return saved_sizes(num_layers - 1); }

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

/// The arguments of `elman::rnn_cell`, one step of one layer, in the order of its schema; checked
/// by `check_cell_arguments`.
///
/// input: [B, I] or [I], hx: [B, H] or [H] (none: zeros), w_ih: [H, I], w_hh: [H, H], b_ih, b_hh,
/// leak: [H], preactivation: [B, H] or [H]
struct CellArguments {
  const at::Tensor& input;
  const std::optional<at::Tensor>& hx;
  const at::Tensor& w_ih;
  const at::Tensor& w_hh;
  std::optional<at::Tensor> b_ih;
  std::optional<at::Tensor> b_hh;
  std::string_view nonlinearity;
  std::optional<at::Tensor> leak;
  std::string_view leak_form;
  std::optional<at::Tensor> preactivation;

  /// f(every member, in the order above).
  template <typename F>
  decltype(auto) members(const F& f) const {
    return f(input, hx, w_ih, w_hh, b_ih, b_hh, nonlinearity, leak, leak_form, preactivation);
  }
};

/// What of `Saved` a forward pass keeps.
struct Keep {
  bool states;  ///< Saved::states and masks
  bool drives;  ///< Saved::drives; see RnnArguments::reads_drives
};
inline constexpr Keep kKeepNothing{false, false};
inline constexpr Keep kKeepAll{true, true};

/// How many of the states [T, B, D*H] of so many layers below the top one a forward pass has room
/// for: without a backward pass to come, a layer's are read by the next layer only, so two take
/// turns.
inline int64_t kept_states(int64_t layers, bool save_states) {
  return save_states ? layers : std::min<int64_t>(layers, 2);
}

/// What the forward pass hands to the backward pass beside its arguments and its output. Each is
/// [0] if there is none, or if it is not to be kept.
struct Saved {
  /// states: [L-1, T, B, D*H] ([L-1, sum of batch_sizes, D*H] packed), the lower layers' outputs,
  /// before dropout, time major whatever batch_first says; [0] if L == 1.
  at::Tensor states;
  /// masks: as states, the dropout masks between the layers, each element 0 or 1 / (1 - dropout).
  at::Tensor masks;
  /// drives: [L, T, B, D*H] ([L, sum of batch_sizes, D*H] packed), of a call with `leak`, what
  /// pulls at the state of each step: f(a_t) in the rate form, a_t - v_{t-1} in the current form.
  at::Tensor drives;
};

/// What arrives at the backward pass, checked by `check_backward_arguments` (checks.h).
struct BackwardArguments {
  std::optional<at::Tensor> grad_output;  ///< shape of `output`; none means zeros
  std::optional<at::Tensor> grad_h_n;     ///< shape of h_n; none means zeros
  at::Tensor output;                      ///< the forward's output, in the caller's layout
  Saved saved;
  /// Which gradients are asked for, in the order of kGradients.
  std::vector<bool> output_mask;

  /// RnnArguments::with_gradient, in words.
  static constexpr const char* kGradients = "input, hx, each of params, leak, preactivation";
  /// How many gradients there are beside those of params.
  static constexpr size_t kOthers = 4;
  /// How many there are with those of so many params.
  static size_t count(size_t params) { return params + kOthers; }
  bool wants_input() const { return output_mask[0]; }
  bool wants_hx() const { return output_mask[1]; }
  bool wants_param(size_t i) const { return output_mask[2 + i]; }
  bool wants_leak() const { return output_mask[output_mask.size() - 2]; }
  bool wants_preactivation() const { return output_mask[output_mask.size() - 1]; }
  /// The first of params that is asked for; their number if none is.
  size_t first_wanted_param() const {
    size_t i = 0;
    while (i + kOthers < output_mask.size() && !wants_param(i)) ++i;
    return i;
  }
  /// The lowest layer that the gradient has to reach; num_layers if nothing is asked for.
  int64_t lowest_layer(const RnnArguments& args) const {
    if (wants_input() || (args.hx && wants_hx()) || (args.leak && wants_leak()) ||
        (args.preactivation && wants_preactivation()))
      return 0;
    return static_cast<int64_t>(first_wanted_param()) /
           (args.num_directions() * args.params_per_cell());
  }
};

namespace detail {
struct Counted {
  template <typename... Members>
  std::integral_constant<size_t, sizeof...(Members)> operator()(const Members&...) const;
};
using WithGradient = decltype(std::declval<const RnnArguments&>().with_gradient(Counted()));
static_assert(WithGradient::value == BackwardArguments::kOthers + 1);  // params are one of them
}  // namespace detail

}  // namespace elman
