#pragma once

#include <ATen/core/Tensor.h>

#include "arguments.h"

namespace elman {

/// How a caller lays out a call's tensors, and the way to the one form that all kernels and engines
/// compute on, and back. Views of what they are given. T steps, B rows, C of any kind.
class CallerLayout {
 public:
  explicit CallerLayout(const RnnArguments& args)
      : CallerLayout(args.batched(), args.batch_first) {}
  CallerLayout(bool batched, bool batch_first)
      : batched_(batched), batch_first_(batched && batch_first) {}

  /// The sequence's, [B, T, ...] if batch_first, [T, ...] unbatched -> [T, B, ...]. Packed rows are
  /// in the order of steps as they are.
  at::Tensor to_time_major(const at::Tensor& x) const { return swapped(with_rows(x, 1), 0); }
  at::Tensor from_time_major(const at::Tensor& x) const { return without_rows(swapped(x, 0), 1); }

  /// The same behind a dimension of layers.
  at::Tensor layers_to_time_major(const at::Tensor& x) const { return swapped(with_rows(x, 2), 1); }
  at::Tensor layers_from_time_major(const at::Tensor& x) const {
    return without_rows(swapped(x, 1), 2);
  }

  /// hx and h_n, [L*D, H] unbatched -> [L*D, B, H].
  at::Tensor to_states(const at::Tensor& x) const { return with_rows(x, 1); }
  at::Tensor from_states(const at::Tensor& x) const { return without_rows(x, 1); }

 private:
  at::Tensor with_rows(const at::Tensor& x, int64_t dim) const {
    return batched_ ? x : x.unsqueeze(dim);
  }
  at::Tensor without_rows(const at::Tensor& x, int64_t dim) const {
    return batched_ ? x : x.squeeze(dim);
  }
  at::Tensor swapped(const at::Tensor& x, int64_t dim) const {
    return batch_first_ ? x.transpose(dim, dim + 1) : x;
  }

  bool batched_;
  bool batch_first_;
};

}  // namespace elman
