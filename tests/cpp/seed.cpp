// Every test draws the same numbers from torch's generator, whichever tests ran before it.

#include <ATen/Context.h>
#include <gtest/gtest.h>

namespace {

class Seed : public testing::EmptyTestEventListener {
  void OnTestStart(const testing::TestInfo&) override { at::manual_seed(0); }
};

[[maybe_unused]] const bool appended = [] {
  testing::UnitTest::GetInstance()->listeners().Append(new Seed);  // which then owns it
  return true;
}();

}  // namespace
