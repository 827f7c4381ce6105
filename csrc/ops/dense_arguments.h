#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "arguments.h"
#include "dense.h"
#include "stack.h"

namespace elman {

/// The layers of one of `Saved`'s tensors, [layers, T, B, D*H], [0] or undefined, each made dense,
/// whatever distance they have from each other.
std::vector<at::Tensor> dense_layers(const at::Tensor& saved);

std::vector<const void*> data_pointers(const std::vector<at::Tensor>& tensors);

/// The sizes of a call; of its data, only batch_sizes is looked at.
struct CallSizes {
  std::optional<at::Tensor> batch_sizes;  ///< [T]
  std::vector<int64_t> offsets;           ///< [T + 1] if packed
  StackShape shape;

  explicit CallSizes(const RnnArguments& args);
  CallSizes(const CallSizes&) = delete;  // the shape points into it

 private:
  /// Sequences of different lengths (those of one length are the batch that they look like).
  void pack();
};

/// The tensors behind a stack's pointers, made dense, in time-major order.
struct DenseArguments : CallSizes {
  at::Tensor input;              ///< [T, B, I]
  std::optional<at::Tensor> hx;  ///< [L*D, B, H]
  std::vector<at::Tensor> params;
  std::optional<at::Tensor> reset;  ///< [T, B]
  /// leak: [L*D, H] of the type computed in; none where the plain cell's kernels do
  std::optional<at::Tensor> leak;
  std::vector<at::Tensor> preactivation;  ///< [T, B, D*H] of each layer, or empty

  /// keep_leak: alpha = 1 counts as a leak, since its gradient is asked for.
  explicit DenseArguments(const RnnArguments& args, bool keep_leak = false);

  const uint8_t* reset_or_null() const { return reset ? flags(*reset) : nullptr; }

  /// Sizes of a tensor with one row of `features` for each row of the input.
  std::vector<int64_t> row_sizes(int64_t features) const {
    std::vector<int64_t> sizes = input.sizes().vec();
    sizes.back() = features;
    return sizes;
  }

  std::vector<CellParameters> cells(const RnnArguments& args) const;

 private:
  void set_leak(const RnnArguments& args, bool keep_leak);
};

/// The tensors behind the pointers of a stack's backward pass, made dense.
struct DenseBackwardArguments : DenseArguments {
  at::Tensor output;
  std::vector<at::Tensor> states;
  std::vector<at::Tensor> masks;
  std::vector<at::Tensor> drives;
  std::optional<at::Tensor> carry_scale;
  std::optional<at::Tensor> grad_output;
  std::optional<at::Tensor> grad_h_n;

  DenseBackwardArguments(const RnnArguments& args, const BackwardArguments& grads, bool keep_leak);

  /// With nothing asked for yet.
  StackBackward stack(const RnnArguments& args, const Windows& windows) const;
};

}  // namespace elman
