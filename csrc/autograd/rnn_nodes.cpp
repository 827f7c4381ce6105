#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/empty.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/FunctionsManual.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/functions/utils.h>
#include <torch/csrc/autograd/saved_variable.h>
#include <torch/library.h>

#include <string>
#include <type_traits>
#include <utility>

#include "as_optional.h"
#include "autograd/compilable_node.h"
#include "autograd/node.h"
#include "autograd/saved_arguments.h"
#include "autograd/without_gil.h"
#include "checks.h"
#include "composite/rnn.h"
#include "dispatch/operators.h"
#include "dispatch/signatures.h"
#include "requires_grad.h"

namespace elman {
namespace {

using torch::autograd::SavedVariable;
using torch::autograd::variable_list;

constexpr auto kRelease = [](SavedVariable& saved, bool /*is_output*/) { saved.reset_data(); };

/// The node that elman::rnn leaves in the graph: one for a whole stack. Its edges are
/// RnnArguments::with_gradient.
struct ElmanRnnBackward final : CompilableNode<ElmanRnnBackward> {
  static constexpr bool traceable = true;

  struct Values {
    OwnedArguments arguments;
    at::Tensor output;
    Saved saved;

    template <typename Visit>
    void each(const Visit& visit) {
      arguments.each(visit);
      for (auto* tensor : {&output, &saved.states, &saved.masks, &saved.drives}) visit(*tensor);
    }

    variable_list run(const variable_list& grads, const std::vector<bool>& wanted) const {
      if (!grads[0].defined() && !grads[1].defined()) return variable_list(wanted.size());
      const BackwardArguments given{detail::as_optional(grads[0]), detail::as_optional(grads[1]),
                                    output, saved, wanted};
      return at_their_places(call_rnn_backward(arguments.view(), given), wanted);
    }
  };

  SavedArguments arguments;
  SavedVariable output;
  // states, masks, drives. Not members: with three more a node would outgrow malloc's quick sizes.
  std::vector<SavedVariable> others;

  std::string name() const override { return "ElmanRnnBackward"; }

  void save(const RnnArguments& args, const at::Tensor& result, const Saved& saved) {
    arguments.save(args);
    output = SavedVariable(result, /*is_output=*/true);
    others.reserve(3);
    for (const auto* tensor : {&saved.states, &saved.masks, &saved.drives})
      others.emplace_back(*tensor, /*is_output=*/false);
  }

  Values unpack() {
    return {arguments.unpack(),
            output.unpack(getptr()),
            {others[0].unpack(), others[1].unpack(), others[2].unpack()}};
  }

  template <typename Self, typename Visit>
  static void each_saved(Self& self, const Visit& visit) {
    SavedArguments::each_saved(self.arguments, visit);
    visit(self.output, /*is_output=*/true);
    for (auto& saved : self.others) visit(saved, /*is_output=*/false);
  }

  template <typename Visit>
  void each_constant(const Visit& visit) const {
    arguments.each_constant(visit);
  }

  void release_variables() override { each_saved(*this, kRelease); }
};

/// The node that a call's gradient leaves where it is differentiated itself. It runs the gradient
/// again in plain ATen operators, and differentiates those. Its edges are those of the call, then
/// grad_output and grad_h_n.
struct ElmanRnnBackwardBackward final : CompilableNode<ElmanRnnBackwardBackward> {
  // The plain operators of packed input depend on the values of batch_sizes.
  static constexpr bool traceable = false;

  struct Values {
    OwnedArguments arguments;
    std::optional<at::Tensor> grad_output, grad_h_n;
    at::Tensor masks;
    std::vector<bool> output_mask;

    template <typename Visit>
    void each(const Visit& visit) {
      arguments.each(visit);
      visit(grad_output);
      visit(grad_h_n);
      visit(masks);
      visit(output_mask);
    }

    variable_list run(const variable_list& arrived, const std::vector<bool>& wanted) const {
      const WithoutGil no_gil;  // which compiled autograd holds here, and autograd's engine refuses
      variable_list result(wanted.size());
      const bool create_graph = c10::GradMode::is_enabled();
      const at::AutoGradMode enable(true);
      std::vector<size_t> edges;
      variable_list sources;
      // An alias for each argument, since two of them may be one tensor, with a gradient for each.
      // One that comes without history is of a transform that has ended, and begins anew.
      size_t edge = 0;
      const auto alias = [&](at::Tensor* given) {
        const size_t own = edge++;
        if (!wanted[own]) return;
        at::Tensor& tensor = *given;
        edges.push_back(own);
        tensor = tensor.view_as(tensor);
        if (!tensor.requires_grad()) tensor = tensor.detach().requires_grad_();
        sources.push_back(tensor);
      };
      OwnedArguments aliased = arguments;
      // The states are made again, from the arguments.
      BackwardArguments grads{grad_output, grad_h_n, {}, Saved{{}, masks, {}}, output_mask};
      OwnedArguments::each_with_gradient(
          aliased, [&](auto& tensor, const char*, Role) { alias(get_or_null(tensor)); });
      alias(get_or_null(grads.grad_output));
      alias(get_or_null(grads.grad_h_n));
      check_gradients(aliased.view(), grads);
      const variable_list gradients = composite::differentiable_backward(aliased.view(), grads);
      variable_list differentiated, errors;
      for (size_t i = 0; i < gradients.size(); ++i) {
        if (!arrived[i].defined() || !gradients[i].requires_grad()) continue;
        // Not if hooks have changed all that was saved alike.
        TORCH_CHECK(arrived[i].scalar_type() == gradients[i].scalar_type(),
                    "ElmanRnnBackwardBackward: expected a gradient of dtype ",
                    gradients[i].scalar_type(), ", as what was saved, got ",
                    arrived[i].scalar_type());
        differentiated.push_back(gradients[i]);
        errors.push_back(arrived[i]);
      }
      if (differentiated.empty() || sources.empty()) return result;
      variable_list found =
          torch::autograd::grad(differentiated, sources, errors, /*retain_graph=*/create_graph,
                                create_graph, /*allow_unused=*/true);
      for (size_t i = 0; i < edges.size(); ++i) result[edges[i]] = std::move(found[i]);
      return result;
    }
  };

  SavedArguments arguments;
  SavedVariable grad_output, grad_h_n, masks;
  std::vector<bool> output_mask;

  std::string name() const override { return "ElmanRnnBackwardBackward"; }

  void save(const RnnArguments& args, const BackwardArguments& grads) {
    arguments.save(args);
    grad_output = SavedVariable(grads.grad_output, /*is_output=*/false);
    grad_h_n = SavedVariable(grads.grad_h_n, false);
    masks = SavedVariable(grads.saved.masks, false);
    output_mask = grads.output_mask;
  }

  Values unpack() {
    return {arguments.unpack(), detail::as_optional(grad_output.unpack()),
            detail::as_optional(grad_h_n.unpack()), masks.unpack(), output_mask};
  }

  template <typename Self, typename Visit>
  static void each_saved(Self& self, const Visit& visit) {
    SavedArguments::each_saved(self.arguments, visit);
    for (auto* saved : {&self.grad_output, &self.grad_h_n, &self.masks})
      visit(*saved, /*is_output=*/false);
  }

  template <typename Visit>
  void each_constant(const Visit& visit) const {
    arguments.each_constant(visit);
    visit(output_mask);
  }

  void release_variables() override { each_saved(*this, kRelease); }
};

template <typename Tensors>
bool has_tangent(const Tensors& tensors) {
  if constexpr (std::is_same_v<Tensors, at::TensorList>) {
    return torch::autograd::isFwGradDefinedTensorList(tensors);
  } else {
    return torch::autograd::isFwGradDefined(tensors);
  }
}

bool any_has_tangent(const RnnArguments& args) {
  return args.with_gradient([](const auto&... tensors) { return (has_tangent(tensors) || ...); });
}

/// The tangents of output and h_n: forward mode takes the exact derivative of the forward values,
/// so plain operators on the arguments' tangents serve, and neither k1, k2 nor carry_scale enters
/// it. masks: the dropout masks that the values were made with, numel 0 for none.
void set_tangents(const RnnArguments& args, const at::Tensor& masks, const at::Tensor& output,
                  const at::Tensor& h_n) {
  RnnArguments dual = args;
  if (masks.numel() > 0) dual.masks = masks;
  const auto [dual_output, dual_h_n, ignored] = composite::forward(dual, kKeepNothing);
  const auto set = [](const at::Tensor& result, const at::Tensor& with_tangent) {
    const at::Tensor& tangent = with_tangent._fw_grad(/*level=*/0);
    if (tangent.defined()) result._set_fw_grad(tangent, /*level=*/0, /*is_inplace_op=*/false);
  };
  set(output, dual_output);
  set(h_n, dual_h_n);
}

/// The fused forward; in reverse mode under one node whose backward is truncated. Every order and
/// every level of differentiation comes through here: with transforms nested, the levels below this
/// one see the call of the internal operator and attach nodes of their own. What is saved may be
/// more than `keep` says. The kernel that is called checks the arguments.
std::tuple<at::Tensor, at::Tensor, Saved> differentiable_forward(const RnnArguments& args,
                                                                 Keep keep) {
  const bool reverse = any_requires_grad(args);
  const bool forward = any_has_tangent(args);
  if (!reverse && !forward) {
    at::AutoDispatchBelowADInplaceOrView guard;
    return call_rnn_forward(args, keep);
  }
  at::Tensor output, h_n;
  Saved saved;
  {
    at::AutoDispatchBelowADInplaceOrView guard;
    const bool wants_leak = args.leak && args.leak->requires_grad();
    std::tie(output, h_n, saved) =
        call_rnn_forward(args, {keep.states || reverse || args.draws_dropout(),
                                keep.drives || (reverse && args.reads_drives(wants_leak))});
  }
  const at::Tensor masks = args.masks.value_or(saved.masks);
  if (reverse) {
    const auto node = make_node<ElmanRnnBackward>();
    node->set_next_edges(args.with_gradient(
        [](const auto&... tensors) { return torch::autograd::collect_next_edges(tensors...); }));
    torch::autograd::set_history(output, node);
    torch::autograd::set_history(h_n, node);
    node->save(args, output, {saved.states, masks, saved.drives});
  }
  if (forward) set_tangents(args, masks, output, h_n);
  return {std::move(output), std::move(h_n), std::move(saved)};
}

/// elman::_rnn_forward.
std::tuple<at::Tensor, at::Tensor, Saved> rnn_forward(const RnnArguments& args, Keep keep) {
  auto result = differentiable_forward(args, keep);
  Saved& saved = std::get<2>(result);
  for (auto [tensor, kept] : {std::pair(&saved.states, keep.states),
                              {&saved.masks, keep.states},
                              {&saved.drives, keep.drives}}) {
    if (!kept) *tensor = at::empty({0}, args.input.options());
  }
  return result;
}

/// elman::rnn, elman::rnn.data.
std::tuple<at::Tensor, at::Tensor> rnn(const RnnArguments& args) {
  if (any_requires_grad(args) || any_has_tangent(args)) {
    auto [output, h_n, ignored] = differentiable_forward(args, kKeepNothing);
    return {std::move(output), std::move(h_n)};
  }
  at::AutoDispatchBelowADInplaceOrView guard;
  return call_rnn(args);
}

/// The gradient of a call, itself differentiable. In reverse mode output, states and masks count as
/// constants, since composite::differentiable_backward makes the states again from the arguments.
/// What is called checks the arguments, but for the plain operators.
std::vector<at::Tensor> differentiable_backward(const RnnArguments& args,
                                                const BackwardArguments& grads) {
  const bool forward =
      any_has_tangent(args) || has_tangent(grads.grad_output) || has_tangent(grads.grad_h_n);
  if (forward) {
    check_backward_arguments(args, grads);
    return composite::differentiable_backward(args, grads);
  }
  std::vector<at::Tensor> gradients;
  {
    at::AutoDispatchBelowADInplaceOrView guard;
    gradients = call_rnn_backward(args, grads);
  }
  if (!any_requires_grad(args) &&
      !torch::autograd::compute_requires_grad(grads.grad_output, grads.grad_h_n))
    return gradients;
  const auto node = make_node<ElmanRnnBackwardBackward>();
  node->set_next_edges(args.with_gradient([&](const auto&... tensors) {
    return torch::autograd::collect_next_edges(tensors..., grads.grad_output, grads.grad_h_n);
  }));
  torch::autograd::set_history(gradients, node);
  node->save(args, grads);
  return gradients;
}

}  // namespace

TORCH_LIBRARY_IMPL(elman, Autograd, m) {
  m.impl("rnn", Padded<RnnResult>::kernel<rnn>);
  m.impl("rnn.data", Packed<RnnResult>::kernel<rnn>);
  m.impl("_rnn_forward", Internal::forward<rnn_forward>);
  m.impl("_rnn_backward", Internal::backward<differentiable_backward>);
}

}  // namespace elman
