#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/empty.h>
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

/// The tangents of output and h_n: forward mode takes the exact derivative of the forward values,
/// so plain operators on the arguments' tangents serve, and neither k1, k2 nor carry_scale enters
/// it. masks: the dropout masks that the values were made with, numel 0 for none.
void set_tangents(const RnnArguments& args, const at::Tensor& masks, const at::Tensor& output,
                  const at::Tensor& h_n) {
  RnnArguments dual = args;
  if (masks.numel() > 0) dual.masks = masks;
  const auto [dual_output, dual_h_n, ignored] = composite::forward(dual, /*save_states=*/false);
  const auto set = [](const at::Tensor& result, const at::Tensor& with_tangent) {
    const at::Tensor& tangent = with_tangent._fw_grad(/*level=*/0);
    if (tangent.defined()) result._set_fw_grad(tangent, /*level=*/0, /*is_inplace_op=*/false);
  };
  set(output, dual_output);
  set(h_n, dual_h_n);
}

/// The fused forward; in reverse mode under one node whose backward is truncated. Every order and
/// every level of differentiation comes through here: with transforms nested, the levels below this
/// one see the call of the internal operator and attach nodes of their own. Without save_states,
/// what is saved may still be more than nothing.
std::tuple<at::Tensor, at::Tensor, Saved> differentiable_forward(const RnnArguments& args,
                                                                 bool save_states) {
  check_arguments(args);
  const bool reverse = any_requires_grad(args);
  const bool forward = any_has_tangent(args);
  if (!reverse && !forward) {
    at::AutoDispatchBelowADInplaceOrView guard;
    return call_rnn_forward(args, save_states);
  }
  at::Tensor output, h_n;
  Saved saved;
  {
    at::AutoDispatchBelowADInplaceOrView guard;
    const bool keep = save_states || reverse || args.draws_dropout();
    std::tie(output, h_n, saved) = call_rnn_forward(args, keep);
  }
  const at::Tensor masks = args.masks.value_or(saved.masks);
  if (reverse) {
    const auto node = make_node<ElmanRnnBackward>();
    node->set_next_edges(torch::autograd::collect_next_edges(args.input, args.hx, args.params));
    torch::autograd::set_history(output, node);
    torch::autograd::set_history(h_n, node);
    node->save(args, output, {saved.states, masks});
  }
  if (forward) set_tangents(args, masks, output, h_n);
  return {std::move(output), std::move(h_n), std::move(saved)};
}

/// elman::_rnn_forward.
std::tuple<at::Tensor, at::Tensor, Saved> rnn_forward(const RnnArguments& args, bool save_states) {
  auto result = differentiable_forward(args, save_states);
  if (!save_states) {
    const auto none = [&] { return at::empty({0}, args.input.options()); };
    std::get<2>(result) = {none(), none()};
  }
  return result;
}

/// elman::rnn, elman::rnn.data.
std::tuple<at::Tensor, at::Tensor> rnn(const RnnArguments& args) {
  if (any_requires_grad(args) || any_has_tangent(args)) {
    auto [output, h_n, ignored] = differentiable_forward(args, /*save_states=*/false);
    return {std::move(output), std::move(h_n)};
  }
  at::AutoDispatchBelowADInplaceOrView guard;
  return call_rnn(args);
}

/// The gradient of a call, itself differentiable: there it is what it says in plain ATen operators.
/// output, states and masks count as constants, since composite::differentiable_backward makes the
/// states again from the arguments.
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
  m.impl("_rnn_forward", rnn_forward_kernel<rnn_forward>);
  m.impl("_rnn_backward", rnn_backward_kernel<differentiable_backward>);
}

}  // namespace elman
