#pragma once

#include <algorithm>

#include "cpu/buffer.h"
#include "cpu/schedule.h"
#include "cpu/tasks.h"
#include "cpu/vec/kernels.h"

namespace elman::cpu {

/// The distance of a panel's rows, where `columns` columns are left for it: panels are as wide as a
/// block of the product (`width`), and padded only where a matrix ends.
inline int64_t panel_stride(int64_t width, int64_t columns) {
  return std::min(width, ceil_div(columns, 16) * 16);
}

/// k, up to the number of rows that a panel of k rows takes.
template <typename P>
constexpr int64_t panel_rows(int64_t k) {
  return ceil_div(k, kInterleaved<P>) * kInterleaved<P>;
}

/// to[n, m] = from[m, n] transposed, with zeros in the columns m ... padded_m; all in pairs of
/// bfloat16, which are moved as if each were a float.
inline void transpose_pairs(int64_t m, int64_t n, int64_t padded_m, const c10::BFloat16* from,
                            int64_t ldf, c10::BFloat16* to, int64_t ldt) {
  storage_kernels<float, float>().load_transposed(m, n, padded_m,
                                                  {reinterpret_cast<const float*>(from), ldf},
                                                  reinterpret_cast<float*>(to), ldt);
}

/// to[n, k] = from[k, n] transposed; rows of `to` end with zeros up to panel_rows(k). `pairs`: room
/// for [panel_rows(k), n rounded up to 16].
inline void transpose_interleaved(int64_t k, int64_t n, Rows<const c10::BFloat16> from,
                                  c10::BFloat16* to, int64_t ldt, c10::BFloat16* pairs) {
  const int64_t ldb = ceil_div(n, 16) * 16, steps = panel_rows<c10::BFloat16>(k) / 2;
  product_kernels<c10::BFloat16>().interleave(k, n, from, pairs, ldb);
  transpose_pairs(steps, n, steps, pairs, ldb, to, ldt / 2);
}

/// A matrix [k, n] that stands on the right of products: packed into panels (see
/// ProductKernels::panel_columns) of type P, or read where it is stored, as S.
template <typename S, typename P>
class RightFactor {
 public:
  RightFactor() = default;
  RightFactor(int64_t k, int64_t n) : k_(k), n_(n), width_(product_kernels<P>().panel_columns) {}

  int64_t rows() const { return k_; }
  int64_t columns() const { return n_; }
  /// Columns of a panel.
  int64_t width() const { return width_; }

  /// The panel whose first column is j, a multiple of panel_columns, and the distance of its rows.
  const P* panel(int64_t j) const {
    return matrix_ != nullptr ? matrix_ + j : packed_.get() + j * panel_rows<P>(k_);
  }
  int64_t stride(int64_t j) const { return matrix_ != nullptr ? n_ : panel_stride(width_, n_ - j); }
  /// The transpose's rows from j on, the columns of the matrix; absent unless it is to be read
  /// where it is stored, instead of panels.
  Rows<const S> transposed(int64_t j) const {
    return {transposed_ == nullptr ? nullptr : transposed_ + j * k_, k_};
  }
  /// The panel to fetch while that of column j is multiplied: the next one, after the last one the
  /// first. Null where the matrix stays in the second-level cache.
  const P* after(int64_t j) const {
    if (matrix_ != nullptr || k_ * n_ * static_cast<int64_t>(sizeof(P)) < kFetchFrom)
      return nullptr;
    return j + width_ < n_ ? panel(j + width_) : panel(0);
  }

  /// Whether step `step` of many, each of which multiplies `rows` rows with the whole matrix, is to
  /// go through its columns backwards: every other one does where the matrix is somewhat too large
  /// for the first-level cache, to begin with what the step before has left there. With more rows
  /// that is hidden behind the arithmetic, and in a larger matrix lost.
  bool backwards(int64_t step, int64_t rows) const {
    const int64_t bytes = k_ * n_ * static_cast<int64_t>(sizeof(P));
    return step % 2 == 1 && rows <= 2 && bytes > kNearCache && bytes <= 4 * kNearCache;
  }

  /// Takes a row-major matrix [k, n] that is going to be multiplied with `rows` rows in all: packs
  /// it, unless these are too few to make up for that.
  void set(const S* matrix, int64_t rows) {
    if constexpr (std::is_same_v<S, P> && kInterleaved<P> == 1) {
      if (rows <= kRowsUnpacked && n_ % 16 == 0) {
        matrix_ = matrix;
        return;
      }
    }
    pack(matrix);
  }

  /// The same for the transpose of a row-major matrix [n, k].
  void set_transposed(const S* matrix, int64_t rows) {
    if constexpr (kInterleaved<P> == 1) {
      if (prefers_dot_products(rows, k_)) {
        transposed_ = matrix;
        return;
      }
    }
    pack_transposed(matrix);
  }

 private:
  /// Moving an element costs about as much as this many operations.
  static constexpr double kPackFlops = 4;
  /// Bytes of a matrix that does not stay in the second-level cache of any machine of today beside
  /// the rest.
  static constexpr int64_t kFetchFrom = int64_t{1} << 20;
  /// Bytes that a first-level cache holds at least.
  static constexpr int64_t kNearCache = int64_t{32} << 10;
  /// Rows that a matrix is multiplied with where it lies.
  static constexpr int64_t kRowsUnpacked = 48;

  /// Packs a row-major matrix [k, n].
  void pack(const S* matrix) {
    for_each_panel([&](int64_t j, int64_t columns, P* panel) {
      if constexpr (kInterleaved<P> == 1) {
        storage_kernels<S, P>().load(k_, columns, stride(j), {matrix + j, n_}, panel, stride(j));
      } else {
        product_kernels<P>().interleave(k_, columns, {matrix + j, n_}, panel, stride(j));
      }
    });
  }

  /// Packs the transpose of a row-major matrix [n, k].
  void pack_transposed(const S* matrix) {
    for_each_panel([&](int64_t j, int64_t columns, P* panel) {
      const S* const rows = matrix + j * k_;
      if constexpr (kInterleaved<P> == 1) {
        storage_kernels<S, P>().load_transposed(columns, k_, stride(j), {rows, k_}, panel,
                                                stride(j));
      } else {
        pack_pairs_transposed(columns, rows, panel, stride(j));
      }
    });
  }

  template <typename Run>
  void for_each_panel(const Run& run) {
    packed_ = Buffer<P>(panel_rows<P>(k_) * ceil_div(n_, 16) * 16);
    parallel_tasks(ceil_div(n_, width_), kPackFlops * k_ * n_, [&](int64_t index) {
      const int64_t j = index * width_;
      run(j, std::min(width_, n_ - j), packed_.get() + j * panel_rows<P>(k_));
    });
  }

  /// A panel of the transpose of rows [columns, k]: neighbours in a row are a pair in the panel, so
  /// pairs are transposed as they are.
  void pack_pairs_transposed(int64_t columns, const P* rows, P* panel, int64_t ldb) const {
    const int64_t padded = panel_rows<P>(k_);
    Buffer<P> copy(padded == k_ ? 0 : columns * padded);  // rows that end with half a pair
    for (int64_t i = 0; i < columns && padded != k_; ++i) {
      std::copy_n(rows + i * k_, k_, copy.get() + i * padded);
      copy.get()[i * padded + k_] = P(0);
    }
    const P* const from = padded == k_ ? rows : copy.get();
    transpose_pairs(columns, padded / 2, ldb, from, padded / 2, panel, ldb);
  }

  int64_t k_ = 0;
  int64_t n_ = 0;
  int64_t width_ = 0;
  Buffer<P> packed_;               ///< [k, n], if it is packed,
  const P* matrix_ = nullptr;      ///< or where it is stored,
  const S* transposed_ = nullptr;  ///< or its transpose
};

/// A product kernel: gemm or gemv.
template <typename P>
using Multiply = typename ProductKernels<P>::Multiply;

/// c[m, n] = a[m, k] times the columns j ... j + n - 1 of b, or +=; j is a multiple of
/// kPanelColumns, n at most that.
template <typename S, typename P>
inline void multiply_columns(Multiply<P> multiply, int64_t m, StridedMatrix<P> a,
                             const RightFactor<S, P>& b, int64_t j, int64_t n, compute_t<P>* c,
                             int64_t ldc, bool accumulate) {
  if constexpr (kInterleaved<P> == 1) {
    const Rows<const S> columns = b.transposed(j);
    if (columns.data != nullptr)
      return storage_kernels<S, P>().dot(m, n, b.rows(), {a.data, a.row_stride}, columns, c, ldc,
                                         accumulate);
  }
  Product<P> product{m, 0, b.rows(), a, nullptr, 0, nullptr, ldc, accumulate, nullptr};
  for (int64_t i = 0; i < n; i += b.width()) {
    product.n = std::min(b.width(), n - i);
    product.b = b.panel(j + i);
    product.ldb = b.stride(j + i);
    product.c = c + i;
    product.next = b.after(j + i);
    multiply(product);
  }
}

}  // namespace elman::cpu
