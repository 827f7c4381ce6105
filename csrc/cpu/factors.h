#pragma once

#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

#include <algorithm>

#include "cpu/schedule.h"
#include "cpu/vec/kernels.h"

/// macro(S, P) for every storage type S and each type P that the products' factors have where
/// values are stored as S.
#define ELMAN_FOR_STORAGE_AND_FACTORS(macro)                            \
  macro(double, double) macro(float, float) macro(c10::BFloat16, float) \
      macro(c10::BFloat16, c10::BFloat16) macro(c10::Half, float)

namespace elman::cpu {

/// Calls run(P()) with the type of the factors in products of values stored as S: what they are
/// computed in, or S itself where that is bfloat16 and prefers_bfloat16() says so.
template <typename S, typename Prefers, typename Run>
void with_factors(const Prefers& prefers_bfloat16, const Run& run) {
  if constexpr (std::is_same_v<S, c10::BFloat16>) {
    if (prefers_bfloat16()) return run(S());
  }
  run(compute_t<S>());
}

/// What the schedule is told of the types S and P.
template <typename S, typename P>
constexpr ElementBytes element_bytes() {
  return {sizeof(P), sizeof(compute_t<S>)};
}

/// to[rows, n] = x[rows, n], times mask[rows, n] if there is one, as factors of type P, with zeros
/// in the columns n ... padded_n. n is at most kPanelColumns.
template <typename S, typename P>
void load_factors(int64_t rows, int64_t n, int64_t padded_n, Rows<const S> x, Rows<const S> mask,
                  P* to, int64_t ldt) {
  using C = compute_t<S>;
  const auto& kernels = storage_kernels<S, C>();
  if constexpr (std::is_same_v<P, C>) {
    kernels.load(rows, n, padded_n, x, to, ldt);
    if (mask.data != nullptr) kernels.scale(rows, n, mask, to, ldt);
  } else {
    static_assert(std::is_same_v<P, S>);
    for (int64_t i = 0; i < rows; ++i) {
      const S* const from = x.data + i * x.row_stride;
      P* const row = to + i * ldt;
      if (mask.data == nullptr) {
        std::copy_n(from, n, row);
      } else {
        C product[kPanelColumns];
        kernels.load(1, n, n, {from, n}, product, n);
        kernels.scale(1, n, {mask.data + i * mask.row_stride, n}, product, n);
        kernels.store(1, n, product, n, {row, n});
      }
      std::fill(row + n, row + padded_n, P(0));
    }
  }
}

}  // namespace elman::cpu
