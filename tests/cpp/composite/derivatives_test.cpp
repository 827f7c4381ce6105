// The engine in ATen operators (csrc/composite): derivatives of higher order, NaN and memory.

#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/nn/modules/rnn.h>

#include <cmath>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "composite/composite_call.h"
#include "composite/rnn.h"
#include "testing.h"

namespace elman_test {
namespace {

using Tensors = std::vector<torch::Tensor>;

torch::Tensor dot(const Tensors& a, const Tensors& b) {
  auto result = torch::zeros({}, torch::kDouble);
  for (size_t i = 0; i < a.size(); ++i) result = result + (a[i] * b[i]).sum();
  return result;
}

Tensors randn_like(const Tensors& tensors) {
  Tensors result;
  for (const auto& tensor : tensors) result.push_back(torch::randn_like(tensor));
  return result;
}

/// The derivative of `function` at `x` along `direction`, by central differences of fourth order
/// (those of second order stop short of the tolerance here, since derivatives grow with their
/// order).
double difference_quotient(const std::function<torch::Tensor(const Tensors&)>& function,
                           const Tensors& x, const Tensors& direction) {
  constexpr double kStep = 1e-4;
  const auto central = [&](double step) {
    double values[2];
    for (const int side : {0, 1}) {
      Tensors shifted;
      for (size_t i = 0; i < x.size(); ++i) {
        const auto offset = (side == 0 ? -step : step) * direction[i];
        shifted.push_back((x[i].detach() + offset).requires_grad_());
      }
      values[side] = function(shifted).item<double>();
    }
    return (values[1] - values[0]) / (2 * step);
  };
  return (4 * central(kStep) - central(2 * kStep)) / 3;
}

/// A truncated gradient as a function of everything that it depends on: input, hx, params,
/// grad_output, grad_h_n.
class TruncatedGradient {
 public:
  explicit TruncatedGradient(Call call) : call_(std::move(call)) {
    call_.prepare();
    at_ = {call_.input, *call_.hx};
    at_.insert(at_.end(), call_.problem.params.begin(), call_.problem.params.end());
    at_.push_back(call_.caller(call_.random_output()));
    at_.push_back(call_.states(call_.random_states()));
    weights_ = randn_like({at_.begin(), at_.end() - 2});
  }

  const Tensors& at() const { return at_; }

  /// A fixed combination of the gradient's elements, by `backward` or by `differentiable_backward`.
  torch::Tensor operator()(const Tensors& x, bool differentiable) {
    call_.input = x[0];
    call_.hx = x[1];
    call_.problem.params.assign(x.begin() + 2, x.end() - 2);
    elman::BackwardArguments grads{x[x.size() - 2], x.back(), {}, {}, call_.everything()};
    {
      torch::NoGradGuard no_grad;
      torch::manual_seed(11);  // the same dropout masks at every point
      std::tie(grads.output, std::ignore, grads.saved) =
          composite::forward(call_.args(), elman::kKeepAll);
    }
    const auto backward = differentiable ? composite::differentiable_backward : composite::backward;
    return dot(backward(call_.args(), grads), weights_);
  }

  /// The derivative of the above along `direction`, by autograd.
  torch::Tensor derivative(const Tensors& x, const Tensors& direction, bool create_graph) {
    const auto value = (*this)(x, /*differentiable=*/true);
    return dot(torch::autograd::grad({value}, x, {}, /*retain_graph=*/true, create_graph),
               direction);
  }

 private:
  Call call_;
  Tensors at_;
  Tensors weights_;
};

void expect_exact_derivatives(Call call) {
  SCOPED_TRACE(call.problem.nonlinearity + " k1=" + std::to_string(call.problem.k1) + " k2=" +
               std::to_string(call.problem.k2) + " L=" + std::to_string(call.problem.num_layers) +
               " D=" + std::to_string(call.problem.num_directions) +
               " form=" + std::to_string(static_cast<int>(call.form)));
  TruncatedGradient gradient(std::move(call));
  Tensors x;
  for (const auto& tensor : gradient.at()) x.push_back(copy_leaf(tensor));
  const auto close_to = [](double actual, double expected) {
    EXPECT_NEAR(actual, expected, 1e-7 * std::max(1.0, std::abs(expected)));
  };

  const auto u = randn_like(x);
  close_to(gradient.derivative(x, u, /*create_graph=*/false).item<double>(),
           difference_quotient([&](const Tensors& y) { return gradient(y, false); }, x, u));

  const auto v = randn_like(x);
  const auto third = torch::autograd::grad({gradient.derivative(x, u, /*create_graph=*/true)}, x,
                                           {}, false, false, /*allow_unused=*/true);
  double along_v = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    if (third[i].defined()) along_v += (third[i] * v[i]).sum().item<double>();
  }
  close_to(along_v, difference_quotient(
                        [&](const Tensors& y) { return gradient.derivative(y, u, false); }, x, v));
}

TEST(CompositeDerivatives, OfTheTruncatedGradientAreExact) {
  torch::manual_seed(1);
  for (const int64_t layers : {1, 2}) {
    for (const int64_t directions : {1, 2}) {
      for (const auto& [k1, k2] : {Truncation{0, 0}, {1, 1}, {2, 2}, {3, 3}, {1, 3}, {2, 5}}) {
        if (directions == 2 && k1 != k2) continue;
        for (const std::string& nonlinearity : brute_force::kNonlinearities) {
          auto call = make_call({5, 2, 2, 3, layers, directions}, nonlinearity, k1 < 3);
          std::tie(call.problem.k1, call.problem.k2) = std::tie(k1, k2);
          call.dropout = 0.3;
          expect_exact_derivatives(call);
        }
      }
    }
  }
}

TEST(CompositeDerivatives, AreExactForPackedInputResetAndCarryScale) {
  torch::manual_seed(2);
  for (const auto& [k1, k2] : {Truncation{0, 0}, {2, 2}, {2, 5}}) {
    for (const int64_t directions : {1, 2}) {
      if (directions == 2 && k1 != k2) continue;
      auto call = make_call({5, 3, 2, 3, 2, directions});
      std::tie(call.problem.k1, call.problem.k2) = std::tie(k1, k2);
      auto packed = call;
      packed.form = Form::kPacked;
      packed.problem.lengths = {5, 4, 2};
      expect_exact_derivatives(packed);

      call.form = Form::kBatchFirst;
      call.problem.reset = torch::rand({5, 3}) < 0.3;
      if (directions == 1) call.problem.carry_scale = random({5, 3});
      expect_exact_derivatives(call);
    }
  }
}

bool has_nan(const torch::Tensor& x) { return x.isnan().any().item<bool>(); }

TEST(CompositeNan, StopsAtAReset) {
  for (const int64_t directions : {1, 2}) {
    torch::manual_seed(5);
    auto call = make_call({6, 1, 2, 3, 1, directions});
    call.problem.input[directions == 1 ? 1 : 4].fill_(std::nan(""));
    call.problem.reset = torch::zeros({6, 1}, torch::kBool);
    call.problem.reset[3] = true;
    call.prepare();
    const auto [output, h_n, saved] = composite::forward(call.args(), elman::kKeepAll);
    const auto clean = directions == 1 ? torch::indexing::Slice(3) : torch::indexing::Slice(0, 3);
    EXPECT_TRUE(has_nan(output));
    EXPECT_FALSE(has_nan(output.index({clean})));
    const auto gradients = composite::backward(
        call.args(),
        {call.random_output(), call.random_states(), output, saved, call.everything()});
    EXPECT_TRUE(has_nan(gradients[0]));
    EXPECT_FALSE(has_nan(gradients[0].index({clean})));
  }
}

/// relu' is [not (h <= 0)]: a NaN lets gradients through as torch's does.
TEST(CompositeNan, PassesRelu) {
  torch::manual_seed(6);
  torch::nn::RNN module(torch::nn::RNNOptions(2, 3).nonlinearity(torch::kReLU));
  module->to(torch::kDouble);
  auto input = random({5, 2, 2});
  input[2][0][0] = std::numeric_limits<double>::quiet_NaN();
  input.requires_grad_();
  const auto output = std::get<0>(module->forward(input));
  const auto grad_output = torch::randn_like(output);
  const auto expected = torch::autograd::grad({output}, {input}, {grad_output})[0];

  torch::NoGradGuard no_grad;
  const auto params = module->parameters();
  const std::optional<torch::Tensor> hx;
  const elman::RnnArguments args{input, hx,     params, true, 1,  0,  true, false,
                                 false, "relu", 0,      0,    {}, {}, {}};
  const auto [actual, h_n, saved] = composite::forward(args, elman::kKeepAll);
  elman::BackwardArguments grads{
      grad_output, std::nullopt, actual, saved, {true, false, false, false, false, false}};
  const auto gradient = composite::backward(args, grads)[0];
  EXPECT_TRUE(has_nan(actual));
  EXPECT_TRUE(torch::allclose(actual, output, 1e-12, 1e-12, /*equal_nan=*/true));
  EXPECT_TRUE(torch::allclose(gradient, expected, 1e-12, 1e-12, /*equal_nan=*/true));
}

TEST(CompositeMemory, ResultsAreFresh) {
  torch::manual_seed(7);
  for (const auto form : {Form::kTimeMajor, Form::kBatchFirst, Form::kUnbatched, Form::kPacked}) {
    auto call = make_call({1, 1, 1, 1, 2, 1});
    call.form = form;
    call.problem.lengths = {1};
    call.dropout = 0.5;
    call.prepare();
    const auto [output, h_n, saved] = composite::forward(call.args(), elman::kKeepAll);
    const elman::BackwardArguments grads{call.caller(call.random_output()),
                                         call.states(call.random_states()), output, saved,
                                         call.everything()};
    Tensors results = composite::backward(call.args(), grads);
    const auto gradients = results.size();
    results.insert(results.end(), {output, h_n, saved.states, saved.masks});
    Tensors given = {call.input, *call.hx, *grads.grad_output, *grads.grad_h_n};
    given.insert(given.end(), call.problem.params.begin(), call.problem.params.end());
    for (size_t i = 0; i < results.size(); ++i) {
      for (const auto& tensor : given) EXPECT_FALSE(results[i].is_alias_of(tensor)) << i;
      for (size_t j = 0; j < i; ++j) EXPECT_FALSE(results[i].is_alias_of(results[j])) << i << j;
    }
    for (size_t i = 0; i < gradients; ++i) EXPECT_TRUE(results[i].is_contiguous()) << i;
  }
}

TEST(CompositeMemory, NothingIsSavedWhereNothingIsAskedFor) {
  auto call = make_call({4, 2, 2, 3, 2, 1});
  call.dropout = 0.5;
  call.prepare();
  const auto saved = std::get<2>(composite::forward(call.args(), elman::kKeepNothing));
  EXPECT_EQ(saved.states.numel(), 0);
  EXPECT_EQ(saved.masks.numel(), 0);
}

}  // namespace
}  // namespace elman_test
