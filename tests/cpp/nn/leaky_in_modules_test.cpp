// elman::LeakyRNN inside elman::Network and elman::Stream, in gradient_by_lag and in a Stepper.

#include <elman/elman.h>
#include <elman/stepper_source.h>
#include <gtest/gtest.h>
#include <torch/autograd.h>
#include <torch/serialize.h>

#include <sstream>
#include <string>
#include <tuple>
#include <variant>
#include <vector>

#include "testing.h"

namespace {

using elman::LeakyForm;
using elman::LeakyRNNOptions;
using elman::Mapping;
using elman::NetworkOptions;
using elman::RNNOptions;
using elman_test::close;
using elman_test::error_of;
using elman_test::random;
using torch::Tensor;
using torch::nn::utils::rnn::PackedSequence;

constexpr int64_t kSteps = 6, kBatch = 3, kInput = 4, kHidden = 5, kOutput = 2, kLayers = 2;

class LeakyIn : public testing::TestWithParam<LeakyForm> {
 protected:
  static LeakyRNNOptions options() {
    return LeakyRNNOptions(RNNOptions(kInput, kHidden).num_layers(kLayers))
        .alpha(torch::linspace(0.2, 0.9, kHidden, torch::kDouble))
        .form(GetParam());
  }
  static elman::LeakyRNN make_rnn(const LeakyRNNOptions& options) {
    elman::LeakyRNN rnn(options);
    rnn->to(torch::kDouble);
    return rnn;
  }
  static elman::Network make(Mapping mapping, bool bidirectional = false) {
    LeakyRNNOptions leaky = options();
    leaky.rnn().bidirectional(bidirectional);
    elman::Network net(
        NetworkOptions(leaky, mapping == Mapping::kOneToMany ? kInput : kOutput).mapping(mapping));
    net->to(torch::kDouble);
    return net;
  }
};

TEST_P(LeakyIn, NetworkIsTheModuleAndItsHead) {
  auto net = make(Mapping::kManyToMany);
  EXPECT_TRUE(net->rnn.is_empty());
  const Tensor x = random({kSteps, kBatch, kInput}), hx = random({kLayers, kBatch, kHidden});
  const auto [y, h_n] = net->forward(x, hx);
  const auto [output, state] = net->leaky_rnn->forward(x, hx);
  EXPECT_TRUE(y.equal(net->out->forward(output)));
  EXPECT_TRUE(h_n.equal(state));
  EXPECT_TRUE(net->named_parameters().contains("rnn.weight_hh_l1"));
  EXPECT_TRUE(net->named_buffers().contains("rnn.alpha"));
}

TEST_P(LeakyIn, ManyToOneTakesTheLastOutputAndNotTheState) {
  for (const bool bidirectional : {false, true}) {
    auto net = make(Mapping::kManyToOne, bidirectional);
    const Tensor x = random({kSteps, kBatch, kInput});
    const auto [y, h_n] = net->forward(x);
    const Tensor output = std::get<0>(net->leaky_rnn->forward(x));
    Tensor last = output[kSteps - 1];
    if (bidirectional) {
      last = torch::cat({last.slice(1, 0, kHidden), output[0].slice(1, kHidden)}, /*dim=*/1);
    }
    EXPECT_TRUE(close(y, net->out->forward(last)));
  }
}

TEST_P(LeakyIn, NetworkOverPackedSequences) {
  auto net = make(Mapping::kManyToOne);
  const Tensor a = random({5, kInput}), b = random({3, kInput});
  const auto packed = torch::nn::utils::rnn::pack_sequence({b, a}, /*enforce_sorted=*/false);
  const auto [y, h_n] = net->forward_with_packed_input(packed);
  EXPECT_TRUE(close(std::get<Tensor>(y)[0], std::get<0>(net->forward(b))));
  EXPECT_TRUE(close(std::get<Tensor>(y)[1], std::get<0>(net->forward(a))));
}

TEST_P(LeakyIn, NetworkFeedsItsOutputsBack) {
  auto net = make(Mapping::kOneToMany);
  const Tensor x = random({kBatch, kInput});
  const auto [y, h_n] = net->forward(x, {}, /*steps=*/3);
  Tensor input = x.unsqueeze(0), state;
  for (int64_t t = 0; t < 3; ++t) {
    Tensor output;
    std::tie(output, state) = net->leaky_rnn->forward(input, state);
    input = net->out->forward(output);
    EXPECT_TRUE(close(y[t], input[0]));
  }
  EXPECT_TRUE(close(h_n, state));
  net->leaky_rnn->options.rnn().truncation(2);
  const std::string error = error_of([&] { net->forward(x, {}, 3); });
  EXPECT_NE(error.find("truncation: mapping one_to_many"), std::string::npos) << error;
}

TEST_P(LeakyIn, NetworkClonesSavesAndLoads) {
  auto net = make(Mapping::kManyToMany);
  net->leaky_rnn->options.rnn().truncation(4);
  const Tensor x = random({kSteps, kBatch, kInput});
  const Tensor expected = std::get<0>(net->forward(x));
  const auto clone = std::dynamic_pointer_cast<elman::NetworkImpl>(net->clone());
  EXPECT_TRUE(std::get<0>(clone->forward(x)).equal(expected));
  EXPECT_EQ(clone->leaky_rnn->options.rnn().truncation()->k2, 4);
  EXPECT_NE(clone->leaky_rnn.get(), net->leaky_rnn.get());
  std::stringstream stream;
  torch::save(net, stream);
  auto loaded = make(Mapping::kManyToMany);
  torch::load(loaded, stream);
  EXPECT_TRUE(std::get<0>(loaded->forward(x)).equal(expected));
}

TEST_P(LeakyIn, StepperOfANetwork) {
  auto net = make(Mapping::kManyToMany);
  const Tensor x = random({kSteps, kInput}), expected = std::get<0>(net->forward(x));
  elman::BasicStepper<double> stepper(net);
  const Tensor y = torch::empty({kSteps, kOutput}, torch::kDouble);
  stepper.process(x.const_data_ptr<double>(), y.mutable_data_ptr<double>(), kSteps);
  EXPECT_TRUE(close(y, expected));
}

TEST_P(LeakyIn, StreamIsOneLongCall) {
  auto rnn = make_rnn(options());
  const Tensor x = random({kSteps, kBatch, kInput});
  const Tensor p = random({kLayers, kSteps, kBatch, kHidden}).requires_grad_();
  const Tensor g = random({kSteps, kBatch, kHidden});
  rnn->options.rnn().truncation(2, 4);
  const auto inputs = [&] {
    std::vector<Tensor> all = rnn->all_weights();
    all.push_back(p);
    return all;
  }();
  const Tensor output = std::get<0>(rnn->forward(x, {}, {}, {}, p));
  const auto expected = torch::autograd::grad({output}, inputs, {g});

  elman::Stream stream(rnn, /*k1=*/2, /*k2=*/4);
  std::vector<Tensor> sums;
  for (int64_t t = 0; t < kSteps; t += 2) {
    const Tensor chunk = stream(x.narrow(0, t, 2), {}, {}, p.narrow(1, t, 2));
    EXPECT_TRUE(close(chunk, output.narrow(0, t, 2)));
    const auto grads = torch::autograd::grad({chunk}, inputs, {g.narrow(0, t, 2)},
                                             /*retain_graph=*/std::nullopt,
                                             /*create_graph=*/false, /*allow_unused=*/true);
    for (size_t i = 0; i < grads.size(); ++i) {
      if (sums.size() == i) sums.push_back(torch::zeros_like(expected[i]));
      sums[i] = sums[i] + grads[i];
    }
  }
  // A later chunk's gradient does not reach an earlier chunk's p.
  for (size_t i = 0; i + 1 < sums.size(); ++i) EXPECT_TRUE(close(sums[i], expected[i])) << i;
}

TEST_P(LeakyIn, StreamWarmsUpWithAPreactivation) {
  auto rnn = make_rnn(options());
  const Tensor x = random({kSteps, kBatch, kInput});
  const Tensor p = random({kLayers, kSteps, kBatch, kHidden});
  elman::Stream warm(rnn, 2, 4);
  warm.burn_in(x.narrow(0, 0, 4), {}, {}, p.narrow(1, 0, 4));
  const Tensor expected = std::get<0>(rnn->forward(x, {}, {}, {}, p)).narrow(0, 4, 2);
  EXPECT_TRUE(close(warm(x.narrow(0, 4, 2), {}, {}, p.narrow(1, 4, 2)), expected));
}

TEST_P(LeakyIn, GradientByLagIsTheOperators) {
  auto rnn = make_rnn(options());
  const Tensor x = random({kSteps, kBatch, kInput}), g = random({kSteps, kBatch, kHidden});
  const Tensor p = random({kLayers, kSteps, kBatch, kHidden});
  const std::string_view form = GetParam() == LeakyForm::kRate ? "rate" : "current";
  const Tensor expected = elman::gradient_by_lag(
      x, std::nullopt, rnn->all_weights(), /*has_biases=*/true, kLayers, /*dropout=*/0,
      /*train=*/true, /*bidirectional=*/false, /*batch_first=*/false, /*max_lag=*/3, "tanh", g,
      std::nullopt, rnn->alpha().expand({kLayers, kHidden}), form, p);
  EXPECT_TRUE(elman::gradient_by_lag(rnn, x, 3, {}, g, {}, p).equal(expected));
  EXPECT_FALSE(elman::gradient_by_lag(rnn, x, 3, {}, g).equal(expected));
}

TEST_P(LeakyIn, GradientByLagDrawsTheModulesNoise) {
  auto rnn = make_rnn(options().noise(0.5));
  const Tensor x = random({kSteps, kBatch, kInput});
  torch::manual_seed(4);
  const Tensor noisy = elman::gradient_by_lag(rnn, x, 3);
  torch::manual_seed(4);
  EXPECT_TRUE(elman::gradient_by_lag(rnn, x, 3).equal(noisy));
  EXPECT_FALSE(elman::gradient_by_lag(rnn, x, 3).equal(noisy));
}

INSTANTIATE_TEST_SUITE_P(Forms, LeakyIn, testing::Values(LeakyForm::kRate, LeakyForm::kCurrent));

TEST(LeakyNetwork, KeepsWhatTheOptionsSayOfBothParts) {
  NetworkOptions options(LeakyRNNOptions(kInput, kHidden).alpha(0.5), kOutput);
  options.rnn().num_layers(3);
  elman::Network net(options);
  EXPECT_EQ(net->leaky_rnn->options.rnn().num_layers(), 3);
  EXPECT_FALSE(NetworkOptions(kInput, kHidden, kOutput).leaky_rnn().has_value());
  // Braces go on to mean the plain options.
  EXPECT_FALSE(NetworkOptions({kInput, kHidden}, kOutput).leaky_rnn().has_value());
}

TEST(PlainStream, RefusesAPreactivation) {
  elman::Stream stream(elman::RNN(kInput, kHidden), 2, 4);
  const std::string error = error_of([&] {
    stream(torch::randn({2, kBatch, kInput}), {}, {}, torch::zeros({2, kBatch, kHidden}));
  });
  EXPECT_NE(error.find("preactivation is for an elman::LeakyRNN only"), std::string::npos) << error;
}

}  // namespace
