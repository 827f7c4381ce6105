// elman::RNN against torch::nn::RNN, in all that the two have in common.

#include <elman/elman.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/nn/modules/container/any.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/rnn.h>
#include <torch/serialize.h>

#include <sstream>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "oracle.h"
#include "testing.h"

namespace {

using elman::RNNOptions;
using elman_test::close;
using elman_test::copy_leaf;
using elman_test::expect_close_gradients;
using elman_test::expect_equal_parameters;
using elman_test::random;
using elman_test::random_leaf;
using torch::Tensor;
using torch::nn::utils::rnn::PackedSequence;

constexpr int64_t kSteps = 7, kBatch = 3, kInput = 4, kHidden = 5;

/// The activations that torch::nn::RNN has not.
const std::vector<std::pair<elman::Nonlinearity, std::string>> kOwnActivations{
    {torch::kSigmoid, "sigmoid"}, {elman::kSoftplus, "softplus"}, {elman::kIdentity, "identity"}};

torch::nn::RNNOptions small_options() { return {kInput, kHidden}; }

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

std::string printed(const torch::nn::Module& module) {
  std::ostringstream stream;
  module.pretty_print(stream);
  return stream.str();
}

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

TEST(RNNModule, HasTorchsParametersForTheSameSeedAndPrintsAsTorch) {
  const auto options = small_options().num_layers(2).bidirectional(true).dropout(0.25);
  torch::manual_seed(11);
  const elman::RNN ours(options);
  torch::manual_seed(11);
  const torch::nn::RNN theirs(options);
  expect_equal_parameters(*ours, *theirs);
  EXPECT_EQ(printed(*ours), "elman" + printed(*theirs).substr(std::string("torch::nn").size()));
  EXPECT_EQ(ours->all_weights().size(), theirs->all_weights().size());
}

TEST(RNNModule, OptionsBaseIsTorchs) {
  const auto options =
      torch::nn::RNNOptions(2, 3).num_layers(2).bias(false).batch_first(true).dropout(0.5);
  for (const bool relu : {false, true}) {
    auto given = options;
    if (relu) given.nonlinearity(torch::kReLU).bidirectional(true);
    const elman::RNN ours(given);
    const torch::nn::RNN theirs(given);
    EXPECT_EQ(ours->options_base.mode().index(), theirs->options_base.mode().index());
    EXPECT_EQ(ours->options_base.input_size(), theirs->options_base.input_size());
    EXPECT_EQ(ours->options_base.hidden_size(), theirs->options_base.hidden_size());
    EXPECT_EQ(ours->options_base.num_layers(), theirs->options_base.num_layers());
    EXPECT_EQ(ours->options_base.bias(), theirs->options_base.bias());
    EXPECT_EQ(ours->options_base.batch_first(), theirs->options_base.batch_first());
    EXPECT_EQ(ours->options_base.dropout(), theirs->options_base.dropout());
    EXPECT_EQ(ours->options_base.bidirectional(), theirs->options_base.bidirectional());
    EXPECT_EQ(ours->options_base.proj_size(), theirs->options_base.proj_size());
  }
  for (const auto& [tag, name] : kOwnActivations) {
    const elman::RNN rnn(RNNOptions(2, 3).nonlinearity(tag));
    EXPECT_EQ(rnn->options_base.proj_size(), 0);
    EXPECT_ERROR(rnn->options_base.mode(), "torch has none for the nonlinearity " + name);
  }
}

TEST(RNNModule, PrintsWhatTorchDoesNotHave) {
  const elman::RNN rnn(RNNOptions(2, 3).nonlinearity(torch::kSigmoid).truncation(4, 8));
  EXPECT_EQ(printed(*rnn),
            "elman::RNN(input_size=2, hidden_size=3, num_layers=1, bias=true, batch_first=false, "
            "dropout=0, bidirectional=false, nonlinearity=sigmoid, truncation=(4, 8))");
}

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

TEST(RNNModule, CloneIsEqualAndIndependent) {
  elman::RNN rnn(RNNOptions(kInput, kHidden).num_layers(2).truncation(2, 6));
  const auto copy = std::dynamic_pointer_cast<elman::RNNImpl>(rnn->clone());
  ASSERT_NE(copy, nullptr);
  expect_equal_parameters(*copy, *rnn);
  EXPECT_EQ(printed(*copy), printed(*rnn));

  // The copy runs on its own parameters: the gradients land there and nowhere else.
  const Tensor x = torch::randn({kSteps, kBatch, kInput});
  EXPECT_TRUE(torch::equal(std::get<0>(copy->forward(x)), std::get<0>(rnn->forward(x))));
  std::get<0>(copy->forward(x)).sum().backward();
  for (const auto& parameter : copy->parameters()) EXPECT_TRUE(parameter.grad().defined());
  for (const auto& parameter : rnn->parameters()) EXPECT_FALSE(parameter.grad().defined());
}

TEST(RNNModule, ConvertsToADtype) {
  elman::RNN rnn(RNNOptions(kInput, kHidden).num_layers(2));
  const Tensor x = torch::randn({kSteps, kBatch, kInput});
  const Tensor single = std::get<0>(rnn->forward(x));
  rnn->to(torch::kDouble);
  rnn->flatten_parameters();
  EXPECT_TRUE(close(std::get<0>(rnn->forward(x.to(torch::kDouble))).to(torch::kFloat), single,
                    /*tolerance=*/1e-5));
}

TEST(RNNModule, InSequentialAndAnyModule) {
  torch::nn::Sequential sequential(elman::RNN(RNNOptions(kInput, kHidden)));
  const auto rnn = sequential->ptr<elman::RNNImpl>(0);
  const Tensor x = torch::randn({kSteps, kBatch, kInput});
  const Tensor hx = torch::randn({1, kBatch, kHidden});
  using Result = std::tuple<Tensor, Tensor>;
  EXPECT_TRUE(
      torch::equal(std::get<0>(sequential->forward<Result>(x)), std::get<0>(rnn->forward(x))));
  EXPECT_TRUE(torch::equal(std::get<1>(sequential->forward<Result>(x, hx)),
                           std::get<1>(rnn->forward(x, hx))));
  torch::nn::AnyModule any(elman::RNN(RNNOptions(kInput, kHidden)));
  EXPECT_EQ(std::get<0>(any.forward<Result>(x)).sizes(),
            torch::IntArrayRef({kSteps, kBatch, kHidden}));
}

TEST(RNNModule, ConstructorChecksItsArguments) {
  EXPECT_ERROR(elman::RNN(0, 3), "input_size must be greater than zero");
  EXPECT_ERROR(elman::RNN(2, 0), "hidden_size must be greater than zero");
  EXPECT_ERROR(elman::RNN(2, -1), "hidden_size must be greater than zero");
  EXPECT_ERROR(elman::RNN(RNNOptions(2, 3).num_layers(0)), "num_layers must be greater than zero");
  EXPECT_ERROR(elman::RNN(RNNOptions(2, 3).dropout(1.5)), "dropout should be a number in range");
  EXPECT_ERROR(elman::RNN(RNNOptions(2, 3).dropout(-0.1)), "dropout should be a number in range");
  EXPECT_ERROR(RNNOptions(2, 3).truncation(0), "truncation: k1 must be at least 1");
  EXPECT_ERROR(RNNOptions(2, 3).truncation(0, 4), "truncation: k1 must be at least 1");
  EXPECT_ERROR(RNNOptions(2, 3).truncation(5, 4), "truncation: k2 must be at least k1");
  EXPECT_ERROR(elman::RNN(RNNOptions(2, 3).bidirectional(true).truncation(2, 4)),
               "truncation: k1 < k2 is not defined for a bidirectional network");
}

TEST(RNNModule, WarnsOfDropoutOverOneLayer) {
  struct Collector : c10::WarningHandler {
    void process(const c10::Warning& warning) override { messages.push_back(warning.msg()); }
    std::vector<std::string> messages;
  } collector;
  const c10::WarningUtils::WarningHandlerGuard guard(&collector);
  const elman::RNN rnn(RNNOptions(2, 3).dropout(0.5));
  ASSERT_EQ(collector.messages.size(), 1);
  EXPECT_NE(collector.messages[0].find("non-zero dropout expects num_layers greater than 1"),
            std::string::npos);
}

TEST(RNNModule, ForwardChecksItsArguments) {
  elman::RNN rnn(kInput, kHidden);
  const Tensor x = torch::randn({kSteps, kBatch, kInput});
  EXPECT_ERROR(rnn->forward({}), "input");
  EXPECT_ERROR(rnn->forward(torch::randn({kInput})), "Expected input to be 2D or 3D, got 1D");
  EXPECT_ERROR(rnn->forward(torch::randn({kSteps, kBatch, kInput + 1})),
               "input.size(-1) must be equal to input_size. Expected 4, got 5");
  EXPECT_ERROR(rnn->forward(torch::randn({0, kBatch, kInput})),
               "Expected sequence length to be larger than 0");
  EXPECT_ERROR(rnn->forward(x.to(torch::kDouble)), "RNN input dtype");
  EXPECT_ERROR(rnn->forward(x, torch::randn({1, kHidden})),
               "For batched 3-D input, hx should also be 3-D but got 2-D tensor");
  EXPECT_ERROR(rnn->forward(x, torch::randn({2, kBatch, kHidden})), "Expected hidden size");
  EXPECT_ERROR(rnn->forward(x[0], torch::randn({1, 1, kHidden})),
               "For unbatched 2-D input, hx should also be 2-D but got 3-D tensor");
  const auto packed = torch::nn::utils::rnn::pack_padded_sequence(
      x, torch::tensor({2, 3, 1}, torch::kLong), /*batch_first=*/false, /*enforce_sorted=*/false);
  EXPECT_ERROR(rnn->forward_with_packed_input(packed, torch::randn({1, kBatch + 1, kHidden})),
               "Expected hidden size");
}

}  // namespace
