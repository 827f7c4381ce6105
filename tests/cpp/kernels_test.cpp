// The CPU's inner loops by themselves, for every instruction set that this machine has, against
// loops written out in double: sizes around the vector lengths (N, N + 1), poisoned memory around
// every operand.
#include <ATen/Version.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "cpu/vec/tables.h"

namespace elman::cpu {
namespace {

struct InstructionSet {
  std::string name;
  const KernelTables* tables;
};

std::vector<InstructionSet> instruction_sets() {
  std::vector<InstructionSet> sets{{"DEFAULT", &DEFAULT::kernel_tables()}};
#ifdef ELMAN_HAVE_AVX
  const std::string capability = at::get_cpu_capability();
  if (capability == "AVX2" || capability == "AVX512")
    sets.push_back({"AVX2", &AVX2::kernel_tables()});
  if (capability == "AVX512") sets.push_back({"AVX512", &AVX512::kernel_tables()});
#endif
  return sets;
}

template <typename C>
const ProductKernels<C>& products(const KernelTables& tables) {
  if constexpr (std::is_same_v<C, float>) {
    return tables.products_float;
  } else {
    return tables.products_double;
  }
}

template <typename C>
const StorageKernels<C, C>& storage(const KernelTables& tables) {
  if constexpr (std::is_same_v<C, float>) {
    return tables.storage_float;
  } else {
    return tables.storage_double;
  }
}

template <typename C>
constexpr double kTolerance = std::is_same_v<C, float> ? 1e-5 : 1e-13;
template <typename C>
constexpr C kPoison = std::numeric_limits<C>::quiet_NaN();

/// A matrix in a frame of NaN: what is read or written outside shows. Without a `gap` its rows
/// follow each other, with the frame before and behind them.
template <typename C>
struct Framed {
  int64_t rows, columns, stride;
  std::vector<C> data;

  Framed(int64_t rows, int64_t columns, std::mt19937& random, int64_t gap = 3)
      : rows(rows), columns(columns), stride(columns + gap), data((rows + 2) * stride, kPoison<C>) {
    std::uniform_real_distribution<C> uniform(-1, 1);
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t j = 0; j < columns; ++j) (*this)(i, j) = uniform(random);
  }
  C* begin() { return data.data() + stride; }
  C& operator()(int64_t i, int64_t j) { return begin()[i * stride + j]; }
  bool frame_is_intact() {
    for (int64_t at = 0; at < static_cast<int64_t>(data.size()); ++at) {
      const int64_t i = at / stride - 1, j = at % stride;
      const bool inside = 0 <= i && i < rows && j < columns;
      if (std::isnan(data[at]) == inside) return false;
    }
    return true;
  }
};

template <typename C>
class KernelsTest : public testing::Test {};
using ComputeTypes = testing::Types<float, double>;
TYPED_TEST_SUITE(KernelsTest, ComputeTypes);

TYPED_TEST(KernelsTest, GemmEqualsTheWrittenOutSum) {
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
              // A panel: rows padded with zeros up to a multiple of 16 columns, as PackedMatrix
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
              (m == 1 ? kernels.gemv : kernels.gemm)(m, n, k, left, b.data(), padded, c.begin(),
                                                     c.stride, accumulate, nullptr);
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

TYPED_TEST(KernelsTest, ARowDoesNotDependOnTheRowsBesideIt) {
  using C = TypeParam;
  std::mt19937 random(2);
  const int64_t k = 33, padded = 48;
  for (const InstructionSet& set : instruction_sets()) {
    const int64_t n = std::min<int64_t>(40, products<C>(*set.tables).panel_columns);
    Framed<C> a(13, k, random), whole(13, n, random);
    std::vector<C> b(k * padded);
    for (C& value : b) value = std::uniform_real_distribution<C>(-1, 1)(random);
    const ProductKernels<C>& kernels = products<C>(*set.tables);
    kernels.gemm(13, n, k, {a.begin(), a.stride, 1}, b.data(), padded, whole.begin(), whole.stride,
                 false, nullptr);
    for (int64_t first = 0; first < 13; ++first) {
      for (int64_t m = 1; first + m <= 13; ++m) {
        Framed<C> part(m, n, random);
        kernels.gemm(m, n, k, {a.begin() + first * a.stride, a.stride, 1}, b.data(), padded,
                     part.begin(), part.stride, false, nullptr);
        for (int64_t i = 0; i < m; ++i)
          for (int64_t j = 0; j < n; ++j) ASSERT_EQ(part(i, j), whole(first + i, j)) << set.name;
      }
    }
  }
}

/// A panel that is larger than the first-level cache, with another one to be fetched meanwhile.
TYPED_TEST(KernelsTest, FetchingTheNextPanelChangesNothing) {
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
      kernels.gemm(m, n, k, {a.begin(), a.stride, 1}, b.data(), padded, c.begin(), c.stride, false,
                   b.data() + k * padded);
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
    if (!prefers_bfloat16_products(1000, 1000)) GTEST_SKIP() << "no products of bfloat16 here";
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
              multiply(m, n, k, {a.data(), k + 3, 1}, panel.data(), padded, c.begin(), c.stride,
                       accumulate, nullptr);
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
      multiply(rows, n, k, {a.data(), k, 1}, panel.data(), n, whole.data(), n, false, nullptr);
      for (const int64_t first : {0, 1, 5, 16, 20}) {
        for (int64_t m = 1; first + m <= rows; ++m) {
          std::vector<float> part(m * n);
          multiply(m, n, k, {a.data() + first * k, k, 1}, panel.data(), n, part.data(), n, false,
                   nullptr);
          for (int64_t at = 0; at < m * n; ++at)
            ASSERT_EQ(part[at], whole[first * n + at]) << name << " " << first << " " << m;
        }
      }
    }
  }
}
#endif

double activation(Activation f, double a) {
  if (f == Activation::kTanh) return std::tanh(a);
  if (f == Activation::kRelu) return std::isnan(a) ? a : std::max(a, 0.0);
  return 1 / (1 + std::exp(-a));
}

double derivative(Activation f, double h) {
  if (f == Activation::kTanh) return 1 - h * h;
  if (f == Activation::kRelu) return h <= 0 ? 0 : 1;
  return h * (1 - h);
}

constexpr Activation kActivations[] = {Activation::kTanh, Activation::kRelu, Activation::kSigmoid};

TYPED_TEST(KernelsTest, ActivateAddsTheBiasAndAppliesF) {
  using C = TypeParam;
  std::mt19937 random(3);
  for (const InstructionSet& set : instruction_sets()) {
    for (const Activation f : kActivations) {
      for (const int64_t n : {1, 8, 9, 16, 17, 63, 64}) {
        for (const bool repeated : {false, true}) {  // the bias in each row, and no gaps
          const int64_t gap = repeated ? 0 : 3;
          Framed<C> c(3, n, random, gap), bias(repeated ? 3 : 1, n, random, gap);
          c(1, 0) *= 30;  // far into saturation
          std::vector<double> expected;
          for (int64_t i = 0; i < 3; ++i)
            for (int64_t j = 0; j < n; ++j) {
              C sum = c(i, j) + bias(repeated ? i : 0, j);
              expected.push_back(activation(f, sum));
            }
          storage<C>(*set.tables)
              .activate(f, 3, n, {bias.begin(), repeated ? n : 0}, c.begin(), c.stride,
                        {c.begin(), c.stride}, false);
          ASSERT_TRUE(c.frame_is_intact());
          for (int64_t i = 0; i < 3; ++i)
            for (int64_t j = 0; j < n; ++j)
              ASSERT_NEAR(c(i, j), expected[i * n + j], kTolerance<C>) << set.name;
        }
      }
    }
  }
}

TEST(TanhTest, IsWithinSixUnitsInTheLastPlaceEverywhere) {
  for (const InstructionSet& set : instruction_sets()) {
    std::vector<float> x;
    for (float value = 1e-30F; value < 100; value *= 1.0003F) x.push_back(value);
    for (float value : {0.0F, 8.9F, 9.02F, 9.1F, std::numeric_limits<float>::infinity()}) {
      x.push_back(value);
    }
    for (const float sign : {1.0F, -1.0F}) {
      for (size_t first = 0; first < x.size(); first += kPanelColumns) {
        const int64_t n = std::min<int64_t>(kPanelColumns, x.size() - first);
        std::vector<float> h(n);
        for (int64_t j = 0; j < n; ++j) h[j] = sign * x[first + j];
        set.tables->storage_float.activate(Activation::kTanh, 1, n, {nullptr, 0}, h.data(), n,
                                           {h.data(), n}, false);
        for (int64_t j = 0; j < n; ++j) {
          const double expected = sign * std::tanh(static_cast<double>(x[first + j]));
          const double ulp = std::abs(std::nextafter(static_cast<float>(expected), 2.0F) -
                                      static_cast<float>(expected));
          ASSERT_LE(std::abs(h[j] - expected), 6 * ulp) << set.name << " x " << x[first + j];
          ASSERT_LE(std::abs(h[j]), 1) << set.name;
        }
      }
    }
  }
}

TYPED_TEST(KernelsTest, NanPassesThroughEveryActivationAndDerivative) {
  using C = TypeParam;
  for (const InstructionSet& set : instruction_sets()) {
    for (const Activation f : kActivations) {
      std::vector<C> c(5, kPoison<C>);
      storage<C>(*set.tables).activate(f, 1, 5, {nullptr, 0}, c.data(), 5, {c.data(), 5}, false);
      for (const C value : c) EXPECT_TRUE(std::isnan(value)) << set.name;
    }
  }
}

template <typename S, typename C>
void check_delta(const StorageKernels<S, C>& kernels, const std::string& name, double tolerance) {
  std::mt19937 random(4);
  std::uniform_real_distribution<float> uniform(-1, 1);
  for (const Activation f : kActivations) {
    for (const int64_t n : {1, 15, 16, 17, 33, 64}) {
      for (const int64_t gap : {0, 3}) {
        for (const auto& [is_zero, accumulate] :
             {std::pair(false, false), {false, true}, {true, false}, {true, true}}) {
          std::vector<S> g(2 * n), h(2 * n);
          for (S& value : g) value = static_cast<S>(uniform(random));
          for (S& value : h) value = static_cast<S>(uniform(random));
          Framed<C> c(2, n, random, gap), sum(2, n, random, gap);
          std::vector<S> rounded(2 * n + 1, static_cast<S>(7.0F));
          std::vector<double> error, total;
          for (int64_t i = 0; i < 2; ++i) {
            for (int64_t j = 0; j < n; ++j) {
              const double arrived = (is_zero ? 0 : c(i, j)) + static_cast<double>(g[i * n + j]);
              error.push_back(derivative(f, static_cast<double>(h[i * n + j])) * arrived);
              total.push_back(error.back() + (accumulate ? sum(i, j) : 0));
            }
          }
          kernels.delta(f, 2, n, is_zero, {g.data(), n}, {h.data(), n}, c.begin(), c.stride,
                        {sum.begin(), sum.stride}, accumulate, {rounded.data(), n});
          ASSERT_TRUE(c.frame_is_intact() && sum.frame_is_intact()) << name;
          ASSERT_EQ(static_cast<float>(rounded[2 * n]), 7) << name;
          for (int64_t i = 0; i < 2; ++i) {
            for (int64_t j = 0; j < n; ++j) {
              ASSERT_NEAR(c(i, j), error[i * n + j], tolerance) << name;
              ASSERT_NEAR(sum(i, j), total[i * n + j], tolerance) << name;
              ASSERT_EQ(static_cast<C>(rounded[i * n + j]), static_cast<C>(static_cast<S>(c(i, j))))
                  << name;
            }
          }
        }
      }
    }
  }
}

TEST(StorageKernelsTest, DeltaIsTheErrorTimesTheDerivative) {
  for (const InstructionSet& set : instruction_sets()) {
    check_delta(set.tables->storage_double, set.name, 1e-13);
    check_delta(set.tables->storage_float, set.name, 1e-6);
    check_delta(set.tables->storage_bfloat16, set.name, 1e-6);
    check_delta(set.tables->storage_half, set.name, 1e-6);
  }
}

template <typename S, typename C>
void check_activate(const StorageKernels<S, C>& kernels, const std::string& name,
                    double tolerance) {
  std::mt19937 random(8);
  for (const Activation f : kActivations) {
    for (const int64_t n : {1, 15, 16, 17, 33, 64}) {
      for (const int64_t gap : {0, 3}) {
        for (const bool take_back : {false, true}) {
          Framed<C> c(2, n, random, gap), bias(2, n, random, gap);
          std::vector<S> h(2 * n + 1, static_cast<S>(7.0F));
          std::vector<double> expected;
          for (int64_t i = 0; i < 2; ++i)
            for (int64_t j = 0; j < n; ++j)
              expected.push_back(activation(f, static_cast<C>(c(i, j) + bias(i, j))));
          kernels.activate(f, 2, n, {bias.begin(), bias.stride}, c.begin(), c.stride, {h.data(), n},
                           take_back);
          ASSERT_TRUE(c.frame_is_intact()) << name;
          ASSERT_EQ(static_cast<float>(h[2 * n]), 7) << name;
          for (int64_t i = 0; i < 2; ++i) {
            for (int64_t j = 0; j < n; ++j) {
              ASSERT_NEAR(static_cast<C>(h[i * n + j]), expected[i * n + j], tolerance) << name;
              if (take_back) {
                ASSERT_EQ(c(i, j), static_cast<C>(h[i * n + j])) << name;
              }
            }
          }
        }
      }
    }
  }
}

TEST(StorageKernelsTest, ActivateAndStoreRoundsWhatItStores) {
  for (const InstructionSet& set : instruction_sets()) {
    check_activate(set.tables->storage_double, set.name, 1e-13);
    check_activate(set.tables->storage_float, set.name, 1e-6);
    check_activate(set.tables->storage_bfloat16, set.name, 1.0 / 256);
    check_activate(set.tables->storage_half, set.name, 1.0 / 2048);
  }
}

TEST(StorageKernelsTest, LoadAndStoreConvertAndPad) {
  for (const InstructionSet& set : instruction_sets()) {
    const auto& kernels = set.tables->storage_bfloat16;
    for (const int64_t n : {1, 16, 17, 33, 64}) {
      std::vector<c10::BFloat16> from(n), back(n + 1, c10::BFloat16(7));
      for (int64_t j = 0; j < n; ++j) from[j] = static_cast<c10::BFloat16>(0.37F * j);
      std::vector<float> to(80, -1);
      kernels.load(1, n, (n + 15) / 16 * 16, {from.data(), n}, to.data(), 80);
      kernels.store(1, n, to.data(), 80, {back.data(), n});
      for (int64_t j = 0; j < n; ++j) {
        EXPECT_EQ(to[j], static_cast<float>(from[j]));
        EXPECT_EQ(static_cast<float>(back[j]), static_cast<float>(from[j]));
      }
      for (int64_t j = n; j < 80; ++j) EXPECT_EQ(to[j], j < (n + 15) / 16 * 16 ? 0 : -1);
      EXPECT_EQ(static_cast<float>(back[n]), 7);
    }
  }
}

template <typename S, typename C>
void check_load_transposed(const StorageKernels<S, C>& kernels, const std::string& name) {
  for (const int64_t m : {1, 7, 8, 15, 16, 17, 64}) {
    for (const int64_t n : {1, 8, 16, 17, 40}) {
      for (const int64_t multiple : {8, 16}) {
        const int64_t padded = (m + multiple - 1) / multiple * multiple;
        std::vector<S> from(m * (n + 3));
        for (int64_t i = 0; i < m; ++i)
          for (int64_t j = 0; j < n; ++j)
            from[i * (n + 3) + j] = static_cast<S>(static_cast<float>(100 + (7 * i + j) % 128));
        std::vector<C> to(n * (padded + 5), C(-1));
        kernels.load_transposed(m, n, padded, {from.data(), n + 3}, to.data(), padded + 5);
        for (int64_t j = 0; j < n; ++j) {
          for (int64_t i = 0; i < padded + 5; ++i) {
            const C expected = i < m        ? static_cast<C>(from[i * (n + 3) + j])
                               : i < padded ? C(0)
                                            : C(-1);
            ASSERT_EQ(to[j * (padded + 5) + i], expected)
                << name << " m " << m << " n " << n << " at " << i << " " << j;
          }
        }
      }
    }
  }
}

TEST(StorageKernelsTest, LoadTransposedPadsAndLeavesTheRestAlone) {
  for (const InstructionSet& set : instruction_sets()) {
    check_load_transposed(set.tables->storage_double, set.name);
    check_load_transposed(set.tables->storage_float, set.name);
    check_load_transposed(set.tables->storage_bfloat16, set.name);
    check_load_transposed(set.tables->storage_half, set.name);
  }
}

}  // namespace
}  // namespace elman::cpu
