#pragma once

#include <ATen/Parallel.h>

#include <cmath>
#include <sstream>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "composite/composite_call.h"
#include "cpu/stack_call.h"
#include "cpu/tasks.h"
#include "oracle.h"
#include "testing.h"

namespace elman_test {

/// Runs `run` with one thread, then with several, and expects the same bits.
template <typename Run>
std::vector<torch::Tensor> with_any_threads(const Run& run) {
  elman::cpu::threads_are_awake = true;  // so that small calls are shared, too
  const int before = at::get_num_threads();
  at::set_num_threads(1);
  const std::vector<torch::Tensor> results = run();
  for (const int threads : {2, 3}) {
    at::set_num_threads(threads);
    const std::vector<torch::Tensor> again = run();
    for (size_t i = 0; i < results.size(); ++i)
      EXPECT_TRUE(torch::equal(again[i], results[i])) << threads << " threads, result " << i;
  }
  at::set_num_threads(before);
  return results;
}

/// Makes calls that go through the nonlinearities, with and without biases and hx. The count is the
/// object's, so that a test runs the same calls whichever ran before it.
class MaskedCalls {
 public:
  Call operator()(const Sizes& sizes, const std::vector<int64_t>& lengths, bool reset,
                  bool carry_scale, bool dropout) {
    ++variant_;
    Call call = make_call(sizes, brute_force::kNonlinearities[variant_ % 5], variant_ % 4 > 0,
                          variant_ % 2 == 0);
    Problem& p = call.problem;
    for (auto& param : p.params) param /= std::sqrt(static_cast<double>(param.size(-1)) / 4);
    p.lengths = lengths;
    call.form = lengths.empty() ? Form::kTimeMajor : Form::kPacked;
    if (reset) p.reset = torch::rand({p.steps(), p.batch()}) < 0.3;
    if (carry_scale) {
      p.carry_scale = random({p.steps(), p.batch()});
      p.carry_scale.masked_fill_(torch::rand({p.steps(), p.batch()}) < 0.3, 1);
    }
    if (dropout && p.num_layers > 1)
      p.masks = torch::bernoulli(torch::full(
                    {p.num_layers - 1, p.steps(), p.batch(), p.num_directions * p.hidden_size()},
                    0.7, torch::kDouble)) /
                0.7;
    return call;
  }

 private:
  int variant_ = 0;
};

inline void expect_matches_brute_force(Call call) {
  Stack stack(std::move(call));
  const Problem& p = stack.call().problem;
  std::ostringstream trace;
  trace << p.nonlinearity << " k1=" << p.k1 << " k2=" << p.k2 << " input=" << p.input.sizes()
        << " H=" << p.hidden_size() << " L=" << p.num_layers << " D=" << p.num_directions
        << " hx=" << p.hx.defined() << " lengths=" << p.lengths << " reset=" << p.reset.defined()
        << " scale=" << p.carry_scale.defined() << " masks=" << p.masks.defined()
        << " leak=" << (p.leak.defined() ? p.leak_form : "none")
        << " preactivation=" << p.preactivation.defined();
  SCOPED_TRACE(trace.str());
  const auto grad_output = stack.call().random_output(), grad_h_n = stack.call().random_states();
  const auto expected = brute_force_tbptt(p, grad_output, grad_h_n);
  const auto results = with_any_threads([&] { return stack.forward(); });
  EXPECT_TRUE(close(results[0], stack.call().stored(expected.output).flatten(0, -2)));
  EXPECT_TRUE(close(results[1], expected.h_n));
  const auto gradients = with_any_threads([&] {
    return stack.backward(stack.call().stored(grad_output).contiguous(), grad_h_n,
                          elman::Windows::make(p.steps(), p.k1, p.k2));
  });
  size_t i = 0;
  for (size_t e = 0; e < expected.gradients.size(); ++e) {
    if (e == 1 && !p.hx.defined()) continue;
    torch::Tensor gradient = expected.gradients[e];
    if (e == 0) {
      gradient = stack.call().caller(gradient);
    } else if (p.preactivation.defined() && e + 1 == expected.gradients.size()) {
      std::vector<torch::Tensor> layers;
      for (const auto& layer : gradient.unbind())
        layers.push_back(stack.call().stored(layer).flatten(0, -2));
      gradient = torch::stack(layers);
    }
    EXPECT_TRUE(close(gradients[i++], gradient)) << "gradient " << e;
  }
  EXPECT_EQ(i, gradients.size());
}

}  // namespace elman_test
