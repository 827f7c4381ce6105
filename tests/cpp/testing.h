#pragma once

#include <c10/util/Exception.h>
#include <gtest/gtest.h>
#include <torch/nn/module.h>
#include <torch/types.h>

#include <string>

namespace elman_test {

/// How far two float64 computations of the same thing may lie apart, relative to the largest
/// element.
constexpr double kTolerance = 1e-10;

/// Whether `actual` has `expected`'s shape and dtype, and no element differs from it by more than
/// `tolerance` times its largest magnitude (times 1 where that is smaller). A NaN never passes.
inline testing::AssertionResult close(const torch::Tensor& actual, const torch::Tensor& expected,
                                      double tolerance = kTolerance) {
  if (!actual.defined() || !expected.defined()) {
    if (actual.defined() == expected.defined()) return testing::AssertionSuccess();
    return testing::AssertionFailure()
           << (actual.defined() ? "expected" : "actual") << " is undefined, the other is not";
  }
  if (actual.sizes() != expected.sizes() || actual.dtype() != expected.dtype()) {
    return testing::AssertionFailure() << "expected " << expected.sizes() << " " << expected.dtype()
                                       << ", got " << actual.sizes() << " " << actual.dtype();
  }
  if (expected.numel() == 0) return testing::AssertionSuccess();
  const double scale = std::max(1.0, expected.detach().abs().max().item<double>());
  const double difference = (actual - expected).detach().abs().max().item<double>();
  if (difference <= tolerance * scale) return testing::AssertionSuccess();
  return testing::AssertionFailure()
         << "largest difference " << difference << ", allowed " << tolerance * scale;
}

inline void expect_equal_parameters(const torch::nn::Module& actual,
                                    const torch::nn::Module& expected) {
  const auto actual_parameters = actual.named_parameters();
  const auto expected_parameters = expected.named_parameters();
  ASSERT_EQ(actual_parameters.keys(), expected_parameters.keys());
  for (const auto& item : expected_parameters) {
    EXPECT_TRUE(torch::equal(actual_parameters[item.key()], item.value())) << item.key();
  }
}

inline void expect_close_gradients(const torch::nn::Module& actual,
                                   const torch::nn::Module& expected) {
  const auto actual_parameters = actual.named_parameters();
  const auto expected_parameters = expected.named_parameters();
  ASSERT_EQ(actual_parameters.keys(), expected_parameters.keys());
  for (const auto& item : expected_parameters) {
    ASSERT_TRUE(item.value().grad().defined()) << item.key();
    EXPECT_TRUE(close(actual_parameters[item.key()].grad(), item.value().grad())) << item.key();
  }
}

inline void copy_parameters(const torch::nn::Module& from, torch::nn::Module& to) {
  torch::NoGradGuard no_grad;
  auto target = to.named_parameters();
  for (const auto& item : from.named_parameters()) target[item.key()].copy_(item.value());
}

/// float64, drawn anew at each call.
inline torch::Tensor random(torch::IntArrayRef sizes) {
  return torch::randn(sizes, torch::kDouble);
}

inline torch::Tensor random_leaf(torch::IntArrayRef sizes) {
  return random(sizes).requires_grad_();
}

/// A leaf of the same values.
inline torch::Tensor copy_leaf(const torch::Tensor& tensor) {
  return tensor.detach().clone().requires_grad_();
}

/// The message of the c10::Error that `call` throws; a failed expectation if it throws none.
template <typename Call>
std::string error_of(const Call& call) {
  try {
    call();
  } catch (const c10::Error& error) {
    return error.what_without_backtrace();
  }
  ADD_FAILURE() << "no error was thrown";
  return {};
}

}  // namespace elman_test

/// Expects a c10::Error whose message contains `text`.
#define EXPECT_ERROR(statement, text) \
  EXPECT_PRED_FORMAT2(testing::IsSubstring, text, elman_test::error_of([&] { statement; }))
