// Calls from several threads at once give what they give one after the other.

#include <elman/elman.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <functional>
#include <memory>
#include <thread>
#include <tuple>
#include <vector>

#include "testing.h"

namespace {

using elman::RNNOptions;
using torch::Tensor;

constexpr int kThreads = 8, kRounds = 5;
constexpr int64_t kSteps = 30, kBatch = 6, kInput = 12, kHidden = 17;

/// Runs `work(0)` ... `work(kThreads - 1)` at once.
void run_threads(const std::function<void(int)>& work) {
  std::vector<std::thread> threads;
  for (int i = 0; i < kThreads; ++i) threads.emplace_back(work, i);
  for (auto& thread : threads) thread.join();
}

/// Full, disjoint, overlapping and sliding windows; what each thread runs differs, so that threads
/// cannot exchange their results unnoticed.
RNNOptions options_of(int thread) {
  RNNOptions options(kInput, kHidden);
  options.num_layers(1 + thread % 2);
  if (thread % 4 == 1) options.truncation(5);
  if (thread % 4 == 2) options.truncation(3, 8);
  if (thread % 4 == 3) options.truncation(1, 6);
  if (thread >= 4) options.nonlinearity(torch::kSigmoid);
  return options;
}

/// Output, final state and all gradients of one call. Gradients are returned, not accumulated, so
/// that threads may share a module.
std::vector<Tensor> results_of(elman::RNNImpl& rnn, const Tensor& x) {
  auto leaf = elman_test::copy_leaf(x);
  const auto [output, h_n] = rnn.forward(leaf);
  std::vector<Tensor> inputs = rnn.all_weights();
  inputs.push_back(leaf);
  std::vector<Tensor> results =
      torch::autograd::grad({output.square().sum() + h_n.square().sum()}, inputs);
  results.push_back(output.detach());
  results.push_back(h_n.detach());
  return results;
}

void expect_same(const std::vector<Tensor>& actual, const std::vector<Tensor>& expected) {
  ASSERT_EQ(actual.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    EXPECT_TRUE(elman_test::close(actual[i], expected[i])) << "tensor " << i;
  }
}

TEST(Concurrency, ThreadsWithTheirOwnModules) {
  std::vector<elman::RNN> modules;
  std::vector<Tensor> inputs;
  std::vector<std::vector<Tensor>> serial, parallel(kThreads);
  for (int i = 0; i < kThreads; ++i) {
    modules.emplace_back(elman::RNN(options_of(i)));
    modules[i]->to(torch::kDouble);
    inputs.push_back(elman_test::random({kSteps, kBatch + i, kInput}));
    serial.push_back(results_of(*modules[i], inputs[i]));
  }
  for (int round = 0; round < kRounds; ++round) {
    run_threads([&](int i) { parallel[i] = results_of(*modules[i], inputs[i]); });
    for (int i = 0; i < kThreads; ++i) expect_same(parallel[i], serial[i]);
  }
}

TEST(Concurrency, ThreadsThatShareAModule) {
  elman::RNN rnn(options_of(3));
  rnn->to(torch::kDouble);
  std::vector<Tensor> inputs;
  std::vector<std::vector<Tensor>> serial, parallel(kThreads);
  for (int i = 0; i < kThreads; ++i) {
    inputs.push_back(elman_test::random({kSteps + i, kBatch, kInput}));
    serial.push_back(results_of(*rnn, inputs[i]));
  }
  for (int round = 0; round < kRounds; ++round) {
    run_threads([&](int i) { parallel[i] = results_of(*rnn, inputs[i]); });
    for (int i = 0; i < kThreads; ++i) expect_same(parallel[i], serial[i]);
  }
}

TEST(Concurrency, OneGraphBackwardFromSeveralThreads) {
  elman::RNN rnn(options_of(2));
  rnn->to(torch::kDouble);
  const Tensor x = elman_test::random_leaf({kSteps, kBatch, kInput});
  const Tensor output = std::get<0>(rnn->forward(x));
  const std::vector<Tensor> weights = rnn->all_weights();
  const auto gradients = [&](int i) {
    return torch::autograd::grad({output}, weights, {torch::full_like(output, i + 1.0)},
                                 /*retain_graph=*/true);
  };
  const std::vector<Tensor> once = gradients(0);
  std::vector<std::vector<Tensor>> parallel(kThreads);
  run_threads([&](int i) { parallel[i] = gradients(i); });
  for (int i = 0; i < kThreads; ++i) {
    std::vector<Tensor> expected;
    for (const Tensor& gradient : once) expected.push_back(gradient * (i + 1.0));
    expect_same(parallel[i], expected);
  }
}

}  // namespace
