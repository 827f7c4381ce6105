// Threads that share each step of a sequence: what they do where there are fewer of them than
// expected, or where one does not get its core.

#include "cpu/team.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <mutex>
#include <new>
#include <thread>
#include <vector>

namespace elman::cpu {
namespace {

TEST(Team, PartsCoverAllColumnsOnce) {
  for (const int64_t columns : {64, 100, 1000}) {
    for (const int64_t members : {1, 2, 3}) {
      std::mutex mutex;
      std::vector<int> covered(columns, 0);
      run_team<float>(members, columns, 0, [&](Member member) {
        const std::lock_guard<std::mutex> guard(mutex);
        for (int64_t j = member.first; j < member.end; ++j) ++covered[j];
      });
      EXPECT_EQ(std::count(covered.begin(), covered.end(), 1), columns);
    }
  }
}

TEST(Team, OneThreadIsAllMembersInsideAParallelRegion) {
  at::parallel_for(0, 2, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      int calls = 0;
      run_team<float>(4, 256, 0, [&](Member member) {
        ++calls;
        EXPECT_EQ(member.first, 0);
        EXPECT_EQ(member.end, 256);
        EXPECT_TRUE(member.meet(256));
      });
      EXPECT_EQ(calls, 1);
    }
  });
}

TEST(Team, AThreadMayStandForSeveralMembers) {
  StepBarrier barrier(4);
  std::vector<int64_t> steps(2, 0);
  const auto run = [&](int64_t thread, int64_t group) {
    for (int step = 0; step < 1000; ++step) {
      barrier.wait(group);
      ++steps[thread];
    }
  };
  std::thread other(run, 0, 3);
  run(1, 1);
  other.join();
  EXPECT_EQ(steps, std::vector<int64_t>({1000, 1000}));
}

TEST(Team, IsDissolvedForAllAtTheSameStepWhereOneIsAlwaysLate) {
  constexpr int64_t kMembers = 3, kColumns = 96;
  constexpr int kSteps = 200;
  StepBarrier barrier(kMembers);
  std::vector<int> left(kMembers, -1);
  const auto run = [&](int64_t index) {
    Member member{32 * index, 32 * index + 32, index, 1, &barrier};
    for (int step = 0; step < kSteps; ++step) {
      if (index == 1) std::this_thread::sleep_for(std::chrono::milliseconds(2));
      if (!member.meet(kColumns)) {
        left[index] = step;
        return;
      }
      if (index == 0 && member.barrier == nullptr && left[0] < 0) left[0] = step;
    }
    EXPECT_EQ(member.first, 0);
    EXPECT_EQ(member.end, kColumns);
  };
  std::vector<std::thread> threads;
  for (int64_t index = 1; index < kMembers; ++index) threads.emplace_back(run, index);
  run(0);
  for (std::thread& thread : threads) thread.join();
  EXPECT_GE(left[0], 0);
  EXPECT_EQ(left, std::vector<int>(kMembers, left[0]));
}

/// An exception ends the work of all threads: nobody waits for the one that left with it.
TEST(Team, AMembersExceptionIsThrownOn) {
  for (const int64_t thrower : {0, 1, 3}) {
    const auto run = [&] {
      run_team<float>(4, 256, 0, [&](Member member) {
        for (int step = 0; step < 100; ++step) {
          // After one meeting: a slow machine may have dissolved the team after two.
          if (step == 1 && member.index <= thrower && thrower < member.index + member.group)
            throw std::bad_alloc();
          if (!member.meet(256)) return;
        }
      });
    };
    EXPECT_THROW(run(), std::bad_alloc) << thrower;
  }
}

TEST(Team, NobodyMeetsAMemberThatHasLeft) {
  StepBarrier barrier(3);
  std::vector<StepBarrier::Outcome> outcomes(2, StepBarrier::Outcome::kGoOn);
  const auto wait = [&](size_t index) { outcomes[index] = barrier.wait(1); };
  std::thread first(wait, 0), second(wait, 1);
  std::this_thread::sleep_for(std::chrono::milliseconds(5));
  barrier.abandon();
  first.join();
  second.join();
  for (const auto outcome : outcomes) EXPECT_EQ(outcome, StepBarrier::Outcome::kAbandoned);
}

}  // namespace
}  // namespace elman::cpu
