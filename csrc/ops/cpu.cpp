#include <ATen/Dispatch.h>
#include <ATen/EmptyTensor.h>
#include <ATen/OpMathType.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <torch/library.h>

#include "checks.h"
#include "composite/engine.h"
#include "cpu/common.h"
#include "cpu/rnn.h"
#include "dense.h"
#include "dispatch/signatures.h"
#include "dropout.h"
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

/// Whether the fused kernels take these arguments; the composite engine takes the others.
bool has_fused_kernel(const RnnArguments& args) {
  return !args.input.is_complex() && !args.leaky() && !args.preactivation;
}

template <typename Run>
void dispatch_dtype(at::ScalarType dtype, const Run& run) {
  AT_DISPATCH_FLOATING_TYPES_AND2(at::kBFloat16, at::kHalf, dtype, "elman_rnn",
                                  [&] { run(scalar_t()); });
}

/// [T, B, ...] dense (packed: [rows, ...]), from a tensor in the caller's layout.
at::Tensor time_major(const RnnArguments& args, const at::Tensor& tensor) {
  if (!args.batched()) return dense(tensor.unsqueeze(1));
  return dense(args.batch_first ? tensor.transpose(0, 1) : tensor);
}

/// The caller's layout of a dense [T, B, features] (packed: [rows, features]) tensor.
at::Tensor caller_layout(const RnnArguments& args, const at::Tensor& tensor) {
  if (!args.batched()) return tensor.squeeze(1);
  return args.batch_first ? tensor.transpose(0, 1) : tensor;
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

const void* data_or_null(const std::optional<at::Tensor>& tensor) {
  return tensor ? tensor->const_data_ptr() : nullptr;
}

/// The tensors behind a stack's pointers, made dense, in time-major order.
struct DenseArguments {
  at::Tensor input;              ///< [T, B, I]
  std::optional<at::Tensor> hx;  ///< [L*D, B, H]
  std::vector<at::Tensor> params;
  std::optional<at::Tensor> batch_sizes;  ///< [T]
  std::optional<at::Tensor> reset;        ///< [T, B]
  std::vector<int64_t> offsets;           ///< [T + 1] if packed
  StackShape shape;

  explicit DenseArguments(const RnnArguments& args)
      : input(time_major(args, args.input)),
        hx(dense_or_none(args.hx)),
        batch_sizes(dense_or_none(args.batch_sizes)) {
    if (args.reset) reset = time_major(args, *args.reset);
    params.reserve(args.params.size());
    for (const at::Tensor& param : args.params) params.push_back(dense(param));
    shape = {args.packed() ? batch_sizes->size(0) : input.size(0),
             args.packed() ? batch_sizes->const_data_ptr<int64_t>()[0] : input.size(1),
             input.size(-1),
             params[1].size(1),
             args.num_layers,
             args.num_directions(),
             parse_nonlinearity(args.nonlinearity)};
    if (args.packed() && input.size(0) != shape.rows()) pack();
  }
  DenseArguments(const DenseArguments&) = delete;  // the shape points into it

  const uint8_t* reset_or_null() const { return reset ? flags(*reset) : nullptr; }

  /// Sizes of a tensor with one row of `features` for each row of the input.
  std::vector<int64_t> row_sizes(int64_t features) const {
    std::vector<int64_t> sizes = input.sizes().vec();
    sizes.back() = features;
    return sizes;
  }

  std::vector<CellParameters> cells(const RnnArguments& args) const {
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
                        state ? state + i * hx_size : nullptr});
    }
    return result;
  }

 private:
  /// Sequences of different lengths (those of one length are the batch that they look like).
  void pack() {
    shape.batch_sizes = batch_sizes->const_data_ptr<int64_t>();
    offsets.reserve(shape.steps + 1);
    offsets.push_back(0);
    for (int64_t t = 0; t < shape.steps; ++t)
      offsets.push_back(offsets.back() + shape.batch_sizes[t]);
    shape.offsets = offsets.data();
  }
};

/// The layers of one of `Saved`'s tensors, [L-1, T, B, D*H] or none at all, each made dense;
/// whatever distance they have from each other.
std::vector<at::Tensor> dense_layers(const at::Tensor& saved) {
  std::vector<at::Tensor> layers;
  if (saved.dim() < 2) return layers;
  for (int64_t layer = 0; layer < saved.size(0); ++layer)
    layers.push_back(dense(saved.select(0, layer)));
  return layers;
}

std::vector<const void*> data_pointers(const std::vector<at::Tensor>& tensors) {
  std::vector<const void*> pointers;
  for (const at::Tensor& tensor : tensors) pointers.push_back(tensor.const_data_ptr());
  return pointers;
}

std::tuple<at::Tensor, at::Tensor, Saved> forward(const RnnArguments& args, bool save_states) {
  check_arguments(args);
  check_data(args);
  if (!has_fused_kernel(args)) return composite::forward(args, save_states);
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
  const auto per_inner_layer = [&](int64_t layers) {
    std::vector<int64_t> sizes = output_sizes;
    sizes.insert(sizes.begin(), layers);
    return sizes;
  };
  // Without a backward pass to come, a layer's states are read by the next layer only: two buffers
  // by turns.
  const int64_t kept = save_states ? inner : std::min<int64_t>(inner, 2);
  at::Tensor states = inner == 0 ? empty({0}, options) : empty(per_inner_layer(kept), options);
  at::Tensor drawn = args.draws_dropout() ? draw_masks(args) : empty({0}, options);
  const std::vector<at::Tensor> masks = dense_layers(args.masks.value_or(drawn));

  StackForward stack{
      shape, dense.cells(args),     dense.input.const_data_ptr(), {}, dense.reset_or_null(),
      {},    h_n.mutable_data_ptr()};
  stack.masks = data_pointers(masks);
  for (int64_t layer = 0; layer < inner; ++layer) {
    stack.states.push_back(states.select(0, layer % kept).mutable_data_ptr());
  }
  stack.states.push_back(output.mutable_data_ptr());
  dispatch_dtype(args.input.scalar_type(),
                 [&](auto scalar) { cpu::rnn_forward<decltype(scalar)>(stack); });

  if (!save_states) {
    if (inner > 0) states = empty({0}, options);
    if (args.draws_dropout()) drawn = empty({0}, options);
  }
  return {caller_layout(args, output), args.batched() ? h_n : h_n.squeeze(1),
          Saved{std::move(states), std::move(drawn), empty({0}, options)}};
}

/// The tensors behind the pointers of a stack's backward pass, made dense.
struct DenseBackwardArguments : DenseArguments {
  at::Tensor output;
  std::vector<at::Tensor> states;
  std::vector<at::Tensor> masks;
  std::optional<at::Tensor> carry_scale;
  std::optional<at::Tensor> grad_output;
  std::optional<at::Tensor> grad_h_n;

  DenseBackwardArguments(const RnnArguments& args, const BackwardArguments& grads)
      : DenseArguments(args),
        output(time_major(args, grads.output)),
        states(dense_layers(grads.saved.states)),
        masks(dense_layers(grads.saved.masks)),
        carry_scale(step_scales(args, shape)),
        grad_h_n(dense_or_none(grads.grad_h_n)) {
    if (grads.grad_output) grad_output = time_major(args, *grads.grad_output);
  }

  /// With nothing asked for yet.
  StackBackward stack(const RnnArguments& args, const Windows& windows) const {
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
    return result;
  }
};

std::vector<at::Tensor> backward(const RnnArguments& args, const BackwardArguments& grads) {
  check_backward_arguments(args, grads);
  check_data(args, grads);
  if (!has_fused_kernel(args)) return composite::backward(args, grads);
  const DenseBackwardArguments dense(args, grads);
  auto stack = dense.stack(args, Windows::make(dense.shape.steps, args.k1, args.k2));

  // Results in the order and the shapes that the caller gave the arguments in; pointers of what is
  // not asked for are null.
  std::vector<at::Tensor> results;
  const auto make = [&](bool wanted, at::IntArrayRef sizes) -> void* {
    if (!wanted) return nullptr;
    results.push_back(empty(sizes, args.input.options()));
    return results.back().mutable_data_ptr();
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
  dispatch_dtype(args.input.scalar_type(),
                 [&](auto scalar) { cpu::rnn_backward<decltype(scalar)>(stack); });
  if (grads.wants_input()) results[0] = caller_layout(args, results[0]);
  return results;
}

}  // namespace

at::Tensor cpu::lag_norms(const RnnArguments& args, const BackwardArguments& grads, int64_t lags) {
  if (!has_fused_kernel(args)) return composite::lag_norms(args, grads, lags);
  const DenseBackwardArguments dense(args, grads);
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
  m.impl("_rnn_forward", Internal::forward<forward>);
  m.impl("_rnn_backward", Internal::backward<backward>);
}

}  // namespace elman
