#include <ATen/core/LegacyTypeDispatch.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/FunctionsManual.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/utils.h>
#include <torch/csrc/autograd/saved_variable.h>
#include <torch/library.h>

#include <string>

#include "autograd/node.h"
#include "checks.h"
#include "composite/engine.h"
#include "ops/operators.h"
#include "ops/signatures.h"

namespace elman {
namespace {

using torch::autograd::Node;
using torch::autograd::SavedVariable;
using torch::autograd::variable_list;

/// The node that elman::rnn leaves in the graph: one for a whole stack. Its edges are input, hx,
/// then params.
struct ElmanRnnBackward final : Node {
  SavedVariable input, hx, batch_sizes, reset, carry_scale, output, states, masks;
  std::vector<SavedVariable> params;
  std::string nonlinearity;
  bool has_biases, bidirectional, batch_first;
  int64_t num_layers, k1, k2;

  std::string name() const override { return "ElmanRnnBackward"; }

  void save(const RnnArguments& args, const at::Tensor& result, const Saved& saved) {
    input = SavedVariable(args.input, /*is_output=*/false);
    hx = SavedVariable(args.hx, false);
    batch_sizes = SavedVariable(args.batch_sizes, false);
    reset = SavedVariable(args.reset, false);
    carry_scale = SavedVariable(args.carry_scale, false);
    output = SavedVariable(result, /*is_output=*/true);
    states = SavedVariable(saved.states, false);
    masks = SavedVariable(saved.masks, false);
    params.reserve(args.params.size());
    for (const at::Tensor& param : args.params) params.emplace_back(param, false);
    nonlinearity = args.nonlinearity;
    has_biases = args.has_biases;
    bidirectional = args.bidirectional;
    batch_first = args.batch_first;
    num_layers = args.num_layers;
    k1 = args.k1;
    k2 = args.k2;
  }

  variable_list apply(variable_list&& grads) override {
    variable_list result(num_outputs());
    if (!grads[0].defined() && !grads[1].defined()) return result;
    const auto optional = [](at::Tensor tensor) {
      return tensor.defined() ? std::optional<at::Tensor>(std::move(tensor)) : std::nullopt;
    };
    const at::Tensor input_value = input.unpack();
    const std::optional<at::Tensor> hx_value = optional(hx.unpack());
    std::vector<at::Tensor> param_values;
    param_values.reserve(params.size());
    for (const SavedVariable& param : params) param_values.push_back(param.unpack());
    std::vector<bool> mask(num_outputs());
    for (size_t i = 0; i < mask.size(); ++i) mask[i] = task_should_compute_output(i);

    std::vector<at::Tensor> wanted = call_rnn_backward(
        {input_value, hx_value, param_values, has_biases, num_layers, /*dropout=*/0,
         /*train=*/false, bidirectional, batch_first, nonlinearity, k1, k2,
         optional(batch_sizes.unpack()), optional(reset.unpack()), optional(carry_scale.unpack())},
        {optional(grads[0]), optional(grads[1]), output.unpack(getptr()),
         Saved{states.unpack(), masks.unpack()}, mask});
    auto next = wanted.begin();
    for (size_t i = 0; i < mask.size(); ++i) {
      if (mask[i]) result[i] = std::move(*next++);
    }
    return result;
  }

  void release_variables() override {
    for (SavedVariable* saved :
         {&input, &hx, &batch_sizes, &reset, &carry_scale, &output, &states, &masks}) {
      saved->reset_data();
    }
    for (SavedVariable& param : params) param.reset_data();
  }
};

bool requires_grad(const std::optional<at::Tensor>& tensor) {
  return tensor && tensor->requires_grad();
}

bool any_requires_grad(const RnnArguments& args) {
  if (!c10::GradMode::is_enabled()) return false;
  if (args.input.requires_grad() || requires_grad(args.hx)) return true;
  for (const at::Tensor& param : args.params) {
    if (param.requires_grad()) return true;
  }
  return false;
}

bool any_has_tangent(const RnnArguments& args) {
  using torch::autograd::isFwGradDefined;
  if (isFwGradDefined(args.input) || isFwGradDefined(args.hx)) return true;
  for (const at::Tensor& param : args.params) {
    if (isFwGradDefined(param)) return true;
  }
  return false;
}

/// elman::rnn, elman::rnn.data: the fused forward under one node whose backward is truncated.
std::tuple<at::Tensor, at::Tensor> rnn(const RnnArguments& args) {
  const bool differentiated = any_requires_grad(args);
  if (any_has_tangent(args)) {
    check_arguments(args);
    check_batch_sizes(args);
    // Forward mode takes the derivative of the forward values, so plain operators serve; but
    // reverse mode through them would not be truncated, which must not happen without a word.
    TORCH_CHECK_NOT_IMPLEMENTED(!differentiated || args.k1 == 0,
                                "forward-mode and truncated reverse-mode differentiation of "
                                "elman::rnn at the same level is not supported; nest the "
                                "transforms (torch.func.jvp over torch.func.grad) instead");
    auto [output, h_n, saved] = composite::forward(args, /*save_states=*/false);
    return {std::move(output), std::move(h_n)};
  }
  if (!differentiated) {
    at::AutoDispatchBelowADInplaceOrView guard;
    return call_rnn(args);
  }

  check_arguments(args);
  const auto node = make_node<ElmanRnnBackward>();
  node->set_next_edges(torch::autograd::collect_next_edges(args.input, args.hx, args.params));
  at::Tensor output, h_n;
  Saved saved;
  {
    at::AutoDispatchBelowADInplaceOrView guard;
    std::tie(output, h_n, saved) = call_rnn_forward(args, /*save_states=*/true);
  }
  torch::autograd::set_history(output, node);
  torch::autograd::set_history(h_n, node);
  node->save(args, output, saved);
  return {std::move(output), std::move(h_n)};
}

/// The internal operators are reached with autograd on only by derivatives of higher order and by
/// forward mode. There they are what they say in plain, differentiable ATen operators.
std::tuple<at::Tensor, at::Tensor, Saved> differentiable_forward(const RnnArguments& args,
                                                                 bool save_states) {
  check_arguments(args);
  if (any_requires_grad(args) || any_has_tangent(args)) {
    check_batch_sizes(args);
    return composite::forward(args, save_states);
  }
  at::AutoDispatchBelowADInplaceOrView guard;
  return call_rnn_forward(args, save_states);
}

std::vector<at::Tensor> differentiable_backward(const RnnArguments& args,
                                                const BackwardArguments& grads) {
  using torch::autograd::isFwGradDefined;
  check_arguments(args);
  const bool reverse = any_requires_grad(args) ||
                       (c10::GradMode::is_enabled() &&
                        (requires_grad(grads.grad_output) || requires_grad(grads.grad_h_n)));
  const bool forward = any_has_tangent(args) || isFwGradDefined(grads.grad_output) ||
                       isFwGradDefined(grads.grad_h_n);
  if (reverse || forward) return composite::differentiable_backward(args, grads);
  at::AutoDispatchBelowADInplaceOrView guard;
  return call_rnn_backward(args, grads);
}

}  // namespace

TORCH_LIBRARY_IMPL(elman, Autograd, m) {
  m.impl("rnn", RnnKernel<rnn>::rnn);
  m.impl("rnn.data", RnnKernel<rnn>::data);
  m.impl("_rnn_forward", rnn_forward_kernel<differentiable_forward>);
  m.impl("_rnn_backward", rnn_backward_kernel<differentiable_backward>);
}

}  // namespace elman
