#pragma once

#include <vector>

#include "cpu/right_factor.h"
#include "cpu/vec/kernels.h"

namespace elman::cpu {

/// first[H] = second[H] = sum over rows of delta[rows, H]; either may be null.
template <typename S>
void bias_gradient(int64_t rows, int64_t hidden, Rows<const compute_t<S>> delta, S* first,
                   S* second);

/// One term delta W of the gradient of a layer's input (one for each direction).
template <typename S, typename P>
struct InputGradientTerm {
  Rows<const compute_t<P>> delta;   ///< delta: [rows, H]
  const RightFactor<S, P>* weight;  ///< W: [H, n]
};

/// out[rows, n] = (sum of delta W over the terms) * mask, dense, as `Out` (S or the compute type).
/// mask: [rows, n] or null. With `in_place`, row r of out is the memory that the terms' rows r lie
/// in. room: [terms, rows, H] for delta as factors, where it is rounded to them; null: it is
/// allocated.
template <typename S, typename P, typename Out>
void input_gradient(int64_t rows, const std::vector<InputGradientTerm<S, P>>& terms, const S* mask,
                    Out* out, bool in_place = false, P* room = nullptr);

}  // namespace elman::cpu
