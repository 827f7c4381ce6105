#pragma once

// Products with the transpose of a matrix that is read where it lies: the dot products of its rows.
// Included by vec/kernels.cpp alone, once for each instruction set.

#include <algorithm>
#include <cstdint>

#include "cpu/vec/kernels.h"
#include "cpu/vec/load_store.h"
#include "cpu/vec/vector.h"

namespace elman::cpu {
namespace CPU_CAPABILITY {
namespace {

/// Rows of the left factor that are multiplied at a time with four rows of the right one; both fit
/// the registers, 32 of them or 16.
template <typename C>
constexpr int kDotRows = sizeof(Vectorized<C>) >= 64 ? 4 : 2;

/// at::vec adds a vector's elements up in registers for float alone; for double the compiler is
/// left to find the narrower vectors.
template <typename C>
inline C sum_of_elements(const Vectorized<C>& vector) {
  using Vec = Vectorized<C>;
  if constexpr (std::is_same_v<C, float>) {
    return at::vec::vec_reduce_all<C>([](const Vec& x, const Vec& y) { return x + y; }, vector);
  } else {
    C elements[Vec::size()];
    vector.store(elements);
#pragma GCC unroll 4
    for (int half = Vec::size() / 2; half > 0; half /= 2)
#pragma GCC unroll 8
      for (int i = 0; i < half; ++i) elements[i] += elements[i + half];
    return elements[0];
  }
}

/// c[M, N] (+)= a[M, k] b[N, k]^T. A sum has as many chains as a vector has elements, and ends with
/// their sum: it is the same in every block.
template <typename S, typename C, int M, int N>
void dot_block(int64_t k, const C* a, int64_t lda, const S* b, int64_t ldb, C* c, int64_t ldc,
               bool accumulate) {
  using Vec = Vectorized<C>;
  Vec sum[M][N];
#pragma GCC unroll 4
  for (int i = 0; i < M; ++i)
#pragma GCC unroll 8
    for (int j = 0; j < N; ++j) sum[i][j] = Vec(C(0));
  // What is missing of the last vectors counts as zeros.
  const auto step = [&](int64_t p, int64_t count) __attribute__((always_inline)) {
    TwoVectors<C> left[M];
#pragma GCC unroll 4
    for (int i = 0; i < M; ++i) left[i] = load_two<C>(a + i * lda + p, count);
#pragma GCC unroll 8
    for (int j = 0; j < N; ++j) {
      const TwoVectors<C> right = load_two<C>(b + j * ldb + p, count);
#pragma GCC unroll 4
      for (int i = 0; i < M; ++i) {
        sum[i][j] = fmadd(left[i].first, right.first, sum[i][j]);
        sum[i][j] = fmadd(left[i].second, right.second, sum[i][j]);
      }
    }
  };
  constexpr int64_t kStep = TwoVectors<C>::kSize;
  int64_t p = 0;
  for (; p + kStep <= k; p += kStep) step(p, kStep);
  if (p < k) step(p, k - p);
#pragma GCC unroll 4
  for (int i = 0; i < M; ++i) {
#pragma GCC unroll 8
    for (int j = 0; j < N; ++j) {
      const C value = sum_of_elements(sum[i][j]);
      C& to = c[i * ldc + j];
      to = accumulate ? to + value : value;
    }
  }
}

/// The same for n rows of b.
template <typename S, typename C, int M>
void dot_rows(int64_t n, int64_t k, const C* a, int64_t lda, const S* b, int64_t ldb, C* c,
              int64_t ldc, bool accumulate) {
  constexpr int kColumns = M == 1 ? 8 : 4;
  int64_t j = 0;
  for (; j + kColumns <= n; j += kColumns)
    dot_block<S, C, M, kColumns>(k, a, lda, b + j * ldb, ldb, c + j, ldc, accumulate);
  for (; j < n; ++j) dot_block<S, C, M, 1>(k, a, lda, b + j * ldb, ldb, c + j, ldc, accumulate);
}

/// StorageKernels::dot.
template <typename S, typename C>
void dot(int64_t m, int64_t n, int64_t k, Rows<const C> a, Rows<const S> b, C* c, int64_t ldc,
         bool accumulate) {
  // Rows of b that stay in the first-level cache while all of a is multiplied with them.
  constexpr int64_t kRows = 8;
  for (int64_t j = 0; j < n; j += kRows) {
    const int64_t columns = std::min(kRows, n - j);
    const auto rows = [&](auto count, int64_t i) {
      dot_rows<S, C, count>(columns, k, a.data + i * a.row_stride, a.row_stride,
                            b.data + j * b.row_stride, b.row_stride, c + i * ldc + j, ldc,
                            accumulate);
    };
    constexpr int kAll = kDotRows<C>;
    int64_t i = 0;
    for (; i + kAll <= m; i += kAll) rows(std::integral_constant<int, kAll>(), i);
    if constexpr (kAll == 4) {
      if (m - i >= 2) {
        rows(std::integral_constant<int, 2>(), i);
        i += 2;
      }
    }
    if (i < m) rows(std::integral_constant<int, 1>(), i);
  }
}

}  // namespace
}  // namespace CPU_CAPABILITY
}  // namespace elman::cpu
