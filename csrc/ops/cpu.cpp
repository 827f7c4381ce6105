#include <ATen/Dispatch.h>
#include <ATen/EmptyTensor.h>
#include <ATen/OpMathType.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <torch/library.h>

#include "caller_layout.h"
#include "checks.h"
#include "composite/rnn.h"
#include "cpu/buffer.h"
#include "cpu/rnn.h"
#include "dispatch/signatures.h"
#include "dropout.h"
#include "ops/dense_arguments.h"
#include "ops/fallback.h"
#include "ops/lag_norms.h"

// The operators on CPU tensors: from tensors to the plain structs of stack.h and back.

namespace elman {
namespace {

/// at::empty for a result that the kernels write in full, without the dispatcher, which would take
/// as long as a step of a small network.
at::Tensor empty(at::IntArrayRef sizes, const at::TensorOptions& options) {
  at::Tensor result(at::detail::empty_cpu(sizes, options));
  cpu::advise_huge_pages(result.mutable_data_ptr(), result.nbytes());
  return result;
}

template <typename Run>
void dispatch_dtype(at::ScalarType dtype, const Run& run) {
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kBFloat16, at::kHalf, dtype, "elman_rnn",
                                  [&] { run(scalar_t()); });
}

/// Output, h_n and what is saved; undefined tensors where there is none.
std::tuple<at::Tensor, at::Tensor, Saved> run_forward(const RnnArguments& args, Keep keep) {
  check_arguments(args);
  check_data(args);
  if (lacks_fused_kernel(args)) return composite::forward(args, keep);
  const DenseArguments dense(args);
  const StackShape& shape = dense.shape;
  const auto options = args.input.options();
  const std::vector<int64_t> output_sizes = dense.row_sizes(shape.features());
  // Through the dispatcher, so that whoever records operators sees that a kernel has been entered.
  const at::Tensor output = at::empty(output_sizes, options);
  cpu::advise_huge_pages(output.mutable_data_ptr(), output.nbytes());
  const at::Tensor h_n =
      empty({shape.num_layers * shape.num_directions, shape.batch, shape.hidden_size}, options);
  const int64_t inner = shape.num_layers - 1;
  const auto by_layer = [&](int64_t layers) {
    std::vector<int64_t> sizes = output_sizes;
    sizes.insert(sizes.begin(), layers);
    return sizes;
  };
  const int64_t kept = kept_states(inner, keep.states);
  Saved saved;
  if (inner > 0) saved.states = empty(by_layer(kept), options);
  if (keep.drives && args.leak) saved.drives = empty(by_layer(shape.num_layers), options);
  if (args.draws_dropout()) saved.masks = draw_masks(args);
  const std::vector<at::Tensor> masks = dense_layers(args.masks.value_or(saved.masks));

  StackForward stack{
      shape, dense.cells(args),     dense.input.const_data_ptr(), {}, dense.reset_or_null(),
      {},    h_n.mutable_data_ptr()};
  stack.masks = data_pointers(masks);
  for (int64_t layer = 0; layer < inner; ++layer) {
    stack.states.push_back(saved.states.select(0, layer % kept).mutable_data_ptr());
  }
  stack.states.push_back(output.mutable_data_ptr());
  stack.preactivation = data_pointers(dense.preactivation);
  for (int64_t layer = 0; dense.leak && saved.drives.defined() && layer < shape.num_layers; ++layer)
    stack.drives.push_back(saved.drives.select(0, layer).mutable_data_ptr());
  dispatch_dtype(args.input.scalar_type(),
                 [&](auto scalar) { cpu::rnn_forward<decltype(scalar)>(stack); });

  if (!dense.leak && saved.drives.defined()) {  // alpha is 1: f(a_t) is h_t
    for (int64_t layer = 0; layer < shape.num_layers; ++layer)
      saved.drives.select(0, layer).copy_(layer < inner ? saved.states.select(0, layer) : output);
  }
  if (!keep.states) saved.states = saved.masks = at::Tensor();
  const CallerLayout layout(args);
  return {layout.from_time_major(output), layout.from_states(h_n), std::move(saved)};
}

std::tuple<at::Tensor, at::Tensor, Saved> forward(const RnnArguments& args, Keep keep) {
  auto result = run_forward(args, keep);
  Saved& saved = std::get<2>(result);
  for (at::Tensor* tensor : {&saved.states, &saved.masks, &saved.drives})
    if (!tensor->defined()) *tensor = empty({0}, args.input.options());
  return result;
}

/// elman::rnn and elman::rnn.data where autograd has nothing to record: as on every other device
/// (ops/rnn.cpp), without the way through `_rnn_forward`, which small networks would feel.
std::tuple<at::Tensor, at::Tensor> rnn(const RnnArguments& args) {
  auto [output, h_n, saved] = run_forward(args, kKeepNothing);
  return {std::move(output), std::move(h_n)};
}

std::vector<at::Tensor> backward(const RnnArguments& args, const BackwardArguments& grads) {
  check_backward_arguments(args, grads);
  check_data(args, grads);
  if (lacks_fused_kernel(args)) return composite::backward(args, grads);
  const bool wants_leak = args.leak && grads.wants_leak();
  const DenseBackwardArguments dense(args, grads, wants_leak);
  auto stack = dense.stack(args, Windows::make(dense.shape.steps, args.k1, args.k2));
  stack.lowest_layer = grads.lowest_layer(args);

  // Results in the order and the shapes that the caller gave the arguments in; pointers of what is
  // not asked for are null.
  std::vector<at::Tensor> results;
  results.reserve(BackwardArguments::count(args.params.size()));
  const auto options = args.input.options();
  const auto make_as = [&](bool wanted, at::IntArrayRef sizes,
                           const at::TensorOptions& as) -> void* {
    if (!wanted) return nullptr;
    results.push_back(empty(sizes, as));
    return results.back().mutable_data_ptr();
  };
  const auto make = [&](bool wanted, at::IntArrayRef sizes) {
    return make_as(wanted, sizes, options);
  };
  stack.grad_input = make(grads.wants_input(), dense.input.sizes());
  if (dense.hx) stack.grad_hx = make(grads.wants_hx(), dense.hx->sizes());
  for (size_t cell = 0; cell < stack.grads.size(); ++cell) {
    void* gradient[4] = {};
    for (int64_t k = 0; k < args.params_per_cell(); ++k) {
      const size_t i = cell * args.params_per_cell() + k;
      gradient[k] = make(grads.wants_param(i), dense.params[i].sizes());
    }
    stack.grads[cell] = {gradient[0], gradient[1], gradient[2], gradient[3]};
  }
  if (wants_leak) {
    make_as(true, dense.leak->sizes(), dense.leak->options());
    for (size_t cell = 0; cell < stack.grads.size(); ++cell)
      stack.grads[cell].leak = results.back().select(0, cell).mutable_data_ptr();
  }
  const size_t leak = results.size() - 1;
  const bool wants_preactivation = args.preactivation && grads.wants_preactivation();
  if (wants_preactivation) {
    std::vector<int64_t> sizes = dense.row_sizes(dense.shape.features());
    sizes.insert(sizes.begin(), args.num_layers);
    make(true, sizes);
    for (int64_t layer = 0; layer < args.num_layers; ++layer)
      stack.grad_preactivation.push_back(results.back().select(0, layer).mutable_data_ptr());
  }
  dispatch_dtype(args.input.scalar_type(),
                 [&](auto scalar) { cpu::rnn_backward<decltype(scalar)>(stack); });
  const CallerLayout layout(args);
  if (wants_leak) results[leak] = results[leak].to(args.leak->scalar_type());
  if (wants_preactivation) {
    at::Tensor& made = results.back();
    made = layout.layers_from_time_major(made).reshape(args.preactivation->sizes());
  }
  if (grads.wants_input()) results[0] = layout.from_time_major(results[0]);
  return results;
}

}  // namespace

at::Tensor cpu::lag_norms(const RnnArguments& args, const BackwardArguments& grads, int64_t lags) {
  if (lacks_fused_kernel(args)) return composite::lag_norms(args, grads, lags);
  const DenseBackwardArguments dense(args, grads, /*keep_leak=*/false);
  const int64_t steps = dense.shape.steps;
  // One window for each output, also where all of them reach step 1.
  auto stack = dense.stack(args, Windows{steps, 1, lags, steps});
  const auto sums = at::zeros({args.num_layers, lags}, args.input.options().dtype(at::kDouble));
  stack.lag_norms = sums.mutable_data_ptr<double>();
  dispatch_dtype(args.input.scalar_type(),
                 [&](auto scalar) { cpu::rnn_backward<decltype(scalar)>(stack); });
  // Lag j has the windows of the outputs from step j + 1 on.
  const auto windows = at::arange(steps, steps - lags, -1, sums.options());
  return (sums / (windows * dense.shape.batch)).to(at::toOpMathType(args.input.scalar_type()));
}

TORCH_LIBRARY_IMPL(elman, CPU, m) {
  m.impl("rnn", Padded<RnnResult>::kernel<rnn>);
  m.impl("rnn.data", Packed<RnnResult>::kernel<rnn>);
  m.impl("_rnn_forward", Internal::forward<forward>);
  m.impl("_rnn_backward", Internal::backward<backward>);
}

}  // namespace elman
