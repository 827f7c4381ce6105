// Steppers of LibTorch's and elman's modules compute what the modules do.
#include <elman/elman.h>
#include <gtest/gtest.h>
#include <torch/nn/modules/rnn.h>
#include <unistd.h>

#include <cstdio>
#include <string>
#include <tuple>

namespace {

using torch::Tensor;

template <typename T>
constexpr auto kDtype = sizeof(T) == 8 ? torch::kDouble : torch::kFloat;
template <typename T>
constexpr double kTolerance = sizeof(T) == 8 ? 1e-13 : 2e-6;

/// x: [steps, rows, I]; the stepper's y [steps, rows, O], one step at a time.
template <typename T>
Tensor steps_of(elman::BasicStepper<T>& stepper, const Tensor& x) {
  const Tensor y = torch::empty({x.size(0), stepper.rows(), stepper.output_size()}, x.options());
  for (int64_t t = 0; t < x.size(0); ++t)
    stepper.step(x[t].template const_data_ptr<T>(), y[t].template mutable_data_ptr<T>());
  return y;
}

template <typename T>
void expect_close(const Tensor& actual, const Tensor& expected) {
  EXPECT_LE((actual - expected).abs().max().template item<double>(), kTolerance<T>);
}

template <typename T>
class StepperOfModules : public testing::Test {};
using Dtypes = testing::Types<float, double>;
TYPED_TEST_SUITE(StepperOfModules, Dtypes);

TYPED_TEST(StepperOfModules, RecurrentModules) {
  using T = TypeParam;
  const auto x = torch::randn({50, 3, 4}, kDtype<T>);
  const auto check = [&](auto module) {
    module->to(kDtype<T>);
    elman::BasicStepper<T> stepper(module, 3);
    const auto [y, h_n] = module->forward(x);
    expect_close<T>(steps_of(stepper, x), y);
    const Tensor state = torch::empty_like(h_n);
    stepper.state(state.template mutable_data_ptr<T>());
    expect_close<T>(state, h_n);
  };
  check(elman::RNN(elman::RNNOptions(4, 20).num_layers(2)));
  check(elman::RNN(elman::RNNOptions(4, 20).nonlinearity(torch::kSigmoid).bias(false)));
  check(elman::RNN(elman::RNNOptions(4, 20).dropout(0.0).nonlinearity(torch::kReLU)));
  using elman::LeakyForm;
  using elman::LeakyRNNOptions;
  const auto stack = elman::RNNOptions(4, 20).num_layers(2);
  check(elman::LeakyRNN(LeakyRNNOptions(stack).alpha(0.25)));
  check(elman::LeakyRNN(LeakyRNNOptions(stack).alpha(0.25).form(LeakyForm::kCurrent)));
  check(elman::LeakyRNN(LeakyRNNOptions(stack).alpha(torch::rand({2, 20}) * 0.5 + 0.2)));
  check(elman::LeakyRNN(LeakyRNNOptions(stack).alpha(0.5).learn_alpha(true)));
  check(elman::LeakyRNN(LeakyRNNOptions(stack).alpha(1.0)));
  check(torch::nn::RNN(torch::nn::RNNOptions(4, 20).num_layers(2)));
  check(torch::nn::RNN(torch::nn::RNNOptions(4, 20).nonlinearity(torch::kReLU)));
}

TYPED_TEST(StepperOfModules, Cells) {
  using T = TypeParam;
  const auto x = torch::randn({50, 3, 4}, kDtype<T>);
  const auto check = [&](auto cell) {
    cell->to(kDtype<T>);
    elman::BasicStepper<T> stepper(cell, 3);
    const Tensor y = steps_of(stepper, x);
    Tensor h;
    for (int64_t t = 0; t < x.size(0); ++t) {
      h = cell->forward(x[t], h);
      expect_close<T>(y[t], h);
    }
  };
  check(elman::RNNCell(elman::RNNCellOptions(4, 20).nonlinearity(torch::kReLU)));
  check(torch::nn::RNNCell(torch::nn::RNNCellOptions(4, 20)));
}

// A leaky cell returns the state that it carries; a stepper's output is r.
TYPED_TEST(StepperOfModules, LeakyCells) {
  using T = TypeParam;
  const auto x = torch::randn({50, 3, 4}, kDtype<T>);
  for (const auto form : {elman::LeakyForm::kRate, elman::LeakyForm::kCurrent}) {
    elman::LeakyRNNCell cell(elman::LeakyRNNCellOptions(4, 20).alpha(0.3).form(form));
    cell->to(kDtype<T>);
    elman::BasicStepper<T> stepper(cell, 3);
    const Tensor y = steps_of(stepper, x);
    Tensor state;
    for (int64_t t = 0; t < x.size(0); ++t) {
      state = cell->forward(x[t], state);
      expect_close<T>(y[t], cell->output(state));
    }
  }
}

TYPED_TEST(StepperOfModules, NetworksAndFiles) {
  using T = TypeParam;
  using elman::OutputFunction;
  const auto x = torch::randn({50, 2, 4}, kDtype<T>);
  for (const auto output : {OutputFunction::kIdentity, OutputFunction::kSoftmax,
                            OutputFunction::kSigmoid, OutputFunction::kTanh}) {
    elman::Network network(elman::NetworkOptions(4, 20, 5).output(output));
    network->to(kDtype<T>);
    elman::BasicStepper<T> stepper(network, 2);
    const Tensor y = std::get<0>(network->forward(x));
    expect_close<T>(steps_of(stepper, x), y);
    const std::string path = testing::TempDir() + "stepper_source_test_" + std::to_string(getpid());
    elman::save_stepper(network, path);
    auto loaded = elman::BasicStepper<T>::load(path, 2);
    std::remove(path.c_str());
    expect_close<T>(steps_of(loaded, x), y);
  }
}

TEST(StepperOfModules, AreConvertedToTheSteppersType) {
  elman::RNN rnn(4, 8);
  rnn->to(torch::kBFloat16);
  elman::Stepper stepper(rnn);
  const auto x = torch::randn({10, 1, 4});
  const Tensor y = steps_of(stepper, x);
  rnn->to(torch::kFloat);
  expect_close<float>(y, std::get<0>(rnn->forward(x)));
}

TEST(StepperOfModules, WhatAStepperCannotBeIsRefused) {
  EXPECT_THROW(elman::Stepper(elman::RNN(elman::RNNOptions(4, 8).bidirectional(true))),
               c10::ValueError);
  elman::RNN complex(4, 8);
  complex->to(torch::kComplexFloat);
  EXPECT_THROW(elman::Stepper{complex}, c10::TypeError);
  EXPECT_THROW(elman::Stepper(elman::RNN(4, 8), 0), std::invalid_argument);
  elman::LeakyRNN noisy(elman::LeakyRNNOptions(4, 8).alpha(0.5).noise(0.1));
  EXPECT_THROW(elman::Stepper{noisy}, c10::ValueError);
  noisy->options.noise_in_eval(false);
  EXPECT_EQ(elman::Stepper(noisy).hidden_size(), 8);
}

}  // namespace
