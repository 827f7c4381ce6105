#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/SymInt.h>

#include <cstdint>

#include "arguments.h"
#include "owned_arguments.h"

namespace elman::functorch {

/// A call of one row or of a batch of rows, S times over, is one call of S times the rows: the
/// dimension of vmap becomes a part of the rows' dimension. Padded, the S groups of rows lie one
/// after the other (s-major); packed, where each step's rows are the first rows of the step before,
/// S rows lie in the place of each (row-major).
class Fold {
 public:
  /// size: S. args: the call as the user of vmap sees it, without the dimension of S.
  Fold(const RnnArguments& args, c10::SymInt size);

  /// x: [S, ...] or, if it is the same for all, [1, ...] -> as its role says, with S times the
  /// rows.
  at::Tensor fold(const at::Tensor& x, Role role) const;

  /// The way back. Where the result has S is for `place` to say.
  at::Tensor unfold(const at::Tensor& y, Role role) const;
  int64_t place(Role role) const { return row(role) + (packed_ ? 1 : 0); }

  /// Whether the folded call is batch_first: an unbatched one becomes a batch, time major.
  bool batch_first() const { return batched_ && batch_first_; }

 private:
  int64_t row(Role role) const;

  c10::SymInt size_;
  c10::SymInt rows_;
  bool packed_;
  bool batched_;
  bool batch_first_;
};

}  // namespace elman::functorch
