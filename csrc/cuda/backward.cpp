#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/sum.h>

#include <utility>

#include "checks.h"
#include "composite/activate.h"
#include "cuda/call.h"
#include "cuda/device.h"
#include "cuda/paths.h"
#include "cuda/pointwise.h"
#include "cuda/rnn.h"
#include "cuda/sweep.h"
#include "dense.h"
#include "leak.h"

namespace elman::cuda {
namespace {

/// The gradient of one call. Layers are finished from the top down; with windows that overlap in a
/// stack of layers the recurrences of all layers run jointly first.
class StackGradient {
 public:
  StackGradient(const Call& call, const BackwardArguments& grads)
      : call_(call),
        args_(call.args),
        grads_(grads),
        windows_(Windows::make(call.steps, args_.k1, args_.k2)),
        stream_(current_stream(call.input)),
        lowest_layer_(grads.lowest_layer(args_)),
        results_(grads.output_mask.size()) {
    for (int64_t layer = 0; layer + 1 < args_.num_layers; ++layer) {
      states_.push_back(call.saved_layer(grads.saved.states, layer));
      if (grads.saved.masks.dim() > 1) masks_.push_back(call.saved_layer(grads.saved.masks, layer));
    }
    states_.push_back(call.from_caller(grads.output));
    for (int64_t layer = 0; grads.saved.drives.dim() > 1 && layer < args_.num_layers; ++layer)
      drives_.push_back(call.saved_layer(grads.saved.drives, layer));
    if (grads.grad_output) grad_output_ = call.from_caller(*grads.grad_output);
    if (grads.grad_h_n) grad_h_n_ = call.states_from_caller(*grads.grad_h_n);
    if (asks_for_hx()) grad_hx_ = at::empty_like(call.hx);
    if (asks_for_leak()) grad_leak_ = at::empty(args_.leak->sizes(), call.summed);
    if (asks_for_preactivation())
      grad_preactivation_ =
          at::empty({args_.num_layers, call.rows(), call.features()}, call.stored);
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
    const size_t count = results_.size();
    if (asks_for_leak()) results_[count - 2] = grad_leak_.to(args_.leak->scalar_type());
    if (asks_for_preactivation()) results_[count - 1] = preactivation_to_caller();
    std::vector<at::Tensor> asked;
    for (const at::Tensor& result : results_) {
      if (result.defined()) asked.push_back(result);
    }
    return asked;
  }

 private:
  bool asks_for_hx() const { return args_.hx.has_value() && grads_.wants_hx(); }

  bool asks_for_leak() const { return args_.leak && grads_.wants_leak(); }
  bool asks_for_preactivation() const {
    return args_.preactivation && grads_.wants_preactivation();
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
    // What f' is a function of: in the current form the output is f(v_t), v_t the state.
    const bool from_drive = args_.leak && call_.form == LeakForm::kRate;
    result.states = own(from_drive ? drives_[layer] : states_[layer]);
    result.wants_errors = asks_for_leak() || (args_.leak && asks_for_hx());
    if (top(layer)) result.grad_output = own(grad_output_);
    result.grad_states = own(grad_states);
    if (grad_h_n_.defined()) result.grad_h_n = grad_h_n_.select(0, result.cell);
    return result;
  }

  LagSweep make_sweep(SweepOperands operands) const {
    return {call_, windows_, parse_nonlinearity(args_.nonlinearity), stream_, std::move(operands)};
  }

  /// A cell's recurrence by itself.
  SweptTotals run_cell(SweepOperands operands) const {
    const Choice choice = backward_choice(call_, windows_);
    if (choice.plan) return persistent_backward(call_, *choice.plan, windows_, operands);
    LagSweep sweep = make_sweep(std::move(operands));
    for (int64_t lag = 0; lag < windows_.k2; ++lag) sweep.step({});
    return sweep.totals();
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
    std::vector<LagSweep> sweeps;  // from the top layer down
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
      finish_cell(layer, 0, sweeps[i].totals(), layer == 0 ? below : at::Tensor());
    }
    if (below.defined()) results_[0] = call_.to_caller(below);
  }

  /// Everything that follows from a cell's Delta: large products over all rows. `below`, if it is
  /// defined, gets or, after the first direction, adds the gradient of what the layer was given.
  void finish_cell(int64_t layer, int64_t direction, const SweptTotals& totals,
                   const at::Tensor& below) {
    const at::Tensor delta = totals.delta.to(call_.stored.dtype());
    if (below.defined())
      multiply(below, delta, call_.weight_ih(cell(layer, direction)), direction > 0);
    if (asks_for_hx()) {
      const bool reverse = direction == 1;
      const auto at_start = [&](const at::Tensor& matrix) {
        if (!matrix.defined()) return at::Tensor();
        return reverse ? call_.last_rows(matrix) : matrix.narrow(0, 0, call_.batch);
      };
      initial_gradient(cell(layer, direction), reverse, at_start(delta), at_start(totals.error));
    }
    if (asks_for_leak()) leak_gradient(layer, direction, totals.error);
    if (asks_for_preactivation())
      own_columns(grad_preactivation_.select(0, layer), direction, call_.hidden_size).copy_(delta);
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
      multiply(grad, delta.t(), entering(layer, direction), false);
      return;
    }
    // The states before the steps are the states one step further, and h_0.
    const int64_t others = call_.rows() - call_.batch;
    const int64_t moved = call_.batch;
    multiply(grad, delta.narrow(0, reverse ? 0 : moved, others).t(),
             states.narrow(0, reverse ? moved : 0, others), false);
    if (const at::Tensor first = call_.first_read(cell(layer, direction)); first.defined())
      multiply(grad, delta.narrow(0, reverse ? others : 0, call_.batch).t(), first, true);
  }

  /// [rows, H] S what W_h read at the steps of a cell.
  at::Tensor entering(int64_t layer, int64_t direction) const {
    const bool reverse = direction == 1;
    const at::Tensor states = own_columns(states_[layer], direction, call_.hidden_size);
    const at::Tensor first = call_.first_read(cell(layer, direction));
    at::Tensor result = at::empty({call_.rows(), call_.hidden_size}, call_.stored);
    EnteringStates gather{};
    gather.element = call_.element;
    gather.activation = parse_nonlinearity(args_.nonlinearity);
    gather.form = call_.form;
    gather.reverse = reverse;
    gather.steps = call_.steps;
    gather.batch = call_.batch;
    gather.hidden_size = call_.hidden_size;
    gather.rows = call_.rows();
    if (call_.ragged()) gather.offsets = call_.device_offsets().const_data_ptr<int64_t>();
    gather.states = states.const_data_ptr();
    gather.states_stride = states.stride(0);
    gather.hx = data_or_null(first);
    if (call_.reset.defined()) gather.reset = flags(call_.reset);
    gather.entering = result.mutable_data_ptr();
    check_launch(entering_states(gather, stream_));
    return result;
  }

  /// The gradient of a cell's h_0 from delta, and with a leak e, at the step that it enters:
  /// carried once more.
  void initial_gradient(int64_t cell, bool reverse, const at::Tensor& delta,
                        const at::Tensor& error) const {
    const at::Tensor result = grad_hx_.select(0, cell);
    const bool gated = !reverse && (call_.reset.defined() || call_.carry_scale.defined());
    if (!gated && !args_.leaky()) {
      multiply(result, delta, call_.weight_hh(cell), /*accumulate=*/false);
      return;
    }
    at::Tensor carried = at::empty(result.sizes(), call_.summed);
    multiply(carried, delta, call_.weight_hh(cell), /*accumulate=*/false);
    if (call_.form == LeakForm::kCurrent) {
      const Activation f = parse_nonlinearity(args_.nonlinearity);
      const at::Tensor read = composite::activate(call_.initial_state(cell), f);
      carried.mul_(composite::derivative(read, f));
    }
    if (error.defined()) carried.add_(remaining(error, call_.leak.select(0, cell)));
    if (gated && call_.carry_scale.defined())
      carried.mul_(call_.carry_scale.select(0, 0).unsqueeze(1));
    if (gated && call_.reset.defined())
      carried.masked_fill_(call_.reset.select(0, 0).unsqueeze(1), 0);
    result.copy_(carried);
  }

  /// d alpha, the sum of e times what alpha is multiplied with less what 1 - alpha is.
  void leak_gradient(int64_t layer, int64_t direction, const at::Tensor& error) const {
    at::Tensor pull =
        own_columns(drives_[layer], direction, call_.hidden_size).to(call_.summed.dtype());
    if (call_.form == LeakForm::kRate) pull = pull - entering(layer, direction);
    at::Tensor result = grad_leak_.select(0, cell(layer, direction));
    at::sum_out(result, pull * error, at::IntArrayRef{0});
  }

  /// As the caller gave it: [L, ...], or without L.
  at::Tensor preactivation_to_caller() const {
    std::vector<at::Tensor> layers;
    for (const at::Tensor& layer : grad_preactivation_.unbind(0))
      layers.push_back(call_.to_caller(layer));
    return args_.preactivation_by_layer() ? at::stack(layers) : layers[0].contiguous();
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
  std::vector<at::Tensor> drives_;   // per layer [rows, D*H] S, or empty
  at::Tensor grad_output_;           // [rows, D*H] S or undefined
  at::Tensor grad_h_n_;              // [L*D, B, H] S or undefined
  at::Tensor grad_hx_;               // [L*D, B, H] S or undefined
  at::Tensor grad_leak_;             // [L*D, H] A or undefined
  at::Tensor grad_preactivation_;    // [L, rows, D*H] S or undefined
};

}  // namespace

std::vector<at::Tensor> backward(const RnnArguments& args, const BackwardArguments& grads) {
  const Call call(args);
  return StackGradient(call, grads).compute();
}

}  // namespace elman::cuda
