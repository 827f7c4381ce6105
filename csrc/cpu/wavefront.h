#pragma once

#include <ATen/Parallel.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "cpu/team.h"
#include "stack.h"

namespace elman::cpu {

/// How many threads the layers of a one-directional stack should share, where one layer does not
/// occupy them.
template <typename P>
int64_t wavefront_threads(const StackShape& shape) {
  if (shape.num_layers == 1 || shape.num_directions == 2 || shape.batch == 0) return 1;
  const double flops = 4.0 * shape.rows() * shape.hidden_size * shape.hidden_size;
  const int64_t threads = threads_for(flops);
  if (shape.batch >= 2 * threads) return 1;
  if (team_size<P>(threads, shape.batch, shape.hidden_size) > 1) return 1;
  return std::min(threads, shape.num_layers);
}

/// Steps of a tile: few, so that a layer need not wait for long, or the last one at the end.
inline int64_t wavefront_tile(const StackShape& shape) {
  return std::max<int64_t>(8, shape.steps / (8 * shape.num_layers));
}

/// Calls run(layer, tile) for every tile of every layer, on several threads: the tiles of a layer
/// in their order, each after the same tile of the layer before. A thread takes whatever is ready,
/// from the last layer down, so that one by itself gets through as well.
template <typename Run>
void run_wavefront(int64_t layers, int64_t tiles, int64_t threads, const Run& run) {
  struct alignas(64) Layer {
    std::atomic<int64_t> done{0};  ///< tiles
    std::atomic<bool> taken{false};
  };
  std::vector<Layer> progress(layers);
  const auto is_ready = [&](int64_t layer, int64_t tile) {
    return tile < tiles &&
           (layer == 0 || progress[layer - 1].done.load(std::memory_order_acquire) > tile);
  };
  const auto advance = [&] {
    for (int64_t layer = layers - 1; layer >= 0; --layer) {
      Layer& own = progress[layer];
      if (!is_ready(layer, own.done.load(std::memory_order_relaxed))) continue;
      if (own.taken.exchange(true, std::memory_order_acquire)) continue;
      // Another thread may have been here in between.
      const int64_t tile = own.done.load(std::memory_order_relaxed);
      const bool ready = is_ready(layer, tile);
      if (ready) {
        run(layer, tile);
        own.done.store(tile + 1, std::memory_order_release);
      }
      own.taken.store(false, std::memory_order_release);
      if (ready) return true;
    }
    return false;
  };
  at::parallel_for(0, threads, 1, [&](int64_t, int64_t) {
    constexpr int kSpins = 2000;
    int spin = 0;
    while (progress[layers - 1].done.load(std::memory_order_acquire) < tiles) {
      if (advance()) {
        spin = 0;
      } else if (++spin < kSpins) {
        pause_core();
      } else {
        std::this_thread::yield();
      }
    }
    release_matrix_unit();
  });
}

}  // namespace elman::cpu
