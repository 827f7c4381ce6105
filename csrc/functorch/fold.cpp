#include "functorch/fold.h"

#include <ATen/Tensor.h>

namespace elman::functorch {

Fold::Fold(const RnnArguments& args, c10::SymInt size)
    : size_(std::move(size)),
      rows_(args.batched() ? args.input.sym_size(args.packed() || args.batch_first ? 0 : 1) : 1),
      packed_(args.packed()),
      batched_(args.batched()),
      batch_first_(args.batch_first) {}

int64_t Fold::row(Role role) const {
  switch (role) {
    case Role::kSequence:
    case Role::kPerStep:
      return packed_ || batch_first() ? 0 : 1;
    case Role::kState:
      return 1;
    case Role::kByLayer:
      return packed_ || batch_first() ? 1 : 2;
    case Role::kStored:
      return packed_ ? 1 : 2;
    case Role::kNoRows:
      break;
  }
  TORCH_INTERNAL_ASSERT(false, "a tensor without rows");
}

at::Tensor Fold::fold(const at::Tensor& x, Role role) const {
  const int64_t dim = row(role);
  // An unbatched call has no dimension of rows, and carry_scale may lack it in any call.
  const bool lacks_rows =
      role == Role::kPerStep ? x.dim() == 2 : !batched_ && role != Role::kStored;
  const at::Tensor all = lacks_rows ? x.unsqueeze(dim + 1) : x;
  std::vector<c10::SymInt> sizes = all.sym_sizes().vec();
  sizes[0] = size_;
  if (role == Role::kPerStep) sizes[dim + 1] = rows_;
  return all.expand_symint(sizes).movedim(0, place(role)).flatten(dim, dim + 1);
}

at::Tensor Fold::unfold(const at::Tensor& y, Role role) const {
  const int64_t dim = row(role);
  const c10::SymInt rows = y.sym_size(dim) / size_;
  const at::Tensor all =
      packed_ ? y.unflatten_symint(dim, {rows, size_}) : y.unflatten_symint(dim, {size_, rows});
  return batched_ || role == Role::kStored ? all : all.squeeze(dim + 1);
}

}  // namespace elman::functorch
