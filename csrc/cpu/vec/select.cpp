#include <ATen/Version.h>

#include <string>

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

}  // namespace

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

}  // namespace elman::cpu
