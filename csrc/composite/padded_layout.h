#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/impl/LocalDispatchKeySet.h>

#include <cstdint>
#include <vector>

#include "arguments.h"
#include "caller_layout.h"

namespace elman::composite {

/// The engine has been given tensors of the dtype to compute in: autocast, if it is on, must not
/// cast the operators inside.
struct WithoutAutocast {
  c10::impl::ExcludeDispatchKeyGuard guard{c10::autocast_dispatch_keyset};
};

/// The engine computes in one form only: time major, batched, padded, x: [T, B, C]. This class
/// leads from the caller's form (batch_first, unbatched, packed) and from the stored form (Saved)
/// to it and back.
///
/// A packed batch is padded with zeros up to its longest sequence. That costs products with rows
/// that do not count, and makes every sequence's windows the same steps of one grid: the engine has
/// no second case.
class PaddedLayout {
 public:
  explicit PaddedLayout(const RnnArguments& args);

  int64_t steps() const { return steps_; }
  int64_t batch() const { return batch_; }
  bool packed() const { return packed_; }

  /// The layout of input and output <-> [T, B, C].
  at::Tensor from_caller(const at::Tensor& x) const;
  at::Tensor to_caller(const at::Tensor& x) const;

  /// The layout of Saved's tensors: [T, B, C] or, packed, [sum of batch_sizes, C] <-> [T, B, C].
  at::Tensor from_stored(const at::Tensor& x) const;
  at::Tensor to_stored(const at::Tensor& x) const;

  /// The layout of hx and h_n <-> [L*D, B, H].
  at::Tensor states_from_caller(const at::Tensor& x) const;
  at::Tensor states_to_caller(const at::Tensor& x) const;

  /// reset or carry_scale in the caller's layout -> [T, B or 1, 1].
  at::Tensor per_step_from_caller(const at::Tensor& x) const;

  /// A layer's part of preactivation in the caller's layout -> [T, B, D*H]; and back, of all
  /// layers.
  at::Tensor preactivation_from_caller(const at::Tensor& x, int64_t layer) const;
  at::Tensor preactivation_to_caller(const std::vector<at::Tensor>& layers, bool by_layer) const;

  /// valid: [T, B, 1] bool, whether the sequence has that step; undefined if all have all (not
  /// packed).
  const at::Tensor& valid() const { return valid_; }

  /// Whether a step is a sequence's first / last one, [T, B or 1, 1] bool.
  const at::Tensor& is_first() const { return is_first_; }
  const at::Tensor& is_last() const { return is_last_; }

  /// x: [T, B, C] -> [B, C], each sequence's first / last step.
  at::Tensor first(const at::Tensor& x) const;
  at::Tensor last(const at::Tensor& x) const;

 private:
  CallerLayout caller_;
  bool packed_;
  int64_t dimensions_;  // of input and output in the caller's layout
  int64_t steps_;
  int64_t batch_;
  at::Tensor valid_;
  at::Tensor is_first_;
  at::Tensor is_last_;
  at::Tensor padded_from_packed_;  // [T*B] the packed row of each padded row; 0 where there is none
  at::Tensor packed_from_padded_;  // [sum of batch_sizes] the padded row of each packed row
};

}  // namespace elman::composite
