#include "ops/dense_arguments.h"

#include <ATen/OpMathType.h>
#include <ATen/ops/ones.h>

#include <algorithm>

#include "caller_layout.h"
#include "checks.h"

namespace elman {
namespace {

/// [T, B, ...] dense (packed: [rows, ...]), from a tensor in the caller's layout.
at::Tensor time_major(const RnnArguments& args, const at::Tensor& tensor) {
  return dense(CallerLayout(args).to_time_major(tensor));
}

/// carry_scale: [T, B] dense in the compute type.
std::optional<at::Tensor> step_scales(const RnnArguments& args, const StackShape& shape) {
  if (!args.carry_scale) return std::nullopt;
  const at::Tensor scale = args.carry_scale->to(at::toOpMathType(args.input.scalar_type()));
  if (scale.dim() == 1) return dense(scale.unsqueeze(1).expand({shape.steps, shape.batch}));
  return time_major(args, scale);
}

std::optional<at::Tensor> dense_or_none(const std::optional<at::Tensor>& tensor) {
  return tensor ? std::optional(dense(*tensor)) : std::nullopt;
}

bool is_one(const at::Tensor& tensor) {
  const auto all = [&](const auto* data) {
    return std::all_of(data, data + tensor.numel(), [](auto value) { return value == 1; });
  };
  return tensor.scalar_type() == at::kDouble ? all(tensor.const_data_ptr<double>())
                                             : all(tensor.const_data_ptr<float>());
}

const void* data_or_null(const std::optional<at::Tensor>& tensor) {
  return tensor ? tensor->const_data_ptr() : nullptr;
}

}  // namespace

std::vector<at::Tensor> dense_layers(const at::Tensor& saved) {
  std::vector<at::Tensor> layers;
  if (!saved.defined() || saved.dim() < 2) return layers;
  for (int64_t layer = 0; layer < saved.size(0); ++layer)
    layers.push_back(dense(saved.select(0, layer)));
  return layers;
}

std::vector<const void*> data_pointers(const std::vector<at::Tensor>& tensors) {
  std::vector<const void*> pointers;
  for (const at::Tensor& tensor : tensors) pointers.push_back(tensor.const_data_ptr());
  return pointers;
}

CallSizes::CallSizes(const RnnArguments& args) : batch_sizes(dense_or_none(args.batch_sizes)) {
  const bool transposed = args.batch_first && args.batched();
  shape = {args.packed() ? batch_sizes->size(0) : args.input.size(transposed ? 1 : 0),
           args.packed()    ? batch_sizes->const_data_ptr<int64_t>()[0]
           : args.batched() ? args.input.size(transposed ? 0 : 1)
                            : 1,
           args.input.size(-1),
           args.params[1].size(1),
           args.num_layers,
           args.num_directions(),
           parse_nonlinearity(args.nonlinearity)};
  shape.leak_form = parse_leak_form(args.leak_form);
  if (args.packed() && args.input.size(0) != shape.rows()) pack();
}

void CallSizes::pack() {
  shape.batch_sizes = batch_sizes->const_data_ptr<int64_t>();
  offsets.reserve(shape.steps + 1);
  offsets.push_back(0);
  for (int64_t t = 0; t < shape.steps; ++t)
    offsets.push_back(offsets.back() + shape.batch_sizes[t]);
  shape.offsets = offsets.data();
}

DenseArguments::DenseArguments(const RnnArguments& args, bool keep_leak)
    : CallSizes(args), input(time_major(args, args.input)), hx(dense_or_none(args.hx)) {
  if (args.reset) reset = time_major(args, *args.reset);
  params.reserve(args.params.size());
  for (const at::Tensor& param : args.params) params.push_back(dense(param));
  if (args.leaky()) set_leak(args, keep_leak);
  for (int64_t layer = 0; args.preactivation && layer < args.num_layers; ++layer) {
    const at::Tensor& all = *args.preactivation;
    preactivation.push_back(
        time_major(args, args.preactivation_by_layer() ? all.select(0, layer) : all));
  }
}

/// Where alpha is 1 everywhere, the rate form is the plain cell.
void DenseArguments::set_leak(const RnnArguments& args, bool keep_leak) {
  const auto options = args.input.options().dtype(at::toOpMathType(args.input.scalar_type()));
  const bool is_rate = shape.leak_form == LeakForm::kRate;
  if (!args.leak) {  // states are given before f
    leak = at::ones({args.num_cells(), shape.hidden_size}, options);
    return;
  }
  at::Tensor alpha = dense(args.leak->to(options.dtype()));
  if (is_rate && !keep_leak && is_one(alpha)) return;
  leak = std::move(alpha);
}

std::vector<CellParameters> DenseArguments::cells(const RnnArguments& args) const {
  const int64_t count = args.num_layers * args.num_directions();
  const int64_t hx_size = shape.batch * shape.hidden_size * input.element_size();
  std::vector<CellParameters> result;
  result.reserve(count);
  for (int64_t i = 0; i < count; ++i) {
    const at::Tensor* p = &params[i * args.params_per_cell()];
    const char* const state = hx ? static_cast<const char*>(hx->const_data_ptr()) : nullptr;
    result.push_back({p[0].const_data_ptr(), p[1].const_data_ptr(),
                      args.has_biases ? p[2].const_data_ptr() : nullptr,
                      args.has_biases ? p[3].const_data_ptr() : nullptr,
                      state ? state + i * hx_size : nullptr,
                      leak ? leak->select(0, i).const_data_ptr() : nullptr});
  }
  return result;
}

DenseBackwardArguments::DenseBackwardArguments(const RnnArguments& args,
                                               const BackwardArguments& grads, bool keep_leak)
    : DenseArguments(args, keep_leak),
      output(time_major(args, grads.output)),
      states(dense_layers(grads.saved.states)),
      masks(dense_layers(grads.saved.masks)),
      drives(leak ? dense_layers(grads.saved.drives) : std::vector<at::Tensor>()),
      carry_scale(step_scales(args, shape)),
      grad_h_n(dense_or_none(grads.grad_h_n)) {
  if (grads.grad_output) grad_output = time_major(args, *grads.grad_output);
}

StackBackward DenseBackwardArguments::stack(const RnnArguments& args,
                                            const Windows& windows) const {
  StackBackward result{shape,
                       windows,
                       cells(args),
                       input.const_data_ptr(),
                       data_pointers(masks),
                       reset_or_null(),
                       data_or_null(carry_scale),
                       data_pointers(states),
                       data_or_null(grad_output),
                       data_or_null(grad_h_n),
                       /*grad_input=*/nullptr,
                       /*grad_hx=*/nullptr,
                       std::vector<CellGradients>(args.num_layers * args.num_directions())};
  result.states.push_back(output.const_data_ptr());
  result.drives = data_pointers(drives);
  return result;
}

}  // namespace elman
