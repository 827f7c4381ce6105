#include "cuda/sweep.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <utility>

#include "dense.h"

namespace elman::cuda {

LagSweep::LagSweep(const Call& call, const Windows& windows, Activation activation, Stream stream,
                   SweepOperands operands)
    : call_(call),
      windows_(windows),
      activation_(activation),
      stream_(stream),
      operands_(std::move(operands)),
      total_(at::empty({call.rows(), call.hidden_size}, call.summed)),
      delta_(at::empty({windows.count * call.batch, call.hidden_size}, call.stored)),
      carried_(at::empty(delta_.sizes(), call.summed)),
      error_(call.leak.defined() ? at::empty(delta_.sizes(), call.summed) : at::Tensor()),
      error_total_(operands_.wants_errors ? at::empty(total_.sizes(), call.summed) : at::Tensor()) {
}

/// Rows that each window has at this lag. With one window they are those of its step; several side
/// by side have the same number of rows, those that a shorter sequence lacks being zero.
int64_t LagSweep::capacity() const {
  if (windows_.count > 1) return call_.batch;
  return call_.batch_at(windows_.step(0, lag_, operands_.reverse));
}

/// The product of the windows that stand at this lag and stood at the one before.
void LagSweep::carry_on(int64_t first, int64_t end) {
  int64_t begin = std::max(first, first_) * call_.batch;
  int64_t rows = (std::min(end, end_) - std::max(first, first_)) * call_.batch;
  if (windows_.count == 1) {
    const int64_t before = windows_.step(0, lag_ - 1, operands_.reverse);
    rows = std::min(capacity(), call_.batch_at(before));
  }
  if (rows <= 0) return;
  multiply(carried_.narrow(0, begin, rows), delta_.narrow(0, begin, rows),
           call_.weight_hh(operands_.cell), /*accumulate=*/false);
}

void LagSweep::step(const at::Tensor& from_above) {
  const int64_t first = windows_.first_active(lag_, operands_.reverse);
  const int64_t end = windows_.end_active(lag_, operands_.reverse);
  if (lag_ > 0) carry_on(first, end);
  first_ = first;
  end_ = end;

  BackwardStep step{};
  step.element = call_.element;
  step.activation = activation_;
  step.form = call_.form;
  step.windows = windows_;
  step.reverse = operands_.reverse;
  step.lag = lag_;
  step.first_window = first;
  step.num_windows = end - first;
  step.capacity = capacity();
  step.batch = call_.batch;
  step.hidden_size = call_.hidden_size;
  if (call_.ragged()) step.offsets = call_.device_offsets().const_data_ptr<int64_t>();
  step.states = operands_.states.const_data_ptr();
  step.states_stride = operands_.states.stride(0);
  if (call_.leak.defined()) {
    step.alpha = call_.leak.select(0, operands_.cell).const_data_ptr();
    step.error = active(error_).mutable_data_ptr();
  }
  step.grad_output = data_or_null(operands_.grad_output);
  step.grad_states = data_or_null(operands_.grad_states);
  step.grad_h_n = data_or_null(operands_.grad_h_n);
  if (from_above.defined()) step.from_above = active(from_above).const_data_ptr();
  step.mask = data_or_null(operands_.mask);
  if (lag_ > 0) step.carried = active(carried_).const_data_ptr();
  if (call_.reset.defined()) step.reset = flags(call_.reset);
  step.scale = data_or_null(call_.carry_scale);
  step.delta = active(delta_).mutable_data_ptr();
  step.total = total_.mutable_data_ptr();
  if (error_total_.defined()) step.error_total = error_total_.mutable_data_ptr();
  check_launch(backward_step(step, stream_));
  ++lag_;
}

}  // namespace elman::cuda
