// The emulator by itself: it has to find what it is there to find.
#include "cuda_emulation/emulator.h"

#include <gtest/gtest.h>

#include <set>
#include <vector>

#include "cuda_emulation/device.h"

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

TEST(EmulatorTest, BlocksOfAClusterReachEachOthersMemory) {
  std::vector<int> seen(4, -1);
  const auto outcome = launch({4, 32, 2, 16, 3}, [&] {
    int* const value = reinterpret_cast<int*>(shared_memory());
    if (thread() == 0) *peer(value, 1 - block() % 2) = block();
    cluster_sync();
    if (thread() == 0) seen[block()] = *value;
  });
  EXPECT_EQ(outcome.error, "");
  EXPECT_EQ(seen, (std::vector<int>{1, 0, 3, 2}));
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
