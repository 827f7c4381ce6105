// elman::RNNCell against torch::nn::RNNCell.

#include <elman/elman.h>
#include <gtest/gtest.h>
#include <torch/nn/modules/rnn.h>
#include <torch/serialize.h>

#include <memory>
#include <sstream>
#include <string>
#include <tuple>

#include "testing.h"

namespace {

using elman::RNNCellOptions;
using elman_test::close;
using elman_test::copy_leaf;
using elman_test::error_of;
using elman_test::expect_close_gradients;
using elman_test::expect_equal_parameters;
using elman_test::random;
using elman_test::random_leaf;
using torch::Tensor;

constexpr int64_t kBatch = 3, kInput = 4, kHidden = 5;

std::string printed(const torch::nn::Module& module) {
  std::ostringstream stream;
  module.pretty_print(stream);
  return stream.str();
}

// bias, ReLU
class CellEqualsTorch : public testing::TestWithParam<std::tuple<bool, bool>> {
 protected:
  static torch::nn::RNNCellOptions options() {
    const auto [bias, relu] = GetParam();
    auto options = torch::nn::RNNCellOptions(kInput, kHidden).bias(bias);
    if (relu) options.nonlinearity(torch::kReLU);
    return options;
  }
};

TEST_P(CellEqualsTorch, OutputsAndGradients) {
  torch::manual_seed(3);
  elman::RNNCell ours(options());
  torch::manual_seed(3);
  torch::nn::RNNCell theirs(options());
  expect_equal_parameters(*ours, *theirs);
  ours->to(torch::kDouble);
  theirs->to(torch::kDouble);

  const Tensor x = random_leaf({kBatch, kInput}), x_theirs = copy_leaf(x);
  const Tensor hx = random_leaf({kBatch, kHidden}), hx_theirs = copy_leaf(hx);
  // Two steps, so that the second one's error reaches the first one's state.
  const Tensor h = ours->forward(x, ours->forward(x, hx));
  const Tensor h_theirs = theirs->forward(x_theirs, theirs->forward(x_theirs, hx_theirs));
  EXPECT_TRUE(close(h, h_theirs));
  const Tensor gradient = random({kBatch, kHidden});
  h.backward(gradient);
  h_theirs.backward(gradient);
  expect_close_gradients(*ours, *theirs);
  EXPECT_TRUE(close(x.grad(), x_theirs.grad()));
  EXPECT_TRUE(close(hx.grad(), hx_theirs.grad()));
  EXPECT_TRUE(close(ours->forward(x), theirs->forward(x)));
}

TEST_P(CellEqualsTorch, ArchivesCloneAndPrinting) {
  elman::RNNCell ours(options());
  torch::nn::RNNCell theirs(options());
  std::stringstream from_theirs;
  torch::save(theirs, from_theirs);
  torch::load(ours, from_theirs);
  expect_equal_parameters(*ours, *theirs);
  ours->reset_parameters();
  std::stringstream from_ours;
  torch::save(ours, from_ours);
  torch::load(theirs, from_ours);
  expect_equal_parameters(*theirs, *ours);

  const auto copy = std::dynamic_pointer_cast<elman::RNNCellImpl>(ours->clone());
  ASSERT_NE(copy, nullptr);
  expect_equal_parameters(*copy, *ours);
  EXPECT_NE(copy->weight_hh.data_ptr(), ours->weight_hh.data_ptr());
  EXPECT_EQ(printed(*ours), "elman" + printed(*theirs).substr(std::string("torch::nn").size()));
}

TEST(RNNCell, PrintsAsInPython) {
  const elman::RNNCell cell(RNNCellOptions(2, 3).nonlinearity(elman::kSoftplus));
  EXPECT_EQ(printed(*cell), "elman::RNNCell(2, 3, nonlinearity=softplus)");
}

INSTANTIATE_TEST_SUITE_P(Options, CellEqualsTorch,
                         testing::Combine(testing::Bool(), testing::Bool()));

class CellOf : public testing::TestWithParam<elman::Nonlinearity> {};
INSTANTIATE_TEST_SUITE_P(Activations, CellOf,
                         testing::Values(torch::kSigmoid, elman::kSoftplus, elman::kIdentity));

TEST_P(CellOf, IsOneStepOfRNNUnbatchedToo) {
  elman::RNNCell cell(RNNCellOptions(kInput, kHidden).nonlinearity(GetParam()));
  elman::RNN rnn(elman::RNNOptions(kInput, kHidden).nonlinearity(GetParam()));
  cell->to(torch::kDouble);
  rnn->to(torch::kDouble);
  {
    torch::NoGradGuard no_grad;
    for (size_t i = 0; i < 4; ++i) rnn->parameters()[i].copy_(cell->parameters()[i]);
  }
  const Tensor x = random({kInput}), hx = random({kHidden});
  const Tensor expected = std::get<0>(rnn->forward(x.unsqueeze(0), hx.unsqueeze(0))).squeeze(0);
  EXPECT_TRUE(close(cell->forward(x, hx), expected));
  EXPECT_TRUE(close(cell->forward(x.unsqueeze(0), hx.unsqueeze(0)), expected.unsqueeze(0)));
}

TEST(RNNCell, ChecksItsArguments) {
  EXPECT_ERROR(elman::RNNCell(0, 3), "input_size must be greater than zero");
  EXPECT_ERROR(elman::RNNCell(2, 0), "hidden_size must be greater than zero");
  elman::RNNCell cell(kInput, kHidden);
  EXPECT_ERROR(cell->forward(torch::randn({2, kBatch, kInput})),
               "Expected input to be 1D or 2D, got 3D instead");
  EXPECT_ERROR(cell->forward(torch::randn({kBatch, kInput + 1})),
               "input has inconsistent input_size: got 5 expected 4");
  EXPECT_ERROR(cell->forward(torch::randn({kBatch, kInput}), torch::randn({2, kHidden})),
               "Input batch size 3 doesn't match hidden");
  EXPECT_ERROR(cell->forward(torch::randn({kBatch, kInput}), torch::randn({kBatch, kHidden + 1})),
               "inconsistent hidden_size: got 6, expected 5");
}

TEST(RNNCell, RefusesDimensionsOfHxInTheWordsOfThisTorch) {
  elman::RNNCell ours(kInput, kHidden);
  torch::nn::RNNCell theirs(kInput, kHidden);
  const Tensor x = torch::zeros({kBatch, kInput}), hx = torch::zeros({kHidden});
  const std::string expected = error_of([&] { theirs->forward(x, hx); });
  EXPECT_ERROR(ours->forward(x, hx), expected.substr(0, expected.find('\n')));
  EXPECT_ERROR(ours->forward(x[0], hx.unsqueeze(0)),
               "hx must have as many dimensions as input, expected 1, got 2");
}

TEST(RNNCell, WithoutUnitsIsEmptyAndDifferentiable) {
  const auto leaf = [](at::IntArrayRef sizes) { return torch::ones(sizes).requires_grad_(); };
  const Tensor x = leaf({kBatch, kInput}), hx = leaf({kBatch, 0});
  const Tensor w_ih = leaf({0, kInput}), w_hh = leaf({0, 0}), b = leaf({0});
  const Tensor h = elman::rnn_cell(x, hx, w_ih, w_hh, b, b);
  EXPECT_EQ(h.sizes(), at::IntArrayRef({kBatch, 0}));
  h.sum().backward();
  EXPECT_TRUE(torch::equal(x.grad(), torch::zeros_like(x)));
  for (const Tensor& tensor : {hx, w_ih, w_hh, b}) {
    EXPECT_EQ(tensor.grad().sizes(), tensor.sizes());
  }
}

}  // namespace
