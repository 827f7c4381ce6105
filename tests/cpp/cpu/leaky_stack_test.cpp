// Leaky cells in the CPU kernels, through their plain structs (csrc/stack.h), against brute force
// (oracle.h): both forms, all that composes with them, one to three threads.

#include <gtest/gtest.h>

#include <string>
#include <tuple>
#include <vector>

#include "cpu/stack_check.h"

namespace elman_test {
namespace {

constexpr const char* kForms[] = {"rate", "current"};

struct Leaky {
  std::string form;
  bool preactivation = true;
};

/// `call` with a leak of its own for each unit, some of them 1.
Call with_leak(Call call, const Leaky& leaky) {
  Problem& p = call.problem;
  p.leak_form = leaky.form;
  p.leak = 0.05 + 0.9 * torch::rand({p.cells(), p.hidden_size()}, torch::kDouble);
  p.leak.masked_fill_(torch::rand({p.cells(), p.hidden_size()}) < 0.2, 1);
  if (leaky.preactivation)
    p.preactivation =
        random({p.num_layers, p.steps(), p.batch(), p.num_directions * p.hidden_size()});
  return call;
}

void expect_truncated(Call call, const Leaky& leaky, const Truncation& truncation) {
  std::tie(call.problem.k1, call.problem.k2) = truncation;
  expect_matches_brute_force(with_leak(std::move(call), leaky));
}

TEST(LeakyStack, PackedRowsResetsAndScalesMatchBruteForce) {
  torch::manual_seed(1);
  MaskedCalls make_masked_call;
  for (const char* form : kForms) {
    for (const std::vector<int64_t>& lengths :
         {std::vector<int64_t>{}, {7, 7, 5, 2, 1}, {7, 6, 6, 6}}) {
      for (const int64_t directions : {1, 2}) {
        for (const Truncation& k : {Truncation{0, 0}, {3, 3}, {1, 1}, {1, 4}, {2, 5}}) {
          if (directions == 2 && k.first != k.second) continue;
          for (const bool reset : {false, true}) {
            const int64_t batch = lengths.empty() ? 2 : static_cast<int64_t>(lengths.size());
            expect_truncated(make_masked_call({7, batch, 2, 3, 2, directions}, lengths, reset,
                                              directions == 1, k.first > 1),
                             {form, reset}, k);
          }
        }
      }
    }
  }
}

TEST(LeakyStack, SizesBeyondPanelsAndBlocksMatchBruteForce) {
  torch::manual_seed(2);
  MaskedCalls make_masked_call;
  struct Size {
    int64_t batch, hidden;
    std::vector<int64_t> lengths;
  };
  for (const char* form : kForms) {
    for (const Size& size : {Size{1, 67, {}},
                             {11, 65, {}},
                             {9, 70, {12, 12, 9, 9, 9, 4, 4, 3, 1}},
                             {1, 136, {}},  // from here on threads share each step
                             {2, 145, {12, 7}}}) {
      for (const Truncation& k : {Truncation{0, 0}, {4, 4}, {1, 3}}) {
        for (const int64_t directions : {1, 2}) {
          if (directions == 2 && k.first != k.second) continue;
          expect_truncated(make_masked_call({12, size.batch, 66, size.hidden, 2, directions},
                                            size.lengths, true, directions == 1, false),
                           {form}, k);
        }
      }
    }
  }
}

/// Small batches over many steps, which run as stages, a tile of steps behind each other.
TEST(LeakyStack, StagesSideBySideMatchBruteForce) {
  torch::manual_seed(5);
  MaskedCalls make_masked_call;
  for (const char* form : kForms) {
    for (const int64_t layers : {1, 2}) {
      const int64_t steps = layers == 1 ? 330 : 170;
      for (const std::vector<int64_t>& lengths :
           {std::vector<int64_t>{}, {steps, steps, 31}, {steps}}) {
        const int64_t batch = lengths.empty() ? 2 : static_cast<int64_t>(lengths.size());
        expect_matches_brute_force(
            with_leak(make_masked_call({steps, batch, 5, 50, layers, 1}, lengths, layers == 1,
                                       layers == 1, true),
                      {form}));
      }
    }
  }
}

/// So few rows that weights are read where they lie; a single step from no state, where W_h may
/// read f(0).
TEST(LeakyStack, FewStepsMatchBruteForce) {
  torch::manual_seed(4);
  for (const char* form : kForms) {
    for (const int64_t steps : {1, 2}) {
      for (const auto& [batch, input_size, hidden] :
           {std::tuple<int64_t, int64_t, int64_t>{1, 64, 70}, {5, 3, 96}, {2, 33, 16}}) {
        for (const std::string& nonlinearity : brute_force::kNonlinearities) {
          for (const bool hx : {false, true}) {
            auto call = make_call({steps, batch, input_size, hidden, 2, 1}, nonlinearity, true, hx);
            call.problem.reset = torch::rand({steps, batch}) < 0.3;
            expect_matches_brute_force(with_leak(std::move(call), {form}));
          }
        }
      }
    }
  }
}

/// The plain cell with something added to its pre-activations.
TEST(LeakyStack, PreactivationAloneMatchesBruteForce) {
  torch::manual_seed(7);
  MaskedCalls make_masked_call;
  for (const std::vector<int64_t>& lengths : {std::vector<int64_t>{}, {7, 6, 2}}) {
    for (const int64_t directions : {1, 2}) {
      for (const Truncation& k : {Truncation{0, 0}, {3, 3}, {1, 4}}) {
        if (directions == 2 && k.first != k.second) continue;
        auto call = make_masked_call({7, 3, 2, 66, 2, directions}, lengths, true, false, false);
        std::tie(call.problem.k1, call.problem.k2) = k;
        Problem& p = call.problem;
        p.preactivation = random({2, 7, 3, directions * 66});
        expect_matches_brute_force(std::move(call));
      }
    }
  }
}

/// With alpha = 1 in the rate form the states and gradients are the plain cell's.
TEST(LeakyStack, ALeakOfOneIsThePlainCell) {
  torch::manual_seed(8);
  for (const std::string& nonlinearity : brute_force::kNonlinearities) {
    auto call = make_call({9, 3, 4, 37, 2, 1}, nonlinearity);
    Stack plain(call);
    call.problem.leak = torch::ones({2, 37}, torch::kDouble);
    Stack leaky(call);
    const auto g = call.problem.hx.new_ones({9, 3, 37});
    const auto expected = plain.forward(), found = leaky.forward();
    for (size_t i = 0; i < expected.size(); ++i) EXPECT_TRUE(torch::equal(found[i], expected[i]));
    const auto windows = elman::Windows::make(9, 2, 4);
    const auto gradients = plain.backward(g, call.problem.hx, windows);
    const auto leaky_gradients = leaky.backward(g, call.problem.hx, windows);
    for (size_t i = 0; i < gradients.size(); ++i)
      EXPECT_TRUE(close(leaky_gradients[i], gradients[i], 1e-14)) << i;
  }
}

/// A reset stops NaN, in the states and in the gradients; without one it goes on, as in the
/// formula.
TEST(LeakyStack, AResetStopsNan) {
  torch::manual_seed(9);
  for (const char* form : kForms) {
    for (const bool reset : {false, true}) {
      auto call = with_leak(make_call({6, 2, 3, 20, 1, 1}), {form, false});
      call.problem.reset = torch::zeros({6, 2}, torch::kBool);
      call.problem.reset.index_put_({4, 0}, reset);
      call.problem.preactivation = torch::zeros({1, 6, 2, 20}, torch::kDouble);
      call.problem.preactivation[0][2][0][7] = NAN;
      Stack stack(call);
      const auto output = stack.forward()[0].view({6, 2, 20});
      EXPECT_TRUE(output.slice(0, 0, 2).isfinite().all().item<bool>());
      EXPECT_TRUE(output[3][0].isnan().any().item<bool>());
      EXPECT_EQ(output.slice(0, 4, 6).isfinite().all().item<bool>(), reset);
      EXPECT_TRUE(output.select(1, 1).isfinite().all().item<bool>());
      // A loss on the last steps only.
      const auto g = torch::zeros({6, 2, 20}, torch::kDouble);
      g.slice(0, 4, 6).fill_(1);
      const auto delta =
          stack.backward(g, torch::ones({1, 2, 20}, torch::kDouble), elman::Windows::make(6, 0, 0))
              .back()
              .view({6, 2, 20});
      EXPECT_EQ(delta.slice(0, 4, 6).isfinite().all().item<bool>(), reset);
      EXPECT_TRUE(delta.select(1, 1).isfinite().all().item<bool>());
    }
  }
}

/// The norms by lag by definition: those of the gradients of the pre-activations, from each output
/// alone by plain autograd.
torch::Tensor brute_force_norms(Problem p, const torch::Tensor& grad_output, int64_t k2) {
  auto result = torch::zeros({p.num_layers, k2}, torch::kDouble);
  p.preactivation = p.preactivation.detach().clone().requires_grad_();
  for (int64_t b = 0; b < p.batch(); ++b) {
    const auto known = brute_force::run(p, b, p.steps(), 0, p.steps() - 1, {});
    for (int64_t t = 0; t < p.steps(); ++t) {
      const int64_t first = std::max<int64_t>(0, t - k2 + 1);
      const auto made = brute_force::run(p, b, p.steps(), first, t, known);
      const auto delta =
          torch::autograd::grad({made.output.back()[t]}, {p.preactivation}, {grad_output[t][b]})[0];
      for (int64_t s = first; s <= t; ++s)
        result.select(1, t - s) += delta.select(1, s).select(1, b).norm(2, {1});
    }
  }
  return result;
}

TEST(LeakyStack, NormsByLagMatchBruteForce) {
  torch::manual_seed(3);
  MaskedCalls make_masked_call;
  for (const char* form : kForms) {
    for (const int64_t layers : {1, 3}) {
      for (const int64_t batch : {1, 4}) {
        for (const int64_t k2 : {1, 4, 9}) {
          const auto call = with_leak(
              make_masked_call({9, batch, 2, 66, layers, 1}, {}, k2 == 4, k2 == 9, false), {form});
          Stack stack(call);
          Problem p = call.problem;
          if (!p.hx.defined()) p.hx = torch::zeros({layers, batch, 66}, torch::kDouble);
          const auto g = stack.call().random_output();
          stack.forward();
          const auto norms = with_any_threads([&] {
            auto found = torch::full({layers, k2}, NAN, torch::kDouble);
            stack.backward(g, torch::zeros({layers, batch, 66}, torch::kDouble), {9, 1, k2, 9},
                           /*wanted=*/false, found.mutable_data_ptr<double>());
            return std::vector{found};
          });
          EXPECT_TRUE(close(norms[0], brute_force_norms(p, g, k2)))
              << form << " layers " << layers << " batch " << batch << " k2 " << k2;
        }
      }
    }
  }
}

}  // namespace
}  // namespace elman_test
