#pragma once

#include "cpu/right_factor.h"
#include "cpu/vec/kernels.h"
#include "stack.h"

namespace elman::cpu {

/// mask: [T, B, D*H], the dropout factors of layer `layer`'s input, or null.
template <typename S>
const S* mask_below(const StackBackward& stack, int64_t layer) {
  if (layer == 0 || stack.masks.empty()) return nullptr;
  return static_cast<const S*>(stack.masks[layer - 1]);
}

/// What a backward sweep has found of one cell.
template <typename S, typename P>
struct SweptCell {
  int64_t layer;
  int64_t direction;
  const compute_t<S>* delta;           ///< Delta: [T, B, H], rows D * H apart
  const compute_t<S>* errors;          ///< errors: the same, or null; see `needs_errors`
  const RightFactor<S, P>& weight_hh;  ///< W_h as it is, if grad_hx is asked for
};

/// Whether a gradient that is asked for is made of the errors at the states of a layer, which Delta
/// does not tell: in the current form it is alpha times these, in the rate form f' of it may be 0.
bool needs_errors(const StackBackward& stack, int64_t layer);

/// The gradients of a cell's own parameters, of its pre-activation and of its initial state.
template <typename S, typename P>
void finish_cell(const StackBackward& stack, const SweptCell<S, P>& swept);

}  // namespace elman::cpu
