// The engine in ATen operators (csrc/composite) against brute force (oracle.h) and torch::nn::RNN.

#include "composite/rnn.h"

#include <gtest/gtest.h>
#include <torch/nn/modules/rnn.h>

#include <optional>
#include <sstream>
#include <string>
#include <tuple>
#include <vector>

#include "composite/composite_call.h"
#include "oracle.h"
#include "testing.h"

namespace elman_test {
namespace {

/// Forward, backward and differentiable_backward, all gradients, against brute force with the masks
/// that were drawn.
void expect_matches_brute_force(Call call) {
  call.prepare();
  std::ostringstream trace;
  const Problem& p = call.problem;
  trace << p.nonlinearity << " k1=" << p.k1 << " k2=" << p.k2 << " input=" << p.input.sizes()
        << " H=" << p.hidden_size() << " L=" << p.num_layers << " D=" << p.num_directions
        << " biases=" << p.has_biases << " hx=" << p.hx.defined() << " lengths=" << p.lengths
        << " form=" << static_cast<int>(call.form) << " dropout=" << call.dropout;
  SCOPED_TRACE(trace.str());

  const auto grad_output = call.random_output();
  const auto grad_h_n = call.random_states();
  const auto [output, h_n, saved] = composite::forward(call.args(), elman::kKeepAll);
  if (saved.masks.numel() > 0) {
    std::vector<torch::Tensor> masks;
    for (const auto& mask : saved.masks.unbind(0)) masks.push_back(call.padded(mask));
    call.problem.masks = torch::stack(masks);
  }
  auto expected = brute_force_tbptt(call.problem, grad_output, grad_h_n);
  EXPECT_TRUE(close(output, call.caller(expected.output)));
  EXPECT_TRUE(close(h_n, call.states(expected.h_n)));

  expected.gradients[0] = call.caller(expected.gradients[0]);
  expected.gradients[1] = call.states(expected.gradients[1]);
  if (!call.hx) expected.gradients.erase(expected.gradients.begin() + 1);
  const elman::BackwardArguments grads{call.caller(grad_output), call.states(grad_h_n), output,
                                       saved, call.everything()};
  for (const auto backward : {composite::backward, composite::differentiable_backward}) {
    const auto actual = backward(call.args(), grads);
    ASSERT_EQ(actual.size(), expected.gradients.size());
    for (size_t i = 0; i < actual.size(); ++i) {
      EXPECT_TRUE(close(actual[i], expected.gradients[i])) << "gradient " << i;
    }
  }
}

const std::vector<Truncation> kOverlapping = {{1, 1}, {1, 3}, {1, 6}, {2, 3}, {2, 5},
                                              {3, 4}, {3, 8}, {5, 9}, {7, 8}};
const std::vector<Truncation> kDisjoint = {{0, 0}, {1, 1}, {2, 2}, {3, 3}, {5, 5}, {9, 9}};

TEST(Composite, TruncatedGradientsMatchBruteForce) {
  torch::manual_seed(1);
  int variant = 0;
  for (const int64_t steps : {1, 6, 7}) {
    for (const int64_t layers : {1, 2, 3}) {
      for (const int64_t directions : {1, 2}) {
        auto truncations = kDisjoint;
        if (directions == 1) {
          truncations.insert(truncations.end(), kOverlapping.begin(), kOverlapping.end());
        }
        for (const auto& [k1, k2] : truncations) {
          ++variant;
          const std::string& nonlinearity = brute_force::kNonlinearities[variant % 5];
          const Sizes sizes{steps,           1 + variant % 2, 1 + variant % 4,
                            1 + variant % 5, layers,          directions};
          auto call = make_call(sizes, nonlinearity, variant % 4 < 2, variant % 7 < 4);
          std::tie(call.problem.k1, call.problem.k2) = std::tie(k1, k2);
          call.dropout = variant % 3 == 0 ? 0.4 : 0;
          call.form = variant % 5 == 0 ? Form::kBatchFirst : Form::kTimeMajor;
          expect_matches_brute_force(call);
        }
      }
    }
  }
}

TEST(Composite, UnbatchedMatchesBruteForce) {
  torch::manual_seed(2);
  for (const auto& [k1, k2] : {Truncation{0, 0}, {2, 5}}) {
    for (const bool hx : {false, true}) {
      auto call = make_call({7, 1, 3, 4, 2, 1}, "tanh", true, hx);
      std::tie(call.problem.k1, call.problem.k2) = std::tie(k1, k2);
      call.form = Form::kUnbatched;
      expect_matches_brute_force(call);
    }
  }
}

TEST(Composite, PackedMatchesBruteForce) {
  torch::manual_seed(3);
  for (const std::vector<int64_t>& lengths : {std::vector<int64_t>{7, 4, 4, 1}, {5, 5}, {6, 2}}) {
    for (const int64_t layers : {1, 2}) {
      for (const int64_t directions : {1, 2}) {
        auto truncations = kDisjoint;
        if (directions == 1) {
          truncations.insert(truncations.end(), kOverlapping.begin(), kOverlapping.end());
        }
        for (const auto& [k1, k2] : truncations) {
          auto call = make_call(
              {lengths[0], static_cast<int64_t>(lengths.size()), 2, 3, layers, directions}, "tanh",
              true, k1 % 2 == 0);
          std::tie(call.problem.k1, call.problem.k2) = std::tie(k1, k2);
          call.problem.lengths = lengths;
          call.form = Form::kPacked;
          call.dropout = 0.3;
          expect_matches_brute_force(call);
        }
      }
    }
  }
}

TEST(Composite, ResetAndCarryScaleMatchBruteForce) {
  torch::manual_seed(4);
  for (const auto form : {Form::kTimeMajor, Form::kBatchFirst, Form::kUnbatched}) {
    for (const int64_t layers : {1, 2}) {
      for (const auto& [k1, k2] : {Truncation{0, 0}, {3, 3}, {1, 4}, {2, 5}}) {
        for (const int64_t directions : {1, 2}) {
          if (directions == 2 && k1 != k2) continue;
          auto call = make_call({8, form == Form::kUnbatched ? 1 : 3, 2, 3, layers, directions});
          std::tie(call.problem.k1, call.problem.k2) = std::tie(k1, k2);
          call.form = form;
          call.problem.reset = torch::rand({8, call.problem.batch()}) < 0.3;
          call.problem.reset[0][0] = true;
          expect_matches_brute_force(call);
          if (directions == 2) continue;
          call.problem.carry_scale = random({8, call.problem.batch()});
          expect_matches_brute_force(call);
          call.problem.carry_scale = random({8, 1}).expand({8, call.problem.batch()});
          call.scale_per_step = true;
          expect_matches_brute_force(call);
        }
      }
    }
  }
}

TEST(Composite, ComplexMatchesBruteForce) {
  torch::manual_seed(5);
  for (const std::string nonlinearity : {"tanh", "sigmoid", "identity"}) {
    for (const auto& [k1, k2] : {Truncation{0, 0}, {2, 2}, {2, 5}}) {
      for (const int64_t directions : {1, 2}) {
        if (directions == 2 && k1 != k2) continue;
        auto call =
            make_call({6, 2, 2, 3, 2, directions}, nonlinearity, true, true, torch::kComplexDouble);
        for (auto& param : call.problem.params) param *= 0.5;  // stay clear of the poles
        std::tie(call.problem.k1, call.problem.k2) = std::tie(k1, k2);
        if (directions == 1) call.problem.carry_scale = random({6, 2});
        expect_matches_brute_force(call);
      }
    }
  }
}

/// The values, the masks and the generator's state afterwards are those of torch::nn::RNN.
TEST(Composite, FullBpttMatchesTorch) {
  for (const double dropout : {0.0, 0.3, 1.0}) {
    for (const bool bidirectional : {false, true}) {
      for (const bool batch_first : {false, true}) {
        torch::manual_seed(6);
        torch::nn::RNN module(torch::nn::RNNOptions(3, 4)
                                  .num_layers(3)
                                  .dropout(dropout)
                                  .bidirectional(bidirectional)
                                  .batch_first(batch_first));
        module->to(torch::kDouble);
        auto input = random_leaf({5, 2, 3});
        auto hx = random_leaf({bidirectional ? 6 : 3, batch_first ? 5 : 2, 4});
        torch::manual_seed(7);
        const auto [output, h_n] = module->forward(input, hx);
        const auto next_draw = torch::rand({2});
        auto leaves = module->parameters();
        leaves.insert(leaves.begin(), {input, hx});
        const auto grad_output = torch::randn_like(output);
        const auto grad_h_n = torch::randn_like(h_n);
        const auto expected = torch::autograd::grad({output, h_n}, leaves, {grad_output, grad_h_n});

        torch::NoGradGuard no_grad;
        torch::manual_seed(7);
        const auto params = module->parameters();
        const std::optional<torch::Tensor> initial = hx;
        const elman::RnnArguments args{
            input,       initial, params, true, 3,  dropout, true, bidirectional,
            batch_first, "tanh",  0,      0,    {}, {},      {}};
        const auto [actual, final_states, saved] = composite::forward(args, elman::kKeepAll);
        EXPECT_TRUE(torch::equal(torch::rand({2}), next_draw));
        EXPECT_TRUE(close(actual, output));
        EXPECT_EQ(actual.strides(), output.strides());
        EXPECT_TRUE(close(final_states, h_n));
        std::vector<bool> asked(leaves.size(), true);
        asked.resize(elman::BackwardArguments::count(params.size()), false);
        const auto gradients =
            composite::backward(args, {grad_output, grad_h_n, actual, saved, asked});
        for (size_t i = 0; i < leaves.size(); ++i) {
          EXPECT_TRUE(close(gradients[i], expected[i])) << "gradient " << i;
        }
      }
    }
  }
}

TEST(Composite, ComputesOnlyWhatIsAskedFor) {
  torch::manual_seed(8);
  for (const auto& [k1, k2] : {Truncation{3, 3}, {2, 5}}) {
    auto call = make_call({7, 2, 2, 3, 3, 1});
    std::tie(call.problem.k1, call.problem.k2) = std::tie(k1, k2);
    call.prepare();
    const auto [output, h_n, saved] = composite::forward(call.args(), elman::kKeepAll);
    elman::BackwardArguments grads{call.random_output(), call.random_states(), output, saved,
                                   call.everything()};
    const auto all = composite::backward(call.args(), grads);
    for (size_t i = 0; i < all.size(); ++i) {
      grads.output_mask.assign(all.size() + 2, false);
      grads.output_mask[i] = true;
      const auto one = composite::backward(call.args(), grads);
      ASSERT_EQ(one.size(), 1);
      EXPECT_TRUE(torch::equal(one[0], all[i])) << "gradient " << i;
    }
    grads.output_mask.assign(all.size() + 2, false);
    EXPECT_TRUE(composite::backward(call.args(), grads).empty());
  }
}

TEST(Composite, MissingUpstreamGradientsAreZeros) {
  torch::manual_seed(9);
  for (const auto& [k1, k2] : {Truncation{3, 3}, {2, 5}}) {
    auto call = make_call({7, 2, 2, 3, 2, 1});
    std::tie(call.problem.k1, call.problem.k2) = std::tie(k1, k2);
    call.prepare();
    const auto [output, h_n, saved] = composite::forward(call.args(), elman::kKeepAll);
    for (const bool through_output : {false, true}) {
      elman::BackwardArguments given{torch::zeros_like(output), torch::zeros_like(h_n), output,
                                     saved, call.everything()};
      auto missing = given;
      if (through_output) {
        missing.grad_output = given.grad_output = call.random_output();
        missing.grad_h_n.reset();
      } else {
        missing.grad_h_n = given.grad_h_n = call.random_states();
        missing.grad_output.reset();
      }
      const auto expected = composite::backward(call.args(), given);
      const auto actual = composite::backward(call.args(), missing);
      for (size_t i = 0; i < expected.size(); ++i) EXPECT_TRUE(close(actual[i], expected[i]));
    }
  }
}

}  // namespace
}  // namespace elman_test
