#include "cuda/call.h"

#include <ATen/OpMathType.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include "checks.h"
#include "composite/activate.h"
#include "cuda/device.h"
#include "cuda/pointwise.h"
#include "dense.h"

namespace elman::cuda {
namespace {

Element element_of(at::ScalarType dtype) {
  switch (dtype) {
    case at::kDouble:
      return Element::kFloat64;
    case at::kFloat:
      return Element::kFloat32;
    case at::kBFloat16:
      return Element::kBFloat16;
    default:
      TORCH_INTERNAL_ASSERT(dtype == at::kHalf, "no kernel for ", dtype);
      return Element::kFloat16;
  }
}

}  // namespace

Call::Call(const RnnArguments& arguments)
    : args(arguments),
      element(element_of(args.input.scalar_type())),
      hidden_size(args.params[1].size(1)),
      form(parse_leak_form(args.leak_form)),
      stored(args.input.options().requires_grad(false)),
      summed(stored.dtype(at::toOpMathType(args.input.scalar_type()))),
      layout_(args) {
  if (args.packed()) {
    const at::Tensor sizes = dense(*args.batch_sizes);
    const int64_t* const batch_sizes = sizes.const_data_ptr<int64_t>();
    steps = sizes.numel();
    batch = batch_sizes[0];
    if (args.input.size(0) != steps * batch) {
      offsets_.reserve(steps + 1);
      offsets_.push_back(0);
      for (int64_t t = 0; t < steps; ++t) offsets_.push_back(offsets_.back() + batch_sizes[t]);
    }
  } else {
    steps = args.input.size(args.batched() && args.batch_first ? 1 : 0);
    batch = args.batched() ? args.input.size(args.batch_first ? 0 : 1) : 1;
  }
  input = from_caller(args.input);
  if (args.hx) hx = states_from_caller(*args.hx);
  if (args.reset) reset = dense(layout_.to_time_major(*args.reset));
  if (args.carry_scale) {
    const at::Tensor scale = args.carry_scale->to(summed.dtype());
    carry_scale = args.batched() && scale.dim() == 1
                      ? dense(scale.unsqueeze(1).expand({steps, batch}))
                      : dense(layout_.to_time_major(scale));
  }
  if (args.leak) leak = dense(args.leak->to(summed.dtype()));
  params_.reserve(args.params.size());
  for (const at::Tensor& param : args.params) params_.push_back(dense(param));
}

at::Tensor Call::to_device(const std::vector<int64_t>& numbers) const {
  const int64_t count = static_cast<int64_t>(numbers.size());
  at::Tensor result = at::empty({count}, stored.dtype(at::kLong));
  check_launch(
      upload(numbers.data(), count, result.mutable_data_ptr<int64_t>(), current_stream(input)));
  return result;
}

const at::Tensor& Call::device_offsets() const {
  if (ragged() && !device_offsets_.defined()) device_offsets_ = to_device(offsets_);
  return device_offsets_;
}

at::Tensor Call::last_rows(const at::Tensor& matrix) const {
  if (!ragged()) return matrix.narrow(0, offset(steps - 1), batch);
  std::vector<int64_t> rows(batch);
  for (int64_t t = 0; t < steps; ++t) {
    for (int64_t b = batch_at(t + 1); b < batch_at(t); ++b) rows[b] = offset(t) + b;
  }
  return matrix.index_select(0, to_device(rows));
}

at::Tensor Call::initial_state(int64_t cell) const {
  if (hx.defined()) return hx.select(0, cell).to(summed.dtype());
  return at::zeros({batch, hidden_size}, summed);
}

at::Tensor Call::first_read(int64_t cell) const {
  if (form == LeakForm::kRate) return hx.defined() ? hx.select(0, cell) : at::Tensor();
  return composite::activate(initial_state(cell), parse_nonlinearity(args.nonlinearity))
      .to(stored.dtype());
}

at::Tensor Call::read_of_zero() const {
  const at::Tensor zero = at::zeros({}, summed);
  if (form == LeakForm::kRate) return zero.to(stored.dtype());
  return composite::activate(zero, parse_nonlinearity(args.nonlinearity)).to(stored.dtype());
}

at::Tensor Call::preactivation(int64_t layer) const {
  if (!args.preactivation) return {};
  return from_caller(args.preactivation_by_layer() ? args.preactivation->select(0, layer)
                                                   : *args.preactivation);
}

at::Tensor Call::from_caller(const at::Tensor& tensor) const {
  if (args.packed()) return dense(tensor);
  return dense(layout_.to_time_major(tensor)).view({steps * batch, tensor.size(-1)});
}

at::Tensor Call::to_caller(const at::Tensor& matrix) const {
  if (args.packed()) return matrix;
  return layout_.from_time_major(matrix.view({steps, batch, matrix.size(1)}));
}

at::Tensor Call::states_from_caller(const at::Tensor& tensor) const {
  return dense(layout_.to_states(tensor));
}

at::Tensor Call::states_to_caller(const at::Tensor& tensor) const {
  return layout_.from_states(tensor);
}

std::vector<int64_t> Call::saved_sizes(int64_t layers) const {
  if (args.packed()) return {layers, rows(), features()};
  return {layers, steps, batch, features()};
}

at::Tensor Call::saved_layer(const at::Tensor& saved, int64_t layer) const {
  return dense(saved.select(0, layer)).view({rows(), features()});
}

const void* data_or_null(const at::Tensor& tensor) {
  return tensor.defined() ? tensor.const_data_ptr() : nullptr;
}

}  // namespace elman::cuda
