// elman::RNN as a module: its options and parameters, printing, copies, containers, errors.

#include <elman/elman.h>
#include <gtest/gtest.h>
#include <torch/nn/modules/container/any.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/nn/modules/rnn.h>

#include <memory>
#include <sstream>
#include <string>
#include <tuple>
#include <vector>

#include "nn/small_rnn.h"
#include "testing.h"

namespace {

using elman::RNNOptions;
using elman_test::close;
using elman_test::expect_equal_parameters;
using elman_test::kBatch;
using elman_test::kHidden;
using elman_test::kInput;
using elman_test::kOwnActivations;
using elman_test::kSteps;
using elman_test::small_options;
using torch::Tensor;

std::string printed(const torch::nn::Module& module) {
  std::ostringstream stream;
  module.pretty_print(stream);
  return stream.str();
}

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
