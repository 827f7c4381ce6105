#pragma once

#include <ATen/Parallel.h>

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "cpu/team.h"

namespace elman::cpu {

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
