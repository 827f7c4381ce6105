// elman::LeakyRNN and elman::LeakyRNNCell against the equations, written out step by step.

#include <elman/elman.h>
#include <gtest/gtest.h>
#include <torch/autograd.h>
#include <torch/nn/modules/container/sequential.h>
#include <torch/serialize.h>

#include <cmath>
#include <limits>
#include <sstream>
#include <string>
#include <tuple>
#include <vector>

#include "testing.h"

namespace {

using elman::LeakyForm;
using elman::LeakyRNNCellOptions;
using elman::LeakyRNNOptions;
using elman::RNNOptions;
using elman_test::close;
using elman_test::error_of;
using elman_test::random;
using torch::Tensor;

constexpr int64_t kSteps = 6, kBatch = 3, kInput = 4, kHidden = 5;

std::string printed(const torch::nn::Module& module) {
  std::ostringstream stream;
  module.pretty_print(stream);
  return stream.str();
}

// The form; whether alpha is learnt.
class Leaky : public testing::TestWithParam<std::tuple<LeakyForm, bool>> {
 protected:
  static elman::LeakyRNN make(double noise = 0) {
    const auto [form, learn_alpha] = GetParam();
    elman::LeakyRNN rnn(LeakyRNNOptions(kInput, kHidden)
                            .alpha(torch::linspace(0.1, 0.9, kHidden, torch::kDouble))
                            .learn_alpha(learn_alpha)
                            .form(form)
                            .noise(noise));
    rnn->to(torch::kDouble);
    return rnn;
  }

  /// The outputs [T, B, H] and the last state [1, B, H].
  static std::tuple<Tensor, Tensor> step_by_step(elman::LeakyRNN& rnn, const Tensor& x,
                                                 const Tensor& p) {
    const auto w = rnn->all_weights();
    const Tensor alpha = rnn->alpha();
    const bool rate = std::get<0>(GetParam()) == LeakyForm::kRate;
    Tensor state = torch::zeros({kBatch, kHidden}, torch::kDouble);
    std::vector<Tensor> outputs;
    for (int64_t t = 0; t < kSteps; ++t) {
      const Tensor read = rate ? state : torch::tanh(state);
      const Tensor a = x[t].mm(w[0].t()) + w[2] + read.mm(w[1].t()) + w[3] + p[t];
      state = (1 - alpha) * state + alpha * (rate ? torch::tanh(a) : a);
      outputs.push_back(rate ? state : torch::tanh(state));
    }
    return {torch::stack(outputs), state.unsqueeze(0)};
  }
};

TEST_P(Leaky, EqualsTheEquationsWithGradients) {
  auto rnn = make();
  const Tensor x = random({kSteps, kBatch, kInput}), p = random({kSteps, kBatch, kHidden});
  const auto gradients = [&](const std::tuple<Tensor, Tensor>& result) {
    const Tensor loss = std::get<0>(result).square().sum() + std::get<1>(result).sum();
    return torch::autograd::grad({loss}, rnn->parameters());
  };
  const auto actual = rnn->forward(x, {}, {}, {}, p);
  const auto expected = step_by_step(rnn, x, p);
  EXPECT_TRUE(close(std::get<0>(actual), std::get<0>(expected)));
  EXPECT_TRUE(close(std::get<1>(actual), std::get<1>(expected)));
  EXPECT_TRUE(close(rnn->output(std::get<1>(actual))[0], std::get<0>(actual)[kSteps - 1]));
  const auto mine = gradients(actual), theirs = gradients(expected);
  ASSERT_EQ(mine.size(), std::get<1>(GetParam()) ? 5u : 4u);
  for (size_t i = 0; i < mine.size(); ++i) EXPECT_TRUE(close(mine[i], theirs[i])) << i;
}

TEST_P(Leaky, PackedSequencesAreEachTheirOwn) {
  auto rnn = make();
  const Tensor a = random({5, kInput}), b = random({3, kInput});
  const auto packed = torch::nn::utils::rnn::pack_sequence({b, a}, /*enforce_sorted=*/false);
  const auto [output, h_n] = rnn->forward_with_packed_input(packed);
  EXPECT_TRUE(close(h_n.select(1, 0), std::get<1>(rnn->forward(b))));
  EXPECT_TRUE(close(h_n.select(1, 1), std::get<1>(rnn->forward(a))));
}

TEST_P(Leaky, NoiseIsAddedToThePreactivation) {
  auto rnn = make(/*noise=*/0.3);
  const Tensor x = random({kSteps, kBatch, kInput}), p = random({kSteps, kBatch, kHidden});
  torch::manual_seed(3);
  const Tensor noise =
      0.3 * (2 / rnn->alpha()).sqrt() * torch::randn({kSteps, kBatch, kHidden}, torch::kDouble);
  torch::manual_seed(3);
  const auto [output, h_n] = rnn->forward(x, {}, {}, {}, p);
  rnn->options.noise(0);
  EXPECT_TRUE(close(output, std::get<0>(rnn->forward(x, {}, {}, {}, p + noise))));
  rnn->options.noise(0.3).noise_in_eval(false);
  rnn->eval();
  EXPECT_TRUE(std::get<0>(rnn->forward(x)).equal(std::get<0>(rnn->forward(x))));
}

TEST_P(Leaky, TheCellTakesTheSameSteps) {
  auto rnn = make();
  const auto [form, learn_alpha] = GetParam();
  elman::LeakyRNNCell cell(LeakyRNNCellOptions(kInput, kHidden)
                               .alpha(rnn->alpha().detach())
                               .learn_alpha(learn_alpha)
                               .form(form));
  cell->to(torch::kDouble);
  {
    torch::NoGradGuard no_grad;
    const auto from = rnn->all_weights();
    const std::vector<Tensor> to{cell->weight_ih, cell->weight_hh, cell->bias_ih, cell->bias_hh};
    for (size_t i = 0; i < to.size(); ++i) to[i].copy_(from[i]);
  }
  // Both were made in float32, and so was alpha.
  const Tensor x = random({kSteps, kBatch, kInput});
  Tensor state;
  for (const Tensor& step : x.unbind()) state = cell->forward(step, state);
  const auto [output, h_n] = rnn->forward(x);
  EXPECT_TRUE(torch::allclose(state, h_n[0], /*rtol=*/1e-5, /*atol=*/1e-6));
  EXPECT_TRUE(torch::allclose(cell->output(state), output[kSteps - 1], 1e-5, 1e-6));
}

TEST_P(Leaky, CloneSaveAndLoad) {
  auto rnn = make();
  const Tensor x = random({kSteps, kBatch, kInput});
  const Tensor expected = std::get<0>(rnn->forward(x));
  auto clone = std::dynamic_pointer_cast<elman::LeakyRNNImpl>(rnn->clone());
  EXPECT_TRUE(std::get<0>(clone->forward(x)).equal(expected));
  std::stringstream stream;
  torch::save(rnn, stream);
  auto loaded = make();
  loaded->reset_parameters();
  EXPECT_FALSE(std::get<0>(loaded->forward(x)).equal(expected));
  torch::load(loaded, stream);
  EXPECT_TRUE(std::get<0>(loaded->forward(x)).equal(expected));
}

INSTANTIATE_TEST_SUITE_P(Forms, Leaky,
                         testing::Combine(testing::Values(LeakyForm::kRate, LeakyForm::kCurrent),
                                          testing::Bool()));

TEST(LeakyRNN, WithAlphaOfOneIsThePlainModule) {
  torch::manual_seed(1);
  elman::LeakyRNN leaky(LeakyRNNOptions(RNNOptions(kInput, kHidden).num_layers(2)).alpha(1));
  torch::manual_seed(1);
  elman::RNN plain(RNNOptions(kInput, kHidden).num_layers(2));
  elman_test::expect_equal_parameters(*leaky, *plain);
  EXPECT_FALSE(leaky->alpha().defined());
  const Tensor x = torch::randn({kSteps, kBatch, kInput});
  EXPECT_TRUE(std::get<0>(leaky->forward(x)).equal(std::get<0>(plain->forward(x))));
}

TEST(LeakyRNN, InSequential) {
  torch::nn::Sequential model(elman::LeakyRNN(LeakyRNNOptions(kInput, kHidden).tau(100, 20)));
  const auto [output, h_n] =
      model->forward<std::tuple<Tensor, Tensor>>(torch::randn({kSteps, kBatch, kInput}));
  EXPECT_EQ(output.sizes(), torch::IntArrayRef({kSteps, kBatch, kHidden}));
}

TEST(LeakyRNN, Prints) {
  elman::LeakyRNN rnn(LeakyRNNOptions(4, 5).alpha(0.25).form(LeakyForm::kCurrent).noise(0.5));
  EXPECT_EQ(printed(*rnn),
            "elman::LeakyRNN(input_size=4, hidden_size=5, num_layers=1, bias=true, "
            "batch_first=false, dropout=0, bidirectional=false, alpha=0.25, form=current, "
            "noise=0.5)");
  elman::LeakyRNNCell cell(LeakyRNNCellOptions(4, 5).alpha(torch::full({5}, 0.5)));
  EXPECT_EQ(printed(*cell), "elman::LeakyRNNCell(4, 5, alpha=[5], form=rate)");
}

TEST(LeakyRNN, RefusesWrongOptions) {
  const auto refused = [](LeakyRNNOptions options, const std::string& text) {
    const std::string error = error_of([&] { elman::LeakyRNN rnn(options); });
    EXPECT_NE(error.find(text), std::string::npos) << error;
  };
  const LeakyRNNOptions options(kInput, kHidden);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  refused(options, "alpha: expected a value in (0, 1], or tau with dt");
  refused(LeakyRNNOptions(options).alpha(0), "alpha must lie in (0, 1]");
  refused(LeakyRNNOptions(options).alpha(nan), "alpha must lie in (0, 1]");
  refused(LeakyRNNOptions(options).tau(1, 2), "alpha must lie in (0, 1]");
  refused(LeakyRNNOptions(options).alpha(torch::full({4}, 0.5)),
          "alpha must be a number or of shape [5] or [1, 5], got [4]");
  refused(LeakyRNNOptions(options).alpha(torch::ones({5}, torch::kLong)),
          "alpha should be a floating point Tensor");
  refused(LeakyRNNOptions(options).alpha(1).learn_alpha(true), "alpha must be less than 1");
  refused(LeakyRNNOptions(options).alpha(0.5).noise(-1), "noise must be finite and not negative");
  refused(LeakyRNNOptions(options).alpha(0.5).noise(nan), "noise must be finite");
  const std::string both =
      error_of([&] { (void)LeakyRNNOptions(options).alpha(0.5).tau(100, 20); });
  EXPECT_NE(both.find("tau: expected alpha, or tau with dt"), std::string::npos) << both;
}

TEST(LeakyRNN, RefusesAPreactivationOfAnotherShape) {
  for (const double noise : {0.0, 0.1}) {
    elman::LeakyRNN rnn(LeakyRNNOptions(kInput, kHidden).alpha(0.5).noise(noise));
    const Tensor x = torch::randn({kSteps, kBatch, kInput});
    const std::string error =
        error_of([&] { rnn->forward(x, {}, {}, {}, torch::zeros({kHidden})); });
    EXPECT_NE(error.find("preactivation"), std::string::npos) << error;
  }
}

}  // namespace
