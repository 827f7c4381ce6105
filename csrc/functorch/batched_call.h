#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <tuple>
#include <utility>
#include <vector>

#include "arguments.h"
#include "composite/rnn.h"

namespace elman::functorch {

/// One level of vmap, of either kind that torch has.
class Level {
 public:
  virtual ~Level() = default;
  /// A tensor without this level's batch dimension, and where that is in it; none if the tensor is
  /// not batched here.
  virtual std::pair<at::Tensor, std::optional<int64_t>> unwrap(const at::Tensor& tensor) const = 0;
  /// A tensor without any level of its kind.
  virtual at::Tensor below_all(at::Tensor tensor) const = 0;
  /// The way back.
  virtual at::Tensor wrap(const at::Tensor& value, int64_t dim) const = 0;
};

/// The internal operators at a level: they are called, without its batch dimension, below it. Where
/// only rows differ from slice to slice (input, states, masks, gradients), the slices become rows
/// of one call. Where parameters or their gradients do, each slice is a call, and the results are
/// stacked. They are never taken apart into ATen operators here: below there may be a level of
/// differentiation, whose gradient is to be truncated.
std::tuple<at::Tensor, at::Tensor, Saved> batched_forward(const RnnArguments& args, Keep keep,
                                                          const Level& level);
std::vector<at::Tensor> batched_backward(const RnnArguments& args, const BackwardArguments& grads,
                                         const Level& level);

}  // namespace elman::functorch
