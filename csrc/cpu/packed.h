#pragma once

#include "cpu/common.h"

namespace elman::cpu {

/// A matrix [k, n] that stands on the right of products, packed into panels (see kPanelColumns) of
/// type C.
template <typename C>
class PackedMatrix {
 public:
  PackedMatrix() = default;
  PackedMatrix(int64_t k, int64_t n) : k_(k), n_(n), data_(k * padded(n)) {}

  int64_t rows() const { return k_; }
  int64_t columns() const { return n_; }

  /// The panel whose first column is j, a multiple of kPanelColumns, and the distance of its rows.
  const C* panel(int64_t j) const { return data_.get() + j * k_; }
  int64_t stride(int64_t j) const { return std::min(kPanelColumns, padded(n_ - j)); }

  /// Packs a row-major matrix [k, n].
  template <typename S>
  void pack(const S* matrix) {
    parallel_tasks(ceil_div(n_, kPanelColumns), kPackFlops * k_ * n_, [&](int64_t index) {
      const int64_t j = index * kPanelColumns;
      storage_kernels<S, C>().load(k_, std::min(kPanelColumns, n_ - j), stride(j), {matrix + j, n_},
                                   mutable_panel(j), stride(j));
    });
  }

  /// Packs the transpose of a row-major matrix [n, k].
  template <typename S>
  void pack_transposed(const S* matrix) {
    parallel_tasks(ceil_div(n_, kPanelColumns), kPackFlops * k_ * n_, [&](int64_t index) {
      const int64_t j = index * kPanelColumns;
      const int64_t columns = std::min(kPanelColumns, n_ - j);
      C* to = mutable_panel(j);
      const int64_t ldt = stride(j);
      // Blocks of 16 x 16: each cache line that is read or written is used whole.
      constexpr int64_t kBlock = 16;
      for (int64_t p0 = 0; p0 < k_; p0 += kBlock) {
        const int64_t p1 = std::min(k_, p0 + kBlock);
        for (int64_t c0 = 0; c0 < ldt; c0 += kBlock) {
          for (int64_t p = p0; p < p1; ++p) {
            for (int64_t c = c0; c < c0 + kBlock; ++c) {
              to[p * ldt + c] = c < columns ? static_cast<C>(matrix[(j + c) * k_ + p]) : C(0);
            }
          }
        }
      }
    });
  }

 private:
  static constexpr double kPackFlops =
      8;  ///< moving an element costs about as much as this many operations

  static int64_t padded(int64_t n) { return ceil_div(n, 16) * 16; }
  C* mutable_panel(int64_t j) { return data_.get() + j * k_; }

  int64_t k_ = 0;
  int64_t n_ = 0;
  Buffer<C> data_;
};

/// c[m, columns of the panel at j] = a[m, k] b, or +=.
template <typename C>
inline void multiply_panel(int64_t m, StridedMatrix<C> a, const PackedMatrix<C>& b, int64_t j, C* c,
                           int64_t ldc, bool accumulate) {
  math_kernels<C>().gemm(m, std::min(kPanelColumns, b.columns() - j), b.rows(), a, b.panel(j),
                         b.stride(j), c, ldc, accumulate);
}

}  // namespace elman::cpu
