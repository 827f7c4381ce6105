#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/conj_physical.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/real.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/ScalarType.h>

#include <utility>

#include "checks.h"
#include "composite/activate.h"
#include "composite/padded_layout.h"
#include "composite/rnn.h"
#include "composite/states.h"
#include "composite/sweep.h"
#include "leak.h"
#include "truncation.h"

namespace elman::composite {
namespace {

/// The conjugate, of real numbers themselves. Tensor::conj only marks a tensor, and where a
/// TorchDispatchMode is active kernels run below the dispatch key that minds the mark.
at::Tensor conjugate(const at::Tensor& x) { return x.is_complex() ? at::conj_physical(x) : x; }

/// Per layer but the masks [T, B, D*H] in the compute dtype: the outputs, what Saved::drives says
/// (empty without leak), and the masks of all layers but the last (or empty).
struct Layers {
  std::vector<at::Tensor> outputs, drives, masks;
};

/// The gradient of a call as a function of its states. Whether it is differentiable depends only on
/// whether the states given are.
class WindowedGradient {
 public:
  WindowedGradient(const RnnArguments& args, const BackwardArguments& grads,
                   const PaddedLayout& layout, const Windows& windows, Layers layers)
      : args_(args),
        grads_(grads),
        layout_(layout),
        windows_(windows),
        compute_(compute_type(args)),
        lowest_layer_(grads.lowest_layer(args)),
        activation_(parse_nonlinearity(args.nonlinearity)),
        current_(parse_leak_form(args.leak_form) == LeakForm::kCurrent),
        layers_(std::move(layers.outputs)),
        drives_(std::move(layers.drives)),
        masks_(std::move(layers.masks)),
        h_0_(initial_states(args, layout).unbind(0)),
        totals_(h_0_.size()),
        state_totals_(h_0_.size()) {}

  std::vector<at::Tensor> compute() {
    if (lowest_layer_ == args_.num_layers) return {};
    if (windows_.disjoint() || args_.num_layers == 1) {
      sweep_layer_by_layer();
    } else {
      sweep_jointly([](int64_t, int64_t, const at::Tensor&) {});
    }
    return collect();
  }

  /// [L, lags] the mean over windows and rows of the norm of delta, by layer and lag.
  at::Tensor lag_norms() {
    std::vector<at::Tensor> norms(args_.num_layers * windows_.k2);
    sweep_jointly([&](int64_t layer, int64_t lag, const at::Tensor& delta) {
      norms[layer * windows_.k2 + lag] = at::linalg_vector_norm(delta, 2, -1).mean();
    });
    return at::stack(norms).view({args_.num_layers, windows_.k2});
  }

 private:
  bool asks_for_input() const { return grads_.wants_input(); }
  bool asks_for_hx() const { return args_.hx.has_value() && grads_.wants_hx(); }
  bool asks_for_leak() const { return args_.leak.has_value() && grads_.wants_leak(); }
  bool asks_for_preactivation() const {
    return args_.preactivation.has_value() && grads_.wants_preactivation();
  }

  int64_t hidden_size() const { return args_.params[1].size(1); }

  int64_t index(int64_t layer, int64_t direction) const {
    return layer * args_.num_directions() + direction;
  }

  /// [T, B, H] the outputs of one direction, which in the rate form are its states.
  at::Tensor states(int64_t layer, int64_t direction) const {
    return layers_[layer].narrow(-1, direction * hidden_size(), hidden_size());
  }

  at::Tensor weight_ih(int64_t layer, int64_t direction) const {
    return conjugate(args_.cell(layer, direction).weight_ih.to(compute_));
  }

  at::Tensor weight_hh(int64_t layer, int64_t direction) const {
    return conjugate(args_.cell(layer, direction).weight_hh.to(compute_));
  }

  /// [T, B, I or D*H] what the layer was given.
  at::Tensor input_of(int64_t layer) const {
    if (layer == 0) return layout_.from_caller(args_.input).to(compute_);
    return masks_.empty() ? layers_[layer - 1] : layers_[layer - 1] * masks_[layer - 1];
  }

  /// [T, B, H] what W_h read at each step: the states that entered them, after reset; in the
  /// current form f of these.
  at::Tensor entering_states(int64_t layer, int64_t direction) const {
    const auto made = states(layer, direction);
    const auto start = read_state(args_, h_0_[index(layer, direction)]);
    const int64_t others = layout_.steps() - 1;
    const bool reverse = direction == 1;
    auto entering = reverse ? at::cat({made.narrow(0, 1, others), start.unsqueeze(0)})
                            : at::cat({start.unsqueeze(0), made.narrow(0, 0, others)});
    if (reverse && layout_.packed()) entering = at::where(layout_.is_last(), start, entering);
    const auto cut = cuts(args_, layout_, reverse);
    if (!cut.defined()) return entering;
    return at::where(cut, read_state(args_, at::zeros_like(start)), entering);
  }

  /// [T, B, H] f(a_t) of one direction in the rate form.
  at::Tensor activations(int64_t layer, int64_t direction) const {
    if (drives_.empty()) return states(layer, direction);
    return drives_[layer].narrow(-1, direction * hidden_size(), hidden_size());
  }

  /// [T, B or 1, 1] or undefined.
  at::Tensor carry_scale() const {
    if (!args_.carry_scale.has_value()) return {};
    return layout_.per_step_from_caller(*args_.carry_scale).to(c10::toRealValueType(compute_));
  }

  /// [T, B, D*H] the gradient that arrives at the top layer.
  at::Tensor top_gradient() const {
    if (grads_.grad_output.has_value()) {
      return layout_.from_caller(*grads_.grad_output).to(compute_);
    }
    return at::zeros({layout_.steps(), layout_.batch(), args_.num_directions() * hidden_size()},
                     args_.input.options().dtype(compute_));
  }

  /// [T, B, H] the gradient that arrives at a cell's states through h_n, at the step that made it;
  /// undefined if none.
  at::Tensor final_gradient(int64_t layer, int64_t direction) const {
    if (!grads_.grad_h_n.has_value()) return {};
    const auto gradient = layout_.states_from_caller(*grads_.grad_h_n)
                              .select(0, index(layer, direction))
                              .to(compute_);
    return at::where(direction == 1 ? layout_.is_first() : layout_.is_last(), gradient, 0);
  }

  WindowSweep make_sweep(int64_t layer, int64_t direction) const {
    const bool reverse = direction == 1;
    // The gradient of a holomorphic f is multiplied by the conjugate of its derivative.
    auto slope = conjugate(derivative(
        current_ ? states(layer, direction) : activations(layer, direction), activation_));
    if (layout_.packed()) slope = at::where(layout_.valid(), slope, 0);
    return WindowSweep(
        windows_, {reverse, slope, weight_hh(layer, direction), cuts(args_, layout_, reverse),
                   carry_scale(), layout_.valid(), leak_of(args_, layer, direction), current_});
  }

  void keep_totals(int64_t cell, const WindowSweep& sweep) {
    totals_[cell] = sweep.total();
    if (args_.leak) state_totals_[cell] = sweep.state_total();
  }

  /// [T, B, I or D*H] the gradient of what the layer was given, summed over the windows.
  at::Tensor input_gradient(int64_t layer) const {
    at::Tensor gradient;
    for (int64_t direction = 0; direction < args_.num_directions(); ++direction) {
      gradient =
          sum(gradient, at::matmul(totals_[index(layer, direction)], weight_ih(layer, direction)));
    }
    return gradient;
  }

  /// Windows that share no step: a step's window is known from the step, so a layer is finished, in
  /// both directions, before its gradient goes down as one product.
  void sweep_layer_by_layer() {
    auto from_above = top_gradient();
    for (int64_t layer = args_.num_layers - 1; layer >= lowest_layer_; --layer) {
      for (int64_t direction = 0; direction < args_.num_directions(); ++direction) {
        const auto own = from_above.narrow(-1, direction * hidden_size(), hidden_size());
        const ByLag arriving(own, windows_, direction == 1);
        const ByLag final(final_gradient(layer, direction), windows_, direction == 1);
        auto sweep = make_sweep(layer, direction);
        for (int64_t lag = 0; lag < windows_.k2; ++lag) {
          const bool owned = lag < windows_.k1;
          sweep.step(owned ? arriving.at(lag) : at::Tensor(), owned ? final.at(lag) : at::Tensor());
        }
        keep_totals(index(layer, direction), sweep);
      }
      if (layer == lowest_layer_) break;
      from_above = input_gradient(layer);
      if (!masks_.empty()) from_above = from_above * masks_[layer - 1];
    }
  }

  /// Windows that overlap, in a stack (one direction): an error keeps its window on its way down,
  /// so all layers go through the lags together. watch(layer, lag, delta: [windows, B, H]).
  template <typename Watch>
  void sweep_jointly(const Watch& watch) {
    std::vector<WindowSweep> sweeps;
    std::vector<ByLag> final;
    std::vector<ByLag> masks;
    const ByLag arriving(top_gradient(), windows_, false);
    for (int64_t layer = 0; layer < args_.num_layers; ++layer) {
      const bool top = layer + 1 == args_.num_layers;
      sweeps.push_back(make_sweep(layer, 0));
      final.emplace_back(final_gradient(layer, 0), windows_, false);
      masks.emplace_back(top || masks_.empty() ? at::Tensor() : masks_[layer], windows_, false);
    }
    for (int64_t lag = 0; lag < windows_.k2; ++lag) {
      at::Tensor from_above;
      for (int64_t layer = args_.num_layers - 1; layer >= lowest_layer_; --layer) {
        // A window owns the losses of its last k1 steps.
        const bool owned = lag < windows_.k1, top = layer + 1 == args_.num_layers;
        const auto delta = sweeps[layer].step(owned && top ? arriving.at(lag) : from_above,
                                              owned ? final[layer].at(lag) : at::Tensor());
        watch(layer, lag, delta);
        if (layer == lowest_layer_) break;
        from_above = at::matmul(delta, weight_ih(layer, 0));
        if (!masks_.empty()) from_above = from_above * masks[layer - 1].at(lag);
      }
    }
    for (int64_t layer = lowest_layer_; layer < args_.num_layers; ++layer) {
      keep_totals(layer, sweeps[layer]);
    }
  }

  /// [B, H] the gradient of a cell's h_0: that of the sequence's first step in the cell's
  /// direction, carried once more.
  at::Tensor initial_gradient(int64_t layer, int64_t direction) const {
    const auto at_start = [&](const at::Tensor& x) {
      return direction == 1 ? layout_.last(x) : layout_.first(x);
    };
    const int64_t cell = index(layer, direction);
    auto gradient = at::mm(at_start(totals_[cell]), weight_hh(layer, direction));
    if (current_) {
      const auto slope = derivative(read_state(args_, h_0_[cell]), activation_);
      gradient = conjugate(slope) * gradient;
    }
    if (args_.leak)
      gradient =
          gradient + remaining(at_start(state_totals_[cell]), leak_of(args_, layer, direction));
    // In reverse the border before the sequence's own start is never cut, and there is no scale.
    if (direction == 1) return gradient;
    const auto scale = carry_scale();
    if (scale.defined()) gradient = gradient * layout_.first(scale);
    const auto cut = cuts(args_, layout_, false);
    return cut.defined() ? at::where(layout_.first(cut), 0, gradient) : gradient;
  }

  /// sum over t, b of total[t, b]^T conj(x[t, b]).
  static at::Tensor weight_gradient(const at::Tensor& total, const at::Tensor& x) {
    return at::mm(total.flatten(0, 1).t(), conjugate(x.flatten(0, 1)));
  }

  at::Tensor parameter_gradient(int64_t layer, int64_t direction, int64_t which) const {
    const auto& total = totals_[index(layer, direction)];
    switch (which) {
      case 0:
        return weight_gradient(total, input_of(layer));
      case 1:
        return weight_gradient(total, entering_states(layer, direction));
      default:
        return total.flatten(0, 1).sum(0);
    }
  }

  /// [H] sum over steps and rows of e times what alpha is multiplied with, less what 1 - alpha is.
  at::Tensor leak_gradient(int64_t layer, int64_t direction) const {
    const auto drive = activations(layer, direction);
    const auto pull = conjugate(current_ ? drive : drive - entering_states(layer, direction));
    auto gradient = state_totals_[index(layer, direction)] * pull;
    // At steps that do not exist e is zero, but the drive may be anything.
    if (layout_.packed()) gradient = at::where(layout_.valid(), gradient, 0);
    gradient = gradient.flatten(0, 1).sum(0);
    return gradient.is_complex() ? at::real(gradient) : gradient;
  }

  /// [T, B, D*H] the gradient of a layer's preactivation: delta.
  at::Tensor preactivation_gradient(int64_t layer) const {
    if (args_.num_directions() == 1) return totals_[layer];
    return at::cat({totals_[index(layer, 0)], totals_[index(layer, 1)]}, -1);
  }

  std::vector<at::Tensor> collect() const {
    const auto dtype = args_.input.scalar_type();
    std::vector<at::Tensor> result;
    if (asks_for_input()) {
      result.push_back(layout_.to_caller(input_gradient(0).to(dtype).contiguous()));
    }
    if (asks_for_hx()) {
      std::vector<at::Tensor> gradients;
      for (int64_t i = 0; i < static_cast<int64_t>(totals_.size()); ++i) {
        gradients.push_back(
            initial_gradient(i / args_.num_directions(), i % args_.num_directions()));
      }
      result.push_back(layout_.states_to_caller(at::stack(gradients).to(dtype)));
    }
    const int64_t per_cell = args_.params_per_cell();
    for (int64_t i = 0; i < static_cast<int64_t>(args_.params.size()); ++i) {
      if (!grads_.wants_param(i)) continue;
      const int64_t cell = i / per_cell;
      result.push_back(parameter_gradient(cell / args_.num_directions(),
                                          cell % args_.num_directions(), i % per_cell)
                           .to(args_.params[i].scalar_type()));
    }
    if (asks_for_leak()) {
      std::vector<at::Tensor> gradients;
      for (int64_t i = 0; i < args_.num_cells(); ++i)
        gradients.push_back(leak_gradient(i / args_.num_directions(), i % args_.num_directions()));
      result.push_back(at::stack(gradients).to(args_.leak->scalar_type()));
    }
    if (asks_for_preactivation()) {
      std::vector<at::Tensor> layers;
      for (int64_t layer = 0; layer < args_.num_layers; ++layer)
        layers.push_back(preactivation_gradient(layer).to(dtype).contiguous());
      result.push_back(layout_.preactivation_to_caller(layers, args_.preactivation_by_layer()));
    }
    return result;
  }

  const RnnArguments& args_;
  const BackwardArguments& grads_;
  const PaddedLayout& layout_;
  const Windows windows_;
  const at::ScalarType compute_;
  const int64_t lowest_layer_;
  const Activation activation_;
  const bool current_;
  std::vector<at::Tensor> layers_;
  std::vector<at::Tensor> drives_;
  std::vector<at::Tensor> masks_;
  std::vector<at::Tensor> h_0_;           // per cell [B, H]
  std::vector<at::Tensor> totals_;        // per cell [T, B, H], delta summed over the windows
  std::vector<at::Tensor> state_totals_;  // the same of e; undefined without leak
};

/// [L-1, ...] in Saved's layout -> per layer [T, B, D*H] in the compute dtype; empty if there is
/// none.
std::vector<at::Tensor> unstack(const RnnArguments& args, const PaddedLayout& layout,
                                const at::Tensor& stored) {
  std::vector<at::Tensor> layers;
  if (!stored.defined() || stored.dim() < 2) return layers;
  for (const auto& layer : stored.to(compute_type(args)).unbind(0)) {
    layers.push_back(layout.from_stored(layer));
  }
  return layers;
}

/// What the forward pass saved.
Layers saved_layers(const RnnArguments& args, const PaddedLayout& layout,
                    const BackwardArguments& grads) {
  auto outputs = unstack(args, layout, grads.saved.states);
  outputs.push_back(layout.from_caller(grads.output).to(compute_type(args)));
  return {std::move(outputs), unstack(args, layout, grads.saved.drives),
          unstack(args, layout, grads.saved.masks)};
}

}  // namespace

std::vector<at::Tensor> backward(const RnnArguments& args, const BackwardArguments& grads) {
  const WithoutAutocast guard;
  const PaddedLayout layout(args);
  return WindowedGradient(args, grads, layout, Windows::make(layout.steps(), args.k1, args.k2),
                          saved_layers(args, layout, grads))
      .compute();
}

std::vector<at::Tensor> differentiable_backward(const RnnArguments& args,
                                                const BackwardArguments& grads) {
  const WithoutAutocast guard;
  const PaddedLayout layout(args);
  auto states = compute_states(args, layout, grads.saved.masks);
  return WindowedGradient(args, grads, layout, Windows::make(layout.steps(), args.k1, args.k2),
                          {std::move(states.layers), std::move(states.drives),
                           unstack(args, layout, grads.saved.masks)})
      .compute();
}

at::Tensor lag_norms(const RnnArguments& args, const BackwardArguments& grads, int64_t lags) {
  const WithoutAutocast guard;
  const PaddedLayout layout(args);
  // One window for each output, also where all of them reach step 1.
  const Windows windows{layout.steps(), 1, lags, layout.steps()};
  return WindowedGradient(args, grads, layout, windows, saved_layers(args, layout, grads))
      .lag_norms();
}

}  // namespace elman::composite
