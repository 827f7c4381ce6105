#pragma once

#include <vector>

#include "cpu/vec/kernels.h"

namespace elman::cpu {

/// Consecutive rows of the right factor of a weight gradient.
template <typename S>
struct RowSegment {
  int64_t count;
  Rows<const S> x;                    ///< x: [count, n]; null: zeros
  Rows<const S> mask = {nullptr, 0};  ///< mask: [count, n], factors of x, or null
  const uint8_t* reset = nullptr;     ///< reset: [count], where x counts as reset, or null
};

/// One of the weights whose gradients are made of the same Delta.
template <typename S>
struct WeightGradient {
  int64_t columns;                      ///< n
  std::vector<RowSegment<S>> segments;  ///< x: [rows, n], piece by piece
  S* gradient;                          ///< [H, n]
  S reset_to = S(0);                    ///< what x counts as where a segment is reset
};

/// gradient[H, n] = sum over the rows r of delta[r, :]^T x[r, :] for each of `weights`; delta:
/// [rows, H]. Written as S. The products' factors are of type P, to which delta is rounded where
/// that is not what it is computed in. The sum is cut every kReduceRows rows, wherever the threads
/// are: results do not depend on their number.
template <typename S, typename P>
void weight_gradients(int64_t rows, int64_t hidden, Rows<const compute_t<S>> delta,
                      const std::vector<WeightGradient<S>>& weights);

}  // namespace elman::cpu
