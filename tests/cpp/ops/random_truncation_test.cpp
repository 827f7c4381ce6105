// What elman::random_truncation draws.

#include <elman/elman.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

#include "testing.h"

namespace {

using torch::Tensor;

TEST(RandomTruncation, DrawsCutsAndFactors) {
  const Tensor scale = elman::random_truncation(100, 50, 2.5);
  EXPECT_EQ(scale.sizes(), (std::vector<int64_t>{100, 50}));
  EXPECT_TRUE(scale.eq(0).logical_or(scale.sub(5.0 / 3).abs().lt(1e-6)).all().item<bool>());
  EXPECT_NEAR(scale.mean().item<double>(), 1, 0.06);  // five standard deviations
  EXPECT_ERROR(elman::random_truncation(3, 2, 1), "length must be greater than 1");
}

}  // namespace
