#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/mul.h>

#include <algorithm>

#include "checks.h"
#include "cuda/call.h"
#include "cuda/device.h"
#include "cuda/engine.h"
#include "cuda/paths.h"
#include "cuda/pointwise.h"
#include "dense.h"
#include "dropout.h"

namespace elman::cuda {
namespace {

/// Runs the cells of a stack one after the other.
class Forward {
 public:
  explicit Forward(const Call& call)
      : call_(call),
        choice_(forward_choice(call)),
        activation_(parse_nonlinearity(call.args.nonlinearity)),
        stream_(current_stream(call.input)),
        preactivation_(at::empty({call.rows(), call.hidden_size}, call.summed)) {}

  /// x: [rows, I or D*H], states: [rows, D*H] of the layer, h_n: [B, H] of the cell.
  void run_cell(int64_t layer, int64_t direction, const at::Tensor& x, const at::Tensor& states,
                const at::Tensor& h_n) {
    const int64_t cell = layer * call_.args.num_directions() + direction;
    const bool reverse = direction == 1;
    const at::Tensor own = own_columns(states, direction, call_.hidden_size);
    multiply(preactivation_, x, call_.weight_ih(cell).t(), /*accumulate=*/false);
    if (choice_.plan)
      return persistent_forward(call_, *choice_.plan, cell, reverse, preactivation_, own, h_n);

    // What enters the next step. Where a sequence ends (in reverse: until it begins) its row is
    // left as it is, so that without resets the last states remain here.
    const at::Tensor carry = call_.reset.defined() ? at::empty_like(h_n) : h_n;
    start(carry, cell, reverse);
    const at::Tensor weight = call_.weight_hh(cell).t();
    for (int64_t i = 0; i < call_.steps; ++i) {
      const int64_t t = reverse ? call_.steps - 1 - i : i;
      const int64_t rows = call_.batch_at(t);
      const at::Tensor sum = preactivation_.narrow(0, call_.offset(t), rows);
      if (i > 0 || call_.hx.defined()) multiply(sum, carry.narrow(0, 0, rows), weight, true);
      finish_step(cell, t, reverse, sum, own, carry);
    }
    if (call_.reset.defined())
      h_n.copy_(own.narrow(0, call_.offset(reverse ? 0 : call_.steps - 1), call_.batch));
  }

 private:
  /// The state that enters a cell's first step.
  void start(const at::Tensor& carry, int64_t cell, bool reverse) const {
    if (!call_.hx.defined()) {
      if (reverse && call_.ragged()) carry.zero_();  // shorter sequences begin later
      return;
    }
    carry.copy_(call_.hx.select(0, cell));
    if (call_.reset.defined() && !reverse)
      carry.masked_fill_(call_.reset.select(0, 0).unsqueeze(1), 0);
  }

  void finish_step(int64_t cell, int64_t t, bool reverse, const at::Tensor& sum,
                   const at::Tensor& own, const at::Tensor& carry) const {
    ForwardStep step{};
    step.element = call_.element;
    step.activation = activation_;
    step.rows = sum.size(0);
    step.hidden_size = call_.hidden_size;
    step.preactivation = sum.const_data_ptr();
    step.bias_ih = data_or_null(call_.bias_ih(cell));
    step.bias_hh = data_or_null(call_.bias_hh(cell));
    const int64_t next = reverse ? t : t + 1;  // the border (next - 1 | next) comes next
    if (call_.reset.defined() && next < call_.steps)
      step.cut_next = flags(call_.reset) + next * call_.batch;
    const at::Tensor state = own.narrow(0, call_.offset(t), step.rows);
    step.state = state.mutable_data_ptr();
    step.state_stride = state.stride(0);
    step.carry = carry.mutable_data_ptr();
    check_launch(forward_step(step, stream_));
  }

  const Call& call_;
  const Choice choice_;
  const Activation activation_;
  const Stream stream_;
  const at::Tensor preactivation_;  // [rows, H] A
};

}  // namespace

std::tuple<at::Tensor, at::Tensor, Saved> forward(const RnnArguments& args, bool save_states) {
  const Call call(args);
  const int64_t inner = args.num_layers - 1;
  const int64_t kept = save_states ? inner : std::min<int64_t>(inner, 2);
  const auto none = [&] { return at::empty({0}, call.stored); };
  const at::Tensor output = at::empty({call.rows(), call.features()}, call.stored);
  const at::Tensor h_n = at::empty(
      {args.num_layers * args.num_directions(), call.batch, call.hidden_size}, call.stored);
  const at::Tensor states = inner == 0 ? none() : at::empty(call.saved_sizes(kept), call.stored);
  const at::Tensor drawn = args.draws_dropout() ? draw_masks(args) : none();
  const at::Tensor masks = args.masks.value_or(drawn);

  Forward run(call);
  at::Tensor x = call.input;
  for (int64_t layer = 0; layer < args.num_layers; ++layer) {
    const at::Tensor made = layer == inner ? output : call.saved_layer(states, layer % kept);
    for (int64_t direction = 0; direction < args.num_directions(); ++direction) {
      const int64_t cell = layer * args.num_directions() + direction;
      run.run_cell(layer, direction, x, made, h_n.select(0, cell));
    }
    x = made;
    if (layer < inner && masks.numel() > 0) x = at::mul(made, call.saved_layer(masks, layer));
  }
  Saved saved = save_states ? Saved{states, drawn, none()} : Saved{none(), none(), none()};
  return {call.to_caller(output), call.states_to_caller(h_n), std::move(saved)};
}

}  // namespace elman::cuda
