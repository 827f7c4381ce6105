// The emulator by itself: it has to find what it is there to find.
#include "cuda/emulation/emulator.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

#include "cuda/emulation/device.h"

namespace elman::cuda::device {
namespace {

using emulation::Launch;
using emulation::launch;

TEST(EmulatorTest, BarriersSeparateWhatIsBeforeFromWhatIsBehind) {
  for (std::uint32_t seed = 0; seed < 5; ++seed) {
    std::vector<int> sums(2 * 64);
    const auto outcome = launch({2, 64, 1, 64 * sizeof(int), seed}, [&] {
      int* const values = reinterpret_cast<int*>(shared_memory());
      values[thread()] = thread();
      sync();
      int sum = 0;
      for (int i = 0; i < 64; ++i) sum += values[i];
      sums[block() * 64 + thread()] = sum;
    });
    EXPECT_EQ(outcome.error, "");
    for (const int sum : sums) EXPECT_EQ(sum, 64 * 63 / 2);
  }
}

TEST(EmulatorTest, AMissingBarrierShows) {
  std::set<int> results;
  for (std::uint32_t seed = 0; seed < 20; ++seed) {
    int result = 0;
    launch({1, 32, 1, sizeof(int), seed}, [&] {
      int* const last = reinterpret_cast<int*>(shared_memory());
      *last = thread();
      result = *last;
    });
    results.insert(result);
  }
  EXPECT_GT(results.size(), 5u);
}

TEST(EmulatorTest, FindsABarrierThatOneThreadSkips) {
  const auto outcome = launch({1, 32, 1, 0, 0}, [] {
    if (thread() != 7) sync();
  });
  EXPECT_NE(outcome.error.find("waits for the block's barrier"), std::string::npos);
}

TEST(EmulatorTest, FindsLanesThatMeetDifferentOperations) {
  const auto outcome = launch({1, 32, 1, 0, 0}, [] {
    if (thread() < 16) {
      sync_warp();
    } else {
      shuffle_xor(1.0f, 1);
    }
  });
  EXPECT_NE(outcome.error.find("different operations"), std::string::npos);
}

TEST(EmulatorTest, FindsAWriteBehindTheSharedMemory) {
  const auto outcome = launch({1, 32, 1, 16, 0}, [] { shared_memory()[16 + thread() % 2] = 1; });
  EXPECT_EQ(outcome.error, "a write behind the shared memory");
}

/// What a block of a cluster of two pushes to the other one.
struct alignas(16) Pushed {
  Vector16 value;
  Barrier barrier;
};

TEST(EmulatorTest, WhatIsPushedHasComeWhenThePhaseEnds) {
  for (std::uint32_t seed = 0; seed < 10; ++seed) {
    std::vector<std::uint32_t> seen(4);
    const auto outcome = launch({4, 32, 2, sizeof(Pushed), seed}, [&] {
      Pushed* const own = reinterpret_cast<Pushed*>(shared_memory());
      if (thread() == 0) barrier_start(&own->barrier);
      cluster_sync();
      if (thread() == 0) {
        barrier_expect(&own->barrier, 16);
        push(&own->value, &own->barrier, 1 - block() % 2,
             {{static_cast<std::uint32_t>(block()), 0, 0, 0}});
      }
      while (!barrier_done(&own->barrier, 0)) pause();
      seen[block()] = own->value.word[0];
    });
    EXPECT_EQ(outcome.error, "");
    EXPECT_EQ(seen, (std::vector<std::uint32_t>{1, 0, 3, 2}));
  }
}

TEST(EmulatorTest, APushComesLate) {
  std::set<bool> came;
  for (std::uint32_t seed = 0; seed < 20; ++seed) {
    bool at_once = false;
    launch({2, 32, 2, sizeof(Pushed), seed}, [&] {
      Pushed* const own = reinterpret_cast<Pushed*>(shared_memory());
      if (thread() == 0) barrier_start(&own->barrier);
      cluster_sync();
      if (thread() == 0) push(&own->value, &own->barrier, 1 - block(), {{7, 0, 0, 0}});
      cluster_sync();
      if (thread() == 0 && block() == 0) at_once = own->value.word[0] == 7;
      if (thread() == 0) barrier_expect(&own->barrier, 16);
      while (!barrier_done(&own->barrier, 0)) pause();
    });
    came.insert(at_once);
  }
  EXPECT_EQ(came.size(), 2u);
}

/// Whether block 1 ever sees the flag of block 0 before the number that it stands for.
bool a_flag_comes_early(bool with_release) {
  bool early = false;
  for (std::uint32_t seed = 0; seed < 40; ++seed) {
    std::uint32_t number = 0, flag = 0;
    launch({2, 32, 1, 0, seed}, [&] {
      if (block() == 0 && thread() == 0) {
        store_for_blocks(&number, 7u);
        with_release ? store_release(&flag, 1) : store_for_blocks(&flag, 1u);
      } else if (block() == 1) {
        while (load_acquire(&flag) == 0) pause();
        if (number != 7) early = true;
      }
    });
  }
  return early;
}

TEST(EmulatorTest, AMissingFenceShows) {
  EXPECT_FALSE(a_flag_comes_early(/*with_release=*/true));
  EXPECT_TRUE(a_flag_comes_early(/*with_release=*/false));
}

TEST(EmulatorTest, FindsAPushToABlockThatHasEnded) {
  int found = 0;
  for (std::uint32_t seed = 0; seed < 20; ++seed) {
    const auto outcome = launch({2, 32, 2, sizeof(Pushed), seed}, [] {
      Pushed* const own = reinterpret_cast<Pushed*>(shared_memory());
      if (thread() == 0) barrier_start(&own->barrier);
      cluster_sync();
      if (thread() == 0 && block() == 0) push(&own->value, &own->barrier, 1, {{7, 0, 0, 0}});
    });
    found += outcome.error.find("a block that has ended") != std::string::npos;
  }
  EXPECT_GT(found, 0);
}

TEST(EmulatorTest, ShufflesAndVotes) {
  std::vector<double> got(32);
  bool all = true, none = true;
  const auto outcome = launch({1, 32, 1, 0, 4}, [&] {
    got[thread()] = shuffle_xor(static_cast<double>(thread()), 5);
    none = warp_all(thread() != 9);
    all = warp_all(thread() < 32);
  });
  EXPECT_EQ(outcome.error, "");
  for (int lane = 0; lane < 32; ++lane) EXPECT_EQ(got[lane], lane ^ 5);
  EXPECT_TRUE(all);
  EXPECT_FALSE(none);
}

}  // namespace
}  // namespace elman::cuda::device
