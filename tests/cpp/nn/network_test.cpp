// elman::Network against the formulas that it stands for, written out.

#include <elman/elman.h>
#include <gtest/gtest.h>
#include <torch/nn/modules/container/any.h>
#include <torch/nn/modules/rnn.h>
#include <torch/optim/sgd.h>
#include <torch/serialize.h>

#include <memory>
#include <optional>
#include <sstream>
#include <string>
#include <tuple>
#include <variant>
#include <vector>

#include "testing.h"

namespace {

using elman::Mapping;
using elman::NetworkOptions;
using elman::OutputFunction;
using elman::RNNOptions;
using elman_test::close;
using elman_test::copy_leaf;
using elman_test::random;
using elman_test::random_leaf;
using torch::Tensor;
using torch::nn::utils::rnn::PackedSequence;

constexpr int64_t kSteps = 6, kBatch = 3, kInput = 4, kHidden = 5, kOutput = 2;

elman::Network make(const NetworkOptions& options) {
  elman::Network net(options);
  net->to(torch::kDouble);
  return net;
}

/// torch's network with the same recurrent weights.
torch::nn::RNN recurrent_part(const elman::Network& net) {
  const RNNOptions& options = net->options.rnn();
  torch::nn::RNN rnn(torch::nn::RNNOptions(options.input_size(), options.hidden_size())
                         .num_layers(options.num_layers())
                         .bidirectional(options.bidirectional()));
  rnn->to(torch::kDouble);
  elman_test::copy_parameters(*net->rnn, *rnn);
  return rnn;
}

Tensor apply(OutputFunction function, const Tensor& a) {
  switch (function) {
    case OutputFunction::kIdentity:
      return a;
    case OutputFunction::kSoftmax:
      return a.exp() / a.exp().sum(-1, /*keepdim=*/true);
    case OutputFunction::kSigmoid:
      return 1 / (1 + (-a).exp());
    case OutputFunction::kTanh:
      return (a.exp() - (-a).exp()) / (a.exp() + (-a).exp());
  }
  return {};
}

class Outputs : public testing::TestWithParam<OutputFunction> {};

TEST_P(Outputs, ManyToManyIsTheFormula) {
  auto net = make(NetworkOptions(kInput, kHidden, kOutput).output(GetParam()));
  const Tensor x = random_leaf({kSteps, kBatch, kInput}), x_reference = copy_leaf(x);
  const Tensor hx = random({1, kBatch, kHidden});
  const auto [y, h_n] = net->forward(x, hx);
  const auto [h, h_n_reference] = recurrent_part(net)->forward(x_reference, hx);
  const Tensor expected = apply(GetParam(), h.matmul(net->out->weight.t()) + net->out->bias);
  EXPECT_TRUE(close(y, expected));
  EXPECT_TRUE(close(h_n, h_n_reference));
  const Tensor gradient = random(y.sizes());
  y.backward(gradient);
  expected.backward(gradient);
  EXPECT_TRUE(close(x.grad(), x_reference.grad()));
}

TEST_P(Outputs, OneToManyFeedsBackItsOutputs) {
  auto net = make(NetworkOptions(RNNOptions(kInput, kHidden).num_layers(2), kInput)
                      .mapping(Mapping::kOneToMany)
                      .output(GetParam()));
  const Tensor x = random_leaf({kBatch, kInput}), x_reference = copy_leaf(x);
  const Tensor hx = random({2, kBatch, kHidden});
  auto rnn = recurrent_part(net);
  Tensor input = x_reference.unsqueeze(0), state = hx;
  std::vector<Tensor> outputs;
  for (int64_t t = 0; t < kSteps; ++t) {
    Tensor h;
    std::tie(h, state) = rnn->forward(input, state);
    input = apply(GetParam(), h.matmul(net->out->weight.t()) + net->out->bias);
    outputs.push_back(input);
  }
  const Tensor expected = torch::cat(outputs);

  const auto [y, h_n] = net->forward(x, hx, kSteps);
  EXPECT_TRUE(close(y, expected));
  EXPECT_TRUE(close(h_n, state));
  const Tensor gradient = random(y.sizes());
  y.backward(gradient);
  expected.backward(gradient);
  EXPECT_TRUE(close(x.grad(), x_reference.grad()));
}

INSTANTIATE_TEST_SUITE_P(Functions, Outputs,
                         testing::Values(OutputFunction::kIdentity, OutputFunction::kSoftmax,
                                         OutputFunction::kSigmoid, OutputFunction::kTanh));

TEST(Network, TwoDirectionsAddUp) {
  auto net = make(NetworkOptions(RNNOptions(kInput, kHidden).bidirectional(true), kOutput));
  const Tensor x = random({kSteps, kBatch, kInput});
  const Tensor h = std::get<0>(recurrent_part(net)->forward(x));
  const Tensor forward = h.slice(-1, 0, kHidden), reverse = h.slice(-1, kHidden);
  const Tensor w_forward = net->out->weight.slice(1, 0, kHidden);
  const Tensor w_reverse = net->out->weight.slice(1, kHidden);
  EXPECT_TRUE(
      close(std::get<0>(net->forward(x)),
            forward.matmul(w_forward.t()) + reverse.matmul(w_reverse.t()) + net->out->bias));
}

TEST(Network, ManyToOneReadsTheFinalStates) {
  for (const bool bidirectional : {false, true}) {
    auto net =
        make(NetworkOptions(RNNOptions(kInput, kHidden).num_layers(2).bidirectional(bidirectional),
                            kOutput)
                 .mapping(Mapping::kManyToOne));
    const Tensor x = random({kSteps, kBatch, kInput});
    const Tensor h = std::get<0>(recurrent_part(net)->forward(x));
    // The forward direction ends at the last step, the reverse direction at the first.
    Tensor last = h[-1].slice(-1, 0, kHidden);
    if (bidirectional) last = torch::cat({last, h[0].slice(-1, kHidden)}, -1);
    const Tensor expected = last.matmul(net->out->weight.t()) + net->out->bias;
    EXPECT_TRUE(close(std::get<0>(net->forward(x)), expected));
    // Unbatched, the same row.
    EXPECT_TRUE(close(std::get<0>(net->forward(x.select(1, 0))), expected[0]));
  }
}

TEST(Network, PackedInput) {
  const std::vector<int64_t> lengths = {3, kSteps, 1};
  const Tensor x = random({kSteps, kBatch, kInput});
  const auto packed = torch::nn::utils::rnn::pack_padded_sequence(
      x, torch::tensor(lengths), /*batch_first=*/false, /*enforce_sorted=*/false);
  const NetworkOptions options(RNNOptions(kInput, kHidden).num_layers(2).bidirectional(true),
                               kOutput);

  auto many = make(options);
  const auto [tags, h_n] = many->forward_with_packed_input(packed);
  const auto padded =
      std::get<0>(torch::nn::utils::rnn::pad_packed_sequence(std::get<PackedSequence>(tags)));
  auto one = make(NetworkOptions(options).mapping(Mapping::kManyToOne));
  const auto y = std::get<Tensor>(std::get<0>(one->forward_with_packed_input(packed)));
  ASSERT_EQ(y.sizes(), torch::IntArrayRef({kBatch, kOutput}));
  for (int64_t row = 0; row < kBatch; ++row) {
    const Tensor alone = x.select(1, row).slice(0, 0, lengths[row]);
    const auto [tags_alone, h_n_alone] = many->forward(alone);
    EXPECT_TRUE(close(padded.select(1, row).slice(0, 0, lengths[row]), tags_alone));
    EXPECT_TRUE(close(h_n.select(1, row), h_n_alone));
    EXPECT_TRUE(close(y[row], std::get<0>(one->forward(alone))));
  }
}

TEST(Network, OneToManyTakesItsInputInSeveralShapes) {
  for (const bool batch_first : {false, true}) {
    auto net = make(NetworkOptions(RNNOptions(kInput, kHidden).batch_first(batch_first), kInput)
                        .mapping(Mapping::kOneToMany));
    const Tensor x = random({kBatch, kInput});
    const int64_t time = batch_first ? 1 : 0;
    const Tensor y = std::get<0>(net->forward(x, {}, kSteps));
    EXPECT_EQ(y.size(time), kSteps);
    EXPECT_EQ(y.size(1 - time), kBatch);
    EXPECT_TRUE(close(std::get<0>(net->forward(x.unsqueeze(time), {}, kSteps)), y));
    const auto [alone, h_n] = net->forward(x[1], {}, kSteps);
    EXPECT_TRUE(close(alone, y.select(1 - time, 1)));
    EXPECT_EQ(h_n.sizes(), torch::IntArrayRef({1, kHidden}));
    EXPECT_ERROR(net->forward(random({2, 2, kInput}), {}, kSteps),
                 "input: mapping one_to_many takes one step, got 2 steps");
    EXPECT_ERROR(net->forward(random({1, 1, 1, kInput}), {}, kSteps), "input must have");
  }
}

TEST(Network, ChecksItsArguments) {
  const auto one_to_many = [](RNNOptions rnn, int64_t output_size) {
    return elman::Network(NetworkOptions(rnn, output_size).mapping(Mapping::kOneToMany));
  };
  EXPECT_ERROR(elman::Network(kInput, kHidden, 0), "output_size must be greater than zero");
  EXPECT_ERROR(elman::Network(kInput, 0, kOutput), "hidden_size must be greater than zero");
  EXPECT_ERROR(one_to_many({kInput, kHidden}, kOutput), "output_size must equal input_size");
  EXPECT_ERROR(one_to_many(RNNOptions(kInput, kHidden).bidirectional(true), kInput),
               "only one direction is possible");
  EXPECT_ERROR(one_to_many(RNNOptions(kInput, kHidden).truncation(2), kInput),
               "truncation: mapping one_to_many");

  const Tensor x = torch::randn({kBatch, kInput});
  const auto generator = one_to_many({kInput, kHidden}, kInput);
  EXPECT_ERROR(elman::Network(generator)->forward(x), "steps: mapping one_to_many needs");
  EXPECT_ERROR(elman::Network(generator)->forward(x, {}, 0), "steps must be greater than zero");
  const auto packed = torch::nn::utils::rnn::pack_padded_sequence(torch::randn({kSteps, 1, kInput}),
                                                                  torch::tensor({kSteps}));
  EXPECT_ERROR(elman::Network(generator)->forward_with_packed_input(packed), "packed_input");
  EXPECT_ERROR(elman::Network(kInput, kHidden, kOutput)->forward(x, {}, 3),
               "steps: only mapping one_to_many takes it, not many_to_many");
}

TEST(Network, NamesArchivesCloneAndPrinting) {
  const auto options = NetworkOptions(RNNOptions(kInput, kHidden).truncation(2, 3), kOutput)
                           .mapping(Mapping::kManyToOne)
                           .output(OutputFunction::kSoftmax);
  elman::Network net(options), other(options);
  EXPECT_EQ(net->named_parameters().keys(),
            (std::vector<std::string>{"rnn.weight_ih_l0", "rnn.weight_hh_l0", "rnn.bias_ih_l0",
                                      "rnn.bias_hh_l0", "out.weight", "out.bias"}));
  std::stringstream archive;
  torch::save(net, archive);
  torch::load(other, archive);
  elman_test::expect_equal_parameters(*other, *net);

  net->rnn->options.truncation(5);
  const auto copy = std::dynamic_pointer_cast<elman::NetworkImpl>(net->clone());
  ASSERT_NE(copy, nullptr);
  elman_test::expect_equal_parameters(*copy, *net);
  EXPECT_EQ(copy->rnn->options.truncation()->k2, 5);
  const Tensor x = torch::randn({kSteps, kBatch, kInput});
  EXPECT_TRUE(torch::equal(std::get<0>(copy->forward(x)), std::get<0>(net->forward(x))));
  std::get<0>(copy->forward(x)).select(-1, 0).sum().backward();
  EXPECT_TRUE(copy->rnn->all_weights()[1].grad().defined());
  EXPECT_FALSE(net->rnn->all_weights()[1].grad().defined());

  std::ostringstream printed;
  printed << net;
  EXPECT_EQ(printed.str(),
            "elman::Network(mapping=many_to_one, output=softmax)(\n"
            "  (rnn): elman::RNN(input_size=4, hidden_size=5, num_layers=1, bias=true, "
            "batch_first=false, dropout=0, bidirectional=false, truncation=(5, 5))\n"
            "  (out): torch::nn::Linear(in_features=5, out_features=2, bias=true)\n"
            ")");
}

TEST(Network, InAnyModule) {
  torch::nn::AnyModule any(elman::Network(kInput, kHidden, kOutput));
  const Tensor y =
      std::get<0>(any.forward<std::tuple<Tensor, Tensor>>(torch::randn({kSteps, kBatch, kInput})));
  EXPECT_EQ(y.sizes(), torch::IntArrayRef({kSteps, kBatch, kOutput}));
}

// The sum of the inputs so far is positive: a network without memory gets about a third of the
// steps wrong.
TEST(Network, LearnsWithTruncatedGradients) {
  torch::manual_seed(0);
  elman::Network net(
      NetworkOptions(RNNOptions(1, 16).truncation(5), 1).output(OutputFunction::kSigmoid));
  torch::optim::SGD optimizer(net->parameters(), torch::optim::SGDOptions(0.1).momentum(0.9));
  const auto loss_of_batch = [&] {
    const Tensor x = torch::randn({20, 64, 1});
    const Tensor target = (x.cumsum(0) > 0).to(torch::kFloat);
    return torch::binary_cross_entropy(std::get<0>(net->forward(x)), target);
  };
  const double before = loss_of_batch().item<double>();
  for (int update = 0; update < 200; ++update) {
    optimizer.zero_grad();
    loss_of_batch().backward();
    optimizer.step();
  }
  EXPECT_GT(before, 0.6);
  EXPECT_LT(loss_of_batch().item<double>(), 0.2);
}

}  // namespace
