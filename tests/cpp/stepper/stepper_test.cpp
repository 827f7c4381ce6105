// What a stepper computes, against the network written out.
#include <elman/stepper.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "reference.h"

namespace {

using reference::Network;
using reference::Options;

template <typename T>
constexpr double kTolerance = sizeof(T) == 8 ? 1e-13 : 2e-6;

std::vector<Options> grid() {
  std::vector<Options> cases;
  for (const char* nonlinearity : {"tanh", "relu", "sigmoid", "softplus", "identity"})
    for (const char* form : {"", "rate", "current"})
      for (const int64_t rows : {1, 3})
        for (const int64_t layers : {1, 2}) {
          Options options;
          options.nonlinearity = nonlinearity;
          options.form = form;
          options.rows = rows;
          options.L = layers;
          cases.push_back(options);
        }
  // Sizes around those of vectors and panels; more rows than a tile; heads.
  for (const int64_t H : {1, 7, 8, 15, 16, 17, 31, 33, 64, 65, 100, 130})
    for (const int64_t rows : {1, 2, 8, 30}) {
      Options options;
      options.H = H;
      options.I = H % 2 == 0 ? 1 : 19;
      options.rows = rows;
      options.L = 2;
      options.bias = H % 3 != 0;
      cases.push_back(options);
    }
  for (const char* output : {"identity", "tanh", "relu", "sigmoid", "softplus", "softmax"})
    for (const int64_t O : {1, 4, 21, 70}) {
      Options options;
      options.output = output;
      options.O = O;
      options.rows = O % 2 == 0 ? 2 : 1;
      options.form = O == 4 ? "current" : "";
      cases.push_back(options);
    }
  return cases;
}

std::string name_of(const Options& o) {
  return o.nonlinearity + " '" + o.form + "' I" + std::to_string(o.I) + " H" + std::to_string(o.H) +
         " L" + std::to_string(o.L) + " O" + std::to_string(o.O) + " " + o.output + " rows " +
         std::to_string(o.rows);
}

template <typename T>
double difference(const std::vector<long double>& expected, const T* actual) {
  double most = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    const double d = std::abs(static_cast<double>(expected[i] - actual[i])) /
                     std::max(1.0, std::abs(static_cast<double>(expected[i])));
    if (!(d <= most)) most = d;  // NaN, too
  }
  return most;
}

template <typename T>
class StepperNumbers : public testing::Test {};
using Dtypes = testing::Types<float, double>;
TYPED_TEST_SUITE(StepperNumbers, Dtypes);

TYPED_TEST(StepperNumbers, StepAndProcessEqualTheNetworkWrittenOut) {
  using T = TypeParam;
  constexpr int64_t kSteps = 61;
  for (const Options& options : grid()) {
    SCOPED_TRACE(name_of(options));
    Network<T> network(options);
    const std::vector<T> x = reference::make_input<T>(options, kSteps);
    elman::BasicStepper<T> stepper(network.parameters, options.rows);
    elman::BasicStepper<T> processor(network.parameters, options.rows);
    const int64_t width_x = options.rows * options.I;
    const int64_t width_y = options.rows * stepper.output_size();
    std::vector<T> y(static_cast<size_t>(width_y)), all(static_cast<size_t>(kSteps * width_y));
    // In calls of several lengths.
    int64_t at = 0;
    for (const int64_t steps : {1, 0, 5, 40, 15}) {
      processor.process(x.data() + at * width_x, all.data() + at * width_y, steps);
      at += steps;
    }
    ASSERT_EQ(at, kSteps);
    for (int64_t t = 0; t < kSteps; ++t) {
      const auto expected = network.step(x.data() + t * width_x);
      stepper.step(x.data() + t * width_x, y.data());
      ASSERT_LE(difference(expected, y.data()), kTolerance<T>) << "step " << t;
      ASSERT_LE(difference(expected, all.data() + t * width_y), kTolerance<T>) << "process " << t;
    }
    std::vector<T> state(network.state.size());
    stepper.state(state.data());
    EXPECT_LE(difference(network.state, state.data()), kTolerance<T>);
    processor.state(state.data());
    EXPECT_LE(difference(network.state, state.data()), kTolerance<T>);
  }
}

TYPED_TEST(StepperNumbers, StayEqualOver100000Steps) {
  using T = TypeParam;
  for (const char* form : {"", "rate", "current"}) {
    Options options;
    options.H = 16;
    options.form = form;
    Network<T> network(options);
    elman::BasicStepper<T> stepper(network.parameters);
    constexpr int64_t kSteps = 100'000;
    const std::vector<T> x = reference::make_input<T>(options, kSteps);
    std::vector<T> y(16);
    double most = 0;
    for (int64_t t = 0; t < kSteps; ++t) {
      stepper.step(x.data() + t * options.I, y.data());
      most = std::max(most, difference(network.step(x.data() + t * options.I), y.data()));
    }
    EXPECT_LE(most, kTolerance<T>) << form;
  }
}

TYPED_TEST(StepperNumbers, ResetStateAndCopies) {
  using T = TypeParam;
  for (const char* form : {"", "rate", "current"}) {
    Options options;
    options.nonlinearity = "sigmoid";  // f(0) is not 0
    options.form = form;
    options.rows = 3;
    options.L = 2;
    Network<T> network(options);
    const std::vector<T> x = reference::make_input<T>(options, 20);
    const int64_t width = options.rows * options.I;
    elman::BasicStepper<T> stepper(network.parameters, 3);
    std::vector<T> y(15), again(15), state(30), copied(30);
    stepper.step(x.data(), y.data());
    stepper.step(x.data() + width, again.data());
    stepper.state(state.data());
    elman::BasicStepper<T> copy(stepper);
    stepper.reset();
    std::vector<T> zeros(30);
    stepper.state(zeros.data());
    EXPECT_EQ(zeros, std::vector<T>(30));
    std::vector<T> first(15);
    stepper.step(x.data(), first.data());
    EXPECT_EQ(first, y);
    copy.state(copied.data());
    EXPECT_EQ(copied, state) << "a copy has its own state";
    stepper.set_state(state.data());
    stepper.step(x.data() + 2 * width, y.data());
    copy.step(x.data() + 2 * width, again.data());
    EXPECT_EQ(y, again);

    // One row starts anew, the others go on.
    EXPECT_TRUE(copy.reset(1));
    copy.state(copied.data());
    stepper.state(state.data());
    for (size_t i = 0; i < 30; ++i) EXPECT_EQ(copied[i], i / 5 % 3 == 1 ? T(0) : state[i]);
    stepper = copy;
    const elman::BasicStepper<T> moved = std::move(copy);
    EXPECT_EQ(moved.rows(), 3);
    EXPECT_FALSE(stepper.reset(3));
    EXPECT_FALSE(stepper.reset(-1));
    Network<T> after(options);
    for (size_t i = 0; i < 30; ++i) after.state[i] = copied[i];
    const auto expected = after.step(x.data() + 3 * width);
    stepper.step(x.data() + 3 * width, y.data());
    EXPECT_LE(difference(expected, y.data()), kTolerance<T>);
  }
}

// Outputs that are whole vectors are written by the last layer itself, others are copied.
TYPED_TEST(StepperNumbers, InPlace) {
  using T = TypeParam;
  for (const int64_t H : {5, 16, 64})
    for (const int64_t wider : {0, 3})
      for (const int64_t rows : {1, 3}) {
        Options options;
        options.H = H;
        options.I = H + wider;
        options.rows = rows;
        options.L = 2;
        SCOPED_TRACE(name_of(options));
        Network<T> network(options);
        const int64_t kSteps = 100, width_x = rows * options.I, width_y = rows * H;
        const std::vector<T> x = reference::make_input<T>(options, kSteps);
        std::vector<T> y(static_cast<size_t>(kSteps * width_y)), both = x;
        elman::BasicStepper<T> apart(network.parameters, rows), in_place(network.parameters, rows);
        apart.process(x.data(), y.data(), kSteps);
        in_place.process(both.data(), both.data(), kSteps);
        both.resize(y.size());
        EXPECT_EQ(both, y);
        std::vector<T> one(x.begin(), x.begin() + width_x);
        std::vector<T> expected(static_cast<size_t>(width_y));
        apart.step(one.data(), expected.data());
        in_place.step(one.data(), one.data());
        one.resize(expected.size());
        EXPECT_EQ(one, expected);
      }
}

// A single row takes the panels in one order and the other in turn; its sums do not.
TYPED_TEST(StepperNumbers, EqualToTheBitAfterAnyNumberOfSteps) {
  using T = TypeParam;
  for (const int64_t H : {33, 130}) {
    Options options;
    options.H = H;
    options.L = 2;
    Network<T> network(options);
    const std::vector<T> x = reference::make_input<T>(options, 50);
    elman::BasicStepper<T> fresh(network.parameters), used(network.parameters);
    std::vector<T> expected(static_cast<size_t>(50 * H)), y(expected.size());
    used.step(x.data(), y.data());
    used.reset();
    for (int64_t t = 0; t < 50; ++t) {
      fresh.step(x.data() + t * options.I, expected.data() + t * H);
      used.step(x.data() + t * options.I, y.data() + t * H);
    }
    EXPECT_EQ(y, expected);
  }
}

// inf and NaN are those of the formula: a padded column does not add any.
TYPED_TEST(StepperNumbers, InfinityAndNan) {
  using T = TypeParam;
  Options options;
  options.nonlinearity = "relu";
  options.bias = false;
  Network<T> network(options);
  for (auto& values : network.storage)
    for (T& value : values) value = std::abs(value);
  elman::BasicStepper<T> stepper(network.parameters);
  const T inf = std::numeric_limits<T>::infinity();
  std::vector<T> y(5);
  for (int t = 0; t < 3; ++t) {
    const T x[] = {inf, 1, 1};
    stepper.step(x, y.data());
    EXPECT_EQ(y, std::vector<T>(5, inf)) << t;
  }
  const T x[] = {std::numeric_limits<T>::quiet_NaN(), 1, 1};
  stepper.step(x, y.data());
  for (const T value : y) EXPECT_TRUE(std::isnan(value));
  stepper.reset();
  const T ones[] = {1, 1, 1};
  stepper.step(ones, y.data());
  for (const T value : y) EXPECT_TRUE(std::isfinite(value));
}

// A state that dies away never becomes a denormal number, and the caller's mode is as before. It
// becomes zero, but for a leaky one without fused multiply-adds: that stops where alpha h is less
// than the smallest normal number.
TYPED_TEST(StepperNumbers, DenormalNumbersAreFlushed) {
  using T = TypeParam;
  for (const char* form : {"", "rate", "current"}) {
    Options options;
    options.form = form;
    options.bias = false;
    Network<T> network(options);
    if (options.form.empty())
      for (T& value : network.storage[1]) value /= 4;
    elman::BasicStepper<T> stepper(network.parameters);
    std::vector<T> y(5);
    const T kick[] = {1, 1, 1}, zeros[] = {0, 0, 0};
    stepper.step(kick, y.data());
    for (int t = 0; t < 100'000; ++t) {
      stepper.step(zeros, y.data());
      for (const T value : y) ASSERT_NE(std::fpclassify(value), FP_SUBNORMAL) << form << t;
    }
    const std::vector<T> died = y;
    const T most = options.form.empty() ? T(0) : 1000 * std::numeric_limits<T>::min();
    for (const T value : died) EXPECT_LE(std::abs(value), most) << form;
    const T tiny[] = {std::numeric_limits<T>::denorm_min(), 0, 0};
    stepper.step(tiny, y.data());
    EXPECT_EQ(y, died) << form;  // as without it
    volatile T least = std::numeric_limits<T>::min();
    EXPECT_GT(least / 2, 0) << "the caller's denormal numbers are there again";
  }
}

}  // namespace
