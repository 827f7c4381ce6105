#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/where.h>

#include "checks.h"
#include "cuda/call.h"
#include "cuda/device.h"
#include "cuda/paths.h"
#include "cuda/pointwise.h"
#include "cuda/rnn.h"
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

  /// x: [rows, I or D*H], states: [rows, D*H] of the layer, drives: the same or undefined, h_n: [B,
  /// H] of the cell.
  void run_cell(int64_t layer, int64_t direction, const at::Tensor& x, const at::Tensor& states,
                const at::Tensor& drives, const at::Tensor& h_n) {
    const int64_t cell = layer * call_.args.num_directions() + direction;
    const bool reverse = direction == 1;
    const auto own = [&](const at::Tensor& matrix) {
      return matrix.defined() ? own_columns(matrix, direction, call_.hidden_size) : at::Tensor();
    };
    multiply(preactivation_, x, call_.weight_ih(cell).t(), /*accumulate=*/false);
    if (const at::Tensor added = own(call_.preactivation(layer)); added.defined())
      preactivation_.add_(added);
    if (choice_.plan) {
      persistent_forward(call_, *choice_.plan, cell, reverse, preactivation_, own(states),
                         own(drives), h_n);
      return;
    }
    // Where a sequence ends (in reverse: until it begins) its row is left as it is, so that the
    // last states remain where the carried ones are.
    Carried carried;
    carried.leaky = call_.args.leaky();
    carried.read = carried.leaky ? at::empty_like(h_n) : h_n;
    start(carried, cell, reverse);
    const at::Tensor weight = call_.weight_hh(cell).t();
    for (int64_t i = 0; i < call_.steps; ++i) {
      const int64_t t = reverse ? call_.steps - 1 - i : i;
      const int64_t rows = call_.batch_at(t);
      const at::Tensor sum = preactivation_.narrow(0, call_.offset(t), rows);
      if (i > 0 || carried.begins)
        multiply(sum, carried.read.narrow(0, 0, rows), weight, /*accumulate=*/true);
      finish_step(cell, t, reverse, sum, own(states), own(drives), carried);
    }
    if (carried.leaky) h_n.copy_(carried.state);
  }

 private:
  /// What a step leaves for the next one.
  struct Carried {
    bool leaky = false;
    at::Tensor read;      // [B, H] S what W_h reads
    at::Tensor state;     // [B, H] A the state of a leaky cell
    bool begins = false;  // whether `read` is anything but zeros before the first step
  };

  /// What enters a cell's first step.
  void start(Carried& carried, int64_t cell, bool reverse) const {
    const at::Tensor cut =
        call_.reset.defined() && !reverse ? call_.reset.select(0, 0).unsqueeze(1) : at::Tensor();
    if (carried.leaky) {
      carried.state = call_.initial_state(cell).clone();
      if (cut.defined()) carried.state.masked_fill_(cut, 0);
    }
    const at::Tensor first = call_.first_read(cell);
    carried.begins = first.defined();
    if (!carried.begins) {
      if (reverse && call_.ragged()) carried.read.zero_();  // shorter sequences begin later
      return;
    }
    carried.read.copy_(first);
    if (cut.defined()) carried.read.copy_(at::where(cut, call_.read_of_zero(), carried.read));
  }

  void finish_step(int64_t cell, int64_t t, bool reverse, const at::Tensor& sum,
                   const at::Tensor& own, const at::Tensor& drives, const Carried& carried) const {
    ForwardStep step{};
    step.element = call_.element;
    step.activation = activation_;
    step.form = call_.form;
    step.rows = sum.size(0);
    step.hidden_size = call_.hidden_size;
    step.preactivation = sum.const_data_ptr();
    step.bias_ih = data_or_null(call_.bias_ih(cell));
    step.bias_hh = data_or_null(call_.bias_hh(cell));
    const int64_t next = reverse ? t : t + 1;  // the border (next - 1 | next) comes next
    if (call_.reset.defined() && 0 < next && next < call_.steps)
      step.cut_next = flags(call_.reset) + next * call_.batch;
    if (call_.leak.defined()) step.alpha = call_.leak.select(0, cell).const_data_ptr();
    const auto of_step = [&](const at::Tensor& matrix) {
      return matrix.narrow(0, call_.offset(t), step.rows).mutable_data_ptr();
    };
    step.state = of_step(own);
    step.state_stride = own.stride(0);
    step.carry = carried.read.mutable_data_ptr();
    if (carried.leaky) step.leaky_state = carried.state.mutable_data_ptr();
    if (drives.defined()) step.drive = of_step(drives);
    check_launch(forward_step(step, stream_));
  }

  const Call& call_;
  const Choice choice_;
  const Activation activation_;
  const Stream stream_;
  const at::Tensor preactivation_;  // [rows, H] A
};

}  // namespace

std::tuple<at::Tensor, at::Tensor, Saved> forward(const RnnArguments& args, Keep keep) {
  const Call call(args);
  const int64_t inner = args.num_layers - 1;
  const int64_t kept = kept_states(inner, keep.states);
  const auto none = [&] { return at::empty({0}, call.stored); };
  const at::Tensor output = at::empty({call.rows(), call.features()}, call.stored);
  const at::Tensor h_n = at::empty(
      {args.num_layers * args.num_directions(), call.batch, call.hidden_size}, call.stored);
  const at::Tensor states = inner == 0 ? none() : at::empty(call.saved_sizes(kept), call.stored);
  const at::Tensor drawn = args.draws_dropout() ? draw_masks(args) : none();
  const at::Tensor masks = args.masks.value_or(drawn);
  const at::Tensor drives =
      args.leak && keep.drives ? at::empty(call.saved_sizes(args.num_layers), call.stored) : none();

  Forward run(call);
  at::Tensor x = call.input;
  for (int64_t layer = 0; layer < args.num_layers; ++layer) {
    const at::Tensor made = layer == inner ? output : call.saved_layer(states, layer % kept);
    const at::Tensor drive = drives.dim() > 1 ? call.saved_layer(drives, layer) : at::Tensor();
    for (int64_t direction = 0; direction < args.num_directions(); ++direction) {
      const int64_t cell = layer * args.num_directions() + direction;
      run.run_cell(layer, direction, x, made, drive, h_n.select(0, cell));
    }
    x = made;
    if (layer < inner && masks.numel() > 0) x = at::mul(made, call.saved_layer(masks, layer));
  }
  Saved saved{keep.states ? states : none(), keep.states ? drawn : none(), drives};
  return {call.to_caller(output), call.states_to_caller(h_n), std::move(saved)};
}

}  // namespace elman::cuda
