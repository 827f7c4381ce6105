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

/// One block's part in the recurrence: x_{s+1} = pass(W x_s), for the rows of its group and the
/// features of its slice, over all steps. The pass (forward.h, backward.h) says what enters first,
/// what is made of a product and what is handed on.
template <typename P, typename Pass>
ELMAN_DEVICE void run_recurrence(const Layout& layout, const Workspace& workspace,
                                 const Weight<typename P::Storage>& weight, Pass& pass) {
  using C = typename P::Compute;
  const int thread = device::thread();
  unsigned char* const shared = device::shared_memory();
  RowInfo* const infos = reinterpret_cast<RowInfo*>(shared + layout.rows_at);
  int* const spans = reinterpret_cast<int*>(shared + layout.spans_at);
  const C* const partials = reinterpret_cast<const C*>(shared + layout.partials_at);

  const int group = device::block() / layout.group_blocks;
  const int rank = device::block() % layout.group_blocks;
  const int first_feature = rank * layout.features;
  const int first_row = group * layout.group_rows;
  const int rows = min_of(layout.group_rows, layout.rows - first_row);

  // The thread's place among a chunk's results: one feature, every row_step-th row.
  const int local_feature = thread & ((1 << layout.column_bits) - 1);
  const int feature = first_feature + local_feature;
  const bool in_slice = local_feature < layout.features && feature < layout.hidden;
  const int row_step = kThreads >> layout.column_bits;
  const int thread_row = thread >> layout.column_bits;

  for (int r = thread; r < rows; r += kThreads) infos[r] = pass.info(first_row + r);
  Vectors<P> vectors(layout, workspace, group, rank, rows);
  vectors.begin();
  const WarpWeights<P> weights(layout, weight, first_feature, shared);
  device::sync();
  for (int c = thread; c < layout.chunks; c += kThreads) {
    int begin = layout.steps, end = 0;
    for (int r = c * layout.chunk_rows; r < min_of(rows, (c + 1) * layout.chunk_rows); ++r) {
      begin = min_of(begin, infos[r].begin);
      end = max_of(end, infos[r].end);
    }
    spans[2 * c] = begin;
    spans[2 * c + 1] = end;
  }
  if (in_slice) pass.start(feature);

  for (int c = 0; c < layout.chunks; ++c) {
    const int first = c * layout.chunk_rows, count = min_of(layout.chunk_rows, rows - first);
    for (int r = thread_row; r < count; r += row_step) {
      if (in_slice)
        vectors.store(c, 0, r, local_feature,
                      P::to_element(pass.initial(infos[first + r], feature)));
    }
    vectors.publish(c, 0, count);
  }

  for (int s = 0; s < layout.steps; ++s) {
    for (int c = 0; c < layout.chunks; ++c) {
      if (s < spans[2 * c] || s >= spans[2 * c + 1]) continue;  // alike in all threads of the group
      const int step = s - spans[2 * c];
      const int first = c * layout.chunk_rows, count = min_of(layout.chunk_rows, rows - first);
      // Fetched before the wait, which takes longer.
      typename Pass::Operands operands[kResultsPerThread];
      ELMAN_UNROLL
      for (int i = 0; i < kResultsPerThread; ++i) {
        const int r = thread_row + i * row_step;
        if (in_slice && r < count) pass.fetch(operands[i], infos[first + r], s, feature);
      }
      const unsigned char* const entering = vectors.receive(c, step, count);
      weights.multiply(entering, (count + P::kRows - 1) / P::kRows * P::kRows);
      device::sync();
      const bool failed = vectors.failed();
      ELMAN_UNROLL
      for (int i = 0; i < kResultsPerThread; ++i) {
        const int r = thread_row + i * row_step;
        if (in_slice && r < count) {
          C sum = failed ? not_a_number<C>() : C(0);
          for (int k = 0; k < layout.k_warps; ++k)
            sum += partials[(k * layout.chunk_rows + r) * layout.partial_stride + local_feature];
          const C next = pass.finish(operands[i], infos[first + r], s, feature, sum);
          vectors.store(c, step + 1, r, local_feature, P::to_element(next));
        }
      }
      vectors.publish(c, step + 1, count);
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
