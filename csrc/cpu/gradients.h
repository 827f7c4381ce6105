#pragma once

#include <vector>

#include "cpu/common.h"
#include "cpu/packed.h"

namespace elman::cpu {

/// Consecutive rows of the right operand of a weight gradient, beside the rows of Delta that they
/// are paired with.
template <typename S>
struct RowSegment {
  int64_t delta_row;  ///< first row of Delta
  int64_t count;
  Rows<const S> x;                    ///< x: [count, n]
  Rows<const S> mask = {nullptr, 0};  ///< mask: [count, n], factors of x, or null
  const bool* reset = nullptr;        ///< reset: [count], where x counts as zero, or null
};

/// The gradients' products have factors of type P, to which delta is rounded where that is not what
/// it is computed in.
///
/// gradient[H, n] = sum over the segments' rows r of delta[r, :]^T x[r, :]; delta: [rows, H].
/// Written as S. The sum is cut every kReduceRows rows, wherever the threads are: results do not
/// depend on their number.
template <typename S, typename P>
void weight_gradient(int64_t hidden, int64_t n, Rows<const compute_t<S>> delta,
                     const std::vector<RowSegment<S>>& segments, S* gradient);

/// first[H] = second[H] = sum over rows of delta[rows, H]; either may be null.
template <typename S>
void bias_gradient(int64_t rows, int64_t hidden, Rows<const compute_t<S>> delta, S* first,
                   S* second);

/// One term delta W of the gradient of a layer's input (one for each direction).
template <typename P>
struct InputGradientTerm {
  Rows<const compute_t<P>> delta;  ///< delta: [rows, H]
  const PackedMatrix<P>* weight;   ///< W: [H, n]
};

/// out[rows, n] = (sum of delta W over the terms) * mask, dense, as `Out` (S or the compute type).
/// mask: [rows, n] or null. With `in_place`, row r of out is the memory that the terms' rows r lie
/// in.
template <typename S, typename P, typename Out>
void input_gradient(int64_t rows, const std::vector<InputGradientTerm<P>>& terms, const S* mask,
                    Out* out, bool in_place = false);

}  // namespace elman::cpu
