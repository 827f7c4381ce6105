#pragma once

#include <cstdint>

namespace elman::cuda::persistent {

/// How the blocks of a group hand each other the vectors that enter the next step.
enum class Exchange : std::int8_t {
  kBlock,    ///< the group is one block: through its own shared memory
  kCluster,  ///< the group is a cluster: each block pushes its slice into the others' shared memory
  kAsyncCluster,  ///< likewise, by stores that count themselves at the receiver's barrier
  kGlobal,        ///< through global memory (the L2 cache)
};

constexpr bool is_cluster(Exchange exchange) {
  return exchange == Exchange::kCluster || exchange == Exchange::kAsyncCluster;
}

/// Threads of a block; eight warps may use 255 registers each, which is where W_h lives first.
constexpr int kThreadBits = 8;
constexpr int kThreads = 1 << kThreadBits;
constexpr int kWarps = kThreads / 32;
/// Sums that a warp makes at once: tiles of features times tiles of rows. That many products share
/// each read of a weight or of a vector.
constexpr int kSumsAtOnce = 4;
/// Results that a thread makes at once of a leaky cell, each of which takes several registers.
constexpr int kLeakyResults = 4;

/// The geometry of one launch: plain numbers, made by `plan` and read by the kernels.
///
/// The `rows` independent rows (of the batch, or windows times batch) are dealt to `groups` of
/// `group_blocks` blocks. A group takes its rows through all steps, `chunk_rows` rows at a time, so
/// that the exchange of one chunk goes on while another is computed. Each block of a group owns
/// `features` of the H results and keeps its slice of W_h, [features, H], on the chip.
///
/// A product unit is what a warp multiplies at once: `tile` features (16 on tensor cores, else 8)
/// by one stretch of k. Warp w = m * k_warps + k takes the `tiles_per_warp` (one or two) tiles from
/// m * tiles_per_warp on and of each the `units_per_tile` units from k * units_per_tile on; the
/// first units of each tile live in registers, the last, `shared_units` in all, in shared memory.
struct Layout {
  Exchange exchange;
  int steps;         ///< steps of the recurrence: T, or k2
  int hidden;        ///< H
  int rows;          ///< rows in all groups
  int groups;        ///< groups of blocks
  int group_rows;    ///< rows of a group (the last may have fewer)
  int chunk_rows;    ///< rows of a chunk (likewise)
  int chunks;        ///< chunks of a group
  int group_blocks;  ///< blocks of a group
  int features;      ///< results of a block, a multiple of the tile
  int tiles;         ///< tiles of a block
  int k_warps;       ///< warps that share the k of a tile
  int tiles_per_warp;
  int units_per_tile;
  int shared_units;    ///< units of each warp that lie in shared memory
  int column_bits;     ///< log2 of the threads that stand side by side along the features
  int vector_bytes;    ///< one exchanged vector [H], padded so that banks and pieces come out even
  int partial_stride;  ///< elements between two rows of partial sums
  // Where things lie in a block's shared memory, in bytes.
  int vectors_at;   ///< exchanged vectors: [2, chunks, chunk_rows] or, through global memory,
                    ///< [chunk_rows]
  int partials_at;  ///< partial sums: [k_warps, chunk_rows, partial_stride]
  int weights_at;   ///< weights: [warps, shared_units] units
  int rows_at;      ///< RowInfo: [group_rows]
  int spans_at;     ///< ChunkSpan: [chunks]
  int arrivals_at;  ///< in clusters: flags [chunks, group_blocks] uint32, or [chunks, 2] barriers
  int control_at;   ///< one int: whether a wait was given up
  int shared_bytes;
};

/// A barrier of a cluster's block, see device.h.
constexpr int kBarrierBytes = 8;

/// A row's way through the steps s = 0, 1 ... of the recurrence: alive in [begin, end), where its
/// step of the sequence is base + s, or base - s if it runs towards the beginning. Aligned so that
/// it is read in two pieces.
struct alignas(16) RowInfo {
  int begin;
  int end;
  int base;
  int row;      ///< row of the launch
  int batch;    ///< row of the batch
  int arrival;  ///< backward: the s at which the gradient of h_n arrives, or -1
};

/// What the rows of a chunk have in common, so that one look tells which rarities a step can skip.
struct alignas(16) ChunkSpan {
  int begin, end;    ///< some row is alive in [begin, end)
  int all_begun;     ///< from this s on no row is still to begin
  int first_end;     ///< the smallest end of a row
  int arrivals_end;  ///< from this s on no gradient of h_n arrives
};

/// Memory that a launch needs besides its operands, all zero when it starts: the exchange through
/// global memory, and one word that becomes nonzero if a wait was given up.
struct Workspace {
  std::uint32_t* error;      ///< [1]
  std::uint32_t* flags;      ///< [groups, chunks, group_blocks], global exchange only
  unsigned char* vectors;    ///< [2, rows, vector_bytes], global exchange only
  std::uint32_t spin_limit;  ///< polls after which a wait is given up
};

}  // namespace elman::cuda::persistent
