// What elman::RNN's truncation, reset and carry_scale do to gradients.

#include <elman/elman.h>
#include <gtest/gtest.h>
#include <torch/nn/modules/rnn.h>
#include <torch/optim/sgd.h>

#include <algorithm>
#include <tuple>
#include <vector>

#include "testing.h"

namespace {

using elman::RNNOptions;
using elman_test::close;
using elman_test::copy_leaf;
using elman_test::expect_close_gradients;
using elman_test::random;
using elman_test::random_leaf;
using torch::Tensor;
using torch::indexing::Slice;

constexpr int64_t kSteps = 11, kBatch = 3, kInput = 4, kHidden = 5;

// layers, k1, k2
class Windows : public testing::TestWithParam<std::tuple<int, int, int>> {};

// The definition, word for word: each window by itself, from states held constant, and the sum over
// the windows.
TEST_P(Windows, GradientIsTheSumOverTheWindows) {
  const auto [layers, k1, k2] = GetParam();
  torch::manual_seed(1);
  elman::RNN rnn(RNNOptions(kInput, kHidden).num_layers(layers).truncation(k1, k2));
  torch::nn::RNN reference(torch::nn::RNNOptions(kInput, kHidden).num_layers(layers));
  rnn->to(torch::kDouble);
  reference->to(torch::kDouble);
  elman_test::copy_parameters(*rnn, *reference);
  const Tensor x = random_leaf({kSteps, kBatch, kInput}), x_reference = copy_leaf(x);
  const Tensor hx = random_leaf({layers, kBatch, kHidden}), hx_reference = copy_leaf(hx);
  const Tensor weight = random({kSteps, kBatch, kHidden});

  const auto output = std::get<0>(rnn->forward(x, hx));
  (output * weight).sum().backward();

  for (int64_t end = k1; end - k1 < kSteps; end += k1) {
    const int64_t start = std::max<int64_t>(0, end - k2);
    const int64_t last = std::min(end, kSteps);
    Tensor state = hx_reference;
    if (start > 0) {
      torch::NoGradGuard no_grad;
      state = std::get<1>(reference->forward(x_reference.slice(0, 0, start), hx_reference));
    }
    const auto window = std::get<0>(reference->forward(x_reference.slice(0, start, last), state));
    const Tensor owned = window.slice(0, end - k1 - start);
    EXPECT_TRUE(close(output.slice(0, end - k1, last), owned));
    (owned * weight.slice(0, end - k1, last)).sum().backward();
  }
  expect_close_gradients(*rnn, *reference);
  EXPECT_TRUE(close(x.grad(), x_reference.grad()));
  EXPECT_TRUE(close(hx.grad(), hx_reference.grad()));
}

INSTANTIATE_TEST_SUITE_P(K1K2, Windows,
                         testing::Combine(testing::Values(1, 3), testing::Values(1, 2, 4),
                                          testing::Values(4, 5, 8, 30)));

TEST(RNNTruncation, TrainsAsAHandWrittenDetachLoop) {
  constexpr int64_t k = 4;
  torch::manual_seed(2);
  elman::RNN rnn(RNNOptions(kInput, kHidden).num_layers(2).truncation(k));
  torch::nn::RNN loop(torch::nn::RNNOptions(kInput, kHidden).num_layers(2));
  rnn->to(torch::kDouble);
  loop->to(torch::kDouble);
  elman_test::copy_parameters(*rnn, *loop);
  torch::optim::SGD optimizer(rnn->parameters(), 0.1), loop_optimizer(loop->parameters(), 0.1);

  Tensor h, h_loop = torch::zeros({2, kBatch, kHidden}, torch::kDouble);
  for (int update = 0; update < 20; ++update) {
    const Tensor x = random({kSteps, kBatch, kInput}), target = random({kSteps, kBatch, kHidden});
    optimizer.zero_grad();
    Tensor output;
    std::tie(output, h) = rnn->forward(x, h);
    const Tensor loss = (output - target).square().sum() / x.numel();
    loss.backward();
    optimizer.step();
    h = h.detach();

    loop_optimizer.zero_grad();
    double loss_of_loop = 0;
    for (int64_t t = 0; t < kSteps; t += k) {
      Tensor y;
      std::tie(y, h_loop) = loop->forward(x.slice(0, t, t + k), h_loop.detach());
      const Tensor part = (y - target.slice(0, t, t + k)).square().sum() / x.numel();
      part.backward();
      loss_of_loop += part.item<double>();
    }
    loop_optimizer.step();
    EXPECT_NEAR(loss.item<double>(), loss_of_loop, elman_test::kTolerance);
  }
  const auto expected = loop->named_parameters();
  for (const auto& item : rnn->named_parameters()) {
    EXPECT_TRUE(close(item.value(), expected[item.key()])) << item.key();
  }
}

TEST(RNNTruncation, MayBeSetAtAnyTime) {
  elman::RNN rnn(RNNOptions(kInput, kHidden));
  rnn->to(torch::kDouble);
  const Tensor x = random({kSteps, kBatch, kInput});
  const auto gradient = [&] {
    rnn->zero_grad();
    std::get<0>(rnn->forward(x)).square().sum().backward();
    return rnn->named_parameters()["weight_hh_l0"].grad().clone();
  };
  const Tensor full = gradient();
  rnn->options.truncation(2);
  const Tensor two = gradient();
  rnn->options.truncation(1, 3);
  const Tensor sliding = gradient();
  rnn->options.truncation(1, kSteps);
  EXPECT_TRUE(close(gradient(), full));
  rnn->options.truncation(std::nullopt);
  EXPECT_TRUE(close(gradient(), full));
  EXPECT_FALSE(close(two, full, 1e-3));
  EXPECT_FALSE(close(sliding, full, 1e-3));
  EXPECT_FALSE(close(sliding, two, 1e-3));
}

TEST(RNNTruncation, OfTwoDirectionsIsRefusedForwardToo) {
  elman::RNN rnn(RNNOptions(kInput, kHidden).bidirectional(true));
  rnn->options.truncation(2, 3);
  EXPECT_ERROR(rnn->forward(torch::randn({kSteps, kBatch, kInput})),
               "k1 < k2 is not defined for a bidirectional network");
}

TEST(RNNTruncation, PackedInputCountsEachSequencesOwnSteps) {
  constexpr int64_t k = 3;
  elman::RNN rnn(RNNOptions(kInput, kHidden).num_layers(2).bidirectional(true).truncation(k));
  rnn->to(torch::kDouble);
  const std::vector<int64_t> lengths = {5, kSteps, 2};
  const Tensor x = random_leaf({kSteps, kBatch, kInput});
  const auto packed = torch::nn::utils::rnn::pack_padded_sequence(
      x, torch::tensor(lengths), /*batch_first=*/false, /*enforce_sorted=*/false);
  const auto [output, h_n] = rnn->forward_with_packed_input(packed);
  const auto [padded, unused] = torch::nn::utils::rnn::pad_packed_sequence(output);
  (padded.square().sum() + h_n.square().sum()).backward();
  const Tensor x_grad = x.grad().clone();
  std::vector<Tensor> gradients;
  for (const auto& parameter : rnn->parameters()) gradients.push_back(parameter.grad().clone());

  rnn->zero_grad();
  x.mutable_grad().zero_();
  for (int64_t row = 0; row < kBatch; ++row) {
    const auto [alone, state] = rnn->forward(x.index({Slice(0, lengths[row]), row}));
    EXPECT_TRUE(close(padded.index({Slice(0, lengths[row]), row}), alone));
    EXPECT_TRUE(close(h_n.select(1, row), state));
    (alone.square().sum() + state.square().sum()).backward();
  }
  EXPECT_TRUE(close(x_grad, x.grad()));
  for (size_t i = 0; i < gradients.size(); ++i) {
    EXPECT_TRUE(close(gradients[i], rnn->parameters()[i].grad()));
  }
}

TEST(RNNTruncation, ResetStartsANewSequence) {
  elman::RNN rnn(RNNOptions(kInput, kHidden).num_layers(2).batch_first(true));
  rnn->to(torch::kDouble);
  constexpr int64_t kBorder = 4;
  const Tensor x = random_leaf({kBatch, kSteps, kInput});
  Tensor reset = torch::zeros({kBatch, kSteps}, torch::kBool);
  reset.select(1, kBorder).fill_(true);
  const Tensor output = std::get<0>(rnn->forward(x, {}, reset));
  const Tensor first = std::get<0>(rnn->forward(x.slice(1, 0, kBorder)));
  const Tensor second = std::get<0>(rnn->forward(x.slice(1, kBorder)));
  EXPECT_TRUE(close(output, torch::cat({first, second}, 1)));
}

TEST(RNNTruncation, CarryScaleZeroCutsTheGradient) {
  elman::RNN rnn(RNNOptions(kInput, kHidden));
  rnn->to(torch::kDouble);
  const Tensor x = random_leaf({kSteps, kBatch, kInput}), x_cut = copy_leaf(x);
  const Tensor cut =
      std::get<0>(rnn->forward(x_cut, {}, /*reset=*/{}, torch::zeros({kSteps}, torch::kDouble)));
  cut.square().sum().backward();
  rnn->options.truncation(1);
  const Tensor output = std::get<0>(rnn->forward(x));
  output.square().sum().backward();
  EXPECT_TRUE(close(cut, output));
  EXPECT_TRUE(close(x_cut.grad(), x.grad()));
}

}  // namespace
