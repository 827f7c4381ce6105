// The length that elman::AdaptiveTruncation proposes, where it is known in closed form.

#include <elman/elman.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>

namespace {

using torch::Tensor;

TEST(AdaptiveTruncation, FindsAGeometricDecay) {
  const Tensor norms =
      torch::pow(torch::full({1}, 0.8, torch::kDouble), torch::arange(200)).unsqueeze(0);
  const auto [rate, bias] = elman::estimate_decay(norms);
  EXPECT_NEAR(rate, 0.8, 1e-12);
  // In closed form: tail(K) = 0.8^K / 0.2, sum = (1 - 0.8^K) / 0.2.
  const double power = std::pow(0.8, 12);
  EXPECT_NEAR(bias[11].item<double>(), power / (1 - 2 * power), 1e-12);
  elman::AdaptiveTruncation adaptive(0.1, 200);
  EXPECT_EQ(adaptive.length(), 200);
  const int64_t length = adaptive.update(norms);
  EXPECT_LE(bias[length - 1].item<double>(), 0.1);
  EXPECT_GT(bias[length - 2].item<double>(), 0.1);
  EXPECT_EQ(adaptive.update(torch::ones({1, 200})), 200);
  adaptive.set_proposal(7);
  EXPECT_THROW(adaptive.update(torch::zeros({1, 200})), c10::ValueError);
  EXPECT_THROW(adaptive.update(torch::full({1, 200}, std::nan(""))), c10::ValueError);
  EXPECT_THROW(adaptive.update(-norms), c10::ValueError);
  EXPECT_EQ(adaptive.length(), 7);
}

}  // namespace
