#pragma once

// The products of MathKernels. Included by vec/kernels.cpp alone, once for each instruction set.

#include <ATen/cpu/vec/functional.h>
#include <ATen/cpu/vec/vec.h>

#include <type_traits>

#include "cpu/vec/kernels.h"

namespace elman::cpu {
namespace CPU_CAPABILITY {
namespace {

using at::vec::Vectorized;

/// Widest block of vectors that fits the registers beside the left operand: 6 x 4 of 32, 6 x 2
/// of 16.
template <typename C>
constexpr int kMaxVectors = sizeof(Vectorized<C>) >= 64 ? 4 : 2;
constexpr int kMaxRows = 6;

constexpr int64_t kCacheLine = 64;
/// How far ahead of its use a panel is fetched, since it streams from the second-level cache, or
/// from further away: by itself the machine is late by a tenth of the time.
constexpr int64_t kPrefetchBytes = 2048;
/// A panel of fewer bytes stays in the first-level cache.
constexpr int64_t kPrefetchFrom = 16 * 1024;

/// Stores or adds the first `count` elements of a vector, one by one: at::vec's partial loads and
/// stores are calls, around which all sums of a block would have to be saved.
template <typename C>
inline void store_part(const Vectorized<C>& value, C* to, int64_t count, bool accumulate) {
  constexpr int kSize = Vectorized<C>::size();
  C elements[kSize];
  value.store(elements);
#pragma GCC unroll 16
  for (int i = 0; i < kSize; ++i) {
    if (i < count) to[i] = accumulate ? to[i] + elements[i] : elements[i];
  }
}

/// c[M, n] (+)= a[M, k] b[k, n], where n takes NV vectors, the last one perhaps in part.
template <typename C, int kChains, int M, int NV>
void gemm_block(int64_t n, int64_t k, StridedMatrix<C> a, const C* b, int64_t ldb, C* c,
                int64_t ldc, bool accumulate) {
  using Vec = Vectorized<C>;
  constexpr int64_t kSize = Vec::size();
  Vec sum[kChains][M][NV];
#pragma GCC unroll 4
  for (int chain = 0; chain < kChains; ++chain)
#pragma GCC unroll 6
    for (int i = 0; i < M; ++i)
#pragma GCC unroll 4
      for (int v = 0; v < NV; ++v) sum[chain][i][v] = Vec(C(0));

  const auto step = [&](auto& into, int64_t p) __attribute__((always_inline)) {
    Vec right[NV];
#pragma GCC unroll 4
    for (int v = 0; v < NV; ++v) right[v] = Vec::loadu(b + p * ldb + v * kSize);
#pragma GCC unroll 6
    for (int i = 0; i < M; ++i) {
      const Vec left(a.data[i * a.row_stride + p * a.column_stride]);
#pragma GCC unroll 4
      for (int v = 0; v < NV; ++v) into[i][v] = at::vec::fmadd(left, right[v], into[i][v]);
    }
  };
  int64_t p = 0;
  if constexpr (kChains == 1) {
    constexpr int64_t kRowBytes = NV * sizeof(Vec), kAhead = kPrefetchBytes / kRowBytes;
    if (k * kRowBytes >= kPrefetchFrom) {
      const auto fetching_step = [&](const C* ahead) __attribute__((always_inline)) {
#pragma GCC unroll 4
        for (int64_t v = 0; v < NV * kSize; v += kCacheLine / sizeof(C))
          __builtin_prefetch(ahead + v);
        step(sum[0], p);
      };
      for (; p < k - kAhead; ++p) fetching_step(b + (p + kAhead) * ldb);
      // At the panel's end its beginning is fetched: the next rows start there.
      for (; p < k; ++p) fetching_step(b + (p + kAhead - k) * ldb);
    }
  }
  for (; p + kChains <= k; p += kChains) {
#pragma GCC unroll 4
    for (int chain = 0; chain < kChains; ++chain) step(sum[chain], p + chain);
  }
  for (; p < k; ++p) step(sum[0], p);

#pragma GCC unroll 6
  for (int i = 0; i < M; ++i) {
#pragma GCC unroll 4
    for (int v = 0; v < NV; ++v) {
      Vec value = sum[0][i][v];
#pragma GCC unroll 4
      for (int chain = 1; chain < kChains; ++chain) value = value + sum[chain][i][v];
      C* to = c + i * ldc + v * kSize;
      const int64_t count = n - v * kSize;
      if (count < kSize) {
        store_part(value, to, count, accumulate);
        continue;
      }
      if (accumulate) value = value + Vec::loadu(to);
      value.store(to);
    }
  }
}

template <typename C, int NV>
void gemm_columns(int64_t m, int64_t n, int64_t k, StridedMatrix<C> a, const C* b, int64_t ldb,
                  C* c, int64_t ldc, bool accumulate) {
  using Block = void (*)(int64_t, int64_t, StridedMatrix<C>, const C*, int64_t, C*, int64_t, bool);
  static constexpr Block kBlocks[kMaxRows] = {gemm_block<C, 1, 1, NV>, gemm_block<C, 1, 2, NV>,
                                              gemm_block<C, 1, 3, NV>, gemm_block<C, 1, 4, NV>,
                                              gemm_block<C, 1, 5, NV>, gemm_block<C, 1, 6, NV>};
  for (int64_t i = 0; i < m;) {
    // In blocks of about one size: the fewer rows a block has, the slower each of them is.
    const int64_t left = m - i, blocks = (left + kMaxRows - 1) / kMaxRows;
    const int64_t rows = (left + blocks - 1) / blocks;
    kBlocks[rows - 1](n, k, {a.data + i * a.row_stride, a.row_stride, a.column_stride}, b, ldb,
                      c + i * ldc, ldc, accumulate);
    i += rows;
  }
}

template <typename C, int NV>
void gemv_columns(int64_t /*m*/, int64_t n, int64_t k, StridedMatrix<C> a, const C* b, int64_t ldb,
                  C* c, int64_t ldc, bool accumulate) {
  gemm_block<C, 4, 1, NV>(n, k, a, b, ldb, c, ldc, accumulate);
}

/// Chooses by the number of vectors that n columns take.
template <typename C, template <typename, int> class Columns>
void by_columns(int64_t m, int64_t n, int64_t k, StridedMatrix<C> a, const C* b, int64_t ldb, C* c,
                int64_t ldc, bool accumulate) {
  constexpr int64_t kSize = Vectorized<C>::size();
  const auto run = [&](auto vectors) {
    if constexpr (vectors <= kMaxVectors<C>)
      Columns<C, vectors>::run(m, n, k, a, b, ldb, c, ldc, accumulate);
  };
  switch ((n + kSize - 1) / kSize) {
    case 1:
      return run(std::integral_constant<int, 1>());
    case 2:
      return run(std::integral_constant<int, 2>());
    case 3:
      return run(std::integral_constant<int, 3>());
    default:
      return run(std::integral_constant<int, 4>());
  }
}

template <typename C, int NV>
struct GemmColumns {
  static constexpr auto run = gemm_columns<C, NV>;
};
template <typename C, int NV>
struct GemvColumns {
  static constexpr auto run = gemv_columns<C, NV>;
};

}  // namespace
}  // namespace CPU_CAPABILITY
}  // namespace elman::cpu
