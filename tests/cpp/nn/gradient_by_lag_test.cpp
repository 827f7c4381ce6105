// elman::gradient_by_lag against its definition.

#include <elman/elman.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <tuple>
#include <vector>

#include "testing.h"

namespace {

using elman_test::random;
using torch::Tensor;

TEST(GradientByLag, IsThatOfASlidingWindow) {
  elman::RNN rnn(3, 4);
  rnn->to(torch::kDouble);
  const Tensor x = random({6, 2, 3});
  const Tensor norms = elman::gradient_by_lag(rnn, x, 8);
  ASSERT_EQ(norms.sizes(), (std::vector<int64_t>{1, 8}));
  // At lag 0 the gradient is f'(h) times ones.
  const Tensor h = std::get<0>(rnn->forward(x)).detach();
  EXPECT_NEAR(norms[0][0].item<double>(), (1 - h * h).norm(2, -1).mean().item<double>(), 1e-12);
  const Tensor delta =
      (1 - h * h).slice(0, 1).matmul(rnn->all_weights()[1].detach()) * (1 - h * h).slice(0, 0, 5);
  EXPECT_NEAR(norms[0][1].item<double>(), delta.norm(2, -1).mean().item<double>(), 1e-12);
  EXPECT_EQ(norms[0][6].item<double>(), 0);
  EXPECT_EQ(norms[0][7].item<double>(), 0);
}

}  // namespace
