// How the CPU kernels divide a call among threads (csrc/cpu/schedule.h), and how that is worded:
// from sizes alone, nothing runs here.

#include "cpu/schedule.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace elman::cpu {
namespace {

constexpr ElementBytes kFloat{4, 4};
constexpr ElementBytes kBFloat16{2, 4};
constexpr Threads kTwo{2}, kFour{4};

/// T, B, I, H, L, D.
StackShape stack(int64_t steps, int64_t batch, int64_t input_size, int64_t hidden_size,
                 int64_t layers = 1, int64_t directions = 1) {
  return {steps, batch, input_size, hidden_size, layers, directions, Activation::kTanh};
}

std::string forward_text(const StackShape& shape, const Threads& threads,
                         ElementBytes bytes = kFloat, bool shares_states = false) {
  return describe(schedule_forward(shape, shares_states, bytes, threads), shape);
}

std::string backward_text(const StackShape& shape, const Threads& threads, int64_t k1 = 0,
                          int64_t k2 = 0) {
  const Windows windows = Windows::make(shape.steps, k1, k2);
  return describe(
      schedule_backward(shape, windows, shape.num_layers, /*by_lag=*/false, kFloat, threads), shape,
      windows);
}

struct ForwardCase {
  StackShape shape;
  Threads threads;
  Division division;  ///< of the stack, or of its first layer
  int64_t used;       ///< threads
  std::string text;
};

TEST(Schedule, ForwardTable) {
  const std::vector<ForwardCase> cases{
      {stack(100, 32, 128, 128),
       {1},
       Division::kOneThread,
       1,
       "one thread, as torch.get_num_threads() is 1"},
      {stack(100, 32, 128, 128),
       {8, true},
       Division::kOneThread,
       1,
       "one thread, as the call comes from inside a parallel region"},
      {stack(100, 1, 64, 64), kTwo, Division::kOneThread, 1,
       "one thread, as 1.6 million operations are too few to wake another"},
      {stack(40, 3, 100, 120), kFour, Division::kOneThread, 1,
       "one thread: 3 rows and a W_h of 56 KiB are too small to divide; 3 threads share the "
       "products "
       "with W_x"},
      {stack(20, 1, 1000, 128), kTwo, Division::kOneThread, 1,
       "one thread: 1 row and a W_h of 64 KiB are too small to divide"},
      {stack(100, 32, 128, 128), kTwo, Division::kRows, 2,
       "each of 2 threads takes 16 rows through all steps"},
      {stack(100, 33, 128, 128), kFour, Division::kRows, 4,
       "each of 4 threads takes up to 9 rows through all steps"},
      {stack(100, 32, 128, 128, 1, 2), kTwo, Division::kRows, 2,
       "each of 2 threads takes 32 rows of one direction through all steps"},
      {stack(100, 32, 128, 128, 1, 2),
       {3},
       Division::kRows,
       3,
       "3 threads take 4 parts by turns, each 16 rows of one direction, through all steps"},
      {stack(100, 1, 256, 256), kTwo, Division::kColumns, 2,
       "2 threads share each step's columns: 1 row, W_h 256 KiB"},
      {stack(100, 1, 256, 256, 2, 2), kTwo, Division::kColumns, 2,
       "layer by layer, 2 threads share each step's columns, one direction after the other: 1 row, "
       "W_h 256 KiB"},
      {stack(20, 32, 64, 1024), kFour, Division::kColumns, 4,
       "4 threads share each step's columns: 32 rows, W_h 4 MiB"},
      {stack(1000, 1, 64, 64), kTwo, Division::kStages, 2,
       "2 threads, 1 row: the products with W_x, and the recurrence 125 steps behind"},
      {stack(400, 1, 64, 64, 3), kFour, Division::kStages, 4,
       "4 threads, 1 row: the products with W_x and the recurrence of 3 layers, each 24 steps "
       "behind the one before"},
      {stack(2, 2, 1000, 64, 2), kTwo, Division::kOneThread, 1,
       "one thread, as 0.61 million operations are too few to wake another"},
      {stack(200, 1, 64, 64), kTwo, Division::kOneThread, 1,
       "one thread, as 3.3 million operations are too few to wake another"},
      {stack(4, 8, 2000, 32, 2), kTwo, Division::kRows, 2,
       "first layer: each of 2 threads takes 4 rows through all steps; then: one thread, as 0.13 "
       "million operations at a time are too few for more"},
  };
  for (const ForwardCase& expected : cases) {
    const ForwardSchedule schedule =
        schedule_forward(expected.shape, /*shares_states=*/false, kFloat, expected.threads);
    const Choice& choice = schedule.stages.shared() ? schedule.stages : schedule.lowest.choice;
    EXPECT_EQ(describe(schedule, expected.shape), expected.text);
    EXPECT_EQ(choice.division, expected.division) << expected.text;
    EXPECT_EQ(choice.threads, expected.used) << expected.text;
    EXPECT_EQ(choice.alone == Alone::kNot, expected.used > 1) << expected.text;
  }
}

struct BackwardCase {
  StackShape shape;
  int64_t k1, k2;
  Threads threads;
  std::string text;
};

TEST(Schedule, BackwardTable) {
  const std::vector<BackwardCase> cases{
      {stack(100, 32, 128, 128), 0, 0, {1}, "one thread, as torch.get_num_threads() is 1"},
      {stack(50, 1, 64, 64), 0, 0, kTwo,
       "one thread, as 1.2 million operations are too few to wake another"},
      {stack(100, 1, 64, 64), 0, 0, kTwo,
       "one thread, as 2.5 million operations are too few to wake another"},
      {stack(100, 32, 128, 128), 0, 0, kTwo, "each of 2 threads takes 16 rows through all steps"},
      {stack(100, 256, 128, 128), 0, 0, kTwo,
       "2 threads take 4 parts by turns, each 64 rows, through all steps"},
      {stack(100, 1, 128, 128), 0, 0, kTwo,
       "one thread: 1 row and a W_h of 64 KiB are too small to divide"},
      {stack(100, 1, 256, 256), 0, 0, kTwo,
       "2 threads share each step's columns: 1 row, W_h 256 KiB"},
      {stack(100, 4, 128, 128), 5, 5, kTwo,
       "each of 2 threads takes up to 16 windows of 4 rows through all 5 lags"},
      {stack(100, 2, 16, 128), 5, 5, kFour,
       "one thread: 20 windows of 2 rows and a W_h of 64 KiB are too small to divide"},
      {stack(100, 32, 64, 64, 2), 5, 5, kTwo,
       "layer by layer, 2 threads take 10 parts by turns, each 2 windows of 32 rows, through all 5 "
       "lags"},
      {stack(1000, 1, 64, 64, 3), 0, 0, kTwo,
       "2 threads, 1 row: 3 layers, each 41 steps behind the one before"},
      {stack(100, 32, 64, 64), 1, 20, kTwo,
       "each of 2 threads takes 16 rows through all 100 windows of 20 steps"},
      {stack(100, 2, 64, 64), 1, 20, kTwo,
       "2 threads share 64 windows at a time and meet after each lag: 2 rows, of 100 windows of 20 "
       "steps"},
      {stack(400, 2, 16, 16), 1, 20, kTwo,
       "one thread, as 0.066 million operations at a time are "
       "too few for more"},
  };
  for (const BackwardCase& expected : cases) {
    EXPECT_EQ(backward_text(expected.shape, expected.threads, expected.k1, expected.k2),
              expected.text);
  }
}

TEST(Schedule, PackedRowsAreSequences) {
  StackShape shape = stack(3, 40, 256, 256);
  const std::vector<int64_t> sizes{40, 30, 1}, offsets{0, 40, 70, 71};
  shape.batch_sizes = sizes.data();
  shape.offsets = offsets.data();
  EXPECT_EQ(forward_text(shape, kTwo),
            "each of 2 threads takes some of 40 sequences through all steps");
  EXPECT_EQ(backward_text(shape, kTwo),
            "each of 2 threads takes some of 40 sequences through all steps");
  EXPECT_EQ(forward_text(shape, {32}),
            "4 threads share each step's columns: up to 40 rows, W_h 256 KiB");
}

TEST(Schedule, LayersThatShareMemoryGoOneByOne) {
  const StackShape shape = stack(400, 1, 64, 64, 5);
  EXPECT_NE(forward_text(shape, kFour).find("recurrence of 5 layers"), std::string::npos);
  EXPECT_EQ(forward_text(shape, kFour, kFloat, /*shares_states=*/true),
            "layer by layer, 4 threads, 1 row: the products with W_x, and the recurrence 24 steps "
            "behind");
}

TEST(Schedule, BytesOfTheFactorsDecideAboutTeams) {
  const StackShape shape = stack(100, 4, 200, 200);
  EXPECT_EQ(forward_text(shape, kTwo).find("2 threads share each step's columns"), 0U);
  EXPECT_EQ(forward_text(shape, kTwo, kBFloat16),
            "each of 2 threads takes 2 rows through all steps");
}

TEST(Schedule, SmallCallsWakeNobodyAndLargerOnesDo) {
  const auto schedule_of = [](int64_t steps, int64_t batch) {
    return schedule_forward(stack(steps, batch, 64, 64), false, kFloat, kTwo);
  };
  const double step = 2.0 * 64 * 128;  // operations of a row
  const auto steps = static_cast<int64_t>(kWorthWaking / (16 * step));
  EXPECT_EQ(schedule_of(steps, 16).lowest.choice.threads, 1);
  EXPECT_EQ(schedule_of(steps + 1, 16).lowest.choice.threads, 2);
  // A single row is run in stages, which wait for each other.
  const auto more_steps = static_cast<int64_t>(kWorthWakingForAPart / step);
  EXPECT_FALSE(schedule_of(more_steps, 1).stages.shared());
  EXPECT_TRUE(schedule_of(more_steps + 1, 1).stages.shared());
  EXPECT_TRUE(schedule_of(more_steps, 1).threads.small_call);
  // Where threads are awake they share less.
  const Threads awake{2, false, false, /*awake=*/true};
  EXPECT_EQ(schedule_forward(stack(steps, 16, 64, 64), false, kFloat, awake).lowest.choice.threads,
            2);
}

TEST(Schedule, WorkInsideOfACallIsSharedFromLessOn) {
  const Threads small{8, false, /*small_call=*/true};
  EXPECT_EQ(small.for_work(1e12), 1);
  EXPECT_EQ(small.why_one(), Alone::kSmallCall);
  EXPECT_EQ(kTwo.for_work(2 * kWorthAThread), 2);
  EXPECT_EQ(kTwo.for_work(2 * kWorthAThread - 1), 1);
  EXPECT_EQ((Threads{8, /*parallel_region=*/true}.for_work(1e12)), 1);
}

TEST(Schedule, AnEmptyBatchIsDoneByOneThread) {
  EXPECT_EQ(forward_text(stack(5, 0, 8, 8), kTwo).find("one thread"), 0U);
  EXPECT_EQ(backward_text(stack(5, 0, 8, 8), kTwo, 1, 2).find("one thread"), 0U);
}

TEST(Schedule, BFloat16FactorsNeedTheUnitsAndEnoughWork) {
  const BFloat16Units none, dots{true, false, false, 0};
  const BFloat16Units matrix{true, true, true, 512}, switched_off{true, true, false, 512};
  EXPECT_FALSE(prefers_bfloat16_products(none, 1000, 1000));
  EXPECT_TRUE(prefers_bfloat16_products(dots, 1, 16));
  EXPECT_TRUE(prefers_bfloat16_products(matrix, 32, 64));
  EXPECT_FALSE(prefers_bfloat16_products(matrix, 8, 64));  // 512 is little
  EXPECT_TRUE(prefers_bfloat16_products(matrix, 1, 128));  // but W_h leaves the nearest cache
  EXPECT_FALSE(prefers_bfloat16_products(matrix, 32, 63));
  EXPECT_FALSE(prefers_bfloat16_products(switched_off, 32, 64));
  EXPECT_FALSE(prefers_bfloat16_forward(dots, 1, 4, 128));  // few rows: dot products of float
  EXPECT_TRUE(prefers_bfloat16_forward(dots, 1, 5, 128));
}

}  // namespace
}  // namespace elman::cpu
