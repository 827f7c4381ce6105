#include <ATen/Context.h>
#include <ATen/Version.h>
#include <c10/util/Exception.h>

#include <string>
#ifdef ELMAN_HAVE_AVX
#include <cpuid.h>
#endif

#include "cpu/schedule.h"
#include "cpu/vec/kernels.h"
#include "cpu/vec/tables.h"

namespace elman::cpu {
namespace {

/// As ATen chooses for its own kernels, ATEN_CPU_CAPABILITY in the environment included.
const KernelTables& tables() {
  static const KernelTables& chosen = []() -> const KernelTables& {
#ifdef ELMAN_HAVE_AVX
    const std::string capability = at::get_cpu_capability();
    if (capability == "AVX512") return AVX512::kernel_tables();
    if (capability == "AVX2") return AVX2::kernel_tables();
#endif
    return DEFAULT::kernel_tables();
  }();
  return chosen;
}

/// Of the CPU alone.
const BFloat16Units& bfloat16_support() {
  static const BFloat16Units support = [] {
    BFloat16Units found;
#ifdef ELMAN_HAVE_AVX
    if (std::string(at::get_cpu_capability()) != "AVX512") return found;
    constexpr unsigned kFeatures = 7, kDotProductsInEax = 1U << 5, kMatrixUnitInEdx = 1U << 22;
    unsigned eax = 0, ebx = 0, ecx = 0, edx = 0;
    if (__get_cpuid_count(kFeatures, 1, &eax, &ebx, &ecx, &edx) != 0)
      found.dot_products = (eax & kDotProductsInEax) != 0;
    if (__get_cpuid_count(kFeatures, 0, &eax, &ebx, &ecx, &edx) != 0)
      found.matrix_unit = (edx & kMatrixUnitInEdx) != 0;
#endif
    return found;
  }();
  return support;
}

}  // namespace

void release_matrix_unit() {
#ifdef ELMAN_HAVE_AVX
  release_onednn_products();
#endif
}

BFloat16Units bfloat16_units() {
  BFloat16Units units = bfloat16_support();
#ifdef ELMAN_HAVE_AVX
  if (units.matrix_unit) {
    units.onednn = at::globalContext().userEnabledMkldnn();
    units.small_work = onednn_bfloat16_products().small_work;
  }
#endif
  return units;
}

template <>
const ProductKernels<float>& product_kernels() {
  return tables().products_float;
}
template <>
const ProductKernels<double>& product_kernels() {
  return tables().products_double;
}
template <>
const ProductKernels<c10::BFloat16>& product_kernels() {
#ifdef ELMAN_HAVE_AVX
  if (bfloat16_support().matrix_unit && at::globalContext().userEnabledMkldnn())
    return onednn_bfloat16_products();
  return avx512_bfloat16_products();
#else
  TORCH_INTERNAL_ASSERT(false, "this CPU has no products of bfloat16");
#endif
}

template <>
const MathKernels<float>& math_kernels() {
  return tables().math_float;
}
template <>
const MathKernels<double>& math_kernels() {
  return tables().math_double;
}
template <>
const StorageKernels<float, float>& storage_kernels() {
  return tables().storage_float;
}
template <>
const StorageKernels<double, double>& storage_kernels() {
  return tables().storage_double;
}
template <>
const StorageKernels<c10::BFloat16, float>& storage_kernels() {
  return tables().storage_bfloat16;
}
template <>
const StorageKernels<c10::Half, float>& storage_kernels() {
  return tables().storage_half;
}

const char* bfloat16_products(int64_t rows, int64_t all_rows, int64_t k) {
  if (!prefers_bfloat16_forward(bfloat16_units(), rows, all_rows, k))
    return prefers_dot_products(all_rows, k) ? "float32's dot products" : "float32's multiply-adds";
#ifdef ELMAN_HAVE_AVX
  const bool by_onednn =
      product_kernels<c10::BFloat16>().for_problem(rows, k) == onednn_bfloat16_products().gemm;
#else
  constexpr bool by_onednn = false;
#endif
  return by_onednn ? "oneDNN on the matrix unit (AMX)" : "dot products of bfloat16 (AVX512_BF16)";
}

}  // namespace elman::cpu
