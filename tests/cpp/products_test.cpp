// The CPU's products by themselves, for every instruction set that this machine has, against sums
// written out in double: sizes around the vector lengths (N, N + 1), poisoned memory around every
// operand.
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "cpu/schedule.h"
#include "kernel_testing.h"

namespace elman::cpu {
namespace {

template <typename C>
const ProductKernels<C>& products(const KernelTables& tables) {
  if constexpr (std::is_same_v<C, float>) {
    return tables.products_float;
  } else {
    return tables.products_double;
  }
}

template <typename C>
class ProductsTest : public testing::Test {};
using ComputeTypes = testing::Types<float, double>;
TYPED_TEST_SUITE(ProductsTest, ComputeTypes);

TYPED_TEST(ProductsTest, GemmEqualsTheWrittenOutSum) {
  using C = TypeParam;
  std::mt19937 random(1);
  for (const InstructionSet& set : instruction_sets()) {
    for (const int64_t m : {1, 2, 5, 6, 7, 8, 13}) {
      for (const int64_t n : {1, 7, 8, 9, 15, 16, 17, 31, 33, 48, 63, 64}) {
        if (n > products<C>(*set.tables).panel_columns) continue;
        for (const int64_t k : {1, 2, 3, 17}) {
          for (const bool transposed : {false, true}) {
            for (const bool accumulate : {false, true}) {
              Framed<C> a(transposed ? k : m, transposed ? m : k, random), c(m, n, random);
              // A panel: rows padded with zeros up to a multiple of 16 columns, as RightFactor
              // lays them out.
              const int64_t padded = (n + 15) / 16 * 16;
              Framed<C> values(k, n, random);
              std::vector<C> b(k * padded, C(0));
              for (int64_t p = 0; p < k; ++p)
                for (int64_t j = 0; j < n; ++j) b[p * padded + j] = values(p, j);
              std::vector<double> expected(m * n);
              for (int64_t i = 0; i < m; ++i) {
                for (int64_t j = 0; j < n; ++j) {
                  double sum = accumulate ? c(i, j) : 0;
                  for (int64_t p = 0; p < k; ++p)
                    sum += static_cast<double>(transposed ? a(p, i) : a(i, p)) * values(p, j);
                  expected[i * n + j] = sum;
                }
              }
              const StridedMatrix<C> left = transposed ? StridedMatrix<C>{a.begin(), 1, a.stride}
                                                       : StridedMatrix<C>{a.begin(), a.stride, 1};
              const ProductKernels<C>& kernels = products<C>(*set.tables);
              (m == 1 ? kernels.gemv : kernels.gemm)(
                  {m, n, k, left, b.data(), padded, c.begin(), c.stride, accumulate, nullptr});
              ASSERT_TRUE(c.frame_is_intact()) << set.name << " " << m << " " << n << " " << k;
              for (int64_t i = 0; i < m; ++i)
                for (int64_t j = 0; j < n; ++j)
                  ASSERT_NEAR(c(i, j), expected[i * n + j], kTolerance<C> * (k + 1))
                      << set.name << " m " << m << " n " << n << " k " << k;
            }
          }
        }
      }
    }
  }
}

TYPED_TEST(ProductsTest, ARowDoesNotDependOnTheRowsBesideIt) {
  using C = TypeParam;
  std::mt19937 random(2);
  const int64_t k = 33, padded = 48;
  for (const InstructionSet& set : instruction_sets()) {
    const int64_t n = std::min<int64_t>(40, products<C>(*set.tables).panel_columns);
    Framed<C> a(13, k, random), whole(13, n, random);
    std::vector<C> b(k * padded);
    for (C& value : b) value = std::uniform_real_distribution<C>(-1, 1)(random);
    const ProductKernels<C>& kernels = products<C>(*set.tables);
    kernels.gemm({13,
                  n,
                  k,
                  {a.begin(), a.stride, 1},
                  b.data(),
                  padded,
                  whole.begin(),
                  whole.stride,
                  false,
                  nullptr});
    for (int64_t first = 0; first < 13; ++first) {
      for (int64_t m = 1; first + m <= 13; ++m) {
        Framed<C> part(m, n, random);
        kernels.gemm({m,
                      n,
                      k,
                      {a.begin() + first * a.stride, a.stride, 1},
                      b.data(),
                      padded,
                      part.begin(),
                      part.stride,
                      false,
                      nullptr});
        for (int64_t i = 0; i < m; ++i)
          for (int64_t j = 0; j < n; ++j) ASSERT_EQ(part(i, j), whole(first + i, j)) << set.name;
      }
    }
  }
}

template <typename S>
class DotProductsTest : public testing::Test {};
using StorageTypes = testing::Types<double, float, c10::BFloat16, c10::Half>;
TYPED_TEST_SUITE(DotProductsTest, StorageTypes);

/// A matrix of storage type S, its rows with a gap of NaN behind them.
template <typename S>
std::vector<S> stored(const Framed<compute_t<S>>& from, int64_t stride) {
  std::vector<S> values(from.rows * stride, S(kPoison<float>));
  for (int64_t i = 0; i < from.rows; ++i)
    for (int64_t j = 0; j < from.columns; ++j)
      values[i * stride + j] = static_cast<S>(from.data[(i + 1) * from.stride + j]);
  return values;
}

TYPED_TEST(DotProductsTest, EqualTheWrittenOutSum) {
  using S = TypeParam;
  using C = compute_t<S>;
  std::mt19937 random(8);
  for (const InstructionSet& set : instruction_sets()) {
    const auto dot = storage<S>(*set.tables).dot;
    for (const int64_t m : {1, 2, 3, 4, 5, 7, 8}) {
      for (const int64_t n : {1, 3, 4, 7, 8, 9, 12, 17}) {
        for (const int64_t k : {1, 7, 8, 9, 16, 17, 31, 33, 70}) {
          for (const bool accumulate : {false, true}) {
            Framed<C> a(m, k, random), c(m, n, random);
            const int64_t stride = k + 3;
            const std::vector<S> b = stored<S>(Framed<C>(n, k, random), stride);
            const std::vector<C> before = c.data;
            dot(m, n, k, {a.begin(), a.stride}, {b.data(), stride}, c.begin(), c.stride,
                accumulate);
            ASSERT_TRUE(c.frame_is_intact()) << set.name << " " << m << " " << n << " " << k;
            for (int64_t i = 0; i < m; ++i) {
              for (int64_t j = 0; j < n; ++j) {
                double sum = accumulate ? before[(i + 1) * c.stride + j] : 0;
                for (int64_t p = 0; p < k; ++p)
                  sum += static_cast<double>(a(i, p)) * static_cast<double>(b[j * stride + p]);
                ASSERT_NEAR(c(i, j), sum, kTolerance<C> * (k + 1))
                    << set.name << " m " << m << " n " << n << " k " << k;
                C alone = before[(i + 1) * c.stride + j];  // the same to the bit by itself
                dot(1, 1, k, {&a(i, 0), a.stride}, {b.data() + j * stride, stride}, &alone, 1,
                    accumulate);
                ASSERT_EQ(c(i, j), alone) << set.name;
              }
            }
          }
        }
      }
    }
  }
}

/// A panel that is larger than the first-level cache, with another one to be fetched meanwhile.
TYPED_TEST(ProductsTest, FetchingTheNextPanelChangesNothing) {
  using C = TypeParam;
  std::mt19937 random(5);
  const int64_t k = 700;
  for (const InstructionSet& set : instruction_sets()) {
    const ProductKernels<C>& kernels = products<C>(*set.tables);
    const int64_t n = kernels.panel_columns, padded = (n + 15) / 16 * 16;
    std::vector<C> b(2 * k * padded);
    for (C& value : b) value = std::uniform_real_distribution<C>(-1, 1)(random);
    for (const int64_t m : {1, 6, 20}) {
      Framed<C> a(m, k, random), c(m, n, random);
      kernels.gemm({m,
                    n,
                    k,
                    {a.begin(), a.stride, 1},
                    b.data(),
                    padded,
                    c.begin(),
                    c.stride,
                    false,
                    b.data() + k * padded});
      ASSERT_TRUE(c.frame_is_intact()) << set.name;
      for (int64_t i = 0; i < m; ++i) {
        for (int64_t j = 0; j < n; ++j) {
          double sum = 0;
          for (int64_t p = 0; p < k; ++p) sum += static_cast<double>(a(i, p)) * b[p * padded + j];
          ASSERT_NEAR(c(i, j), sum, kTolerance<C> * k) << set.name;
        }
      }
    }
  }
}

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
