#include "peak.h"

#include <ATen/Parallel.h>

#include <atomic>
#include <cstdint>

#if defined(__x86_64__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

namespace elman::bench {
namespace {

constexpr int64_t kRounds = 500000;
// A multiply-add may start twice in a cycle and takes four or five: fewer chains would wait.
constexpr int kChains = 12;

// Takes the results, so that the compiler cannot leave the work out.
std::atomic<float> sink;

#if defined(__x86_64__)

__attribute__((target("avx512f"))) void Avx512Chains() {
  const __m512 a = _mm512_set1_ps(0.999F);
  const __m512 b = _mm512_set1_ps(0.001F);
  __m512 chain[kChains];
  for (int i = 0; i < kChains; ++i) chain[i] = _mm512_set1_ps(static_cast<float>(i));
  for (int64_t round = 0; round < kRounds; ++round) {
    for (int i = 0; i < kChains; ++i) chain[i] = _mm512_fmadd_ps(chain[i], a, b);
  }
  for (int i = 1; i < kChains; ++i) chain[0] = _mm512_add_ps(chain[0], chain[i]);
  sink = _mm512_cvtss_f32(chain[0]);
}

__attribute__((target("avx2,fma"))) void Avx2Chains() {
  const __m256 a = _mm256_set1_ps(0.999F);
  const __m256 b = _mm256_set1_ps(0.001F);
  __m256 chain[kChains];
  for (int i = 0; i < kChains; ++i) chain[i] = _mm256_set1_ps(static_cast<float>(i));
  for (int64_t round = 0; round < kRounds; ++round) {
    for (int i = 0; i < kChains; ++i) chain[i] = _mm256_fmadd_ps(chain[i], a, b);
  }
  for (int i = 1; i < kChains; ++i) chain[0] = _mm256_add_ps(chain[0], chain[i]);
  sink = _mm256_cvtss_f32(chain[0]);
}

void Sse2Chains() {
  const __m128 a = _mm_set1_ps(0.999F);
  const __m128 b = _mm_set1_ps(0.001F);
  __m128 chain[kChains];
  for (int i = 0; i < kChains; ++i) chain[i] = _mm_set1_ps(static_cast<float>(i));
  for (int64_t round = 0; round < kRounds; ++round) {
    for (int i = 0; i < kChains; ++i) chain[i] = _mm_add_ps(_mm_mul_ps(chain[i], a), b);
  }
  for (int i = 1; i < kChains; ++i) chain[0] = _mm_add_ps(chain[0], chain[i]);
  sink = _mm_cvtss_f32(chain[0]);
}

#else

void NeonChains() {
  const float32x4_t a = vdupq_n_f32(0.999F);
  const float32x4_t b = vdupq_n_f32(0.001F);
  float32x4_t chain[kChains];
  for (int i = 0; i < kChains; ++i) chain[i] = vdupq_n_f32(static_cast<float>(i));
  for (int64_t round = 0; round < kRounds; ++round) {
    for (int i = 0; i < kChains; ++i) chain[i] = vfmaq_f32(b, chain[i], a);
  }
  for (int i = 1; i < kChains; ++i) chain[0] = vaddq_f32(chain[0], chain[i]);
  sink = vgetq_lane_f32(chain[0], 0);
}

#endif

struct Vectors {
  const char* name;
  int64_t lanes;
  void (*run)();
};

Vectors Widest() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) return {"AVX-512", 16, Avx512Chains};
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    return {"AVX2", 8, Avx2Chains};
  }
  return {"SSE2", 4, Sse2Chains};
#else
  return {"NEON", 4, NeonChains};
#endif
}

}  // namespace

double RunPeak() {
  const Vectors vectors = Widest();
  const int64_t threads = at::get_num_threads();
  at::parallel_for(0, threads, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) vectors.run();
  });
  return 2.0 * static_cast<double>(threads * vectors.lanes * kChains * kRounds);
}

const char* PeakVectors() { return Widest().name; }

}  // namespace elman::bench
