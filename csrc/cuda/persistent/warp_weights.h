#pragma once

#include "cuda/persistent/device.h"
#include "cuda/persistent/launch_layout.h"
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

}  // namespace elman::cuda::persistent
