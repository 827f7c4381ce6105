#pragma once

#include <vector>

#include "cpu/common.h"
#include "cpu/packed.h"
#include "stack.h"

namespace elman::cpu {

/// What the backward sweep of one cell (a layer in one direction) reads and writes. Rows of g, h
/// and mask are D * H apart.
template <typename S>
struct SweepCell {
  using C = compute_t<S>;
  const PackedMatrix<C>* weight_hh;  ///< W_h as it is: [H, H], for delta_{t+1} W_h
  const S* h;                        ///< h: [T, B, H]
  const S* grad_h_n;                 ///< grad_h_n: [B, H] or null
  C* delta;  ///< Delta: [T, B, H] dense, the sum of delta over the windows; zeroed beforehand if
             ///< windows overlap
  bool reverse;
  // The gradient that arrives from above, at most one of:
  const S* grad_output = nullptr;  ///< g: [T, B, H], the gradient of the stack's output
  const C* grad_h =
      nullptr;  ///< g: [T, B, H], of a lower layer whose upper layer has been swept already
  // or, where windows overlap, the error of the layer above at the same lag, multiplied with its
  // W_x and the mask:
  const PackedMatrix<C>* upper_weight_ih = nullptr;  ///< [H, H]
  const S* mask = nullptr;                           ///< mask: [T, B, H] or null
};

/// The recurrent half of the backward pass: delta_t = f'(h_t) * (g_t + delta_{t+1} W_h), truncated.
///
/// With fixed states the windows are independent, so they run side by side, as rows: step j = 0 ...
/// k2-1 (the lag) takes every window one step back from its nominal end with one product of
/// [windows * B, H] x [H, H]. The sequential depth is k2 instead of T.
///
/// `cells` are independent of each other (the two directions of a layer) if no window overlaps
/// another; otherwise they are the layers of a one-directional stack from the top down, joint, so
/// that an error that goes down a layer keeps its window.
template <typename S>
void sweep(const StackShape& shape, const Windows& windows, const std::vector<SweepCell<S>>& cells);

}  // namespace elman::cpu
