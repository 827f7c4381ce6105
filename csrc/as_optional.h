#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <utility>

namespace elman::detail {

/// An undefined tensor is how autograd and torch's C++ modules say "none"; the operators want an
/// empty optional.
inline std::optional<at::Tensor> as_optional(at::Tensor tensor) {
  return tensor.defined() ? std::optional<at::Tensor>(std::move(tensor)) : std::nullopt;
}

}  // namespace elman::detail
