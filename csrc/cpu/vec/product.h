#pragma once

// The products of ProductKernels in blocks of registers. Included by files that are compiled once
// for each instruction set.

#include <cstdint>
#include <new>
#include <type_traits>

#include "cpu/vec/operands.h"

namespace elman::cpu {
namespace CPU_CAPABILITY {
namespace {

constexpr int kMaxRows = 6;

constexpr int64_t kCacheLine = 64;
/// How far ahead of its use a panel is fetched, since it streams from the second-level cache, or
/// from further away: by itself the machine is late by a tenth of the time.
constexpr int64_t kPrefetchBytes = 2048;
/// A panel of fewer bytes stays in the first-level cache.
constexpr int64_t kPrefetchFrom = 16 * 1024;

// The blocks below are the same for every type of factor. What differs is in `Lanes`:
//   Factor, Sum       the types of elements
//   Left, Right, Vec  vectors of factors, and of sums; Vec has loadu, store, + and a zero()
//   kSize             sums in a Vec
//   kMaxVectors       the widest block of kMaxRows rows that fits the registers beside the left
//                     factor
//   load(from), broadcast(from), broadcast_last(from)
//                     kSize columns of a panel's row (of kInterleaved rows), the left factors for
//                     them, and the last ones if k is no multiple of kInterleaved
//   multiply_add(left, right, sum)

/// Stores or adds the first `count` elements of a vector, one by one: at::vec's partial loads and
/// stores are calls, around which all sums of a block would have to be saved.
template <typename Lanes>
inline void store_part(const typename Lanes::Vec& value, typename Lanes::Sum* to, int64_t count,
                       bool accumulate) {
  typename Lanes::Sum elements[Lanes::kSize];
  value.store(elements);
#pragma GCC unroll 16
  for (int i = 0; i < Lanes::kSize; ++i) {
    if (i < count) to[i] = accumulate ? to[i] + elements[i] : elements[i];
  }
}

/// Memory that is wanted after a block, brought into the second-level cache line by line.
struct Fetch {
  const char* from;
  int64_t lines;
};

/// The rows [row, row + M) of a product, where n takes NV vectors, the last one perhaps in part.
template <typename Lanes, int kChains, int M, int NV>
void gemm_block(const Product<typename Lanes::Factor>& product, int64_t row, Fetch next) {
  using P = typename Lanes::Factor;
  using Vec = typename Lanes::Vec;
  constexpr int64_t kSize = Lanes::kSize, kPair = kInterleaved<P>;
  const int64_t k = product.k, ldb = product.ldb;
  const int64_t row_stride = product.a.row_stride, column_stride = product.a.column_stride;
  const P* const a = product.a.data + row * row_stride;
  const P* const b = product.b;
  // Not constructed before it is set: of at::vec's zeros of 6 x 1 vectors GCC makes a loop in
  // memory.
  union Sums {
    Vec at[kChains][M][NV];
    Sums() {}
  } sums;
  auto& sum = sums.at;
#pragma GCC unroll 4
  for (int chain = 0; chain < kChains; ++chain)
#pragma GCC unroll 6
    for (int i = 0; i < M; ++i)
#pragma GCC unroll 4
      for (int v = 0; v < NV; ++v) ::new (&sum[chain][i][v]) Vec(Lanes::zero());

  const auto step_with = [&](auto& into, int64_t p, auto broadcast) __attribute__((always_inline)) {
    typename Lanes::Right right[NV];
#pragma GCC unroll 4
    for (int v = 0; v < NV; ++v) right[v] = Lanes::load(b + (p * ldb + v * kSize) * kPair);
#pragma GCC unroll 6
    for (int i = 0; i < M; ++i) {
      const auto left = broadcast(a + i * row_stride + p * kPair * column_stride);
#pragma GCC unroll 4
      for (int v = 0; v < NV; ++v) into[i][v] = Lanes::multiply_add(left, right[v], into[i][v]);
    }
  };
  const auto step = [&](auto& into, int64_t p) __attribute__((always_inline)) {
    step_with(
        into, p,
        [](const P* from) __attribute__((always_inline)) { return Lanes::broadcast(from); });
  };
  const int64_t steps = k / kPair;
  int64_t p = 0;
  if constexpr (kChains == 1) {
    constexpr int64_t kRow = NV * kSize * kPair, kAhead = kPrefetchBytes / (kRow * sizeof(P));
    if (steps * kRow * static_cast<int64_t>(sizeof(P)) >= kPrefetchFrom) {
      const auto fetching_step = [&](const P* ahead) __attribute__((always_inline)) {
#pragma GCC unroll 4
        for (int64_t at = 0; at < kRow; at += kCacheLine / sizeof(P))
          __builtin_prefetch(ahead + at);
        if (p < next.lines) __builtin_prefetch(next.from + p * kCacheLine, 0, 2);
        step(sum[0], p);
      };
      for (; p < steps - kAhead; ++p) fetching_step(b + (p + kAhead) * ldb * kPair);
      // At the panel's end its beginning is fetched: the next rows start there.
      for (; p < steps; ++p) fetching_step(b + (p + kAhead - steps) * ldb * kPair);
    }
  }
  for (; p + kChains <= steps; p += kChains) {
#pragma GCC unroll 4
    for (int chain = 0; chain < kChains; ++chain) step(sum[chain], p + chain);
  }
  for (; p < steps; ++p) step(sum[0], p);
  if constexpr (kPair > 1) {
    if (k % kPair != 0)
      step_with(
          sum[0], p,
          [](const P* from) __attribute__((always_inline)) { return Lanes::broadcast_last(from); });
  }

  const bool accumulate = product.accumulate;
  const int64_t ldc = product.ldc;
  typename Lanes::Sum* const c = product.c + row * ldc;
#pragma GCC unroll 6
  for (int i = 0; i < M; ++i) {
#pragma GCC unroll 4
    for (int v = 0; v < NV; ++v) {
      Vec value = sum[0][i][v];
#pragma GCC unroll 4
      for (int chain = 1; chain < kChains; ++chain) value = value + sum[chain][i][v];
      typename Lanes::Sum* to = c + i * ldc + v * kSize;
      const int64_t count = product.n - v * kSize;
      if (count < kSize) {
        store_part<Lanes>(value, to, count, accumulate);
        continue;
      }
      if (accumulate) value = value + Vec::loadu(to);
      value.store(to);
    }
  }
}

/// ProductKernels, by the number of vectors that the columns take.
template <typename Lanes>
struct PanelProduct {
  using P = typename Lanes::Factor;

  static void gemm(const Product<P>& product) {
    by_vectors(product.n, [&](auto vectors) { gemm_columns<vectors>(product); });
  }

  /// For one row.
  static void gemv(const Product<P>& product) {
    by_vectors(product.n, [&](auto vectors) {
      gemm_block<Lanes, 4, 1, vectors>(product, 0, {nullptr, 0});
    });
  }

 private:
  template <typename Run>
  static void by_vectors(int64_t n, const Run& run) {
    const auto run_if_it_fits = [&](auto vectors) {
      if constexpr (vectors <= Lanes::kMaxVectors) run(vectors);
    };
    switch ((n + Lanes::kSize - 1) / Lanes::kSize) {
      case 1:
        return run_if_it_fits(std::integral_constant<int, 1>());
      case 2:
        return run_if_it_fits(std::integral_constant<int, 2>());
      case 3:
        return run_if_it_fits(std::integral_constant<int, 3>());
      default:
        return run_if_it_fits(std::integral_constant<int, 4>());
    }
  }

  template <int NV>
  static void gemm_columns(const Product<P>& product) {
    using Block = void (*)(const Product<P>&, int64_t, Fetch);
    static constexpr Block kBlocks[kMaxRows] = {
        gemm_block<Lanes, 1, 1, NV>, gemm_block<Lanes, 1, 2, NV>, gemm_block<Lanes, 1, 3, NV>,
        gemm_block<Lanes, 1, 4, NV>, gemm_block<Lanes, 1, 5, NV>, gemm_block<Lanes, 1, 6, NV>};
    const int64_t m = product.m;
    int64_t blocks = (m + kMaxRows - 1) / kMaxRows;
    Fetch fetch{nullptr, 0};
    if (product.next != nullptr && m > 0) {
      // Evenly over the blocks, as far as one line to a step goes.
      const int64_t bytes = product.k * product.ldb * static_cast<int64_t>(sizeof(P));
      fetch = {reinterpret_cast<const char*>(product.next),
               (bytes / kCacheLine + blocks - 1) / blocks};
    }
    // In blocks of about one size: the fewer rows a block has, the slower each of them is.
    for (int64_t row = 0; blocks > 0; --blocks) {
      const int64_t left = m - row, rows = blocks == 1 ? left : (left + blocks - 1) / blocks;
      kBlocks[rows - 1](product, row, fetch);
      fetch.from += fetch.lines * kCacheLine;
      row += rows;
    }
  }
};

}  // namespace
}  // namespace CPU_CAPABILITY
}  // namespace elman::cpu
