// How exact the CPU's activations are, for every instruction set that this machine has: in
// units in the last place, and by what a backward pass makes of them. f' = 1 - h^2 and h (1 - h)
// show every error of an h near 1, so they are compared with those of torch's own functions.
#include <ATen/ops/empty.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/tanh.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <vector>

#include "cpu/vec/kernel_testing.h"

namespace elman::cpu {
namespace {

constexpr int64_t kSamples = 60000;

template <typename S>
std::vector<S> activate(const InstructionSet& set, Activation f,
                        std::vector<compute_t<S>> preactivations) {
  const auto n = static_cast<int64_t>(preactivations.size());
  std::vector<S> h(n);
  storage<S>(*set.tables)
      .activate(f, 1, n, {nullptr, 0}, preactivations.data(), n, {h.data(), n}, false);
  return h;
}

/// f'(a) by the kernel that multiplies with it: [n].
template <typename S>
std::vector<double> slopes(const InstructionSet& set, Activation f, const std::vector<S>& h) {
  const auto n = static_cast<int64_t>(h.size());
  const std::vector<S> ones(n, static_cast<S>(1.0F));
  std::vector<compute_t<S>> slope(n), sum(n);
  std::vector<S> rounded(n);
  storage<S>(*set.tables)
      .delta(f, 1, n, /*c_is_zero=*/true, {ones.data(), n}, {h.data(), n}, slope.data(), n,
             {sum.data(), n}, /*accumulate=*/false, {rounded.data(), n});
  return {slope.begin(), slope.end()};
}

double exact_slope(Activation f, double a) {
  if (f == Activation::kTanh) return 1 / (std::cosh(a) * std::cosh(a));
  const double e = std::exp(-std::abs(a));
  return e / ((1 + e) * (1 + e));
}

template <typename S>
std::vector<S> torch_activate(Activation f, const std::vector<S>& preactivations) {
  const auto n = static_cast<int64_t>(preactivations.size());
  const at::Tensor a = at::empty({n}, c10::CppTypeToScalarType<S>::value);
  std::copy(preactivations.begin(), preactivations.end(), a.mutable_data_ptr<S>());
  const at::Tensor h = f == Activation::kTanh ? at::tanh(a) : at::sigmoid(a);
  return {h.const_data_ptr<S>(), h.const_data_ptr<S>() + n};
}

/// The largest relative error of f' where it is made of these states without rounding.
template <typename S>
double error_of_slope(Activation f, const std::vector<S>& preactivations, const std::vector<S>& h) {
  double largest = 0;
  for (size_t i = 0; i < h.size(); ++i) {
    const auto state = static_cast<double>(h[i]);
    const double slope = f == Activation::kTanh ? (1 - state) * (1 + state) : state * (1 - state);
    const double exact = exact_slope(f, static_cast<double>(preactivations[i]));
    largest = std::max(largest, std::abs(slope / exact - 1));
  }
  return largest;
}

/// Numbers of type S in [first, first + 1).
template <typename S>
std::vector<S> samples(int first) {
  std::mt19937 random(first + 100);
  std::uniform_real_distribution<float> uniform(first, first + 1);
  std::vector<S> values;
  for (int64_t i = 0; i < kSamples; ++i) {
    const auto value = static_cast<S>(uniform(random));
    const auto number = static_cast<float>(value);
    if (first <= number && number < first + 1) values.push_back(value);
  }
  return values;
}

template <typename S>
class SaturatedTest : public testing::Test {};
using StorageTypes = testing::Types<float, double, c10::BFloat16, c10::Half>;
TYPED_TEST_SUITE(SaturatedTest, StorageTypes);

TYPED_TEST(SaturatedTest, DerivativesAreAboutAsExactAsTorchs) {
  using S = TypeParam;
  for (const Activation f : {Activation::kTanh, Activation::kSigmoid}) {
    const int last = f == Activation::kTanh ? 8 : 15;
    for (int first = -last - 1; first <= last; ++first) {
      const std::vector<S> a = samples<S>(first);
      const double torchs = error_of_slope(f, a, torch_activate(f, a));
      for (const InstructionSet& set : instruction_sets()) {
        const std::vector<S> h = activate<S>(set, f, {a.begin(), a.end()});
        EXPECT_LE(error_of_slope(f, a, h), 1.5 * torchs)
            << set.name << " sigmoid " << (f == Activation::kSigmoid) << " from " << first;
      }
    }
  }
}

TYPED_TEST(SaturatedTest, TheBackwardPassAddsNoMoreThanItsOwnRounding) {
  using S = TypeParam;
  using C = compute_t<S>;
  const double tolerance = 4.0 * std::numeric_limits<C>::epsilon();
  for (const Activation f : {Activation::kTanh, Activation::kSigmoid}) {
    for (int first = -9; first <= 8; ++first) {
      const std::vector<S> a = samples<S>(first);
      for (const InstructionSet& set : instruction_sets()) {
        const std::vector<S> h = activate<S>(set, f, {a.begin(), a.end()});
        const std::vector<double> slope = slopes<S>(set, f, h);
        for (size_t i = 0; i < h.size(); ++i) {
          const auto state = static_cast<double>(h[i]);
          const double exact =
              f == Activation::kTanh ? (1 - state) * (1 + state) : state * (1 - state);
          ASSERT_NEAR(slope[i], exact, tolerance * exact)
              << set.name << " sigmoid " << (f == Activation::kSigmoid) << " h " << state;
        }
      }
    }
  }
}

double units_in_the_last_place(float value, double exact) {
  const auto nearest = std::abs(static_cast<float>(exact));
  const double unit = std::nextafter(nearest, 2.0F) - nearest;
  return std::abs(value - exact) / unit;
}

/// Numbers of every size, and those where the kernels' formulas change.
std::vector<float> numbers_of_every_size() {
  std::vector<float> x{0, std::numeric_limits<float>::infinity()};
  for (float value = 1e-42F; value < 1e-37F; value *= 1.1F) x.push_back(value);  // denormal
  for (float value = 1e-37F; value < 200; value *= 1.0003F) x.push_back(value);
  for (int border = 1; border <= 14; ++border) {
    for (const double at : {border / 4.0, border / 1.4, border / 2.8, 9.0, 9.02, 9.6, 12.0}) {
      const auto value = static_cast<float>(at);
      for (const float next : {0.0F, 100.0F}) x.push_back(std::nextafter(value, next));
      x.push_back(value);
    }
  }
  const size_t count = x.size();
  for (size_t i = 0; i < count; ++i) x.push_back(-x[i]);
  return x;
}

TEST(TanhTest, IsWithinOneUnitInTheLastPlaceAboveAHalf) {
  const std::vector<float> x = numbers_of_every_size();
  for (const InstructionSet& set : instruction_sets()) {
    const std::vector<float> h = activate<float>(set, Activation::kTanh, x);
    for (size_t i = 0; i < x.size(); ++i) {
      const double exact = std::tanh(static_cast<double>(x[i]));
      const double limit = std::abs(exact) > 0.5 ? 1.05 : 3.5;
      ASSERT_LE(units_in_the_last_place(h[i], exact), limit) << set.name << " x " << x[i];
      ASSERT_LE(std::abs(h[i]), 1) << set.name;
      ASSERT_EQ(std::signbit(h[i]), std::signbit(x[i])) << set.name << " x " << x[i];
      if (std::abs(x[i]) < 1e-4F) {
        ASSERT_EQ(h[i], x[i]) << set.name;
      }
    }
  }
}

TEST(SigmoidTest, IsWithinAFewUnitsInTheLastPlaceEverywhere) {
  const std::vector<float> x = numbers_of_every_size();
  for (const InstructionSet& set : instruction_sets()) {
    const std::vector<float> h = activate<float>(set, Activation::kSigmoid, x);
    for (size_t i = 0; i < x.size(); ++i) {
      const double e = std::exp(-std::abs(static_cast<double>(x[i])));
      const double exact = x[i] >= 0 ? 1 / (1 + e) : e / (1 + e);
      if (exact < std::numeric_limits<float>::min()) {
        ASSERT_NEAR(h[i], exact, std::numeric_limits<float>::min()) << set.name;
      } else {
        ASSERT_LE(units_in_the_last_place(h[i], exact), 2.5) << set.name << " x " << x[i];
      }
      ASSERT_LE(h[i], 1) << set.name;
    }
  }
}

/// Units in the last place of `value`'s own type, from an exact value in more digits.
template <typename S>
double units(S value, long double exact) {
  const auto nearest = static_cast<S>(std::abs(exact));
  const long double unit =
      std::max(std::nextafter(nearest, std::numeric_limits<S>::infinity()) - nearest,
               std::numeric_limits<S>::min() * std::numeric_limits<S>::epsilon());
  return static_cast<double>(std::abs(value - exact) / unit);
}

long double exact_softplus(long double a) {
  return std::max(a, 0.0L) + std::log1p(std::exp(-std::abs(a)));
}

template <typename S>
class SoftplusTest : public testing::Test {};
using ComputeTypes = testing::Types<float, double>;
TYPED_TEST_SUITE(SoftplusTest, ComputeTypes);

TYPED_TEST(SoftplusTest, IsWithinAFewUnitsInTheLastPlaceEverywhere) {
  using S = TypeParam;
  std::vector<S> x;
  for (const float value : numbers_of_every_size()) {
    if (std::isfinite(value)) x.push_back(static_cast<S>(value) * S(1.0625));
  }
  for (const InstructionSet& set : instruction_sets()) {
    const std::vector<S> h = activate<S>(set, Activation::kSoftplus, x);
    for (size_t i = 0; i < x.size(); ++i) {
      const long double exact = exact_softplus(x[i]);
      if (exact < std::numeric_limits<S>::min()) {  // vectors may count denormal numbers as zero
        ASSERT_NEAR(h[i], static_cast<S>(exact), std::numeric_limits<S>::min()) << set.name;
      } else {
        ASSERT_LE(units(h[i], exact), 2.5) << set.name << " x " << x[i];
      }
    }
  }
}

TYPED_TEST(SoftplusTest, DerivativeIsExactForSmallStatesToo) {
  using S = TypeParam;
  std::vector<S> h;
  for (S value = S(1e-30); value < 200; value *= S(1.01)) h.push_back(value);
  for (const InstructionSet& set : instruction_sets()) {
    const std::vector<double> slope = slopes<S>(set, Activation::kSoftplus, h);
    for (size_t i = 0; i < h.size(); ++i) {
      const long double exact = -std::expm1(-static_cast<long double>(h[i]));
      ASSERT_LE(units(static_cast<S>(slope[i]), exact), 2.5) << set.name << " h " << h[i];
    }
  }
}

template <typename S>
class NarrowSoftplusTest : public testing::Test {};
using NarrowTypes = testing::Types<c10::BFloat16, c10::Half>;
TYPED_TEST_SUITE(NarrowSoftplusTest, NarrowTypes);

/// In 16 bits a result is the exact one rounded, or its neighbour where it stands half way.
TYPED_TEST(NarrowSoftplusTest, IsRoundedOnce) {
  using S = TypeParam;
  for (int first = -9; first <= 30; ++first) {
    const std::vector<S> a = samples<S>(first);
    for (const InstructionSet& set : instruction_sets()) {
      const std::vector<S> h = activate<S>(set, Activation::kSoftplus, {a.begin(), a.end()});
      const std::vector<double> slope = slopes<S>(set, Activation::kSoftplus, h);
      for (size_t i = 0; i < a.size(); ++i) {
        const auto exact = static_cast<double>(exact_softplus(static_cast<float>(a[i])));
        const auto state = static_cast<double>(h[i]);
        const double step = std::numeric_limits<S>::epsilon();
        // Of half's denormal numbers the steps are all 2^-24.
        const double least = std::is_same_v<S, c10::Half> ? 0x1p-25 : 0;
        ASSERT_NEAR(state, exact, std::max(0.5001 * step * exact, 1.0001 * least)) << set.name;
        ASSERT_NEAR(slope[i], -std::expm1(-state), 1e-6 * state) << set.name;
      }
    }
  }
}

template <typename S>
void expect_special_values(const InstructionSet& set) {
  constexpr S kInfinity = std::numeric_limits<S>::infinity();
  const S nan = std::numeric_limits<S>::quiet_NaN();
  const std::vector<S> a{kInfinity, -kInfinity, nan, S(0), S(-0.0), S(1000), S(-1000)};
  const std::vector<S> h = activate<S>(set, Activation::kSoftplus, a);
  EXPECT_EQ(h[0], kInfinity) << set.name;
  EXPECT_EQ(h[1], 0) << set.name;
  EXPECT_TRUE(std::isnan(h[2])) << set.name;
  EXPECT_EQ(h[3], static_cast<S>(std::log(2.0))) << set.name;
  EXPECT_EQ(h[4], h[3]) << set.name;
  EXPECT_EQ(h[5], 1000) << set.name;
  EXPECT_EQ(h[6], 0) << set.name;
  const std::vector<double> slope = slopes<S>(set, Activation::kSoftplus, h);
  EXPECT_EQ(slope[0], 1) << set.name;
  EXPECT_EQ(slope[1], 0) << set.name;
  EXPECT_TRUE(std::isnan(slope[2])) << set.name;
  EXPECT_NEAR(slope[3], 0.5, std::numeric_limits<S>::epsilon()) << set.name;
  EXPECT_EQ(slope[5], 1) << set.name;
  EXPECT_EQ(slope[6], 0) << set.name;

  const std::vector<S> same = activate<S>(set, Activation::kIdentity, a);
  const std::vector<double> ones = slopes<S>(set, Activation::kIdentity, a);
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_TRUE(same[i] == a[i] || (std::isnan(same[i]) && i == 2)) << set.name;
    EXPECT_EQ(ones[i], 1) << set.name;
  }
}

TYPED_TEST(SoftplusTest, AndIdentityOfSpecialValues) {
  for (const InstructionSet& set : instruction_sets()) expect_special_values<TypeParam>(set);
}

}  // namespace
}  // namespace elman::cpu
