// The epilogues of leaky cells by themselves, for every instruction set that this machine has,
// against loops written out in double: sizes around the vector lengths (N, N + 1), poisoned memory
// around every operand, every type of storage.
#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <string>
#include <vector>

#include "cpu/vec/kernel_testing.h"

namespace elman::cpu {
namespace {

constexpr LeakForm kForms[] = {LeakForm::kRate, LeakForm::kCurrent};
constexpr int64_t kRows = 3;

/// [rows, n] of S without gaps, and one more element, which must stay what it is.
template <typename S>
struct Guarded {
  int64_t n;
  std::vector<S> data;

  explicit Guarded(int64_t n) : n(n), data(kRows * n + 1, static_cast<S>(7.0F)) {}
  Guarded(int64_t n, std::mt19937& random) : Guarded(n) {
    std::uniform_real_distribution<float> uniform(0, 1);
    for (int64_t i = 0; i < kRows * n; ++i) data[i] = static_cast<S>(uniform(random));
  }
  Rows<S> rows() { return {data.data(), n}; }
  Rows<const S> rows() const { return {data.data(), n}; }
  double operator()(int64_t i, int64_t j) const { return static_cast<double>(data[i * n + j]); }
  bool guard_is_intact() const { return static_cast<float>(data.back()) == 7; }
};

/// alpha in (0, 1], one of them 1.
template <typename C>
Framed<C> make_leak(int64_t rows, int64_t n, std::mt19937& random, int64_t gap) {
  Framed<C> leak(rows, n, random, gap);
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < n; ++j) leak(i, j) = C(0.55) + C(0.4) * leak(i, j);
    leak(i, n / 2) = 1;
  }
  return leak;
}

/// Calls run(set, kernels of S, tolerance of a computed value, of a stored one).
template <typename Run>
void for_storage(const Run& run) {
  for (const InstructionSet& set : instruction_sets()) {
    run(set, set.tables->storage_double, 1e-13, 1e-13);
    run(set, set.tables->storage_float, 2e-6, 2e-6);
    // tanh is approximated to what 16 bits can tell.
    run(set, set.tables->storage_bfloat16, 1e-3, 1.0 / 128);
    run(set, set.tables->storage_half, 1e-3, 1.0 / 512);
  }
}

template <typename S, typename C>
void check_step(const StorageKernels<S, C>& kernels, LeakForm form, Activation f, int64_t n,
                int64_t gap, bool keeps_drive, bool take_back, double computed, double stored) {
  std::mt19937 random(1);
  const int64_t given = gap == 0 ? kRows : 1;  // one row for all, or each its own
  Framed<C> c(kRows, n, random, gap), bias(given, n, random, gap), state(kRows, n, random, gap);
  Framed<C> leak = make_leak<C>(given, n, random, gap);
  Guarded<S> output(n), drive(n);
  std::vector<double> expected_state, expected_output, expected_drive;
  for (int64_t i = 0; i < kRows; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      const int64_t row = gap == 0 ? i : 0;
      const double alpha = leak(row, j), before = state(i, j), a = double(c(i, j)) + bias(row, j);
      const bool is_rate = form == LeakForm::kRate;
      const double drawn = is_rate ? activation(f, a) : a;
      const double after = (1 - alpha) * before + alpha * drawn;
      expected_state.push_back(after);
      expected_output.push_back(is_rate ? after : activation(f, after));
      expected_drive.push_back(is_rate ? drawn : a - before);
    }
  }
  const int64_t stride = gap == 0 ? n : 0;
  kernels.leaky_activate({form,
                          f,
                          kRows,
                          n,
                          c.begin(),
                          c.stride,
                          {bias.begin(), stride},
                          {leak.begin(), stride},
                          {state.begin(), state.stride},
                          output.rows(),
                          {keeps_drive ? drive.data.data() : nullptr, n},
                          take_back});
  ASSERT_TRUE(c.frame_is_intact() && state.frame_is_intact() && output.guard_is_intact() &&
              drive.guard_is_intact());
  for (int64_t i = 0; i < kRows; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      const int64_t at = i * n + j;
      ASSERT_NEAR(state(i, j), expected_state[at], computed);
      ASSERT_NEAR(output(i, j), expected_output[at], stored);
      if (take_back) {
        ASSERT_NEAR(c(i, j), expected_output[at], computed);
        ASSERT_EQ(static_cast<float>(output(i, j)), static_cast<float>(static_cast<S>(c(i, j))));
      }
      // A difference of two states may be larger than each.
      ASSERT_NEAR(drive(i, j), keeps_drive ? expected_drive[at] : 7, 4 * stored);
    }
  }
}

TEST(LeakyKernels, AStepMovesTheStateAndRoundsTheOutput) {
  for_storage([](const InstructionSet& set, const auto& kernels, double computed, double stored) {
    for (const LeakForm form : kForms) {
      for (const ActivationInfo& info : kActivations) {
        const Activation f = info.activation;
        for (const int64_t n : {1, 15, 16, 17, 33, 64}) {
          for (const int64_t gap : {0, 3}) {
            SCOPED_TRACE(set.name + " n " + std::to_string(n) + " f " +
                         std::to_string(static_cast<int>(f)));
            check_step(kernels, form, f, n, gap, /*keeps_drive=*/n % 2 == 1, /*take_back=*/gap > 0,
                       computed, stored);
          }
        }
      }
    }
  });
}

/// Which operands of a step backwards are there.
struct Given {
  bool c, g, errors, accumulate;
};

template <typename G, typename S, typename C>
void check_delta(void (*kernel)(const LeakyDelta<G, S, C>&), LeakForm form, Activation f, int64_t n,
                 const Given& given, double computed) {
  std::mt19937 random(2);
  Framed<C> c(kRows, n, random), carried(kRows, n, random), sum(kRows, n, random),
      errors(kRows, n, random), leak = make_leak<C>(1, n, random, 3);
  const Guarded<G> g(n, random);
  const Guarded<S> h(n, random);
  Guarded<S> rounded(n);
  std::vector<double> expected_delta, expected_carried, expected_sum, expected_errors;
  for (int64_t i = 0; i < kRows; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      const double alpha = leak(0, j), slope = derivative(f, h(i, j));
      const double arrived = (given.c ? c(i, j) : 0) + (given.g ? g(i, j) : 0);
      const bool is_rate = form == LeakForm::kRate;
      const double e = carried(i, j) + (is_rate ? arrived : slope * arrived);
      const double delta = alpha * e * (is_rate ? slope : 1);
      expected_delta.push_back(delta);
      expected_carried.push_back((1 - alpha) * e);
      expected_sum.push_back(delta + (given.accumulate ? sum(i, j) : 0));
      expected_errors.push_back(!given.errors ? errors(i, j)
                                              : e + (given.accumulate ? errors(i, j) : 0));
    }
  }
  kernel({form,
          f,
          kRows,
          n,
          !given.c,
          c.begin(),
          c.stride,
          {given.g ? g.data.data() : nullptr, n},
          h.rows(),
          leak.begin(),
          {carried.begin(), carried.stride},
          {sum.begin(), sum.stride},
          {given.errors ? errors.begin() : nullptr, errors.stride},
          given.accumulate,
          rounded.rows()});
  ASSERT_TRUE(c.frame_is_intact() && carried.frame_is_intact() && sum.frame_is_intact() &&
              errors.frame_is_intact() && rounded.guard_is_intact());
  for (int64_t i = 0; i < kRows; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      const int64_t at = i * n + j;
      ASSERT_NEAR(c(i, j), expected_delta[at], computed);
      ASSERT_NEAR(carried(i, j), expected_carried[at], computed);
      ASSERT_NEAR(sum(i, j), expected_sum[at], computed);
      ASSERT_NEAR(errors(i, j), expected_errors[at], computed);
      ASSERT_EQ(static_cast<float>(rounded(i, j)), static_cast<float>(static_cast<S>(c(i, j))));
    }
  }
}

TEST(LeakyKernels, AStepBackwardsSplitsTheError) {
  for_storage([](const InstructionSet& set, const auto& kernels, double computed, double) {
    for (const LeakForm form : kForms) {
      for (const ActivationInfo& info : kActivations) {
        const Activation f = info.activation;
        for (const int64_t n : {1, 15, 16, 17, 33, 64}) {
          for (const bool c : {false, true}) {
            for (const bool g : {false, true}) {
              SCOPED_TRACE(set.name + " n " + std::to_string(n) + " f " +
                           std::to_string(static_cast<int>(f)));
              const Given given{c, g, /*errors=*/n % 2 == 1, /*accumulate=*/n > 15};
              check_delta(kernels.leaky_delta, form, f, n, given, computed);
              check_delta(kernels.leaky_delta_of_computed, form, f, n, given, computed);
            }
          }
        }
      }
    }
  });
}

/// Where alpha is 1 a step is the plain cell's, to the bit.
template <typename S, typename C>
void check_one(const StorageKernels<S, C>& kernels, Activation f) {
  constexpr int64_t kColumns = 33;
  std::mt19937 random(3);
  Framed<C> c(kRows, kColumns, random), state(kRows, kColumns, random);
  Framed<C> plain = c;
  const std::vector<C> ones(kColumns, C(1));
  Guarded<S> output(kColumns), expected(kColumns);
  kernels.leaky_activate({LeakForm::kRate,
                          f,
                          kRows,
                          kColumns,
                          c.begin(),
                          c.stride,
                          {nullptr, 0},
                          {ones.data(), 0},
                          {state.begin(), state.stride},
                          output.rows(),
                          {nullptr, 0},
                          false});
  kernels.activate(f, kRows, kColumns, {nullptr, 0}, plain.begin(), plain.stride, expected.rows(),
                   false);
  for (int64_t i = 0; i < kRows; ++i)
    for (int64_t j = 0; j < kColumns; ++j) ASSERT_EQ(output(i, j), expected(i, j));
}

TEST(LeakyKernels, ALeakOfOneIsThePlainStep) {
  for_storage([](const InstructionSet& set, const auto& kernels, double, double) {
    for (const ActivationInfo& info : kActivations) {
      const Activation f = info.activation;
      SCOPED_TRACE(set.name);
      check_one(kernels, f);
    }
  });
}

}  // namespace
}  // namespace elman::cpu
