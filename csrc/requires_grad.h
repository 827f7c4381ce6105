#pragma once

#include <torch/csrc/autograd/functions/utils.h>

#include "arguments.h"

namespace elman {

/// Whether a call has a gradient to keep its states for, grad mode being what it is now.
inline bool any_requires_grad(const RnnArguments& args) {
  return args.with_gradient(
      [](const auto&... tensors) { return torch::autograd::compute_requires_grad(tensors...); });
}

}  // namespace elman
