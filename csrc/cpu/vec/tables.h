#pragma once

#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

#include "cpu/vec/kernels.h"

namespace elman::cpu {

/// All inner loops of one instruction set.
struct KernelTables {
  MathKernels<float> math_float;
  MathKernels<double> math_double;
  StorageKernels<float, float> storage_float;
  StorageKernels<double, double> storage_double;
  StorageKernels<c10::BFloat16, float> storage_bfloat16;
  StorageKernels<c10::Half, float> storage_half;
};

// The namespaces are those of the three compilations of vec/kernels.cpp; csrc/CMakeLists.txt says
// which exist.
namespace DEFAULT {
const KernelTables& kernel_tables();
}
#ifdef ELMAN_HAVE_AVX
namespace AVX2 {
const KernelTables& kernel_tables();
}
namespace AVX512 {
const KernelTables& kernel_tables();
}
#endif

}  // namespace elman::cpu
