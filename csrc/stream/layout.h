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

/// preactivation of a chunk in the caller's layout -> [L, c, B, H]; and back, `by_layer` with L.
inline at::Tensor preactivation_from_caller(const at::Tensor& x, bool batched, bool batch_first) {
  const at::Tensor layers = x.dim() > (batched ? 3 : 2) ? x : x.unsqueeze(0);
  if (!batched) return layers.unsqueeze(2);
  return batch_first ? layers.transpose(1, 2) : layers;
}
inline at::Tensor preactivation_to_caller(const at::Tensor& x, bool by_layer, bool batched,
                                          bool batch_first) {
  at::Tensor layers = x;
  if (!batched) layers = layers.squeeze(2);
  if (batched && batch_first) layers = layers.transpose(1, 2);
  return by_layer ? layers : layers.squeeze(0);
}

}  // namespace elman
