#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <vector>

#include "arguments.h"
#include "composite/engine.h"
#include "functorch/fold.h"

namespace elman::functorch {

/// Every tensor of a call; those from grad_output on of the backward pass only.
struct Operands {
  at::Tensor input;
  std::optional<at::Tensor> hx;
  std::vector<at::Tensor> params;
  std::optional<at::Tensor> batch_sizes, reset, carry_scale, masks;
  std::optional<at::Tensor> grad_output, grad_h_n, output, states, saved_masks;

  explicit Operands(const RnnArguments& args)
      : input(args.input),
        hx(args.hx),
        params(args.params.vec()),
        batch_sizes(args.batch_sizes),
        reset(args.reset),
        carry_scale(args.carry_scale),
        masks(args.masks) {}

  Operands(const RnnArguments& args, const BackwardArguments& grads) : Operands(args) {
    grad_output = grads.grad_output;
    grad_h_n = grads.grad_h_n;
    output = grads.output;
    states = grads.saved.states;
    saved_masks = grads.saved.masks;
  }

  /// Calls in_rows(tensor, role) with each tensor that has rows, other(tensor) with each other one;
  /// both may replace it.
  template <typename InRows, typename Other>
  void visit(const InRows& in_rows, const Other& other) {
    const auto present = [&](std::optional<at::Tensor>& tensor, Role role) {
      if (tensor) in_rows(*tensor, role);
    };
    in_rows(input, Role::kSequence);
    present(hx, Role::kState);
    present(reset, Role::kPerStep);
    present(carry_scale, Role::kPerStep);
    present(masks, Role::kStored);
    present(grad_output, Role::kSequence);
    present(grad_h_n, Role::kState);
    present(output, Role::kSequence);
    present(states, Role::kStored);
    present(saved_masks, Role::kStored);
    for (at::Tensor& param : params) other(param);
    if (batch_sizes) other(*batch_sizes);
  }

  /// Replaces every tensor by f(tensor).
  template <typename F>
  void replace(const F& f) {
    const auto set = [&](at::Tensor& tensor) { tensor = f(tensor); };
    visit([&](at::Tensor& tensor, Role) { set(tensor); }, set);
  }

  /// The call with these tensors in the places of those of `like`; refers to them.
  RnnArguments call(const RnnArguments& like) const {
    return {input,
            hx,
            params,
            like.has_biases,
            like.num_layers,
            like.dropout,
            like.train,
            like.bidirectional,
            like.batch_first,
            like.nonlinearity,
            like.k1,
            like.k2,
            batch_sizes,
            reset,
            carry_scale,
            masks};
  }

  BackwardArguments gradients(const std::vector<bool>& output_mask) const {
    return {grad_output, grad_h_n, *output, {*states, *saved_masks}, output_mask};
  }
};

}  // namespace elman::functorch
