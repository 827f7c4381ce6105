// elman::RNN against torch::nn::RNN, in all that the two have in common.

#include <elman/elman.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/nn/modules/rnn.h>
#include <torch/serialize.h>

#include <sstream>
#include <string>
#include <tuple>
#include <vector>

#include "nn/small_rnn.h"
#include "oracle.h"
#include "testing.h"

namespace {

using elman::RNNOptions;
using elman_test::close;
using elman_test::copy_leaf;
using elman_test::expect_close_gradients;
using elman_test::expect_equal_parameters;
using elman_test::kBatch;
using elman_test::kHidden;
using elman_test::kInput;
using elman_test::kOwnActivations;
using elman_test::kSteps;
using elman_test::random;
using elman_test::random_leaf;
using elman_test::small_options;
using torch::Tensor;

/// elman's and torch's module with the same parameters, float64.
struct Pair {
  explicit Pair(const torch::nn::RNNOptions& options) {
    torch::manual_seed(3);
    ours = elman::RNN(options);
    torch::manual_seed(3);
    theirs = torch::nn::RNN(options);
    ours->to(torch::kDouble);
    theirs->to(torch::kDouble);
  }
  elman::RNN ours{nullptr};
  torch::nn::RNN theirs{nullptr};
};

// layers, bidirectional, bias, batch_first, ReLU
using Case = std::tuple<int, bool, bool, bool, bool>;

class EqualsTorch : public testing::TestWithParam<Case> {
 protected:
  static torch::nn::RNNOptions options() {
    const auto [layers, bidirectional, bias, batch_first, relu] = GetParam();
    auto options = small_options()
                       .num_layers(layers)
                       .bidirectional(bidirectional)
                       .bias(bias)
                       .batch_first(batch_first);
    if (relu) options.nonlinearity(torch::kReLU);
    return options;
  }
  static int64_t cells() { return options().num_layers() * (options().bidirectional() ? 2 : 1); }
};

TEST_P(EqualsTorch, OutputsAndGradients) {
  Pair pair(options());
  expect_equal_parameters(*pair.ours, *pair.theirs);
  const auto sizes = options().batch_first() ? std::vector<int64_t>{kBatch, kSteps, kInput}
                                             : std::vector<int64_t>{kSteps, kBatch, kInput};
  const Tensor x = random_leaf(sizes), x_theirs = copy_leaf(x);
  const Tensor hx = random_leaf({cells(), kBatch, kHidden}), hx_theirs = copy_leaf(hx);

  const auto [output, h_n] = pair.ours->forward(x, hx);
  const auto [output_theirs, h_n_theirs] = pair.theirs->forward(x_theirs, hx_theirs);
  EXPECT_TRUE(close(output, output_theirs));
  EXPECT_TRUE(close(h_n, h_n_theirs));

  const Tensor grad_output = random(output.sizes()), grad_h_n = random(h_n.sizes());
  torch::autograd::backward({output, h_n}, {grad_output, grad_h_n});
  torch::autograd::backward({output_theirs, h_n_theirs}, {grad_output, grad_h_n});
  expect_close_gradients(*pair.ours, *pair.theirs);
  EXPECT_TRUE(close(x.grad(), x_theirs.grad()));
  EXPECT_TRUE(close(hx.grad(), hx_theirs.grad()));
}

TEST_P(EqualsTorch, WithoutState) {
  Pair pair(options());
  const Tensor x =
      options().batch_first() ? random({kBatch, kSteps, kInput}) : random({kSteps, kBatch, kInput});
  const auto [output, h_n] = pair.ours->forward(x);
  const auto [output_theirs, h_n_theirs] = pair.theirs->forward(x);
  EXPECT_TRUE(close(output, output_theirs));
  EXPECT_TRUE(close(h_n, h_n_theirs));
}

TEST_P(EqualsTorch, PackedInput) {
  Pair pair(options());
  // Not sorted by length, so that the order of the rows counts.
  const Tensor lengths = torch::tensor({int64_t{4}, kSteps, int64_t{2}});
  const Tensor x = random_leaf({kSteps, kBatch, kInput}), x_theirs = copy_leaf(x);
  const Tensor hx = random_leaf({cells(), kBatch, kHidden}), hx_theirs = copy_leaf(hx);
  const auto pack = [&](const Tensor& padded) {
    return torch::nn::utils::rnn::pack_padded_sequence(padded, lengths, /*batch_first=*/false,
                                                       /*enforce_sorted=*/false);
  };

  const auto [output, h_n] = pair.ours->forward_with_packed_input(pack(x), hx);
  const auto [output_theirs, h_n_theirs] =
      pair.theirs->forward_with_packed_input(pack(x_theirs), hx_theirs);
  EXPECT_TRUE(close(output.data(), output_theirs.data()));
  EXPECT_TRUE(torch::equal(output.batch_sizes(), output_theirs.batch_sizes()));
  EXPECT_TRUE(torch::equal(output.unsorted_indices(), output_theirs.unsorted_indices()));
  EXPECT_TRUE(close(h_n, h_n_theirs));

  const Tensor grad_output = random(output.data().sizes()), grad_h_n = random(h_n.sizes());
  torch::autograd::backward({output.data(), h_n}, {grad_output, grad_h_n});
  torch::autograd::backward({output_theirs.data(), h_n_theirs}, {grad_output, grad_h_n});
  expect_close_gradients(*pair.ours, *pair.theirs);
  EXPECT_TRUE(close(x.grad(), x_theirs.grad()));
  EXPECT_TRUE(close(hx.grad(), hx_theirs.grad()));

  EXPECT_TRUE(close(std::get<1>(pair.ours->forward_with_packed_input(pack(x))),
                    std::get<1>(pair.theirs->forward_with_packed_input(pack(x)))));
}

TEST_P(EqualsTorch, ArchivesAreInterchangeable) {
  torch::nn::RNN theirs(options());
  elman::RNN ours(options());
  std::stringstream from_theirs;
  torch::save(theirs, from_theirs);
  torch::load(ours, from_theirs);
  expect_equal_parameters(*ours, *theirs);

  ours->reset_parameters();
  std::stringstream from_ours;
  torch::save(ours, from_ours);
  torch::load(theirs, from_ours);
  expect_equal_parameters(*theirs, *ours);
}

INSTANTIATE_TEST_SUITE_P(Options, EqualsTorch,
                         testing::Combine(testing::Values(1, 2, 3), testing::Bool(),
                                          testing::Bool(), testing::Bool(), testing::Bool()));

TEST(RNNModule, FreeFunctionIsTheSameWithWeightsOfOnesOwn) {
  elman::RNN rnn(RNNOptions(kInput, kHidden).bias(false));
  const Tensor x = torch::randn({kSteps, kBatch, kInput}), hx = torch::randn({1, kBatch, kHidden});
  const auto [output, h_n] =
      elman::rnn(x, hx, rnn->all_weights(), /*has_biases=*/false, /*num_layers=*/1,
                 /*dropout=*/0.0, /*train=*/true, /*bidirectional=*/false, /*batch_first=*/false);
  EXPECT_TRUE(torch::equal(output, std::get<0>(rnn->forward(x, hx))));
  EXPECT_TRUE(torch::equal(h_n, output.slice(0, kSteps - 1)));
  const auto weights = rnn->all_weights();
  EXPECT_TRUE(torch::allclose(elman::rnn_cell(x[0], hx[0], weights[0], weights[1]), output[0]));
  EXPECT_ERROR(elman::rnn(x, hx, weights, /*has_biases=*/true, /*num_layers=*/1, /*dropout=*/0.0,
                          /*train=*/true, /*bidirectional=*/false, /*batch_first=*/false),
               "params must hold 4 tensors");
  EXPECT_ERROR(elman::rnn_cell(x[0], hx[0], weights[0], weights[1], {}, {}, "softsign"),
               "Unknown nonlinearity 'softsign'");
}

TEST(RNNModule, Unbatched) {
  Pair pair(small_options().num_layers(2).bidirectional(true));
  const Tensor x = random_leaf({kSteps, kInput}), x_theirs = copy_leaf(x);
  const Tensor hx = random({4, kHidden});
  const auto [output, h_n] = pair.ours->forward(x, hx);
  const auto [output_theirs, h_n_theirs] =
      pair.theirs->forward(x_theirs.unsqueeze(1), hx.unsqueeze(1));
  EXPECT_TRUE(close(output, output_theirs.squeeze(1)));
  EXPECT_TRUE(close(h_n, h_n_theirs.squeeze(1)));
  output.square().sum().backward();
  output_theirs.square().sum().backward();
  expect_close_gradients(*pair.ours, *pair.theirs);
  EXPECT_TRUE(close(x.grad(), x_theirs.grad()));
}

TEST(RNNModule, WhatTorchHasNotIsTheFormula) {
  for (const auto& [tag, name] : kOwnActivations) {
    elman::RNN rnn(RNNOptions(kInput, kHidden).nonlinearity(tag));
    rnn->to(torch::kDouble);
    const auto w = rnn->named_parameters();
    const Tensor x = random({kSteps, kBatch, kInput});
    Tensor h = torch::zeros({kBatch, kHidden}, torch::kDouble);
    std::vector<Tensor> states;
    for (const Tensor& x_t : x.unbind()) {
      h = elman_test::brute_force::activate(name,
                                            x_t.matmul(w["weight_ih_l0"].t()) + w["bias_ih_l0"] +
                                                h.matmul(w["weight_hh_l0"].t()) + w["bias_hh_l0"]);
      states.push_back(h);
    }
    const auto [output, h_n] = rnn->forward(x);
    EXPECT_TRUE(close(output, torch::stack(states))) << name;
    EXPECT_TRUE(close(h_n[0], h)) << name;
  }
}

TEST(RNNModule, DropoutOnlyWhileTrainingAndFromTheSameSeed) {
  elman::RNN rnn(RNNOptions(kInput, kHidden).num_layers(2).dropout(0.5));
  elman::RNN without(RNNOptions(kInput, kHidden).num_layers(2));
  elman_test::copy_parameters(*rnn, *without);
  const Tensor x = torch::randn({kSteps, kBatch, kInput});
  torch::manual_seed(5);
  const Tensor first = std::get<0>(rnn->forward(x));
  torch::manual_seed(5);
  EXPECT_TRUE(torch::equal(std::get<0>(rnn->forward(x)), first));
  EXPECT_FALSE(torch::allclose(std::get<0>(rnn->forward(x)), first));
  rnn->eval();
  EXPECT_TRUE(torch::equal(std::get<0>(rnn->forward(x)), std::get<0>(without->forward(x))));
}

}  // namespace
