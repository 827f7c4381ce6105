#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <vector>

#include "arguments.h"
#include "owned_arguments.h"

namespace elman::functorch {

/// Every tensor of a call; those of `gradients` of the backward pass only.
struct Operands {
  OwnedArguments arguments;
  struct Gradients {
    std::optional<at::Tensor> grad_output, grad_h_n;
    at::Tensor output, states, masks, drives;
  };
  std::optional<Gradients> gradients;

  explicit Operands(const RnnArguments& args) : arguments(args) {}

  Operands(const RnnArguments& args, const BackwardArguments& grads) : Operands(args) {
    gradients = {grads.grad_output,  grads.grad_h_n,    grads.output,
                 grads.saved.states, grads.saved.masks, grads.saved.drives};
  }

  /// Calls visit(tensor, role) with each tensor that there is; it may replace it.
  template <typename Visit>
  void visit(const Visit& visit) {
    const auto present = [&](auto& tensor, Role role) {
      if (at::Tensor* const given = get_or_null(tensor)) visit(*given, role);
    };
    OwnedArguments::each_tensor(
        arguments, [&](auto& tensor, const char*, Role role) { present(tensor, role); });
    if (!gradients) return;
    present(gradients->grad_output, Role::kSequence);
    present(gradients->grad_h_n, Role::kState);
    present(gradients->output, Role::kSequence);
    for (at::Tensor* saved : {&gradients->states, &gradients->masks, &gradients->drives})
      present(*saved, Role::kStored);
  }

  /// Replaces every tensor by f(tensor).
  template <typename F>
  void replace(const F& f) {
    visit([&](at::Tensor& tensor, Role) { tensor = f(tensor); });
  }

  /// The call with these tensors; refers to them.
  RnnArguments call() const { return arguments.view(); }

  BackwardArguments backward(const std::vector<bool>& output_mask) const {
    const Gradients& g = *gradients;
    return {g.grad_output, g.grad_h_n, g.output, {g.states, g.masks, g.drives}, output_mask};
  }
};

}  // namespace elman::functorch
