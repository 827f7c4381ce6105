// Which CUDA path a recurrence takes (csrc/cuda/choice.h), without a GPU.

#include "cuda/choice.h"

#include <gtest/gtest.h>

namespace elman::cuda {
namespace {

using persistent::Arithmetic;
using persistent::DeviceLimits;
using persistent::Problem;

// Two kinds of device, as their data sheets have them.
constexpr DeviceLimits kWithClusters{90, 132, 232448, 8};
constexpr DeviceLimits kWithoutClusters{86, 82, 101376, 1};
constexpr DeviceLimits kTooOld{75, 40, 65536, 1};

TEST(CudaChoice, APreferenceIsNamedOrAuto) {
  EXPECT_EQ(parse_preference("general"), Preference::kGeneral);
  EXPECT_EQ(parse_preference("persistent"), Preference::kPersistent);
  EXPECT_EQ(parse_preference("async"), Preference::kAsync);
  EXPECT_EQ(parse_preference("auto"), Preference::kAuto);
  EXPECT_EQ(parse_preference(nullptr), Preference::kAuto);
  EXPECT_EQ(parse_preference("Persistent"), Preference::kAuto);
}

TEST(CudaChoice, SmallRecurrencesStayOnTheChip) {
  for (const DeviceLimits& device : {kWithClusters, kWithoutClusters}) {
    for (const Arithmetic arithmetic : {Arithmetic::kFloat32, Arithmetic::kBFloat16}) {
      const Choice choice = choose({arithmetic, 128, 16, 128}, device, Preference::kAuto);
      ASSERT_TRUE(choice.plan) << choice.reason;
      EXPECT_EQ(choice.reason.find("persistent path: "), 0u) << choice.reason;
      EXPECT_NE(choice.reason.find("cycles a step predicted"), std::string::npos);
    }
  }
}

TEST(CudaChoice, AsynchronousClustersHaveToBeAskedFor) {
  const Problem problem{Arithmetic::kFloat32, 128, 16, 256};
  for (const Preference preference : {Preference::kAuto, Preference::kPersistent}) {
    const Choice choice = choose(problem, kWithClusters, preference);
    ASSERT_TRUE(choice.plan) << choice.reason;
    EXPECT_NE(choice.plan->layout.exchange, persistent::Exchange::kAsyncCluster);
  }
  const Choice asked = choose(problem, kWithClusters, Preference::kAsync);
  ASSERT_TRUE(asked.plan) << asked.reason;
  EXPECT_EQ(asked.plan->layout.exchange, persistent::Exchange::kAsyncCluster) << asked.reason;
}

TEST(CudaChoice, WhatDoesNotFitTakesTheGeneralPath) {
  const Choice large =
      choose({Arithmetic::kFloat64, 128, 16, 8192}, kWithClusters, Preference::kPersistent);
  EXPECT_FALSE(large.plan);
  EXPECT_NE(large.reason.find("does not fit"), std::string::npos) << large.reason;
  const Choice old = choose({Arithmetic::kFloat32, 128, 16, 64}, kTooOld, Preference::kPersistent);
  EXPECT_FALSE(old.plan);
  EXPECT_NE(old.reason.find("compute capability"), std::string::npos) << old.reason;
}

TEST(CudaChoice, APreferenceDecides) {
  const Problem problem{Arithmetic::kFloat32, 128, 16, 128};
  const Choice general = choose(problem, kWithClusters, Preference::kGeneral);
  EXPECT_FALSE(general.plan);
  EXPECT_NE(general.reason.find("ELMAN_CUDA_PATH"), std::string::npos);

  // So many windows that their product keeps the whole chip busy.
  const Problem wide{Arithmetic::kBFloat16, 20, 16, 1024, 256, false};
  const Choice automatic = choose(wide, kWithClusters, Preference::kAuto);
  EXPECT_FALSE(automatic.plan) << automatic.reason;
  EXPECT_NE(automatic.reason.find("would be slower"), std::string::npos) << automatic.reason;
}

TEST(CudaChoice, TheGeneralPathPaysForLaunchesAndForItsProduct) {
  const auto cycles = [](std::int64_t batch, std::int64_t windows, Arithmetic arithmetic) {
    return general_cycles({arithmetic, 10, batch, 512, windows}, kWithClusters);
  };
  const double one = cycles(1, 1, Arithmetic::kFloat32);
  EXPECT_GT(one, 5000);
  EXPECT_LT(one, 60000);
  EXPECT_DOUBLE_EQ(cycles(64, 2, Arithmetic::kFloat32), cycles(128, 1, Arithmetic::kFloat32));
  EXPECT_GT(cycles(1 << 16, 1, Arithmetic::kFloat32), 10 * one);
  EXPECT_LT(cycles(1 << 16, 1, Arithmetic::kBFloat16), cycles(1 << 16, 1, Arithmetic::kFloat32));
}

}  // namespace
}  // namespace elman::cuda
