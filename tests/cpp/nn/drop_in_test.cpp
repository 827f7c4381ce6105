// A program written for torch::nn::RNN, and the same program with elman's names in the two places.

#include <elman/elman.h>
#include <gtest/gtest.h>
#include <torch/nn/init.h>
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/rnn.h>
#include <torch/nn/utils/clip_grad.h>
#include <torch/nn/utils/convert_parameters.h>
#include <torch/optim/adam.h>
#include <torch/serialize.h>

#include <sstream>
#include <string>
#include <tuple>
#include <vector>

#include "testing.h"

namespace {

using elman_test::close;
using elman_test::expect_equal_parameters;
using elman_test::random;
using torch::Tensor;

constexpr int64_t kSteps = 7, kBatch = 3, kHidden = 5;

/// Everything that a program does with these modules goes through their common interface.
template <typename Rnn, typename Cell>
struct Model : torch::nn::Module {
  Model() {
    torch::manual_seed(3);
    embed = register_module("embed", torch::nn::Embedding(9, kHidden));
    rnn = register_module("rnn", Rnn(torch::nn::RNNOptions(kHidden, kHidden)
                                         .num_layers(2)
                                         .nonlinearity(torch::kReLU)
                                         .dropout(0.5)
                                         .bidirectional(true)
                                         .batch_first(true)));
    cell = register_module("cell", Cell(torch::nn::RNNCellOptions(2 * kHidden, kHidden)));
    to(torch::kDouble);
  }

  Tensor forward(const Tensor& tokens) {
    const auto [output, h_n] = rnn->forward(embed->forward(tokens));
    rnn->flatten_parameters();
    Tensor h = h_n[0];
    for (const Tensor& step : output.unbind(1)) h = cell->forward(step, h);
    return h;
  }

  torch::nn::Embedding embed{nullptr};
  Rnn rnn{nullptr};
  Cell cell{nullptr};
};
using Ours = Model<elman::RNN, elman::RNNCell>;
using Theirs = Model<torch::nn::RNN, torch::nn::RNNCell>;

template <typename M>
std::vector<double> train(M& model) {
  torch::optim::Adam optimizer(model.parameters(), torch::optim::AdamOptions(0.05));
  const Tensor tokens = torch::arange(kBatch * kSteps).remainder(9).view({kBatch, kSteps});
  std::vector<double> losses;
  torch::manual_seed(5);  // dropout
  for (int step = 0; step < 4; ++step) {
    const Tensor loss = model.forward(tokens).square().mean();
    optimizer.zero_grad();
    loss.backward();
    losses.push_back(torch::nn::utils::clip_grad_norm_(model.parameters(), 1.0));
    optimizer.step();
    losses.push_back(loss.template item<double>());
  }
  return losses;
}

TEST(DropIn, TrainsAsTorch) {
  Ours ours;
  Theirs theirs;
  expect_equal_parameters(ours, theirs);
  const auto losses = train(ours), expected = train(theirs);
  for (size_t i = 0; i < losses.size(); ++i) EXPECT_NEAR(losses[i], expected[i], 1e-8);
  EXPECT_TRUE(close(torch::nn::utils::parameters_to_vector(ours.parameters()),
                    torch::nn::utils::parameters_to_vector(theirs.parameters()), 1e-7));
}

TEST(DropIn, WholeModelsGoThroughArchivesBothWays) {
  const auto ours = std::make_shared<Ours>();
  const auto theirs = std::make_shared<Theirs>();
  for (auto& parameter : theirs->parameters()) torch::nn::init::normal_(parameter);
  std::stringstream first, second;
  torch::save(theirs, first);
  torch::load(ours, first);
  expect_equal_parameters(*ours, *theirs);
  for (auto& parameter : ours->parameters()) torch::nn::init::normal_(parameter);
  torch::save(ours, second);
  torch::load(theirs, second);
  expect_equal_parameters(*theirs, *ours);
}

TEST(DropIn, StatesInEveryLegalForm) {
  torch::manual_seed(3);
  elman::RNN ours(elman::RNNOptions(4, kHidden).num_layers(2));
  torch::manual_seed(3);
  torch::nn::RNN theirs(torch::nn::RNNOptions(4, kHidden).num_layers(2));
  ours->to(torch::kDouble);
  theirs->to(torch::kDouble);
  const Tensor x = random({kBatch, kSteps, 4}).transpose(0, 1);
  const Tensor state = random({1, 1, kHidden});
  for (const Tensor& hx :
       {state.expand({2, kBatch, kHidden}), random({kHidden, kBatch, 2}).permute({2, 1, 0})}) {
    SCOPED_TRACE(hx.strides());
    const auto [output, h_n] = ours->forward(x, hx);
    const auto [output_theirs, h_n_theirs] = theirs->forward(x, hx);
    EXPECT_TRUE(close(output, output_theirs));
    EXPECT_TRUE(close(h_n, h_n_theirs));
  }
  const auto [output, h_n] = ours->forward(x.slice(1, 0, 0));  // no rows
  EXPECT_EQ(output.sizes(), torch::IntArrayRef({kSteps, 0, kHidden}));
  EXPECT_EQ(h_n.sizes(), torch::IntArrayRef({2, 0, kHidden}));
}

TEST(DropIn, WeightChangesAreSeenAtOnce) {
  elman::RNN ours(elman::RNNOptions(4, kHidden));
  torch::nn::RNN theirs(torch::nn::RNNOptions(4, kHidden));
  elman_test::copy_parameters(*ours, *theirs);
  const Tensor x = torch::randn({kSteps, kBatch, 4});
  torch::NoGradGuard no_grad;
  for (auto* module : {static_cast<torch::nn::Module*>(ours.get()),
                       static_cast<torch::nn::Module*>(theirs.get())}) {
    module->named_parameters()["weight_hh_l0"].mul_(0.5);
    module->named_parameters()["bias_hh_l0"].set_data(torch::ones({kHidden}));
  }
  EXPECT_TRUE(
      close(std::get<0>(ours->forward(x)), std::get<0>(theirs->forward(x)), /*tolerance=*/1e-5));
}

/// The first line of what `call` throws.
template <typename Call>
std::string first_line(const Call& call) {
  const std::string message = elman_test::error_of(call);
  return message.substr(0, message.find('\n'));
}

TEST(DropIn, ErrorsAreTorchs) {
  using Options = torch::nn::RNNOptions;
  for (const Options& options : {Options(4, 0), Options(4, -1), Options(4, 3).num_layers(0)}) {
    EXPECT_PRED_FORMAT2(testing::IsSubstring, first_line([&] { torch::nn::RNN{options}; }),
                        first_line([&] { elman::RNN{options}; }));
  }
  const Options options = Options(4, kHidden).num_layers(2);
  elman::RNN ours(options);
  torch::nn::RNN theirs(options);
  const Tensor x = torch::zeros({kSteps, kBatch, 4}), no_steps = torch::zeros({0, kBatch, 4});
  const auto expect_same = [&](const Tensor& input, const Tensor& hx) {
    EXPECT_EQ(first_line([&] { ours->forward(input, hx); }),
              first_line([&] { theirs->forward(input, hx); }));
  };
  expect_same(no_steps, {});
  expect_same(x, torch::zeros({2, kBatch, kHidden}, torch::kDouble));
  expect_same(x, torch::zeros({2, kBatch, kHidden}, torch::kMeta));
  expect_same(torch::zeros({kSteps, kBatch, 3}), {});
}

}  // namespace
