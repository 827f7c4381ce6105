#pragma once

#include "cpu/common.h"

namespace elman::cpu {

/// The distance of a panel's rows, where `columns` columns are left for it: panels are as wide as a
/// block of the product, and padded only where a matrix ends.
template <typename C>
int64_t panel_stride(int64_t columns) {
  return std::min(math_kernels<C>().panel_columns, ceil_div(columns, 16) * 16);
}

/// A matrix [k, n] that stands on the right of products, packed into panels (see
/// MathKernels::panel_columns) of type C.
template <typename C>
class PackedMatrix {
 public:
  PackedMatrix() = default;
  PackedMatrix(int64_t k, int64_t n) : k_(k), n_(n), data_(k * padded(n)) {}

  int64_t rows() const { return k_; }
  int64_t columns() const { return n_; }

  /// The panel whose first column is j, a multiple of panel_columns, and the distance of its rows.
  const C* panel(int64_t j) const { return data_.get() + j * k_; }
  int64_t stride(int64_t j) const { return panel_stride<C>(n_ - j); }

  /// Packs a row-major matrix [k, n].
  template <typename S>
  void pack(const S* matrix) {
    parallel_tasks(ceil_div(n_, width()), kPackFlops * k_ * n_, [&](int64_t index) {
      const int64_t j = index * width();
      storage_kernels<S, C>().load(k_, std::min(width(), n_ - j), stride(j), {matrix + j, n_},
                                   mutable_panel(j), stride(j));
    });
  }

  /// Packs the transpose of a row-major matrix [n, k].
  template <typename S>
  void pack_transposed(const S* matrix) {
    parallel_tasks(ceil_div(n_, width()), kPackFlops * k_ * n_, [&](int64_t index) {
      const int64_t j = index * width();
      storage_kernels<S, C>().load_transposed(std::min(width(), n_ - j), k_, stride(j),
                                              {matrix + j * k_, k_}, mutable_panel(j), stride(j));
    });
  }

 private:
  /// Moving an element costs about as much as this many operations.
  static constexpr double kPackFlops = 4;

  static int64_t width() { return math_kernels<C>().panel_columns; }
  static int64_t padded(int64_t n) { return ceil_div(n, 16) * 16; }
  C* mutable_panel(int64_t j) { return data_.get() + j * k_; }

  int64_t k_ = 0;
  int64_t n_ = 0;
  Buffer<C> data_;
};

/// A product kernel of MathKernels: gemm or gemv.
template <typename C>
using Multiply = decltype(MathKernels<C>::gemm);

/// c[m, n] = a[m, k] times the columns j ... j + n - 1 of b, or +=; j is a multiple of
/// kPanelColumns, n at most that.
template <typename C>
inline void multiply_columns(Multiply<C> multiply, int64_t m, StridedMatrix<C> a,
                             const PackedMatrix<C>& b, int64_t j, int64_t n, C* c, int64_t ldc,
                             bool accumulate) {
  for_panels(
      n,
      [&](int64_t i, int64_t columns) {
        multiply(m, columns, b.rows(), a, b.panel(j + i), b.stride(j + i), c + i, ldc, accumulate);
      },
      math_kernels<C>().panel_columns);
}

}  // namespace elman::cpu
