// The threads that the kernels use treat denormal numbers as the caller does (csrc/cpu/parallel.h).

#include "cpu/parallel.h"

#include <ATen/Context.h>
#include <gtest/gtest.h>

#include <stdexcept>
#include <vector>

namespace elman::cpu {
namespace {

constexpr int64_t kThreads = 3;

/// Whether a denormal result, of these operands, comes out of the calling thread.
bool keeps_denormals() {
  volatile float small = 1e-38F;
  return small * 0.1F != 0;
}

/// What each thread of the pool does by itself.
std::vector<int> modes_of_pool() {
  std::vector<int> keeps(kThreads, -1);
  at::parallel_for(0, kThreads, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) keeps[i] = keeps_denormals();
  });
  return keeps;
}

/// A pool whose threads keep denormal numbers, and a caller that does as the test says.
class FlushModeTest : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    at::set_num_threads(kThreads);
    ASSERT_EQ(modes_of_pool(), std::vector<int>(kThreads, 1));
    if (!at::globalContext().setFlushDenormal(GetParam()) && GetParam())
      GTEST_SKIP() << "this CPU cannot flush denormal numbers";
  }
  void TearDown() override {
    at::globalContext().setFlushDenormal(false);
    at::set_num_threads(before_);
  }

 private:
  const int before_ = at::get_num_threads();
};

TEST_P(FlushModeTest, IsTheCallersInEachPart) {
  std::vector<int> keeps(kThreads, -1);
  parallel_parts(kThreads, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) keeps[i] = keeps_denormals();
  });
  EXPECT_EQ(keeps, std::vector<int>(kThreads, GetParam() ? 0 : 1));
}

TEST_P(FlushModeTest, IsPutBackAfterwards) {
  parallel_parts(kThreads, [](int64_t, int64_t) {});
  EXPECT_EQ(keeps_denormals(), !GetParam());
  at::globalContext().setFlushDenormal(false);
  EXPECT_EQ(modes_of_pool(), std::vector<int>(kThreads, 1));
}

TEST_P(FlushModeTest, IsPutBackAfterAnException) {
  EXPECT_THROW(
      parallel_parts(kThreads, [](int64_t, int64_t) { throw std::runtime_error("from a part"); }),
      std::runtime_error);
  EXPECT_EQ(keeps_denormals(), !GetParam());
  at::globalContext().setFlushDenormal(false);
  EXPECT_EQ(modes_of_pool(), std::vector<int>(kThreads, 1));
}

INSTANTIATE_TEST_SUITE_P(OffAndOn, FlushModeTest, testing::Bool());

}  // namespace
}  // namespace elman::cpu
