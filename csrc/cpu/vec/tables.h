#pragma once

#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

#include "cpu/vec/kernels.h"

namespace elman::cpu {

/// All inner loops of one instruction set.
struct KernelTables {
  ProductKernels<float> products_float;
  ProductKernels<double> products_double;
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
/// Products of bfloat16, for a CPU with AVX512_BF16 (vec/bfloat16_products.cpp).
const ProductKernels<c10::BFloat16>& avx512_bfloat16_products();
/// The same with oneDNN's products of several rows, for a CPU whose matrix unit it can use
/// (vec/onednn_products.cpp).
const ProductKernels<c10::BFloat16>& onednn_bfloat16_products();
/// Ends the calling thread's use of them.
void release_onednn_products();
namespace AVX2 {
const KernelTables& kernel_tables();
}
namespace AVX512 {
const KernelTables& kernel_tables();
}
#endif

}  // namespace elman::cpu
