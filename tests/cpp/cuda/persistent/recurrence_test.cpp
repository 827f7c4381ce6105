// The persistent CUDA kernels, executed by the emulator, against the definition in double.
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <tuple>

#include "cuda/emulation/persistent_call.h"

namespace elman::cuda::persistent {
namespace {

constexpr Arithmetic kArithmetics[] = {Arithmetic::kFloat64, Arithmetic::kFloat32,
                                       Arithmetic::kTf32, Arithmetic::kBFloat16,
                                       Arithmetic::kFloat16};

/// Small devices, so that small problems come in many groups, chunks and blocks.
const DeviceLimits kDevices[] = {
    {80, 2, 163 * 1024, 1}, {80, 7, 163 * 1024, 1}, {90, 8, 227 * 1024, 4, {}, true}};

/// One layout of each kind that the planner knows for a problem, with at most `max_blocks` blocks.
std::vector<Plan> kinds(const Problem& problem, int max_blocks = 8) {
  std::map<std::tuple<Exchange, bool, bool, bool>, Plan> found;
  for (const DeviceLimits& device : kDevices) {
    for (const Plan& plan : candidates(problem, device)) {
      const Layout& l = plan.layout;
      if (plan.blocks() > max_blocks) continue;
      found.insert({{l.exchange, l.groups > 1, l.chunks > 1, l.shared_units > 0}, plan});
    }
  }
  std::vector<Plan> plans;
  for (const auto& [kind, plan] : found) plans.push_back(plan);
  return plans;
}

std::string describe(const Case& c, const Plan& plan) {
  const Layout& l = plan.layout;
  return c.name() + ", exchange " + std::to_string(static_cast<int>(l.exchange)) + ", " +
         std::to_string(l.groups) + " groups of " + std::to_string(l.group_blocks) + " blocks of " +
         std::to_string(l.features) + " features, " + std::to_string(l.group_rows) +
         " rows in chunks of " + std::to_string(l.chunk_rows) + ", " +
         std::to_string(l.shared_units) + " units in shared memory";
}

void expect_close(const std::vector<double>& got, const std::vector<double>& expected,
                  double tolerance) {
  ASSERT_EQ(got.size(), expected.size());
  for (size_t i = 0; i < got.size(); ++i)
    ASSERT_LE(std::abs(got[i] - expected[i]), tolerance * (1 + std::abs(expected[i])))
        << "at " << i;
}

void check_forward(const Case& c, std::uint32_t seed = 1) {
  const Values values(c, seed);
  const ForwardResult expected = forward_reference(c, values);
  const std::vector<Plan> plans = kinds(forward_problem(c));
  ASSERT_FALSE(plans.empty());
  for (const Plan& plan : plans) {
    SCOPED_TRACE(describe(c, plan));
    const EmulatedResult result = emulate_forward(c, values, plan, seed);
    ASSERT_EQ(result.error, "");
    EXPECT_FALSE(result.given_up);
    expect_close(result.first, expected.states, tolerance(c.arithmetic));
    expect_close(result.second, expected.h_n, tolerance(c.arithmetic));
    if (testing::Test::HasFatalFailure()) return;
  }
}

void check_backward(const Case& c, std::uint32_t seed = 1) {
  const Values values(c, seed);
  const std::vector<double> expected = backward_reference(c, values);
  const std::vector<Plan> plans = kinds(backward_problem(c));
  ASSERT_FALSE(plans.empty());
  for (const Plan& plan : plans) {
    SCOPED_TRACE(describe(c, plan));
    const EmulatedResult result = emulate_backward(c, values, plan, seed);
    ASSERT_EQ(result.error, "");
    EXPECT_FALSE(result.given_up);
    expect_close(result.first, expected, tolerance(c.arithmetic));
    if (testing::Test::HasFatalFailure()) return;
  }
}

Case make(Arithmetic arithmetic, int steps, int batch, int hidden) {
  Case c{steps, batch, hidden};
  c.arithmetic = arithmetic;
  return c;
}

TEST(PersistentForwardTest, EverySizeAndLayout) {
  for (const Arithmetic arithmetic : kArithmetics) {
    for (const auto& [steps, batch, hidden] :
         {std::tuple{1, 1, 1}, {4, 1, 17}, {3, 5, 40}, {2, 19, 33}, {3, 3, 130}}) {
      check_forward(make(arithmetic, steps, batch, hidden));
      if (HasFatalFailure()) return;
    }
  }
}

TEST(PersistentForwardTest, WeightsBeyondTheRegisters) {
  check_forward(make(Arithmetic::kFloat32, 3, 6, 270));
  check_forward(make(Arithmetic::kTf32, 3, 9, 300));
  check_forward(make(Arithmetic::kBFloat16, 3, 40, 420));
}

/// Cases of every option, one varied at a time.
std::vector<Case> options(Case base) {
  std::vector<Case> cases;
  const auto with = [&](const auto& change) {
    Case c = base;
    change(c);
    cases.push_back(c);
  };
  for (const ActivationInfo& info : kActivations) {
    if (info.activation != base.activation) with([&](Case& c) { c.activation = info.activation; });
  }
  with([](Case& c) { c.bias = c.hx = c.grad_output = false; });
  with([](Case& c) { c.grad_h_n = false, c.computed_gradient = true; });
  for (const bool reverse : {false, true}) {
    with([&](Case& c) { c.reverse = reverse, c.reset = true; });
    with([&](Case& c) { c.reverse = reverse, c.packed = true; });
  }
  return cases;
}

TEST(PersistentForwardTest, EveryOption) {
  for (const Arithmetic arithmetic : {Arithmetic::kFloat64, Arithmetic::kBFloat16}) {
    for (const Case& c : options(make(arithmetic, 5, 11, 36))) {
      check_forward(c);
      if (HasFatalFailure()) return;
    }
  }
}

TEST(PersistentBackwardTest, EverySizeAndLayout) {
  for (const Arithmetic arithmetic : kArithmetics) {
    for (const auto& [steps, batch, hidden] :
         {std::tuple{1, 1, 1}, {4, 1, 17}, {3, 5, 40}, {2, 19, 33}, {3, 3, 130}}) {
      check_backward(make(arithmetic, steps, batch, hidden));
      if (HasFatalFailure()) return;
    }
  }
}

TEST(PersistentBackwardTest, EveryOption) {
  for (const Arithmetic arithmetic : {Arithmetic::kFloat64, Arithmetic::kBFloat16}) {
    for (Case c : options(make(arithmetic, 5, 11, 36))) {
      c.carry_scale = !c.reverse && !c.packed;
      check_backward(c);
      if (HasFatalFailure()) return;
    }
  }
}

TEST(PersistentBackwardTest, Windows) {
  for (const auto& [steps, k1, k2] :
       {std::tuple{7, 2, 2}, {7, 1, 1}, {7, 3, 3}, {7, 1, 3}, {7, 2, 5}, {7, 3, 4}, {6, 1, 5}}) {
    for (const bool packed : {false, true}) {
      for (const bool reverse : {false, true}) {
        if (reverse && k1 != k2) continue;  // not defined
        Case c = make(Arithmetic::kFloat64, steps, 3, 20);
        c.k1 = k1, c.k2 = k2;
        c.packed = packed, c.reset = !packed, c.reverse = reverse;
        c.carry_scale = !packed && !reverse;
        check_backward(c, steps + k2);
        if (HasFatalFailure()) return;
      }
    }
  }
  Case c = make(Arithmetic::kBFloat16, 9, 2, 50);
  c.k1 = 2, c.k2 = 5;
  check_backward(c);
}

// The order in which threads run must not show, bit by bit: a race would.
TEST(PersistentRaceTest, TheOrderOfThreadsDoesNotShow) {
  for (const Arithmetic arithmetic : {Arithmetic::kFloat32, Arithmetic::kBFloat16}) {
    Case c = make(arithmetic, 4, 17, 30);
    c.k1 = 1, c.k2 = 3;
    const Values values(c, 5);
    for (const Plan& plan : kinds(forward_problem(c))) {
      SCOPED_TRACE(describe(c, plan));
      const EmulatedResult first = emulate_forward(c, values, plan, 0);
      for (std::uint32_t seed = 1; seed < 3; ++seed) {
        const EmulatedResult other = emulate_forward(c, values, plan, seed);
        ASSERT_EQ(other.first, first.first);
        ASSERT_EQ(other.second, first.second);
      }
    }
    for (const Plan& plan : kinds(backward_problem(c))) {
      SCOPED_TRACE(describe(c, plan));
      const EmulatedResult first = emulate_backward(c, values, plan, 0);
      for (std::uint32_t seed = 1; seed < 3; ++seed)
        ASSERT_EQ(emulate_backward(c, values, plan, seed).first, first.first);
    }
  }
}

// A block that never comes: the others give up, say so, and leave NaN rather than wrong numbers.
TEST(PersistentWaitTest, IsBounded) {
  const Case c = make(Arithmetic::kFloat32, 4, 2, 24);
  const Values values(c, 1);
  int tried = 0;
  for (const Plan& plan : kinds(forward_problem(c))) {
    if (plan.layout.exchange != Exchange::kGlobal || plan.layout.groups > 1) continue;
    const EmulatedResult result = emulate_forward(c, values, plan, 1, /*drop=*/1);
    EXPECT_EQ(result.error, "");
    EXPECT_TRUE(result.given_up);
    EXPECT_TRUE(std::isnan(result.second[0]));
    ++tried;
  }
  EXPECT_GT(tried, 0);
}

}  // namespace
}  // namespace elman::cuda::persistent
