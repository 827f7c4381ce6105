#pragma once

// Loads and stores of two vectors at a time, since a vector of a 16-bit type holds as many elements
// as two of float. Included by vec/kernels.cpp alone, once for each instruction set.

#include <algorithm>
#include <type_traits>

#include "cpu/vec/kernels.h"
#include "cpu/vec/vector.h"

namespace elman::cpu {
namespace CPU_CAPABILITY {
namespace {

/// Elements from which a row is moved by the library.
constexpr int64_t kShortRow = 65;
/// Whether vectors are loaded and stored in part without a detour.
template <typename C>
constexpr bool kHasParts = sizeof(Vectorized<C>) >= 64;

/// Loads or stores `count` elements, all of the vector in the common case.
template <typename C>
inline Vectorized<C> load(const C* from, int64_t count) {
  return count >= Vectorized<C>::size() ? Vectorized<C>::loadu(from)
                                        : Vectorized<C>::loadu(from, count);
}
template <typename C>
inline void store(const Vectorized<C>& value, C* to, int64_t count) {
  if (count >= Vectorized<C>::size()) {
    value.store(to);
  } else {
    value.store(to, static_cast<int>(count));
  }
}

/// Calls run(width, first) for the pieces of 16, 8, 4, 2 and 1 elements that n elements fall into.
template <typename Run>
inline void for_pieces(int64_t n, const Run& run) {
  int64_t at = 0;
  for (; at + 16 <= n; at += 16) run(std::integral_constant<int, 16>(), at);
  const auto piece = [&](auto width) {
    if ((n & width) == 0) return;
    run(width, at);
    at += width;
  };
  piece(std::integral_constant<int, 8>());
  piece(std::integral_constant<int, 4>());
  piece(std::integral_constant<int, 2>());
  piece(std::integral_constant<int, 1>());
}

/// to[n] = from[n]. Rows may be short, and many: the library's functions for any length take longer
/// to be called than a few elements to be moved. AVX-512 has vectors in part for that.
template <typename C>
inline void copy_row(int64_t n, const C* from, C* to) {
  if (n >= kShortRow) {
    std::copy_n(from, n, to);
  } else if constexpr (kHasParts<C>) {
    for (int64_t j = 0; j < n; j += Vectorized<C>::size())
      store(load(from + j, n - j), to + j, n - j);
  } else {
    for_pieces(n, [&](auto width, int64_t at) {
      __builtin_memcpy(to + at, from + at, width * sizeof(C));
    });
  }
}

/// to[n] = 0, likewise.
template <typename C>
inline void fill_zeros(int64_t n, C* to) {
  if constexpr (kHasParts<C>) {
    for (int64_t j = 0; j < n; j += Vectorized<C>::size())
      store(Vectorized<C>(C(0)), to + j, n - j);
  } else {
    for_pieces(n, [&](auto width, int64_t at) { __builtin_memset(to + at, 0, width * sizeof(C)); });
  }
}

/// Elements up to which rows that lie below each other are narrow.
constexpr int64_t kNarrowRow = 16;

/// to[m, n] = from[m, n], n from kWidth to 2 * kWidth: two pieces a row, which overlap, so that no
/// row takes branches that its length asks for. `before(row)` is called with each row of `to`.
template <int kWidth, typename C, typename Before>
inline void copy_in_two(int64_t m, int64_t n, Rows<const C> from, C* to, int64_t ldt,
                        const Before& before) {
  const int64_t second = n - kWidth;
  for (int64_t i = 0; i < m; ++i, from.data += from.row_stride, to += ldt) {
    before(to);
    __builtin_memcpy(to, from.data, kWidth * sizeof(C));
    __builtin_memcpy(to + second, from.data + second, kWidth * sizeof(C));
  }
}

/// to[m, n] = from[m, n], n up to kNarrowRow.
template <typename C, typename Before>
inline void copy_narrow_rows(int64_t m, int64_t n, Rows<const C> from, C* to, int64_t ldt,
                             const Before& before) {
  if (n >= 8) return copy_in_two<8>(m, n, from, to, ldt, before);
  if (n >= 4) return copy_in_two<4>(m, n, from, to, ldt, before);
  if (n >= 2) return copy_in_two<2>(m, n, from, to, ldt, before);
  if (n == 1) return copy_in_two<1>(m, n, from, to, ldt, before);
}

/// Whether copy_narrow_rows is the way to copy m rows of n elements: where there are no vectors in
/// part, and several rows.
template <typename C>
constexpr bool are_narrow(int64_t m, int64_t n) {
  return !kHasParts<C> && m > 1 && n > 0 && n <= kNarrowRow;
}

/// Up to 2 * Vectorized<C>::size() elements; the second vector is not computed with where the first
/// one takes them all.
template <typename C>
struct TwoVectors {
  using Vec = Vectorized<C>;
  static constexpr int64_t kSize = 2 * Vec::size();
  Vec first, second;
  int64_t count;

  template <typename Function, typename... Others>
  TwoVectors map(const Function& f, const Others&... others) const {
    return {f(first, others.first...), has_second() ? f(second, others.second...) : second, count};
  }
  bool has_second() const { return count > Vec::size(); }
};

/// The first elements at `from`, which are stored as S: at most `count`, or as many as there is
/// room for.
template <typename C, typename S>
__attribute__((always_inline)) inline TwoVectors<C> load_two(const S* from, int64_t count) {
  using Vec = Vectorized<C>;
  count = std::min(count, TwoVectors<C>::kSize);
  if constexpr (std::is_same_v<S, C>) {
    return {load(from, count),
            count > Vec::size() ? load(from + Vec::size(), count - Vec::size()) : Vec(C(0)), count};
  } else {
    static_assert(Vectorized<S>::size() == TwoVectors<C>::kSize);
    const auto [first, second] = at::vec::convert_to_float<S>(load(from, count));
    return {first, second, count};
  }
}

template <typename C, typename S>
__attribute__((always_inline)) inline void store_two(const TwoVectors<C>& values, S* to) {
  using Vec = Vectorized<C>;
  if constexpr (std::is_same_v<S, C>) {
    store(values.first, to, values.count);
    if (values.has_second()) store(values.second, to + Vec::size(), values.count - Vec::size());
  } else {
    store(at::vec::convert_from_float<S>(values.first, values.second), to, values.count);
  }
}

/// The same; returns the values that are stored.
template <typename C, typename S>
inline TwoVectors<C> store_and_round(const TwoVectors<C>& values, S* to) {
  if constexpr (std::is_same_v<S, C>) {
    store_two(values, to);
    return values;
  } else {
    const auto stored = at::vec::convert_from_float<S>(values.first, values.second);
    store(stored, to, values.count);
    const auto [first, second] = at::vec::convert_to_float<S>(stored);
    return {first, second, values.count};
  }
}

/// Whether a matrix [m, n] is one row of m * n, so that fewer vectors are used in part; absent ones
/// are.
template <typename T>
inline bool is_dense(int64_t n, const Rows<T>& rows) {
  return rows.data == nullptr || rows.row_stride == n;
}

/// Row i, or null where rows are absent.
template <typename T>
inline T* row_of(const Rows<T>& rows, int64_t i) {
  return rows.data == nullptr ? nullptr : rows.data + i * rows.row_stride;
}

/// Calls run(j) for the first of every TwoVectors<C>::kSize of n elements.
template <typename C, typename Run>
inline void for_two(int64_t n, const Run& run) {
  for (int64_t j = 0; j < n; j += TwoVectors<C>::kSize) run(j);
}

}  // namespace
}  // namespace CPU_CAPABILITY
}  // namespace elman::cpu
