#include "cpu/weight_gradients.h"

#include <algorithm>
#include <utility>

#include "cpu/buffer.h"
#include "cpu/factors.h"
#include "cpu/panels.h"
#include "cpu/right_factor.h"
#include "cpu/schedule.h"
#include "cpu/tasks.h"
#include "cpu/vec/kernels.h"

namespace elman::cpu {
namespace {

/// Rows of the sum that are packed and multiplied at a time.
constexpr int64_t kReduceRows = 256;

/// Columns of one of the weights, as they stand in a block.
struct Strip {
  int64_t weight;
  int64_t first, columns;
  int64_t place;  ///< the first one's column in the block's sums
};

/// Rows [h0, h0 + m) of the gradients, and of these the columns of some strips.
template <typename S, typename P>
class WeightGradientBlock {
 public:
  using C = compute_t<S>;

  /// rows: all that are going to be added.
  WeightGradientBlock(int64_t rows, Rows<const C> delta,
                      const std::vector<WeightGradient<S>>& weights, int64_t h0, int64_t m,
                      std::vector<Strip> strips)
      : rows_in_all_(rows),
        packed_rows_(kTransposes ? kReduceRows : std::min(kReduceRows, rows)),
        source_(delta),
        weights_(weights),
        h0_(h0),
        m_(m),
        strips_(std::move(strips)),
        positions_(weights.size()),
        begun_(strips_.size()),
        delta_(kTransposes ? m * kTransposedStride : packed_rows_ * ceil_div(m, kSlice) * kSlice),
        panel_(packed_rows_ * kPanelColumns),
        rows_(kTransposes ? kReduceRows * kPanelColumns : 0),
        pairs_(kTransposes ? kReduceRows * kPanelColumns : 0),
        sum_(sums_in_place() ? 0 : sum_elements()) {}

  /// Adds all rows, kReduceRows at a time.
  void add() {
    for (int64_t row = 0; row < rows_in_all_; row += kReduceRows) {
      const int64_t count = std::min(kReduceRows, rows_in_all_ - row);
      pack_delta(row, count);
      for (size_t i = 0; i < strips_.size(); ++i) {
        const Strip& strip = strips_[i];
        const std::vector<Piece> pieces = pieces_of(strip.weight, row, count);
        const auto is_zero = [](const Piece& piece) { return piece.segment->x.data == nullptr; };
        if (std::all_of(pieces.begin(), pieces.end(), is_zero)) continue;
        for_panels(
            strip.columns,
            [&](int64_t j, int64_t columns) {
              add_panel(strip, pieces, count, j, columns, begun_[i]);
            },
            product_kernels<P>().panel_columns);
        begun_[i] = true;
      }
    }
  }

  void store() const {
    for (size_t i = 0; i < strips_.size(); ++i) {
      const Strip& strip = strips_[i];
      const Rows<S> to = gradient(strip);
      if (!begun_[i]) {
        for (int64_t row = 0; row < m_; ++row)
          std::fill_n(to.data + row * to.row_stride, strip.columns, S(0));
      } else if (sum_.get() != nullptr) {
        const auto store_panel = [&](int64_t j, int64_t columns) {
          const Rows<C> from = sum(strip, j, columns);
          storage_kernels<S, C>().store(m_, columns, from.data, from.row_stride,
                                        {to.data + j, to.row_stride});
        };
        for_panels(strip.columns, store_panel, product_kernels<P>().panel_columns);
      }
    }
  }

 private:
  /// Whether delta is transposed in memory, since interleaved factors do not let its strides be
  /// swapped.
  static constexpr bool kTransposes = kInterleaved<P> > 1;
  /// Columns of delta that are packed side by side, a multiple of the rows that the product takes
  /// at a time: it reads a few of them from each row, which has to be in few pages of memory.
  static constexpr int64_t kSlice = 48;
  /// Elements between two rows of the transpose: not a power of two, or the rows would fight for
  /// the same sets of the cache.
  static constexpr int64_t kTransposedStride = kReduceRows + 32;
  /// Rows of delta that are packed at a time: each of them may be on a page of its own.
  static constexpr int64_t kPackRows = 32;
  /// Bytes of sums that stay in a core's cache.
  static constexpr int64_t kSmallSums = int64_t{512} << 10;

  int64_t sum_elements() const { return m_ * (strips_.back().place + strips_.back().columns); }
  /// Whether sums are made where the gradient goes. Where they leave the cache between two
  /// additions they are better kept panel by panel: rows of the gradient are a page of memory each.
  bool sums_in_place() const {
    if (!std::is_same_v<S, C>) return false;
    return rows_in_all_ < 4 * kReduceRows ||
           sum_elements() * static_cast<int64_t>(sizeof(C)) < kSmallSums;
  }

  /// Rows [row, row + count) of a segment, which stand at `at` among those multiplied together.
  struct Piece {
    const RowSegment<S>* segment;
    int64_t row, count, at;
  };
  /// Where a weight's rows have been read up to.
  struct Position {
    size_t segment = 0;
    int64_t segment_begin = 0;  ///< the segment's first row
  };

  /// What the rows [row, row + count) of a weight's right factor are made of; row by row upwards.
  std::vector<Piece> pieces_of(int64_t weight, int64_t row, int64_t count) {
    std::vector<Piece> pieces;
    Position& at = positions_[weight];
    for (int64_t done = 0; done < count;) {
      const RowSegment<S>& segment = weights_[weight].segments[at.segment];
      const int64_t first = row + done - at.segment_begin;
      const int64_t taken = std::min(count - done, segment.count - first);
      if (taken > 0) pieces.push_back({&segment, first, taken, done});
      done += std::max<int64_t>(taken, 0);
      if (first + taken == segment.count && done < count) {
        at.segment_begin += segment.count;
        ++at.segment;
      }
    }
    return pieces;
  }

  /// The strip's part of the gradient.
  Rows<S> gradient(const Strip& strip) const {
    const WeightGradient<S>& weight = weights_[strip.weight];
    return {weight.gradient + h0_ * weight.columns + strip.first, weight.columns};
  }

  /// Where the columns [j, j + columns) of a strip, a panel, are summed: [m, columns].
  Rows<C> sum(const Strip& strip, int64_t j, int64_t columns) const {
    if (sum_.get() != nullptr) return {sum_.get() + (strip.place + j) * m_, columns};
    if constexpr (std::is_same_v<S, C>) {
      const Rows<S> to = gradient(strip);
      return {to.data + j, to.row_stride};
    } else {
      return {};
    }
  }

  void add_panel(const Strip& strip, const std::vector<Piece>& pieces, int64_t count, int64_t j,
                 int64_t columns, bool accumulate) {
    const Rows<C> to = sum(strip, j, columns);
    const int64_t padded = panel_stride(product_kernels<P>().panel_columns, columns);
    pack_x(pieces, weights_[strip.weight], count, strip.first + j, columns, padded);
    const auto multiply = [&](int64_t h, int64_t m, StridedMatrix<P> left) {
      product_kernels<P>().gemm({m, columns, panel_rows<P>(count), left, panel_.get(), padded,
                                 to.data + h * to.row_stride, to.row_stride, accumulate, nullptr});
    };
    if constexpr (kTransposes) {
      multiply(0, m_, {delta_.get(), kTransposedStride, 1});
    } else {
      const auto multiply_slice = [&](int64_t h, int64_t m) {
        multiply(h, m, {delta_.get() + h * packed_rows_, 1, kSlice});
      };
      for_panels(m_, multiply_slice, kSlice);
    }
  }

  /// The left factor, delta^T: of the rows [row, row + count) of delta the columns of the block.
  void pack_delta(int64_t row, int64_t count) {
    const C* const from = source_.data + row * source_.row_stride + h0_;
    const auto load = [&](int64_t first, int64_t rows, int64_t h, int64_t columns, P* to,
                          int64_t ldt) {
      storage_kernels<P, C>().store(rows, columns, from + first * source_.row_stride + h,
                                    source_.row_stride, {to, ldt});
    };
    if constexpr (kTransposes) {
      for_panels(m_, [&](int64_t h, int64_t columns) {
        load(0, count, h, columns, rows_.get(), columns);
        transpose_interleaved(count, columns, {rows_.get(), columns},
                              delta_.get() + h * kTransposedStride, kTransposedStride,
                              pairs_.get());
      });
    } else {
      const auto load_rows = [&](int64_t first, int64_t rows) {
        const auto load_slice = [&](int64_t h, int64_t columns) {
          load(first, rows, h, columns, delta_.get() + h * packed_rows_ + first * kSlice, kSlice);
        };
        for_panels(m_, load_slice, kSlice);
      };
      for_panels(count, load_rows, kPackRows);
    }
  }

  /// The right factor's columns [j, j + columns), a panel.
  void pack_x(const std::vector<Piece>& pieces, const WeightGradient<S>& weight, int64_t count,
              int64_t j, int64_t columns, int64_t padded) const {
    P* const panel = panel_.get();
    if constexpr (kTransposes) {
      const RowSegment<S>& only = *pieces[0].segment;
      const Rows<const S>& x = only.x;
      if (pieces.size() == 1 && x.data != nullptr && only.mask.data == nullptr &&
          only.reset == nullptr) {
        const S* const first = x.data + pieces[0].row * x.row_stride + j;
        return product_kernels<P>().interleave(count, columns, {first, x.row_stride}, panel,
                                               padded);
      }
    }
    P* const rows = kTransposes ? rows_.get() : panel;
    const auto reset_to = static_cast<P>(weight.reset_to);
    for (const Piece& piece : pieces)
      load_x(piece, reset_to, j, columns, rows + piece.at * padded, padded);
    if constexpr (kTransposes)
      product_kernels<P>().interleave(count, padded, {rows, padded}, panel, padded);
  }

  void load_x(const Piece& piece, P reset_to, int64_t j, int64_t columns, P* to,
              int64_t padded) const {
    const RowSegment<S>& segment = *piece.segment;
    if (segment.x.data == nullptr) {
      std::fill_n(to, piece.count * padded, P(0));
      return;
    }
    const auto at = [&](Rows<const S> rows) {
      if (rows.data != nullptr) rows.data += piece.row * rows.row_stride + j;
      return rows;
    };
    load_factors<S, P>(piece.count, columns, padded, at(segment.x), at(segment.mask), to, padded);
    if (segment.reset == nullptr) return;
    for (int64_t i = 0; i < piece.count; ++i) {
      if (segment.reset[piece.row + i]) std::fill_n(to + i * padded, columns, reset_to);
    }
  }

  const int64_t rows_in_all_;
  const int64_t packed_rows_;   ///< of them at a time, at most
  const Rows<const C> source_;  ///< delta: [rows, H]
  const std::vector<WeightGradient<S>>& weights_;
  const int64_t h0_, m_;
  const std::vector<Strip> strips_;
  std::vector<Position> positions_;  ///< of each weight
  std::vector<bool> begun_;          ///< of each strip, whether anything has been summed
  Buffer<P> delta_;  ///< [slices, packed rows, kSlice], or [m, kReduceRows] if it is transposed
  Buffer<P> panel_;  ///< [packed rows, panel_columns] of the right factor
  Buffer<P> rows_;   ///< [kReduceRows, kPanelColumns], rows that are going to be interleaved,
  Buffer<P> pairs_;  ///< and interleaved
  Buffer<C> sum_;    ///< [panels, m, columns of the panel], if sums are not made in place
};

/// How the gradients [H, n] of all weights together are cut into blocks, one to a task: each packs
/// its rows of delta and its columns of x for itself, so few of them are best, of one size: as many
/// as there are threads, or twice as many where they are large, since cores differ in speed.
template <typename P>
struct Blocking {
  int64_t down = 1, across = 1;

  Blocking(int64_t hidden, int64_t n, int64_t threads) {
    const int64_t least_down = ceil_div(hidden, kMaxRows);
    const int64_t tasks = hidden * n > threads * kLarge ? 2 * threads : threads;
    double best = 0;
    for (int64_t a = 1; a <= std::min(tasks, ceil_div(n, kColumns)); ++a) {
      const int64_t d = std::clamp<int64_t>(ceil_div(tasks, a), least_down,
                                            std::max(least_down, ceil_div(hidden, kRows)));
      const auto m = static_cast<double>(rows(hidden, d));
      const auto columns = static_cast<double>(ceil_div(ceil_div(n, kColumns), a) * kColumns);
      const double time = static_cast<double>(ceil_div(a * d, threads)) *
                          (m * columns + kPackFlops * (m + columns));
      if (best > 0 && time >= best) continue;
      best = time;
      down = d;
      across = a;
    }
  }

  /// Rows of a block, of `down` that share H.
  static int64_t rows(int64_t hidden, int64_t down) {
    return ceil_div(ceil_div(hidden, down), kRows) * kRows;
  }

  /// Rows that the product's kernel takes at a time: 6, or a tile of the matrix unit. Columns: a
  /// vector.
  static constexpr int64_t kRows = kInterleaved<P> > 1 ? 16 : 6, kColumns = 16;
  /// More rows of delta would leave the caches.
  static constexpr int64_t kMaxRows = 1024;
  /// Elements of a block that may be cut once more.
  static constexpr int64_t kLarge = 400'000;
  /// What packing an element costs, in multiply-adds (measured; those of a matrix unit are cheap).
  static constexpr double kPackFlops = kInterleaved<P> > 1 ? 400 : 40;
};

/// The part `index` of `parts` of all weights' columns, side by side.
template <typename S>
std::vector<Strip> strips_of(const std::vector<WeightGradient<S>>& weights, int64_t index,
                             int64_t parts, int64_t unit) {
  int64_t total = 0;  // units
  for (const auto& weight : weights) total += ceil_div(weight.columns, unit);
  const int64_t begin = total * index / parts, end = total * (index + 1) / parts;
  std::vector<Strip> strips;
  int64_t at = 0, place = 0;
  for (size_t i = 0; i < weights.size(); ++i) {
    const int64_t units = ceil_div(weights[i].columns, unit);
    const int64_t first = std::clamp<int64_t>(begin - at, 0, units) * unit;
    const int64_t last =
        std::min(std::clamp<int64_t>(end - at, 0, units) * unit, weights[i].columns);
    at += units;
    if (first >= last) continue;
    strips.push_back({static_cast<int64_t>(i), first, last - first, place});
    place += last - first;
  }
  return strips;
}

}  // namespace

template <typename S, typename P>
void weight_gradients(int64_t rows, int64_t hidden, Rows<const compute_t<S>> delta,
                      const std::vector<WeightGradient<S>>& weights) {
  int64_t n = 0;
  for (const auto& weight : weights) n += weight.columns;
  if (n == 0 || hidden == 0) return;
  const double flops = 2.0 * rows * hidden * n;
  const Blocking<P> blocking(hidden, n, threads_for(flops));
  const int64_t height = Blocking<P>::rows(hidden, blocking.down);
  parallel_tasks(blocking.across * ceil_div(hidden, height), flops, [&](int64_t task) {
    const int64_t h0 = task / blocking.across * height;
    std::vector<Strip> strips =
        strips_of(weights, task % blocking.across, blocking.across, Blocking<P>::kColumns);
    if (strips.empty()) return;
    WeightGradientBlock<S, P> block(rows, delta, weights, h0, std::min(height, hidden - h0),
                                    std::move(strips));
    block.add();
    block.store();
  });
}

#define ELMAN_INSTANTIATE(S, P)                                                    \
  template void weight_gradients<S, P>(int64_t, int64_t, Rows<const compute_t<S>>, \
                                       const std::vector<WeightGradient<S>>&);
ELMAN_FOR_STORAGE_AND_FACTORS(ELMAN_INSTANTIATE)
#undef ELMAN_INSTANTIATE

}  // namespace elman::cpu
