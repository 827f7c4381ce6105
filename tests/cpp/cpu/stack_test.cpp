// The CPU kernels through their plain structs (csrc/stack.h), against brute force (oracle.h): what
// the operators never ask for (packed rows with resets and scales, deltas by lag), and sizes beyond
// the borders of panels and blocks.

#include <gtest/gtest.h>

#include <vector>

#include "cpu/stack_check.h"
#include "oracle.h"
#include "testing.h"

namespace elman_test {
namespace {

TEST(Stack, PackedRowsResetsAndScalesMatchBruteForce) {
  torch::manual_seed(1);
  MaskedCalls make_masked_call;
  for (const std::vector<int64_t>& lengths :
       {std::vector<int64_t>{}, {7, 7, 5, 2, 1}, {7, 1}, {7, 6, 6, 6}}) {
    for (const int64_t directions : {1, 2}) {
      for (const auto& [k1, k2] : {Truncation{0, 0}, {3, 3}, {1, 1}, {1, 4}, {2, 5}}) {
        if (directions == 2 && k1 != k2) continue;
        for (const bool reset : {false, true}) {
          const int64_t batch = lengths.empty() ? 2 : static_cast<int64_t>(lengths.size());
          auto call = make_masked_call({7, batch, 2, 3, 2, directions}, lengths, reset,
                                       directions == 1, k1 > 1);
          std::tie(call.problem.k1, call.problem.k2) = std::tie(k1, k2);
          expect_matches_brute_force(call);
        }
      }
    }
  }
}

TEST(Stack, SizesBeyondPanelsAndBlocksMatchBruteForce) {
  torch::manual_seed(2);
  MaskedCalls make_masked_call;
  struct Size {
    int64_t batch, hidden;
    std::vector<int64_t> lengths;
  };
  for (const Size& size : {Size{1, 67, {}},
                           {11, 65, {}},
                           {9, 70, {12, 12, 9, 9, 9, 4, 4, 3, 1}},
                           {1, 136, {}},  // from here on threads share each step
                           {2, 145, {12, 7}}}) {
    for (const auto& [k1, k2] : {Truncation{0, 0}, {4, 4}, {1, 3}}) {
      for (const int64_t directions : {1, 2}) {
        if (directions == 2 && k1 != k2) continue;
        auto call = make_masked_call({12, size.batch, 66, size.hidden, 2, directions}, size.lengths,
                                     true, directions == 1, false);
        std::tie(call.problem.k1, call.problem.k2) = std::tie(k1, k2);
        expect_matches_brute_force(call);
      }
    }
  }
}

/// So many rows and so large weights that the sums of the weights' gradients are kept panel by
/// panel.
TEST(Stack, ManyRowsOfLargeWeightsMatchBruteForce) {
  torch::manual_seed(6);
  MaskedCalls make_masked_call;
  const std::vector<int64_t> lengths{150, 150, 150, 150, 149, 149, 140, 130, 17};
  for (const auto& [k1, k2] : {Truncation{0, 0}, {5, 5}}) {
    auto call = make_masked_call({150, 9, 150, 210, 1, 1},
                                 k1 > 0 ? lengths : std::vector<int64_t>{}, k1 > 0, false, false);
    std::tie(call.problem.k1, call.problem.k2) = std::tie(k1, k2);
    expect_matches_brute_force(call);
  }
}

/// Small batches over many steps, whose products with W_x and recurrences run as stages, a tile of
/// steps behind each other, where there is more than one thread.
TEST(Stack, StagesSideBySideMatchBruteForce) {
  torch::manual_seed(5);
  MaskedCalls make_masked_call;
  for (const int64_t layers : {1, 2, 3}) {
    const int64_t steps = layers == 1 ? 330 : 170;
    for (const std::vector<int64_t>& lengths :
         {std::vector<int64_t>{}, {steps, steps, 31}, {steps}, {steps, 1, 1}}) {
      for (const bool reset : {false, true}) {
        const int64_t batch = lengths.empty() ? 2 : static_cast<int64_t>(lengths.size());
        expect_matches_brute_force(
            make_masked_call({steps, batch, 5, 50, layers, 1}, lengths, reset, reset, true));
      }
    }
  }
}

/// So few rows that weights are read where they lie, or some of them: forward where I or H is large
/// beside the rows, backward where it is a multiple of 16.
TEST(Stack, FewStepsMatchBruteForce) {
  torch::manual_seed(4);
  MaskedCalls make_masked_call;
  for (const int64_t steps : {1, 2}) {
    for (const auto& [batch, input_size, hidden] :
         {std::tuple<int64_t, int64_t, int64_t>{1, 64, 70},
          {3, 48, 49},
          {5, 3, 96},
          {2, 33, 16},
          {17, 32, 160}}) {
      for (const int64_t directions : {1, 2}) {
        for (const auto& [k1, k2] : {Truncation{0, 0}, {1, 1}, {1, 2}}) {
          if (directions == 2 && k1 != k2) continue;
          std::vector<int64_t> lengths(batch > 2 ? batch : 0, 1);
          if (!lengths.empty()) lengths[0] = steps;
          auto call = make_masked_call({steps, batch, input_size, hidden, 2, directions}, lengths,
                                       true, directions == 1, true);
          std::tie(call.problem.k1, call.problem.k2) = std::tie(k1, k2);
          expect_matches_brute_force(call);
        }
      }
    }
  }
}

/// The norms by definition: from each output alone by plain autograd, with respect to the states.
torch::Tensor brute_force_lag_norms(Problem p, const torch::Tensor& grad_output,
                                    const torch::Tensor& grad_h_n, int64_t k2) {
  auto result = torch::zeros({p.num_layers, k2}, torch::kDouble);
  p.input = p.input.detach().clone().requires_grad_();
  if (!p.hx.defined()) p.hx = torch::zeros({p.cells(), p.batch(), p.hidden_size()}, torch::kDouble);
  for (int64_t b = 0; b < p.batch(); ++b) {
    const int64_t length = p.lengths.empty() ? p.steps() : p.lengths[b];
    const auto known = brute_force::run(p, b, length, 0, length - 1, {});
    for (int64_t t = 0; t < length; ++t) {
      const int64_t first = std::max<int64_t>(0, t - k2 + 1);
      const auto states = brute_force::run(p, b, length, first, t, known).state;
      std::vector<torch::Tensor> outputs{states.back()[t]}, gradients{grad_output[t][b]}, wanted;
      for (int64_t layer = 0; layer < p.num_layers; ++layer) {
        if (t == length - 1) {
          outputs.push_back(states[layer][t]);
          gradients.push_back(grad_h_n[layer][b]);
        }
        for (int64_t s = first; s <= t; ++s) wanted.push_back(states[layer][s]);
      }
      const auto found =
          torch::autograd::grad(outputs, wanted, gradients, false, false, /*allow_unused=*/true);
      for (size_t i = 0; i < wanted.size(); ++i) {
        if (!found[i].defined()) continue;
        const int64_t span = t - first + 1, layer = i / span, lag = span - 1 - i % span;
        result[layer][lag] += ((1 - wanted[i].square()) * found[i]).norm().detach();
      }
    }
  }
  return result;
}

TEST(Stack, NormsByLagMatchBruteForce) {
  torch::manual_seed(3);
  MaskedCalls make_masked_call;
  for (const int64_t layers : {1, 3}) {
    for (const std::vector<int64_t>& lengths : {std::vector<int64_t>{}, {9, 7, 7, 2}}) {
      for (const int64_t batch : {1, 4}) {
        if (!lengths.empty() && batch == 1) continue;
        for (const int64_t k2 : {1, 4, 9, 12}) {
          for (const int64_t hidden : {5, 66}) {
            auto call = make_masked_call({9, batch, 2, hidden, layers, 1}, lengths, k2 == 4,
                                         k2 == 9, k2 == 12);
            call.problem.nonlinearity = "tanh";
            Stack stack(call);
            const auto grad_output = stack.call().random_output();
            const auto grad_h_n = stack.call().random_states();
            stack.forward();
            const elman::Windows windows{9, 1, k2, 9};
            const auto run = [&](bool gradients) {
              auto norms = torch::full({layers, k2}, NAN, torch::kDouble);
              auto results = stack.backward(stack.call().stored(grad_output).contiguous(), grad_h_n,
                                            windows, gradients, norms.mutable_data_ptr<double>());
              results.push_back(norms);
              return results;
            };
            const auto norms = with_any_threads([&] { return run(false); });
            ASSERT_EQ(norms.size(), 1);
            EXPECT_TRUE(close(
                norms[0], brute_force_lag_norms(stack.call().problem, grad_output, grad_h_n, k2)))
                << "layers " << layers << " batch " << batch << " k2 " << k2;
            EXPECT_TRUE(torch::equal(run(true).back(), norms[0]));
          }
        }
      }
    }
  }
}

}  // namespace
}  // namespace elman_test
