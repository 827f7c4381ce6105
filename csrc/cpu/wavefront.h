#pragma once

#include <atomic>
#include <cstdint>
#include <thread>
#include <vector>

#include "cpu/tasks.h"
#include "cpu/team.h"

namespace elman::cpu {

/// Tiles that a stage may be ahead of the next one, since that is how many it has room for.
constexpr int64_t kTilesAhead = 4;

/// Calls run(stage, tile) for every tile in every stage, on several threads: the tiles of a stage
/// in their order, each after the same tile in the stage before and, in the stage after, the tile
/// kTilesAhead before it. A thread takes whatever is ready, from the last stage down, so that one
/// by itself gets through as well. If a call throws, no further ones begin, and the exception is
/// thrown on.
template <typename Run>
void run_wavefront(int64_t stages, int64_t tiles, int64_t threads, const Run& run) {
  struct alignas(64) Stage {
    std::atomic<int64_t> done{0};  ///< tiles
    std::atomic<bool> taken{false};
  };
  std::vector<Stage> progress(stages);
  std::atomic<bool> abandoned{false};  // by a thread that has left with an exception
  const auto done = [&](int64_t stage) {
    return progress[stage].done.load(std::memory_order_acquire);
  };
  const auto is_ready = [&](int64_t stage, int64_t tile) {
    return tile < tiles && (stage == 0 || tile < done(stage - 1)) &&
           (stage + 1 == stages || tile < done(stage + 1) + kTilesAhead);
  };
  const auto advance = [&] {
    for (int64_t stage = stages - 1; stage >= 0; --stage) {
      Stage& own = progress[stage];
      if (!is_ready(stage, own.done.load(std::memory_order_relaxed))) continue;
      if (own.taken.exchange(true, std::memory_order_acquire)) continue;
      // Another thread may have been here in between.
      const int64_t tile = own.done.load(std::memory_order_relaxed);
      const bool ready = is_ready(stage, tile);
      if (ready) {
        run(stage, tile);
        own.done.store(tile + 1, std::memory_order_release);
      }
      own.taken.store(false, std::memory_order_release);
      if (ready) return true;
    }
    return false;
  };
  const auto advance_to_the_end = [&] {
    constexpr int kSpins = 2000;
    int spin = 0;
    while (done(stages - 1) < tiles && !abandoned.load(std::memory_order_relaxed)) {
      if (advance()) {
        spin = 0;
      } else if (++spin < kSpins) {
        pause_core();
      } else {
        std::this_thread::yield();
      }
    }
  };
  parallel_parts(threads, [&](int64_t, int64_t) {
    const MatrixUnitUse use;
    try {
      advance_to_the_end();
    } catch (...) {  // it is handed on, once all have ended
      abandoned.store(true, std::memory_order_relaxed);
      throw;
    }
  });
}

}  // namespace elman::cpu
