// Layers that follow each other a tile of steps behind, each on a thread.

#include "cpu/wavefront.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdint>
#include <new>
#include <vector>

namespace elman::cpu {
namespace {

TEST(Wavefront, RunsATileAfterTheOneBeforeItInItsStageAndInTheStageBeforeAndNotTooEarly) {
  for (const int64_t stages : {1, 2, 5}) {
    for (const int64_t tiles : {1, 2, 40}) {
      for (const int64_t threads : {1, 2, 3}) {
        std::vector<std::atomic<int64_t>> done(stages);
        run_wavefront(stages, tiles, threads, [&](int64_t stage, int64_t tile) {
          EXPECT_EQ(done[stage], tile);
          if (stage > 0) {
            EXPECT_GT(done[stage - 1], tile);
          }
          if (stage + 1 < stages) {
            EXPECT_LT(tile, done[stage + 1] + kTilesAhead);
          }
          ++done[stage];
        });
        for (const auto& count : done) EXPECT_EQ(count, tiles);
      }
    }
  }
}

TEST(Wavefront, AnExceptionIsThrownOn) {
  for (const int64_t threads : {1, 2, 4}) {
    for (const int64_t stage : {0, 1, 2}) {
      const auto run = [&] {
        run_wavefront(3, 40, threads, [&](int64_t at, int64_t tile) {
          if (at == stage && tile == 20) throw std::bad_alloc();
        });
      };
      EXPECT_THROW(run(), std::bad_alloc) << threads << ", " << stage;
    }
  }
}

}  // namespace
}  // namespace elman::cpu
