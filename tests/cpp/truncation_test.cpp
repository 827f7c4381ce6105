// The window arithmetic of csrc/truncation.h against the definition, step by step.
#include "truncation.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>

namespace elman {
namespace {

/// Whether window m (1-based) covers step t (1-based): max(1, m k1 - k2 + 1) <= t <= min(m k1, T).
bool covers(int64_t steps, int64_t k1, int64_t k2, int64_t m, int64_t t) {
  return std::max<int64_t>(1, m * k1 - k2 + 1) <= t && t <= std::min(m * k1, steps);
}

TEST(WindowsTest, CoverTheStepsOfTheDefinition) {
  for (int64_t steps = 1; steps <= 9; ++steps) {
    for (int64_t k1 = 1; k1 <= 10; ++k1) {
      for (int64_t k2 = k1; k2 <= 12; ++k2) {
        const Windows windows = Windows::make(steps, k1, k2);
        const int64_t count = (steps + k1 - 1) / k1;
        if (windows.count == 1) {
          // One window in place of all: right if each of them starts at step 1.
          EXPECT_TRUE(count == 1 || count * k1 - k2 + 1 <= 1) << steps << " " << k1 << " " << k2;
          EXPECT_EQ(windows.k2, steps);
          continue;
        }
        ASSERT_EQ(windows.count, count);
        for (int64_t m = 0; m < count; ++m) {
          for (int64_t j = 0; j < k2; ++j) {
            const int64_t step = windows.step(m, j, /*reverse=*/false);
            const bool active =
                windows.first_active(j, false) <= m && m < windows.end_active(j, false);
            EXPECT_EQ(active, covers(steps, k1, k2, m + 1, step + 1))
                << "T " << steps << " k1 " << k1 << " k2 " << k2 << " m " << m << " j " << j;
            EXPECT_TRUE(!active || (0 <= step && step < steps));
          }
        }
      }
    }
  }
}

TEST(WindowsTest, ReverseWindowsCoverTheSameStepsFromTheOtherEnd) {
  for (int64_t steps = 1; steps <= 9; ++steps) {
    for (int64_t k = 1; k < steps; ++k) {
      const Windows windows = Windows::make(steps, k, k);
      for (int64_t m = 0; m < windows.count; ++m) {
        for (int64_t j = 0; j < k; ++j) {
          const int64_t step = windows.step(m, j, /*reverse=*/true);
          const bool active = windows.first_active(j, true) <= m && m < windows.end_active(j, true);
          EXPECT_EQ(active, covers(steps, k, k, m + 1, step + 1));
        }
      }
    }
  }
}

TEST(WindowsTest, FullBpttIsOneWindow) {
  for (const Windows& windows : {Windows::make(7, 0, 0), Windows::make(7, 7, 7),
                                 Windows::make(7, 3, 9), Windows::make(7, 1, 7)}) {
    EXPECT_EQ(windows.count, 1);
    EXPECT_EQ(windows.k1, 7);
    EXPECT_EQ(windows.k2, 7);
    EXPECT_TRUE(windows.disjoint());
  }
  EXPECT_EQ(Windows::make(7, 3, 8).count, 3);  // the last window, 7 ... 9, does not reach step 1
}

TEST(WindowsTest, HugeLengthsDoNotOverflow) {
  const int64_t huge = std::numeric_limits<int64_t>::max();
  EXPECT_EQ(Windows::make(5, huge, huge).count, 1);
  EXPECT_EQ(Windows::make(5, 2, huge).count, 1);
}

}  // namespace
}  // namespace elman
