// The CPU's products of bfloat16 by themselves (csrc/cpu/vec/bfloat16_products.cpp and
// onednn_products.cpp), against sums written out in double.
#include <gtest/gtest.h>

#include <limits>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "cpu/schedule.h"
#include "cpu/vec/kernel_testing.h"

namespace elman::cpu {
namespace {

#ifdef ELMAN_HAVE_AVX
/// Products of bfloat16, where this CPU has them. Without AMX oneDNN uses the same instructions as
/// we do.
class BFloat16ProductsTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!prefers_bfloat16_products(bfloat16_units(), 1000, 1000))
      GTEST_SKIP() << "no products of bfloat16 here";
  }
  void TearDown() override { release_matrix_unit(); }

  static std::vector<std::pair<std::string, const ProductKernels<c10::BFloat16>*>> tables() {
    return {{"AVX512_BF16", &avx512_bfloat16_products()}, {"oneDNN", &onednn_bfloat16_products()}};
  }

  /// Eighths, whose products and sums are exact, so that their order does not matter.
  static std::vector<c10::BFloat16> eighths(int64_t count, std::mt19937& random) {
    std::uniform_int_distribution<int> uniform(-8, 8);
    std::vector<c10::BFloat16> values(count);
    for (c10::BFloat16& value : values)
      value = static_cast<c10::BFloat16>(static_cast<float>(uniform(random)) / 8);
    return values;
  }
};

TEST_F(BFloat16ProductsTest, EqualTheWrittenOutSum) {
  std::mt19937 random(6);
  for (const auto& [name, kernels] : tables()) {
    for (const auto multiply : {kernels->gemm, kernels->small_gemm, kernels->gemv}) {
      for (const int64_t m : {0, 1, 2, 6, 7, 16, 17, 33}) {
        if (multiply == kernels->gemv && m != 1) continue;
        for (const int64_t n : {1, 15, 16, 17, 48, 63, 64}) {
          for (const int64_t k : {0, 1, 2, 3, 31, 32, 33, 70, 700}) {
            // The left factor's rows end at poison: half a pair must not be read.
            const auto poison = std::numeric_limits<c10::BFloat16>::quiet_NaN();
            const std::vector<c10::BFloat16> left = eighths(m * k, random);
            std::vector<c10::BFloat16> a(m * (k + 3), poison);
            for (int64_t i = 0; i < m; ++i)
              std::copy_n(left.begin() + i * k, k, a.begin() + i * (k + 3));
            const std::vector<c10::BFloat16> right = eighths(k * n, random);
            const int64_t padded = (n + 15) / 16 * 16;
            std::vector<c10::BFloat16> panel((k + 1) / 2 * 2 * padded, poison);
            kernels->interleave(k, n, {right.data(), n}, panel.data(), padded);
            for (const bool accumulate : {false, true}) {
              Framed<float> c(m, n, random);
              for (int64_t i = 0; i < m; ++i)
                for (int64_t j = 0; j < n; ++j) c(i, j) = 2;
              multiply({m,
                        n,
                        k,
                        {a.data(), k + 3, 1},
                        panel.data(),
                        padded,
                        c.begin(),
                        c.stride,
                        accumulate,
                        nullptr});
              ASSERT_TRUE(c.frame_is_intact()) << name << " " << m << " " << n << " " << k;
              for (int64_t i = 0; i < m; ++i) {
                for (int64_t j = 0; j < n; ++j) {
                  float sum = accumulate ? 2 : 0;
                  for (int64_t p = 0; p < k; ++p)
                    sum +=
                        static_cast<float>(left[i * k + p]) * static_cast<float>(right[p * n + j]);
                  ASSERT_EQ(c(i, j), sum) << name << " m " << m << " n " << n << " k " << k;
                }
              }
            }
          }
        }
      }
    }
  }
}

TEST_F(BFloat16ProductsTest, ARowDoesNotDependOnTheRowsBesideIt) {
  std::mt19937 random(7);
  std::uniform_real_distribution<float> uniform(-1, 1);
  const int64_t rows = 33, n = 64, k = 96;
  std::vector<c10::BFloat16> a(rows * k), panel(k * n);
  for (auto* factors : {&a, &panel})
    for (c10::BFloat16& value : *factors) value = static_cast<c10::BFloat16>(uniform(random));
  for (const auto& [name, kernels] : tables()) {
    for (const auto multiply : {kernels->gemm, kernels->small_gemm}) {
      std::vector<float> whole(rows * n);
      multiply({rows, n, k, {a.data(), k, 1}, panel.data(), n, whole.data(), n, false, nullptr});
      for (const int64_t first : {0, 1, 5, 16, 20}) {
        for (int64_t m = 1; first + m <= rows; ++m) {
          std::vector<float> part(m * n);
          multiply({m,
                    n,
                    k,
                    {a.data() + first * k, k, 1},
                    panel.data(),
                    n,
                    part.data(),
                    n,
                    false,
                    nullptr});
          for (int64_t at = 0; at < m * n; ++at)
            ASSERT_EQ(part[at], whole[first * n + at]) << name << " " << first << " " << m;
        }
      }
    }
  }
}
#endif

}  // namespace
}  // namespace elman::cpu
