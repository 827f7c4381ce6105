// Products of bfloat16 on AVX512_BF16's dot products of pairs. This file is compiled for a CPU that
// has them, so it includes no inline function that another file may have as well: the linker keeps
// only one of them.
#include <immintrin.h>

#include "cpu/vec/product.h"
#include "cpu/vec/tables.h"

namespace elman::cpu {
namespace CPU_CAPABILITY {
namespace {

struct BFloat16Lanes {
  using Factor = c10::BFloat16;
  using Sum = float;
  struct Vec {
    __m512 value;
    static Vec loadu(const float* from) { return {_mm512_loadu_ps(from)}; }
    void store(float* to) const { _mm512_storeu_ps(to, value); }
    Vec operator+(const Vec& other) const { return {_mm512_add_ps(value, other.value)}; }
  };
  using Left = __m512bh;
  using Right = __m512bh;
  static constexpr int kSize = 16;
  static constexpr int kMaxVectors = 4;
  static Vec zero() { return {_mm512_setzero_ps()}; }
  static Right load(const Factor* from) {
    return reinterpret_cast<__m512bh>(_mm512_loadu_si512(from));
  }
  static Left broadcast(const Factor* from) {
    int pair;
    __builtin_memcpy(&pair, from, sizeof(pair));
    return reinterpret_cast<__m512bh>(_mm512_set1_epi32(pair));
  }
  static Left broadcast_last(const Factor* from) {
    uint16_t last;
    __builtin_memcpy(&last, from, sizeof(last));
    return reinterpret_cast<__m512bh>(_mm512_set1_epi32(last));
  }
  static Vec multiply_add(const Left& left, const Right& right, const Vec& sum) {
    return {_mm512_dpbf16_ps(sum.value, left, right)};
  }
};

void interleave(int64_t k, int64_t n, Rows<const c10::BFloat16> from, c10::BFloat16* panel,
                int64_t ldb) {
  const auto* const rows = reinterpret_cast<const uint16_t*>(from.data);
  for (int64_t p = 0; p < k; p += 2) {
    const uint16_t* const even = rows + p * from.row_stride;
    auto* const to = reinterpret_cast<uint16_t*>(panel) + p * ldb;
    if (p + 1 < k) {
      const uint16_t* const odd = even + from.row_stride;
      for (int64_t j = 0; j < n; ++j) {
        const uint32_t pair = even[j] | static_cast<uint32_t>(odd[j]) << 16;
        __builtin_memcpy(to + 2 * j, &pair, sizeof(pair));
      }
    } else {
      for (int64_t j = 0; j < n; ++j) {
        const uint32_t pair = even[j];
        __builtin_memcpy(to + 2 * j, &pair, sizeof(pair));
      }
    }
    for (int64_t j = 2 * n; j < 2 * ldb; ++j) to[j] = 0;
  }
}

}  // namespace
}  // namespace CPU_CAPABILITY

const ProductKernels<c10::BFloat16>& avx512_bfloat16_products() {
  using Product = CPU_CAPABILITY::PanelProduct<CPU_CAPABILITY::BFloat16Lanes>;
  static constexpr ProductKernels<c10::BFloat16> kProducts = {
      CPU_CAPABILITY::BFloat16Lanes::kMaxVectors * CPU_CAPABILITY::BFloat16Lanes::kSize,
      Product::gemm,
      Product::gemm,
      /*small_work=*/0,
      Product::gemv,
      CPU_CAPABILITY::interleave};
  return kProducts;
}

}  // namespace elman::cpu
