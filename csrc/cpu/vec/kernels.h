#pragma once

#include <cstdint>

#include "activation.h"

namespace elman::cpu {

/// Columns that a product and its epilogue (bias, activation, f') are done in at a time, so that
/// the epilogue finds the product in the first-level cache.
constexpr int64_t kPanelColumns = 64;

/// A matrix a[m, k] whose element (i, p) stands at data[i * row_stride + p * column_stride]; with
/// the strides swapped, its transpose.
template <typename C>
struct StridedMatrix {
  const C* data;
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

/// The inner loops, compiled once per instruction set (vec/kernels.cpp) and chosen at run time. C
/// is the type computed in: float or double. Blocks of all but `gemm`'s and `gemv`'s left operand
/// are at most kPanelColumns wide.
template <typename C>
struct MathKernels {
  /// Columns of a panel, a divisor of kPanelColumns: matrices that stand on the right of a product
  /// are packed into panels of this many columns (fewer in the last one), each [K, columns] row
  /// after row. It is what a block of the product takes at a time, so that a block reads memory in
  /// one stream: rows further apart would fight for a part of the first-level cache's sets.
  int64_t panel_columns;
  /// c[m, n] = a[m, k] b[k, n], or += with `accumulate`. b is a panel, n at most panel_columns: its
  /// rows are `ldb` apart, and readable up to the next multiple of 16 columns after n. Each element
  /// is one chain of fused multiply-adds over k, so that a row's result does not depend on which
  /// rows it is computed together with.
  void (*gemm)(int64_t m, int64_t n, int64_t k, StridedMatrix<C> a, const C* b, int64_t ldb, C* c,
               int64_t ldc, bool accumulate);
  /// gemm for the one row of a problem that has no other. Its sums are four chains over k, since a
  /// single row has too few of them to hide the latency of an addition.
  void (*gemv)(int64_t m, int64_t n, int64_t k, StridedMatrix<C> a, const C* b, int64_t ldb, C* c,
               int64_t ldc, bool accumulate);
  /// c[m, n] = f(c + bias). bias: [m, n], rows 0 apart where all are one; or absent.
  void (*activate)(Activation activation, int64_t m, int64_t n, Rows<const C> bias, C* c,
                   int64_t ldc);
  /// out[n] += sum over m of a[m, n].
  void (*add_column_sums)(int64_t m, int64_t n, const C* a, int64_t lda, C* out);
};

/// Kernels that move values between the storage type S and C.
template <typename S, typename C>
struct StorageKernels {
  /// to[m, n] = from[m, n], with zeros in the columns n ... padded_n.
  void (*load)(int64_t m, int64_t n, int64_t padded_n, Rows<const S> from, C* to, int64_t ldt);
  /// to[n, m] = from[m, n] transposed, with zeros in the columns m ... padded_m.
  void (*load_transposed)(int64_t m, int64_t n, int64_t padded_m, Rows<const S> from, C* to,
                          int64_t ldt);
  /// to[m, n] = from[m, n], rounded to S.
  void (*store)(int64_t m, int64_t n, const C* from, int64_t ldf, Rows<S> to);
  /// c[m, n] += from[m, n].
  void (*add)(int64_t m, int64_t n, Rows<const S> from, C* c, int64_t ldc);
  /// c[m, n] *= factor[m, n].
  void (*scale)(int64_t m, int64_t n, Rows<const S> factor, C* c, int64_t ldc);
  /// c = f'(h) * (c + g); then sum = c, or sum += c with `accumulate`. c: [m, n]; where
  /// `c_is_zero`, c counts as zero and is only written. h: rows of S; g: rows of S, of C in the
  /// second, or absent.
  void (*delta)(Activation activation, int64_t m, int64_t n, bool c_is_zero, Rows<const S> g,
                Rows<const S> h, C* c, int64_t ldc, Rows<C> sum, bool accumulate);
  void (*delta_of_computed)(Activation activation, int64_t m, int64_t n, bool c_is_zero,
                            Rows<const C> g, Rows<const S> h, C* c, int64_t ldc, Rows<C> sum,
                            bool accumulate);
};

/// The tables for this machine, the same for the life of the process.
template <typename C>
const MathKernels<C>& math_kernels();
template <typename S, typename C>
const StorageKernels<S, C>& storage_kernels();

}  // namespace elman::cpu
