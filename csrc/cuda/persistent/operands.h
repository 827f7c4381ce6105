#pragma once

#include <cstdint>

#include "activation.h"

namespace elman::cuda::persistent {

// What the kernels are given: pointers to device memory and sizes. S is the storage type; C is
// float, or double if S is double.

/// Where the rows of a sequence lie: T steps of B rows, or packed.
struct Sequence {
  int steps;  ///< T
  int batch;  ///< B
  /// Packed: offsets: [T + 1] int64, first row of each step in the data, in device memory. Rows are
  /// sorted by falling length. Null: dense, row t * B + b.
  const std::int64_t* offsets;
  const std::uint8_t* reset;  ///< reset: [T, B] or null: nothing crosses the border (t-1 | t)
  bool reverse;               ///< the recurrence runs from the sequence's end
};

/// A layer's forward pass in one direction.
struct ForwardOperands {
  Sequence sequence;
  Activation activation;
  int hidden;
  const void* weight_hh;  ///< weight_hh: [H, H] S
  const void* bias_ih;    ///< bias_ih: [H] S or null
  const void* bias_hh;    ///< bias_hh: [H] S or null
  const void* projected;  ///< x W_x^T: [rows of the data, H] C; may be `states` itself if S is C
  std::int64_t projected_stride;
  const void* hx;  ///< hx: [B, H] S or null (zeros)
  void* states;    ///< h: [rows of the data, H] S
  std::int64_t states_stride;
  void* h_n;  ///< h_n: [B, H] S
};

/// A layer's backward pass in one direction: the recurrence delta_t = f'(h_t) * (g_t + delta_{t+1}
/// W_h), truncated. The rows are windows times batch: row = window * B + b, or, where windows
/// overlap, b * windows + window, and all windows of a batch row are in one group, which adds to
/// Delta lag by lag.
struct BackwardOperands {
  Sequence sequence;
  Activation activation;
  int hidden;
  int window_count, k1, k2;  ///< as in Windows
  const void* weight_hh;     ///< weight_hh: [H, H] S
  const void* states;        ///< h: [rows of the data, H] S
  std::int64_t states_stride;
  const void* grad_output;   ///< g: [rows of the data, H] S or null
  const void* grad_h;        ///< g: [rows of the data, H] C or null, in place of grad_output
  std::int64_t grad_stride;  ///< of either
  const void* grad_h_n;      ///< grad_h_n: [B, H] S or null
  const void* carry_scale;   ///< carry_scale: [T, B] C or null
  void* delta;  ///< Delta: [rows of the data, H] C, dense; zeroed beforehand if windows overlap
};

}  // namespace elman::cuda::persistent
