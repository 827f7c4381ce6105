#pragma once

#include <vector>

#include "cpu/right_factor.h"
#include "cpu/schedule.h"
#include "cpu/vec/kernels.h"
#include "stack.h"

namespace elman::cpu {

/// What the backward sweep of one cell (a layer in one direction) reads and writes. Rows of g, h,
/// mask and Delta are D * H apart. States are stored as S; the products' factors are of type P, to
/// which delta is rounded where that is not what it is computed in.
template <typename S, typename P>
struct SweepCell {
  using C = compute_t<S>;
  const RightFactor<S, P>* weight_hh;  ///< W_h as it is: [H, H], for delta_{t+1} W_h
  const S* h;         ///< h: [T, B, H], what f' is made of; with a leak in the rate form f(a)
  const S* grad_h_n;  ///< grad_h_n: [B, H] or null
  C* delta;  ///< Delta: [T, B, H], the sum of delta over the windows; zeroed beforehand if windows
             ///< overlap
  bool reverse;
  const C* leak = nullptr;  ///< leak: [H], alpha; null: none
  C* errors = nullptr;  ///< with a leak, the sum over the windows of the gradient that arrives at
                        ///< the state: [T, B, H] as Delta; null: nobody asks for it
  const uint8_t* reset = nullptr;  ///< reset: [T, B] or null
  const C* carry_scale = nullptr;  ///< carry_scale: [T, B] or null, never in reverse
  // The gradient that arrives from above, at most one of:
  const S* grad_output = nullptr;  ///< g: [T, B, H], the gradient of the stack's output
  /// g: [T, B, H], of a lower layer whose upper layer has been swept already; may be `delta`, whose
  /// elements are written after those of g have been read
  const C* grad_h = nullptr;
  // or, where windows overlap, the error of the layer above at the same lag, multiplied with its
  // W_x and the mask:
  const RightFactor<S, P>* upper_weight_ih = nullptr;  ///< [H, H]
  const S* mask = nullptr;                             ///< mask: [T, B, H] or null
};

/// The recurrent half of the backward pass: delta_t = f'(h_t) * (g_t + delta_{t+1} W_h), truncated.
///
/// With fixed states the windows are independent, so they run side by side, as rows: step j = 0 ...
/// k2-1 (the lag) takes every window one step back from its nominal end with one product of
/// [windows * B, H] x [H, H]. The sequential depth is k2 instead of T.
///
/// A leak adds, beside each row's delta, what goes to the state before without W_h: (1 - alpha) e,
/// where e is the gradient that arrives at the state (csrc/leak.h, LeakyDelta).
///
/// `sweep_disjoint` is for windows that do not overlap; its cells are independent of each other
/// (the two directions of a layer).
template <typename S, typename P>
void sweep_disjoint(const StackShape& shape, const Windows& windows, const SweepSchedule& schedule,
                    const std::vector<SweepCell<S, P>>& cells);

/// `sweep_joint` is for any windows; its cells are the layers of a one-directional stack from the
/// top down, joint, so that an error that goes down a layer keeps its window.
/// lag_norms: [cells, k2] from the bottom up, the L2 norms of delta summed over windows and rows,
/// or null.
template <typename S, typename P>
void sweep_joint(const StackShape& shape, const Windows& windows, const JointSchedule& schedule,
                 const std::vector<SweepCell<S, P>>& cells, double* lag_norms);

/// `sweep_wavefront` is for one window over all steps, with `threads` threads; its cells are those
/// of `sweep_joint`. A layer is swept `tile` steps behind the one above it, whose error is handed
/// down by one product for these, to where the layer's Delta goes.
template <typename S, typename P>
void sweep_wavefront(const StackShape& shape, const std::vector<SweepCell<S, P>>& cells,
                     int64_t threads, int64_t tile);

}  // namespace elman::cpu
