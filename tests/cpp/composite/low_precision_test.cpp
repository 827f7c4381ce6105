// The engine in ATen operators (csrc/composite) in 16-bit types: what is rounded, and what is not.

#include <gtest/gtest.h>

#include <cmath>
#include <tuple>
#include <vector>

#include "composite/composite_call.h"
#include "composite/rnn.h"
#include "testing.h"

namespace elman_test {
namespace {

/// The largest relative error of one rounding.
double unit_roundoff(torch::Dtype dtype) { return std::ldexp(1, dtype == torch::kHalf ? -11 : -8); }

/// Given the states, nothing but the last rounding separates a gradient in low precision from one
/// in float64.
TEST(CompositeLowPrecision, GradientsAreAccumulatedInFloat32) {
  for (const auto dtype : {torch::kBFloat16, torch::kHalf}) {
    for (const auto& [k1, k2] : {Truncation{0, 0}, {3, 3}, {2, 5}}) {
      torch::manual_seed(3);
      auto call = make_call({40, 2, 3, 4, 2, 1}, "tanh", true, true, dtype);
      std::tie(call.problem.k1, call.problem.k2) = std::tie(k1, k2);
      call.dropout = 0.5;  // 1 / (1 - dropout) is exact
      call.prepare();
      const auto [output, h_n, saved] = composite::forward(call.args(), elman::kKeepAll);
      EXPECT_EQ(output.dtype(), dtype);
      EXPECT_EQ(h_n.dtype(), dtype);
      elman::BackwardArguments grads{call.random_output(), call.random_states(), output, saved,
                                     call.everything()};
      const auto actual = composite::backward(call.args(), grads);

      auto exact = call;
      exact.problem.input = call.problem.input.to(torch::kDouble);
      exact.problem.hx = call.problem.hx.to(torch::kDouble);
      for (auto& param : exact.problem.params) param = param.to(torch::kDouble);
      exact.prepare();
      for (torch::Tensor* tensor : {&grads.grad_output.value(), &grads.grad_h_n.value(),
                                    &grads.output, &grads.saved.states, &grads.saved.masks}) {
        *tensor = tensor->to(torch::kDouble);
      }
      const auto expected = composite::backward(exact.args(), grads);
      for (size_t i = 0; i < actual.size(); ++i) {
        EXPECT_EQ(actual[i].dtype(), dtype);
        EXPECT_TRUE(close(actual[i].to(torch::kDouble), expected[i], 1.01 * unit_roundoff(dtype)))
            << i;
      }
    }
  }
}

/// Each state is one rounding away from a float64 step from the state that was stored before it.
TEST(CompositeLowPrecision, RecurrenceSeesTheStoredStates) {
  for (const auto dtype : {torch::kBFloat16, torch::kHalf}) {
    torch::manual_seed(4);
    auto call = make_call({20, 2, 3, 4}, "tanh", true, true, dtype);
    call.prepare();
    const auto output = std::get<0>(composite::forward(call.args(), elman::kKeepNothing));
    std::vector<torch::Tensor> param;
    for (const auto& tensor : call.problem.params) param.push_back(tensor.to(torch::kDouble));
    const auto input = call.input.to(torch::kDouble);
    const auto states = torch::cat({*call.hx, output}).to(torch::kDouble);
    const auto expected = torch::tanh(torch::linear(input, param[0], param[2]) +
                                      torch::linear(states.narrow(0, 0, 20), param[1], param[3]));
    // Below 1, where all states lie, numbers are twice as dense as from 1 on.
    EXPECT_TRUE(close(output.to(torch::kDouble), expected, 1.01 * unit_roundoff(dtype) / 2));
  }
}

}  // namespace
}  // namespace elman_test
