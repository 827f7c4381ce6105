// The CPU's other inner loops by themselves, for every instruction set that this machine has,
// against loops written out in double: sizes around the vector lengths (N, N + 1), poisoned memory
// around every operand.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "cpu/vec/kernel_testing.h"

namespace elman::cpu {
namespace {

template <typename C>
class KernelsTest : public testing::Test {};
using ComputeTypes = testing::Types<float, double>;
TYPED_TEST_SUITE(KernelsTest, ComputeTypes);

TYPED_TEST(KernelsTest, ActivateAddsTheBiasAndAppliesF) {
  using C = TypeParam;
  std::mt19937 random(3);
  for (const InstructionSet& set : instruction_sets()) {
    for (const ActivationInfo& info : kActivations) {
      const Activation f = info.activation;
      for (const int64_t n : {1, 8, 9, 16, 17, 63, 64}) {
        for (const bool repeated : {false, true}) {  // the bias in each row, and no gaps
          const int64_t gap = repeated ? 0 : 3;
          Framed<C> c(3, n, random, gap), bias(repeated ? 3 : 1, n, random, gap);
          c(1, 0) *= 30;  // far into saturation
          std::vector<double> expected;
          for (int64_t i = 0; i < 3; ++i)
            for (int64_t j = 0; j < n; ++j) {
              C sum = c(i, j) + bias(repeated ? i : 0, j);
              expected.push_back(activation(f, sum));
            }
          storage<C>(*set.tables)
              .activate(f, 3, n, {bias.begin(), repeated ? n : 0}, c.begin(), c.stride,
                        {c.begin(), c.stride}, false);
          ASSERT_TRUE(c.frame_is_intact());
          for (int64_t i = 0; i < 3; ++i)
            for (int64_t j = 0; j < n; ++j)
              ASSERT_NEAR(c(i, j), expected[i * n + j], kTolerance<C>) << set.name;
        }
      }
    }
  }
}

TYPED_TEST(KernelsTest, NanPassesThroughEveryActivationAndDerivative) {
  using C = TypeParam;
  for (const InstructionSet& set : instruction_sets()) {
    for (const ActivationInfo& info : kActivations) {
      const Activation f = info.activation;
      std::vector<C> c(5, kPoison<C>);
      storage<C>(*set.tables).activate(f, 1, 5, {nullptr, 0}, c.data(), 5, {c.data(), 5}, false);
      for (const C value : c) EXPECT_TRUE(std::isnan(value)) << set.name;
    }
  }
}

template <typename S, typename C>
void check_delta(const StorageKernels<S, C>& kernels, const std::string& name, double tolerance) {
  std::mt19937 random(4);
  std::uniform_real_distribution<float> uniform(-1, 1);
  for (const ActivationInfo& info : kActivations) {
    const Activation f = info.activation;
    for (const int64_t n : {1, 15, 16, 17, 33, 64}) {
      for (const int64_t gap : {0, 3}) {
        for (const auto& [is_zero, accumulate] :
             {std::pair(false, false), {false, true}, {true, false}, {true, true}}) {
          std::vector<S> g(2 * n), h(2 * n);
          for (S& value : g) value = static_cast<S>(uniform(random));
          for (S& value : h) value = static_cast<S>(uniform(random));
          Framed<C> c(2, n, random, gap), sum(2, n, random, gap);
          std::vector<S> rounded(2 * n + 1, static_cast<S>(7.0F));
          std::vector<double> error, total;
          for (int64_t i = 0; i < 2; ++i) {
            for (int64_t j = 0; j < n; ++j) {
              const double arrived = (is_zero ? 0 : c(i, j)) + static_cast<double>(g[i * n + j]);
              error.push_back(derivative(f, static_cast<double>(h[i * n + j])) * arrived);
              total.push_back(error.back() + (accumulate ? sum(i, j) : 0));
            }
          }
          kernels.delta(f, 2, n, is_zero, {g.data(), n}, {h.data(), n}, c.begin(), c.stride,
                        {sum.begin(), sum.stride}, accumulate, {rounded.data(), n});
          ASSERT_TRUE(c.frame_is_intact() && sum.frame_is_intact()) << name;
          ASSERT_EQ(static_cast<float>(rounded[2 * n]), 7) << name;
          for (int64_t i = 0; i < 2; ++i) {
            for (int64_t j = 0; j < n; ++j) {
              ASSERT_NEAR(c(i, j), error[i * n + j], tolerance) << name;
              ASSERT_NEAR(sum(i, j), total[i * n + j], tolerance) << name;
              ASSERT_EQ(static_cast<C>(rounded[i * n + j]), static_cast<C>(static_cast<S>(c(i, j))))
                  << name;
            }
          }
        }
      }
    }
  }
}

TEST(StorageKernelsTest, DeltaIsTheErrorTimesTheDerivative) {
  for (const InstructionSet& set : instruction_sets()) {
    check_delta(set.tables->storage_double, set.name, 1e-13);
    check_delta(set.tables->storage_float, set.name, 1e-6);
    check_delta(set.tables->storage_bfloat16, set.name, 1e-6);
    check_delta(set.tables->storage_half, set.name, 1e-6);
  }
}

template <typename S, typename C>
void check_activate(const StorageKernels<S, C>& kernels, const std::string& name,
                    double tolerance) {
  std::mt19937 random(8);
  for (const ActivationInfo& info : kActivations) {
    const Activation f = info.activation;
    for (const int64_t n : {1, 15, 16, 17, 33, 64}) {
      for (const int64_t gap : {0, 3}) {
        for (const bool take_back : {false, true}) {
          Framed<C> c(2, n, random, gap), bias(2, n, random, gap);
          std::vector<S> h(2 * n + 1, static_cast<S>(7.0F));
          std::vector<double> expected;
          for (int64_t i = 0; i < 2; ++i)
            for (int64_t j = 0; j < n; ++j)
              expected.push_back(activation(f, static_cast<C>(c(i, j) + bias(i, j))));
          kernels.activate(f, 2, n, {bias.begin(), bias.stride}, c.begin(), c.stride, {h.data(), n},
                           take_back);
          ASSERT_TRUE(c.frame_is_intact()) << name;
          ASSERT_EQ(static_cast<float>(h[2 * n]), 7) << name;
          for (int64_t i = 0; i < 2; ++i) {
            for (int64_t j = 0; j < n; ++j) {
              const double exact = expected[i * n + j];
              // Rounding is relative; sums of a relu reach 2.
              ASSERT_NEAR(static_cast<C>(h[i * n + j]), exact,
                          tolerance * std::max(1.0, std::abs(exact)))
                  << name;
              if (take_back) {
                ASSERT_EQ(c(i, j), static_cast<C>(h[i * n + j])) << name;
              }
            }
          }
        }
      }
    }
  }
}

TEST(StorageKernelsTest, ActivateAndStoreRoundsWhatItStores) {
  for (const InstructionSet& set : instruction_sets()) {
    check_activate(set.tables->storage_double, set.name, 1e-13);
    check_activate(set.tables->storage_float, set.name, 1e-6);
    check_activate(set.tables->storage_bfloat16, set.name, 1.0 / 256);
    check_activate(set.tables->storage_half, set.name, 1.0 / 2048);
  }
}

TEST(StorageKernelsTest, LoadAndStoreConvertAndPad) {
  for (const InstructionSet& set : instruction_sets()) {
    const auto& kernels = set.tables->storage_bfloat16;
    for (const int64_t n : {1, 16, 17, 33, 64}) {
      std::vector<c10::BFloat16> from(n), back(n + 1, c10::BFloat16(7));
      for (int64_t j = 0; j < n; ++j) from[j] = static_cast<c10::BFloat16>(0.37F * j);
      std::vector<float> to(80, -1);
      kernels.load(1, n, (n + 15) / 16 * 16, {from.data(), n}, to.data(), 80);
      kernels.store(1, n, to.data(), 80, {back.data(), n});
      for (int64_t j = 0; j < n; ++j) {
        EXPECT_EQ(to[j], static_cast<float>(from[j]));
        EXPECT_EQ(static_cast<float>(back[j]), static_cast<float>(from[j]));
      }
      for (int64_t j = n; j < 80; ++j) EXPECT_EQ(to[j], j < (n + 15) / 16 * 16 ? 0 : -1);
      EXPECT_EQ(static_cast<float>(back[n]), 7);
    }
  }
}

/// check(kernels, name) with every storage type's kernels of every instruction set.
template <typename Check>
void for_each_storage(const Check& check) {
  for (const InstructionSet& set : instruction_sets()) {
    check(set.tables->storage_double, set.name);
    check(set.tables->storage_float, set.name);
    check(set.tables->storage_bfloat16, set.name);
    check(set.tables->storage_half, set.name);
  }
}

/// Several rows, of any length, with and without zeros behind them: nothing else is written.
template <typename S, typename C>
void check_load_and_store_rows(const StorageKernels<S, C>& kernels, const std::string& name) {
  constexpr int64_t kRows = 3;
  for (int64_t n = 1; n <= 70; ++n) {
    for (const int64_t padded : {n, (n + 15) / 16 * 16}) {
      const int64_t stride = padded + 2, source_stride = n + 1;
      std::vector<S> from(kRows * source_stride, S(77)), back(from);
      for (int64_t i = 0; i < kRows; ++i)
        for (int64_t j = 0; j < n; ++j)
          from[i * source_stride + j] = static_cast<S>(static_cast<float>(i * n + j - 50));
      std::vector<C> to(kRows * stride, C(-1));
      kernels.load(kRows, n, padded, {from.data(), source_stride}, to.data(), stride);
      kernels.store(kRows, n, to.data(), stride, {back.data(), source_stride});
      for (int64_t i = 0; i < kRows; ++i) {
        for (int64_t j = 0; j < stride; ++j) {
          const C expected = j < n        ? static_cast<C>(from[i * source_stride + j])
                             : j < padded ? C(0)
                                          : C(-1);
          ASSERT_EQ(to[i * stride + j], expected) << name << " n " << n << " at " << i << " " << j;
        }
        for (int64_t j = 0; j < source_stride; ++j)
          ASSERT_EQ(static_cast<C>(back[i * source_stride + j]),
                    static_cast<C>(from[i * source_stride + j]))
              << name << " n " << n << " at " << i << " " << j;
      }
    }
  }
}

TEST(StorageKernelsTest, LoadAndStoreRows) {
  for_each_storage([](const auto& kernels, const std::string& name) {
    check_load_and_store_rows(kernels, name);
  });
}

template <typename S, typename C>
void check_load_transposed(const StorageKernels<S, C>& kernels, const std::string& name) {
  for (const int64_t m : {1, 7, 8, 15, 16, 17, 64}) {
    for (const int64_t n : {1, 8, 16, 17, 40}) {
      for (const int64_t multiple : {8, 16}) {
        const int64_t padded = (m + multiple - 1) / multiple * multiple;
        std::vector<S> from(m * (n + 3));
        for (int64_t i = 0; i < m; ++i)
          for (int64_t j = 0; j < n; ++j)
            from[i * (n + 3) + j] = static_cast<S>(static_cast<float>(100 + (7 * i + j) % 128));
        std::vector<C> to(n * (padded + 5), C(-1));
        kernels.load_transposed(m, n, padded, {from.data(), n + 3}, to.data(), padded + 5);
        for (int64_t j = 0; j < n; ++j) {
          for (int64_t i = 0; i < padded + 5; ++i) {
            const C expected = i < m        ? static_cast<C>(from[i * (n + 3) + j])
                               : i < padded ? C(0)
                                            : C(-1);
            ASSERT_EQ(to[j * (padded + 5) + i], expected)
                << name << " m " << m << " n " << n << " at " << i << " " << j;
          }
        }
      }
    }
  }
}

TEST(StorageKernelsTest, LoadTransposedPadsAndLeavesTheRestAlone) {
  for_each_storage(
      [](const auto& kernels, const std::string& name) { check_load_transposed(kernels, name); });
}

}  // namespace
}  // namespace elman::cpu
