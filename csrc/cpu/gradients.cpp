#include "cpu/gradients.h"

#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

#include "cpu/factors.h"

namespace elman::cpu {
namespace {

/// Rows of the sum that are packed and multiplied at a time.
constexpr int64_t kReduceRows = 256;

/// A block of a weight gradient: rows [h0, h0 + m) of it, columns [c0, c0 + n).
template <typename S, typename P>
class WeightGradientBlock {
 public:
  using C = compute_t<S>;

  WeightGradientBlock(int64_t h0, int64_t m, int64_t c0, int64_t n)
      : h0_(h0),
        m_(m),
        c0_(c0),
        n_(n),
        // An odd number of cache lines to a row: with a power of two, the rows would fight for the
        // same sets of the cache.
        delta_stride_(kTransposes ? kReduceRows + 32 : (ceil_div(m, 16) | 1) * 16),
        delta_(kTransposes ? m * delta_stride_ : kReduceRows * delta_stride_),
        x_(kReduceRows * ceil_div(n, kPanelColumns) * kPanelColumns),
        rows_(kTransposes ? kReduceRows * kPanelColumns : 0),
        pairs_(kTransposes ? kReduceRows * kPanelColumns : 0),
        sum_(m * n) {
    std::fill_n(sum_.get(), m * n, C(0));
  }

  /// Adds the segments' rows, kReduceRows at a time, whatever segments they lie in.
  void add(Rows<const C> delta, const std::vector<RowSegment<S>>& segments) {
    int64_t count = 0;
    for (const RowSegment<S>& segment : segments) {
      for (int64_t row = 0; row < segment.count;) {
        const int64_t rows = std::min(kReduceRows - count, segment.count - row);
        pieces_.push_back({&segment, row, rows, count});
        row += rows;
        count += rows;
        if (count == kReduceRows) {
          add_pieces(delta, count);
          count = 0;
        }
      }
    }
    if (count > 0) add_pieces(delta, count);
  }

  void store(S* gradient, int64_t stride) const {
    for_panels(n_, [&](int64_t j, int64_t columns) {
      storage_kernels<S, C>().store(m_, columns, sum_.get() + j, n_,
                                    {gradient + h0_ * stride + c0_ + j, stride});
    });
  }

 private:
  /// Whether delta is transposed in memory, since interleaved factors do not let its strides be
  /// swapped.
  static constexpr bool kTransposes = kInterleaved<P> > 1;

  /// Rows [row, row + count) of a segment, which stand at `at` among those multiplied together.
  struct Piece {
    const RowSegment<S>* segment;
    int64_t row, count, at;
  };

  void add_pieces(Rows<const C> delta, int64_t count) {
    for_panels(m_, [&](int64_t j, int64_t columns) { pack_delta(delta, count, j, columns); });
    const StridedMatrix<P> left = kTransposes ? StridedMatrix<P>{delta_.get(), delta_stride_, 1}
                                              : StridedMatrix<P>{delta_.get(), 1, delta_stride_};
    const auto add_panel = [&](int64_t j, int64_t columns) {
      P* const panel = x_.get() + j * kReduceRows;
      const int64_t padded = panel_stride<P>(columns);
      pack_x(count, j, columns, panel, padded);
      product_kernels<P>().gemm(m_, columns, panel_rows<P>(count), left, panel, padded,
                                sum_.get() + j, n_, true, nullptr);
    };
    for_panels(n_, add_panel, product_kernels<P>().panel_columns);
    pieces_.clear();
  }

  /// The left factor, delta^T: of delta the columns [j, j + columns).
  void pack_delta(Rows<const C> delta, int64_t count, int64_t j, int64_t columns) {
    const auto load = [&](P* to, int64_t ldt) {
      for (const Piece& piece : pieces_) {
        const int64_t row = piece.segment->delta_row + piece.row;
        storage_kernels<P, C>().store(piece.count, columns,
                                      delta.data + row * delta.row_stride + h0_ + j,
                                      delta.row_stride, {to + piece.at * ldt, ldt});
      }
    };
    if constexpr (kTransposes) {
      load(rows_.get(), columns);
      transpose_interleaved<P>(count, columns, {rows_.get(), columns},
                               delta_.get() + j * delta_stride_, delta_stride_, pairs_.get());
    } else {
      load(delta_.get() + j, delta_stride_);
    }
  }

  /// The right factor's columns [j, j + columns), a panel.
  void pack_x(int64_t count, int64_t j, int64_t columns, P* panel, int64_t padded) const {
    if constexpr (kTransposes) {
      const RowSegment<S>& first = *pieces_[0].segment;
      if (pieces_.size() == 1 && first.mask.data == nullptr && first.reset == nullptr) {
        const int64_t row = pieces_[0].row;
        return product_kernels<P>().interleave(
            count, columns, {first.x.data + row * first.x.row_stride + c0_ + j, first.x.row_stride},
            panel, padded);
      }
    }
    P* const rows = kTransposes ? rows_.get() : panel;
    for (const Piece& piece : pieces_) load_x(piece, j, columns, rows + piece.at * padded, padded);
    if constexpr (kTransposes)
      product_kernels<P>().interleave(count, padded, {rows, padded}, panel, padded);
  }

  void load_x(const Piece& piece, int64_t j, int64_t columns, P* to, int64_t padded) const {
    const RowSegment<S>& segment = *piece.segment;
    const auto at = [&](Rows<const S> rows) {
      if (rows.data != nullptr) rows.data += piece.row * rows.row_stride + c0_ + j;
      return rows;
    };
    load_factors<S, P>(piece.count, columns, padded, at(segment.x), at(segment.mask), to, padded);
    if (segment.reset == nullptr) return;
    for (int64_t i = 0; i < piece.count; ++i) {
      if (segment.reset[piece.row + i]) std::fill_n(to + i * padded, columns, P(0));
    }
  }

  int64_t h0_, m_, c0_, n_, delta_stride_;
  Buffer<P> delta_;  ///< [kReduceRows, m], packed, or [m, kReduceRows] if it is transposed
  Buffer<P> x_;      ///< panels of [kReduceRows, panel_columns]
  Buffer<P> rows_;   ///< [kReduceRows, kPanelColumns], rows that are going to be interleaved,
  Buffer<P> pairs_;  ///< and interleaved
  Buffer<C> sum_;    ///< [m, n]
  std::vector<Piece> pieces_;
};

/// Block sizes of a weight gradient [hidden, n]: as large as the cache allows, for packing's sake,
/// and of one size, so that the threads finish together.
template <typename P>
struct Blocking {
  int64_t rows, columns;

  Blocking(int64_t hidden, int64_t n, int64_t threads) {
    const int64_t across = ceil_div(n, 512);
    columns = ceil_div(ceil_div(n, across), kPanelColumns) * kPanelColumns;
    const int64_t most = ceil_div(hidden, kUnit);
    int64_t down = ceil_div(hidden, 384);
    while (across * down % threads != 0 && down < most) ++down;
    rows = ceil_div(ceil_div(hidden, down), kUnit) * kUnit;
  }

  /// Rows that the product's kernel takes at a time: 6, or a tile of the matrix unit.
  static constexpr int64_t kUnit = kInterleaved<P> > 1 ? 16 : 6;
};

}  // namespace

template <typename S, typename P>
void weight_gradient(int64_t hidden, int64_t n, Rows<const compute_t<S>> delta,
                     const std::vector<RowSegment<S>>& segments, S* gradient) {
  int64_t rows = 0;
  for (const RowSegment<S>& segment : segments) rows += segment.count;
  const double flops = 2.0 * rows * hidden * n;
  const Blocking<P> blocking(hidden, n, threads_for(flops));
  const int64_t across = ceil_div(n, blocking.columns);
  const int64_t down = ceil_div(hidden, blocking.rows);
  parallel_tasks(across * down, flops, [&](int64_t task) {
    const int64_t h0 = task / across * blocking.rows, c0 = task % across * blocking.columns;
    WeightGradientBlock<S, P> block(h0, std::min(blocking.rows, hidden - h0), c0,
                                    std::min(blocking.columns, n - c0));
    block.add(delta, segments);
    block.store(gradient, n);
  });
}

template <typename S>
void bias_gradient(int64_t rows, int64_t hidden, Rows<const compute_t<S>> delta, S* first,
                   S* second) {
  using C = compute_t<S>;
  parallel_tasks(ceil_div(hidden, kPanelColumns), 2.0 * rows * hidden, [&](int64_t panel) {
    const int64_t j = panel * kPanelColumns, columns = std::min(kPanelColumns, hidden - j);
    C sum[kPanelColumns] = {};
    math_kernels<C>().add_column_sums(rows, columns, delta.data + j, delta.row_stride, sum);
    for (S* gradient : {first, second}) {
      if (gradient != nullptr)
        storage_kernels<S, C>().store(1, columns, sum, columns, {gradient + j, columns});
    }
  });
}

template <typename S, typename P, typename Out>
void input_gradient(int64_t rows, const std::vector<InputGradientTerm<P>>& terms, const S* mask,
                    Out* out, bool in_place) {
  using C = compute_t<S>;
  constexpr int64_t kRows = 96;
  constexpr bool kSameType = std::is_same_v<Out, C>, kRounds = !std::is_same_v<P, C>;
  const int64_t hidden = terms[0].weight->rows(), n = terms[0].weight->columns();
  const double flops = 2.0 * rows * hidden * n * terms.size();
  parallel_tasks(ceil_div(rows, kRows), flops, [&](int64_t block) {
    const int64_t row = block * kRows, count = std::min(kRows, rows - row);
    // The rows are computed where they go, or a block of columns at a time, or all before the first
    // one is overwritten.
    const bool direct = kSameType && !in_place;
    const Buffer<C> scratch(direct ? 0 : count * (in_place ? n : kPanelColumns));
    const Buffer<P> factors(kRounds ? terms.size() * count * hidden : 0);
    const auto left = [&](size_t i) -> StridedMatrix<P> {
      const Rows<const C>& delta = terms[i].delta;
      if constexpr (kRounds) {
        return {factors.get() + i * count * hidden, hidden, 1};
      } else {
        return {delta.data + row * delta.row_stride, delta.row_stride, 1};
      }
    };
    if constexpr (kRounds) {
      for (size_t i = 0; i < terms.size(); ++i) {
        const Rows<const C>& delta = terms[i].delta;
        round_to_factors<P>(count, hidden, {delta.data + row * delta.row_stride, delta.row_stride},
                            factors.get() + i * count * hidden, hidden);
      }
    }
    for_panels(n, [&](int64_t j, int64_t columns) {
      C* c = in_place ? scratch.get() + j : scratch.get();
      int64_t ldc = in_place ? n : columns;
      if constexpr (kSameType) {
        if (direct) {
          c = out + row * n + j;
          ldc = n;
        }
      }
      for (size_t i = 0; i < terms.size(); ++i)
        multiply_columns(product_kernels<P>().gemm, count, left(i), *terms[i].weight, j, columns, c,
                         ldc, i > 0);
      if (mask != nullptr)
        storage_kernels<S, C>().scale(count, columns, {mask + row * n + j, n}, c, ldc);
      if (!direct && !in_place)
        storage_kernels<Out, C>().store(count, columns, c, ldc, {out + row * n + j, n});
    });
    if constexpr (kSameType) {
      if (in_place) std::copy_n(scratch.get(), count * n, out + row * n);
    }
  });
}

#define ELMAN_INSTANTIATE(S, P)                                                                   \
  template void weight_gradient<S, P>(int64_t, int64_t, Rows<const compute_t<S>>,                 \
                                      const std::vector<RowSegment<S>>&, S*);                     \
  template void input_gradient<S, P>(int64_t, const std::vector<InputGradientTerm<P>>&, const S*, \
                                     S*, bool)
ELMAN_INSTANTIATE(double, double);
ELMAN_INSTANTIATE(float, float);
ELMAN_INSTANTIATE(c10::BFloat16, float);
ELMAN_INSTANTIATE(c10::BFloat16, c10::BFloat16);
ELMAN_INSTANTIATE(c10::Half, float);
#undef ELMAN_INSTANTIATE
#define ELMAN_INSTANTIATE(S, P)                                                                   \
  template void input_gradient<S, P>(int64_t, const std::vector<InputGradientTerm<P>>&, const S*, \
                                     float*, bool)
ELMAN_INSTANTIATE(c10::BFloat16, float);
ELMAN_INSTANTIATE(c10::BFloat16, c10::BFloat16);
ELMAN_INSTANTIATE(c10::Half, float);
#undef ELMAN_INSTANTIATE
#define ELMAN_INSTANTIATE(S) \
  template void bias_gradient(int64_t, int64_t, Rows<const compute_t<S>>, S*, S*)
ELMAN_INSTANTIATE(double);
ELMAN_INSTANTIATE(float);
ELMAN_INSTANTIATE(c10::BFloat16);
ELMAN_INSTANTIATE(c10::Half);
#undef ELMAN_INSTANTIATE

}  // namespace elman::cpu
