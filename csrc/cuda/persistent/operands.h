#pragma once

#include <cstdint>

#include "activation.h"
#include "leak.h"

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

/// What a leaky cell has beside a plain one (csrc/leak.h).
struct Leak {
  LeakForm form;
  const void* alpha;  ///< alpha: [H] C or null (1)
  /// carried: [rows of the launch, H] C, what goes on from step to step beside what is multiplied
  /// with W_h: forward the state, in: the one that enters the first step, out: the last one;
  /// backward (1 - alpha) e, its values when the kernel starts do not matter. Null: a plain cell.
  void* carried;
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
  const void* hx;  ///< hx: [B, H] S or null (zeros); with a leak, what W_h reads of it
  void* states;    ///< h: [rows of the data, H] S
  std::int64_t states_stride;
  void* h_n;    ///< h_n: [B, H] S; with a leak it is `carried` that has the last states
  Leak leak{};  ///< of a leaky cell
  /// Saved::drives: [rows of the data, H] S with the strides of states, or null
  void* drive = nullptr;
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
  const void* states;        ///< h: [rows of the data, H] S; in the rate form f(a_t)
  std::int64_t states_stride;
  const void* grad_output;   ///< g: [rows of the data, H] S or null
  const void* grad_h;        ///< g: [rows of the data, H] C or null, in place of grad_output
  std::int64_t grad_stride;  ///< of either
  const void* grad_h_n;      ///< grad_h_n: [B, H] S or null
  const void* carry_scale;   ///< carry_scale: [T, B] C or null
  void* delta;  ///< Delta: [rows of the data, H] C, dense; zeroed beforehand if windows overlap
  Leak leak{};  ///< of a leaky cell
  void* errors = nullptr;  ///< the sum of e over the windows, as delta, or null
};

}  // namespace elman::cuda::persistent
