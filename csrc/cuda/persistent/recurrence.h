#pragma once

#include "cuda/persistent/exchange.h"
#include "cuda/persistent/passes.h"
#include "cuda/persistent/product.h"

namespace elman::cuda::persistent {

/// A warp's share of the block's slice of W_h: of each tile its first units in registers, the
/// others in shared memory. `multiply` is the product of one step.
template <typename P>
class WarpWeights {
 public:
  using Fragment = typename P::Fragment;
  using C = typename P::Compute;

  ELMAN_DEVICE WarpWeights(const Layout& layout, const Weight<typename P::Storage>& weight,
                           int first_feature, unsigned char* shared)
      : layout_(layout), lane_(device::thread() % 32) {
    const int warp = device::thread() / 32;
    first_tile_ = warp / layout.k_warps * layout.tiles_per_warp;
    first_unit_ = warp % layout.k_warps * layout.units_per_tile;
    in_shared_ = shared + layout.weights_at + warp * layout.shared_units * P::kUnitBytes;
    C* const partials = reinterpret_cast<C*>(shared + layout.partials_at);
    partials_ = {partials + warp % layout.k_warps * layout.chunk_rows * layout.partial_stride,
                 layout.partial_stride};
    held_per_tile_ = P::kUnits / layout.tiles_per_warp;
    const auto load = [&](Fragment& fragment, int tile, int unit) {
      P::load(fragment, weight, first_feature + (first_tile_ + tile) * P::kTile,
              (first_unit_ + unit) * P::kUnitElements, lane_);
    };
    // Registers cannot be indexed, and a copy of the loading code for each unit would take the
    // compiler most of its time: so each unit comes in at the end, and the others move up.
    ELMAN_ROLLED
    for (int u = 0; u < P::kUnits; ++u) {
      ELMAN_UNROLL
      for (int i = 0; i + 1 < P::kUnits; ++i) held_[i] = held_[i + 1];
      const int unit = u % held_per_tile_;
      if (unit < layout.units_per_tile) load(held_[P::kUnits - 1], u / held_per_tile_, unit);
    }
    unsigned char* shared_unit = in_shared_;
    for (int unit = held_per_tile_; unit < layout.units_per_tile; ++unit) {
      for (int tile = 0; tile < layout.tiles_per_warp; ++tile, shared_unit += P::kUnitBytes) {
        Fragment fragment;
        load(fragment, tile, unit);
        P::store(fragment, shared_unit, lane_);
      }
    }
  }

  /// The partial sums of `rows` rows (a multiple of P::kRows) of `vectors`, in shared memory.
  ELMAN_DEVICE void multiply(const unsigned char* vectors, int rows) const {
    if (first_tile_ >= layout_.tiles) return;
    if (layout_.tiles_per_warp == 1) {
      multiply_all<1>(vectors, rows);
    } else {
      multiply_all<2>(vectors, rows);
    }
  }

 private:
  template <int kTiles>
  ELMAN_DEVICE void multiply_all(const unsigned char* vectors, int rows) const {
    constexpr int kAtOnce = kSumsAtOnce / kTiles;
    int row = 0;
    ELMAN_ROLLED
    for (; row + kAtOnce * P::kRows <= rows; row += kAtOnce * P::kRows)
      multiply_tiles<kTiles, kAtOnce>(vectors, row);
    ELMAN_ROLLED
    for (; row < rows; row += P::kRows) multiply_tiles<kTiles, 1>(vectors, row);
  }

  /// kTiles tiles of the warp times kRowTiles tiles of rows.
  template <int kTiles, int kRowTiles>
  ELMAN_DEVICE void multiply_tiles(const unsigned char* vectors, int first_row) const {
    constexpr int kHeld = P::kUnits / kTiles;
    typename P::Accumulator sums[kTiles][kRowTiles];
    ELMAN_UNROLL
    for (int i = 0; i < kTiles; ++i) {
      ELMAN_UNROLL
      for (int r = 0; r < kRowTiles; ++r) P::clear(sums[i][r]);
    }
    const unsigned char* const rows = vectors + first_row * layout_.vector_bytes;
    const auto operand = [&](int r, int unit) {
      return P::operand(rows + r * P::kRows * layout_.vector_bytes, layout_.vector_bytes,
                        first_unit_ + unit, lane_);
    };
    ELMAN_UNROLL
    for (int u = 0; u < kHeld; ++u) {
      if (u < layout_.units_per_tile) {
        ELMAN_UNROLL
        for (int r = 0; r < kRowTiles; ++r) {
          const auto h = operand(r, u);
          ELMAN_UNROLL
          for (int i = 0; i < kTiles; ++i) P::accumulate(sums[i][r], held_[i * kHeld + u], h);
        }
      }
    }
    const unsigned char* shared_unit = in_shared_;
    ELMAN_ROLLED
    for (int u = kHeld; u < layout_.units_per_tile; ++u, shared_unit += kTiles * P::kUnitBytes) {
      Fragment fragments[kTiles];
      ELMAN_UNROLL
      for (int i = 0; i < kTiles; ++i)
        P::load(fragments[i], shared_unit + i * P::kUnitBytes, lane_);
      ELMAN_UNROLL
      for (int r = 0; r < kRowTiles; ++r) {
        const auto h = operand(r, u);
        ELMAN_UNROLL
        for (int i = 0; i < kTiles; ++i) P::accumulate(sums[i][r], fragments[i], h);
      }
    }
    ELMAN_UNROLL
    for (int i = 0; i < kTiles; ++i) {
      if (first_tile_ + i < layout_.tiles) {
        ELMAN_UNROLL
        for (int r = 0; r < kRowTiles; ++r)
          P::flush(sums[i][r], partials_, first_row + r * P::kRows, (first_tile_ + i) * P::kTile,
                   lane_);
      }
    }
  }

  const Layout& layout_;
  Fragment held_[P::kUnits] = {};  ///< tile by tile
  unsigned char* in_shared_;       ///< unit by unit, in each all tiles
  Partials<C> partials_;
  int lane_, first_tile_, first_unit_, held_per_tile_;
};

/// body(range) for ranges that cover 0 .. count - 1, and up to twice as much: 0, 1, 2 to 3 and,
/// with kMost = 8, 4 to 7; count is kMost at most. What a range stands for is computed side by
/// side.
template <int kFirst, int kAfter>
struct Range {
  static constexpr int kBegin = kFirst;
  static constexpr int kCount = kAfter - kFirst;
};
template <int kMost, typename Body>
ELMAN_DEVICE void in_ranges(int count, const Body& body) {
  static_assert(kMost == 4 || kMost == 8, "what the ranges cover");
  body(Range<0, 1>());
  if (count <= 1) return;
  body(Range<1, 2>());
  if (count <= 2) return;
  body(Range<2, 4>());
  if constexpr (kMost > 4) {
    if (count > 4) body(Range<4, 8>());
  }
}

/// What the rows of a chunk have in common.
ELMAN_DEVICE ChunkSpan span_of(const RowInfo* infos, int count, int steps) {
  ChunkSpan span{steps, 0, 0, steps, 0};
  for (int r = 0; r < count; ++r) {
    span.begin = min_of(span.begin, infos[r].begin);
    span.end = max_of(span.end, infos[r].end);
    span.all_begun = max_of(span.all_begun, infos[r].begin);
    span.first_end = min_of(span.first_end, infos[r].end);
    span.arrivals_end = max_of(span.arrivals_end, infos[r].arrival + 1);
  }
  return span;
}

/// A chunk of a block's results, as one of its threads sees it: one feature of every row_step-th
/// row.
template <typename P, typename Pass>
class ChunkResults {
 public:
  using C = typename P::Compute;

  ELMAN_DEVICE ChunkResults(const Layout& layout, const RowInfo* infos, int count, int feature,
                            int local_feature)
      : layout_(layout),
        infos_(infos),
        count_(count),
        feature_(feature),
        local_feature_(local_feature),
        first_row_(device::thread() >> layout.column_bits),
        row_step_(kThreads >> layout.column_bits),
        results_((count + row_step_ - 1) >> (kThreadBits - layout.column_bits)),
        any_(local_feature < layout.features && feature < layout.hidden && first_row_ < count) {}

  ELMAN_DEVICE void fetch(const Pass& pass, int s) {
    if (!any_) return;
    in_ranges<P::kResults>(results_, [&](auto range) {
      using R = decltype(range);
      RowInfo infos[R::kCount];
      ELMAN_UNROLL
      for (int i = 0; i < R::kCount; ++i) infos[i] = infos_[min_of(row(R::kBegin + i), count_ - 1)];
      ELMAN_UNROLL
      for (int i = 0; i < R::kCount; ++i) {
        const bool alive = row(R::kBegin + i) < count_ && s >= infos[i].begin && s < infos[i].end;
        operands_[R::kBegin + i] = {};
        pass.fetch(operands_[R::kBegin + i], infos[i], alive, s, feature_);
      }
    });
  }

  /// Adds the warps' partial sums up, in a fixed order, makes the results of step s and hands on
  /// what enters the next step.
  ELMAN_DEVICE void finish(const Pass& pass, const ChunkSpan& span, const Vectors<P>& vectors,
                           const C* partials, int chunk, int s) {
    if (!any_) return;
    const bool failed = vectors.failed();
    in_ranges<P::kResults>(results_, [&](auto range) {
      using R = decltype(range);
      int rows[R::kCount];
      C v[R::kCount];
      ELMAN_UNROLL
      for (int i = 0; i < R::kCount; ++i) {
        rows[i] = row(R::kBegin + i);
        v[i] = failed ? device::not_a_number<C>() : C(0);
      }
      in_ranges<kWarps>(layout_.k_warps, [&](auto warps) {
        using W = decltype(warps);
        ELMAN_UNROLL
        for (int k = W::kBegin; k < W::kBegin + W::kCount; ++k) {
          ELMAN_UNROLL
          for (int i = 0; i < R::kCount; ++i) {
            const int partial_row = k * layout_.chunk_rows + min_of(rows[i], count_ - 1);
            v[i] += partials[partial_row * layout_.partial_stride + local_feature_];
          }
        }
      });
      if (s < span.arrivals_end) {
        for_rare(rows, [&](int i, const RowInfo& info) {
          if (info.arrival == s) v[i] += pass.arriving(info, feature_);
        });
      }
      pass.template finish<R::kCount>(operands_ + R::kBegin, v, made_ + R::kBegin);
      if (s < span.all_begun) {
        for_rare(rows, [&](int i, const RowInfo& info) {
          if (s < info.begin) v[i] = pass.initial(info, feature_);
        });
      }
      vectors.template store<R::kCount>(chunk, s - span.begin + 1, rows, count_, local_feature_, v);
    });
  }

  /// Stores the results of step s.
  ELMAN_DEVICE void store(const Pass& pass, const ChunkSpan& span, int s) const {
    if (!any_) return;
    in_ranges<P::kResults>(results_, [&](auto range) {
      using R = decltype(range);
      ELMAN_UNROLL
      for (int i = R::kBegin; i < R::kBegin + R::kCount; ++i)
        pass.store(operands_[i], made_[i], feature_);
      if (s + 1 >= span.first_end) {
        int rows[R::kCount];
        ELMAN_UNROLL
        for (int i = 0; i < R::kCount; ++i) rows[i] = row(R::kBegin + i);
        for_rare(rows, [&](int i, const RowInfo& info) {
          if (s + 1 == info.end) pass.store_last(info, made_[R::kBegin + i], feature_);
        });
      }
    });
  }

 private:
  ELMAN_DEVICE int row(int i) const { return first_row_ + i * row_step_; }

  /// each(i, its RowInfo) for rows of the chunk.
  template <int kCount, typename Each>
  ELMAN_DEVICE void for_rare(const int (&rows)[kCount], const Each& each) const {
    ELMAN_UNROLL
    for (int i = 0; i < kCount; ++i) {
      if (rows[i] < count_) each(i, infos_[rows[i]]);
    }
  }

  const Layout& layout_;
  const RowInfo* infos_;
  int count_, feature_, local_feature_, first_row_, row_step_, results_;
  bool any_;
  typename Pass::Operands operands_[P::kResults];
  typename Pass::Result made_[P::kResults];
};

/// One block's part in the recurrence: x_{s+1} = pass(W x_s), for the rows of its group and the
/// features of its slice, over all steps. The pass (passes.h) says what enters first, what is made
/// of a product and what is handed on.
template <typename P, typename Pass>
ELMAN_DEVICE void run_recurrence(const Layout& layout, const Workspace& workspace,
                                 const Weight<typename P::Storage>& weight, Pass& pass) {
  using C = typename P::Compute;
  const int thread = device::thread();
  unsigned char* const shared = device::shared_memory();
  RowInfo* const infos = reinterpret_cast<RowInfo*>(shared + layout.rows_at);
  ChunkSpan* const spans = reinterpret_cast<ChunkSpan*>(shared + layout.spans_at);
  const C* const partials = reinterpret_cast<const C*>(shared + layout.partials_at);

  const int group = device::block() / layout.group_blocks;
  const int rank = device::block() % layout.group_blocks;
  const int first_feature = rank * layout.features;
  const int first_row = group * layout.group_rows;
  const int rows = min_of(layout.group_rows, layout.rows - first_row);
  const int local_feature = thread & ((1 << layout.column_bits) - 1);
  const int feature = first_feature + local_feature;
  const auto rows_of = [&](int c) {
    return min_of(layout.chunk_rows, rows - c * layout.chunk_rows);
  };

  for (int r = thread; r < rows; r += kThreads) infos[r] = pass.info(first_row + r);
  Vectors<P> vectors(layout, workspace, group, rank, rows);
  vectors.begin();
  const WarpWeights<P> weights(layout, weight, first_feature, shared);
  device::sync();
  for (int c = thread; c < layout.chunks; c += kThreads)
    spans[c] = span_of(infos + c * layout.chunk_rows, rows_of(c), layout.steps);
  const bool in_slice = local_feature < layout.features && feature < layout.hidden;
  if (in_slice) pass.start(feature);
  device::sync();

  for (int c = 0; c < layout.chunks; ++c) {
    if (spans[c].begin >= spans[c].end) continue;
    const int first = c * layout.chunk_rows, count = rows_of(c);
    for (int r = thread >> layout.column_bits; r < count && in_slice;
         r += kThreads >> layout.column_bits) {
      const C value = pass.initial(infos[first + r], feature);
      vectors.template store<1>(c, 0, &r, count, local_feature, &value);
    }
    vectors.publish(c, 0, count);
  }

  for (int s = 0; s < layout.steps; ++s) {
    for (int c = 0; c < layout.chunks; ++c) {
      const ChunkSpan span = spans[c];
      if (s < span.begin || s >= span.end) continue;  // alike in all threads of the group
      const int count = rows_of(c);
      ChunkResults<P, Pass> results(layout, infos + c * layout.chunk_rows, count, feature,
                                    local_feature);
      results.fetch(pass, s);  // before the wait, which takes longer
      const unsigned char* const entering = vectors.receive(c, s - span.begin, count);
      weights.multiply(entering, (count + P::kRows - 1) / P::kRows * P::kRows);
      device::sync();
      results.finish(pass, span, vectors, partials, c, s);
      // Stores to memory would delay what is published; but where the next step of another thread
      // adds to them, they have to come before the barrier.
      if (pass.shares_results()) results.store(pass, span, s);
      if (s + 1 < span.end) {
        vectors.publish(c, s - span.begin + 1, count);
      } else {
        device::sync();  // before the partial sums of another chunk
      }
      if (!pass.shares_results()) results.store(pass, span, s);
    }
  }
  vectors.end();
}

/// What the kernels consist of.
template <typename P>
ELMAN_DEVICE void run_forward(const Layout& layout, const Workspace& workspace,
                              const ForwardOperands& operands) {
  ForwardPass<P> pass(operands);
  run_recurrence<P>(layout, workspace,
                    {static_cast<const typename P::Storage*>(operands.weight_hh), operands.hidden,
                     /*transposed=*/false},
                    pass);
}
template <typename P>
ELMAN_DEVICE void run_backward(const Layout& layout, const Workspace& workspace,
                               const BackwardOperands& operands) {
  BackwardPass<P> pass(operands);
  run_recurrence<P>(layout, workspace,
                    {static_cast<const typename P::Storage*>(operands.weight_hh), operands.hidden,
                     /*transposed=*/true},
                    pass);
}

}  // namespace elman::cuda::persistent
