#pragma once

// What the kernels of products take. Nothing of torch, so that a library without it has them too.

#include <cstdint>
#include <type_traits>

namespace elman::cpu {

/// The type that values of type S (of storage, or a product's factor) are summed and made states of
/// in.
template <typename S>
using compute_t = std::conditional_t<std::is_same_v<S, double>, double, float>;

/// A matrix a[m, k] whose element (i, p) stands at data[i * row_stride + p * column_stride]; with
/// the strides swapped, its transpose.
template <typename P>
struct StridedMatrix {
  const P* data;
  int64_t row_stride;
  int64_t column_stride;
};

/// `rows` rows of storage type S, the first at data, each row_stride elements after the one before;
/// null: absent.
template <typename S>
struct Rows {
  S* data;
  int64_t row_stride;
};

/// How many rows of a panel stand interleaved, since the CPU multiplies so many factors of type P
/// at a time.
template <typename P>
constexpr int64_t kInterleaved = 1;

/// A product c[m, n] = a[m, k] b[k, n], or += with `accumulate`. P is the type of the factors:
/// float, double, or, where the CPU has products of it, bfloat16 (denormal numbers count as zero
/// then). C is that of the sums.
///
/// b is a panel, [k, ldb], n at most ProductKernels::panel_columns; with kInterleaved<P> == 2 a
/// panel holds pairs of rows, [k / 2, ldb, 2], the last of an odd number of rows beside zeros. It
/// is readable up to the next multiple of 16 columns after n. A left factor of bfloat16 has
/// column_stride 1. `next`, if not null, is a panel as large as b to be fetched meanwhile.
///
/// Handed on by reference: a step of a small network takes less time than its arguments would on
/// the stack, written in words and read in vectors.
template <typename P>
struct Product {
  using C = compute_t<P>;
  int64_t m, n, k;
  StridedMatrix<P> a;
  const P* b;
  int64_t ldb;
  C* c;
  int64_t ldc;
  bool accumulate;
  const P* next;
};

}  // namespace elman::cpu
