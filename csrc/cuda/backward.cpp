#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/sum.h>

#include <algorithm>

#include "checks.h"
#include "cuda/call.h"
#include "cuda/device.h"
#include "cuda/engine.h"
#include "cuda/paths.h"
#include "cuda/pointwise.h"
#include "cuda/sweep.h"
#include "dense.h"

namespace elman::cuda {
namespace {

/// The gradient of one call. Layers are finished from the top down; with windows that overlap in a
/// stack of layers the recurrences of all layers run jointly first.
class Gradient {
 public:
  Gradient(const Call& call, const BackwardArguments& grads)
      : call_(call),
        args_(call.args),
        grads_(grads),
        windows_(Windows::make(call.steps, args_.k1, args_.k2)),
        stream_(current_stream(call.input)),
        lowest_layer_(lowest_layer()),
        results_(grads.output_mask.size()) {
    for (int64_t layer = 0; layer + 1 < args_.num_layers; ++layer) {
      states_.push_back(call.saved_layer(grads.saved.states, layer));
      if (grads.saved.masks.dim() > 1) masks_.push_back(call.saved_layer(grads.saved.masks, layer));
    }
    states_.push_back(call.from_caller(grads.output));
    if (grads.grad_output) grad_output_ = call.from_caller(*grads.grad_output);
    if (grads.grad_h_n) grad_h_n_ = call.states_from_caller(*grads.grad_h_n);
    if (asks_for_hx()) grad_hx_ = at::empty_like(call.hx);
  }

  std::vector<at::Tensor> compute() {
    if (lowest_layer_ < args_.num_layers) {
      if (windows_.disjoint() || args_.num_layers == 1) {
        run_layer_by_layer();
      } else {
        run_jointly();
      }
    }
    if (asks_for_hx()) results_[1] = call_.states_to_caller(grad_hx_);
    std::vector<at::Tensor> asked;
    for (const at::Tensor& result : results_) {
      if (result.defined()) asked.push_back(result);
    }
    return asked;
  }

 private:
  bool asks_for_hx() const { return args_.hx.has_value() && grads_.wants_hx(); }

  /// The lowest layer that the gradient has to reach; num_layers if nothing is asked for.
  int64_t lowest_layer() const {
    const auto& mask = grads_.output_mask;
    if (mask[0] || asks_for_hx()) return 0;
    const auto asked = std::find(mask.begin() + 2, mask.end(), true) - (mask.begin() + 2);
    return asked / (args_.num_directions() * args_.params_per_cell());
  }

  int64_t cell(int64_t layer, int64_t direction) const {
    return layer * args_.num_directions() + direction;
  }

  bool top(int64_t layer) const { return layer + 1 == args_.num_layers; }

  /// grad_states: [rows, D*H] A, what the layer above handed down, or undefined.
  SweepOperands operands(int64_t layer, int64_t direction, const at::Tensor& grad_states) const {
    const auto own = [&](const at::Tensor& matrix) {
      return matrix.defined() ? own_columns(matrix, direction, call_.hidden_size) : at::Tensor();
    };
    SweepOperands result;
    result.cell = cell(layer, direction);
    result.reverse = direction == 1;
    result.states = own(states_[layer]);
    if (top(layer)) result.grad_output = own(grad_output_);
    result.grad_states = own(grad_states);
    if (grad_h_n_.defined()) result.grad_h_n = grad_h_n_.select(0, result.cell);
    return result;
  }

  Sweep make_sweep(SweepOperands operands) const {
    return {call_, windows_, parse_nonlinearity(args_.nonlinearity), stream_, std::move(operands)};
  }

  /// A cell's recurrence by itself. Returns [rows, H] A, the sum of delta over the windows.
  at::Tensor run_cell(SweepOperands operands) const {
    const Choice choice = backward_choice(call_, windows_);
    if (choice.plan) return persistent_backward(call_, *choice.plan, windows_, operands);
    Sweep sweep = make_sweep(std::move(operands));
    for (int64_t lag = 0; lag < windows_.k2; ++lag) sweep.step({});
    return sweep.total();
  }

  /// Windows that share no step, or one layer: a layer is finished, in all its directions and over
  /// all lags, before its gradient goes down as one product.
  void run_layer_by_layer() {
    at::Tensor from_above;
    for (int64_t layer = args_.num_layers - 1; layer >= lowest_layer_; --layer) {
      at::Tensor below;
      if (layer > lowest_layer_) below = at::empty({call_.rows(), call_.features()}, call_.summed);
      if (layer == 0 && grads_.wants_input()) below = at::empty_like(call_.input);
      for (int64_t direction = 0; direction < args_.num_directions(); ++direction) {
        finish_cell(layer, direction, run_cell(operands(layer, direction, from_above)), below);
      }
      if (layer > lowest_layer_ && !masks_.empty()) below.mul_(masks_[layer - 1]);
      from_above = below;
    }
    if (lowest_layer_ == 0 && grads_.wants_input()) results_[0] = call_.to_caller(from_above);
  }

  /// Windows that overlap, in a stack (one direction): an error keeps its window on its way down,
  /// so all layers go through the lags together.
  void run_jointly() {
    std::vector<Sweep> sweeps;  // from the top layer down
    for (int64_t layer = args_.num_layers - 1; layer >= lowest_layer_; --layer) {
      SweepOperands given = operands(layer, 0, {});
      if (!top(layer) && !masks_.empty()) given.mask = masks_[layer];
      sweeps.push_back(make_sweep(std::move(given)));
    }
    const at::Tensor handed_down =
        at::empty({windows_.count * call_.batch, call_.hidden_size}, call_.summed);
    for (int64_t lag = 0; lag < windows_.k2; ++lag) {
      for (size_t i = 0; i < sweeps.size(); ++i) {
        sweeps[i].step(i == 0 ? at::Tensor() : handed_down);
        if (i + 1 == sweeps.size()) break;
        multiply(sweeps[i].active(handed_down), sweeps[i].active(sweeps[i].delta()),
                 call_.weight_ih(args_.num_layers - 1 - i), /*accumulate=*/false);
      }
    }
    at::Tensor below;
    if (grads_.wants_input()) below = results_[0] = at::empty_like(call_.input);
    for (size_t i = 0; i < sweeps.size(); ++i) {
      const int64_t layer = args_.num_layers - 1 - i;
      finish_cell(layer, 0, sweeps[i].total(), layer == 0 ? below : at::Tensor());
    }
    if (below.defined()) results_[0] = call_.to_caller(below);
  }

  /// Everything that follows from a cell's Delta: large products over all rows. `below`, if it is
  /// defined, gets or, after the first direction, adds the gradient of what the layer was given.
  void finish_cell(int64_t layer, int64_t direction, const at::Tensor& total,
                   const at::Tensor& below) {
    const at::Tensor delta = total.to(call_.stored.dtype());
    if (below.defined())
      multiply(below, delta, call_.weight_ih(cell(layer, direction)), direction > 0);
    if (asks_for_hx()) {
      const bool reverse = direction == 1;
      initial_gradient(cell(layer, direction), reverse,
                       reverse ? call_.last_rows(delta) : delta.narrow(0, 0, call_.batch));
    }
    if (const at::Tensor grad = wanted(layer, direction, 0); grad.defined())
      multiply(grad, delta.t(), input_of(layer), /*accumulate=*/false);
    if (const at::Tensor grad = wanted(layer, direction, 1); grad.defined())
      weight_hh_gradient(layer, direction, delta, grad);
    for (int64_t which = 2; which < args_.params_per_cell(); ++which) {
      if (at::Tensor grad = wanted(layer, direction, which); grad.defined())
        at::sum_out(grad, delta, at::IntArrayRef{0});
    }
  }

  /// The place of a parameter's gradient; undefined if it is not asked for.
  at::Tensor wanted(int64_t layer, int64_t direction, int64_t which) {
    const int64_t i = cell(layer, direction) * args_.params_per_cell() + which;
    if (!grads_.wants_param(i)) return {};
    return results_[i + 2] = at::empty(args_.params[i].sizes(), call_.stored);
  }

  /// [rows, I or D*H] what the layer was given.
  at::Tensor input_of(int64_t layer) const {
    if (layer == 0) return call_.input;
    return masks_.empty() ? states_[layer - 1] : at::mul(states_[layer - 1], masks_[layer - 1]);
  }

  /// dW_h, the sum of delta_t^T h_{t-1}.
  void weight_hh_gradient(int64_t layer, int64_t direction, const at::Tensor& delta,
                          const at::Tensor& grad) const {
    const bool reverse = direction == 1;
    const at::Tensor states = own_columns(states_[layer], direction, call_.hidden_size);
    if (call_.ragged() || call_.reset.defined()) {
      multiply(grad, delta.t(), entering(cell(layer, direction), reverse, states), false);
      return;
    }
    // The states before the steps are the states one step further, and h_0.
    const int64_t others = call_.rows() - call_.batch;
    const int64_t moved = call_.batch;
    multiply(grad, delta.narrow(0, reverse ? 0 : moved, others).t(),
             states.narrow(0, reverse ? moved : 0, others), false);
    if (call_.hx.defined()) {
      multiply(grad, delta.narrow(0, reverse ? others : 0, call_.batch).t(),
               call_.hx.select(0, cell(layer, direction)), true);
    }
  }

  at::Tensor entering(int64_t cell, bool reverse, const at::Tensor& states) const {
    at::Tensor result = at::empty({call_.rows(), call_.hidden_size}, call_.stored);
    EnteringStates gather{};
    gather.element = call_.element;
    gather.reverse = reverse;
    gather.steps = call_.steps;
    gather.batch = call_.batch;
    gather.hidden_size = call_.hidden_size;
    gather.rows = call_.rows();
    if (call_.ragged()) gather.offsets = call_.device_offsets().const_data_ptr<int64_t>();
    gather.states = states.const_data_ptr();
    gather.states_stride = states.stride(0);
    gather.hx = call_.hx.defined() ? call_.hx.select(0, cell).const_data_ptr() : nullptr;
    if (call_.reset.defined()) gather.reset = flags(call_.reset);
    gather.entering = result.mutable_data_ptr();
    check_launch(entering_states(gather, stream_));
    return result;
  }

  /// The gradient of a cell's h_0 from delta at the step that it enters: carried once more.
  void initial_gradient(int64_t cell, bool reverse, const at::Tensor& delta) const {
    const at::Tensor result = grad_hx_.select(0, cell);
    if (reverse || !(call_.reset.defined() || call_.carry_scale.defined())) {
      multiply(result, delta, call_.weight_hh(cell), /*accumulate=*/false);
      return;
    }
    const at::Tensor carried = at::empty(result.sizes(), call_.summed);
    multiply(carried, delta, call_.weight_hh(cell), /*accumulate=*/false);
    if (call_.carry_scale.defined()) carried.mul_(call_.carry_scale.select(0, 0).unsqueeze(1));
    if (call_.reset.defined()) carried.masked_fill_(call_.reset.select(0, 0).unsqueeze(1), 0);
    result.copy_(carried);
  }

  const Call& call_;
  const RnnArguments& args_;
  const BackwardArguments& grads_;
  const Windows windows_;
  const Stream stream_;
  const int64_t lowest_layer_;
  std::vector<at::Tensor> results_;  // as output_mask; undefined where nothing is asked for
  std::vector<at::Tensor> states_;   // per layer [rows, D*H] S
  std::vector<at::Tensor> masks_;    // per layer but the last [rows, D*H] S, or empty
  at::Tensor grad_output_;           // [rows, D*H] S or undefined
  at::Tensor grad_h_n_;              // [L*D, B, H] S or undefined
  at::Tensor grad_hx_;               // [L*D, B, H] S or undefined
};

}  // namespace

std::vector<at::Tensor> backward(const RnnArguments& args, const BackwardArguments& grads) {
  const Call call(args);
  return Gradient(call, grads).compute();
}

}  // namespace elman::cuda
