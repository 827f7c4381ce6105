#pragma once

#include <ATen/core/Tensor.h>

namespace elman {

/// [c, B, features] of a chunk in the caller's layout, [c, features] unbatched, [B, c, features] if
/// batch_first; and back.
inline at::Tensor chunk_from_caller(const at::Tensor& x, bool batched, bool batch_first) {
  if (!batched) return x.unsqueeze(1);
  return batch_first ? x.transpose(0, 1) : x;
}
inline at::Tensor chunk_to_caller(const at::Tensor& x, bool batched, bool batch_first) {
  if (!batched) return x.squeeze(1);
  return batch_first ? x.transpose(0, 1) : x;
}

}  // namespace elman
