// Products of bfloat16 by oneDNN's kernels, which reach the CPU's matrix unit (AMX). They come as
// ATen has them for its own use: at::native::cpublas::brgemm, one kernel for each size, made at run
// time.
#include <ATen/native/CPUBlas.h>

#include "cpu/vec/tables.h"

namespace elman::cpu {
namespace {

/// Whether this thread has set up the matrix unit.
thread_local bool uses_matrix_unit = false;

void gemm(const Product<c10::BFloat16>& product) {
  const auto& [m, n, k, a, b, ldb, c, ldc, accumulate, next] = product;
  // oneDNN would read a left factor's rows in pairs, and has no kernels for nothing.
  if (k % kInterleaved<c10::BFloat16> != 0 || m == 0 || k == 0)
    return avx512_bfloat16_products().gemm(product);
  uses_matrix_unit = true;
  at::native::cpublas::brgemm(m, n, k, a.row_stride, ldb, ldc, accumulate, a.data, b, c,
                              /*is_vnni=*/true);
}

/// Rows times k up to which a call of oneDNN's kernel costs more than the product (measured).
constexpr int64_t kSmallWork = 512;

}  // namespace

const ProductKernels<c10::BFloat16>& onednn_bfloat16_products() {
  static const ProductKernels<c10::BFloat16> products = [] {
    ProductKernels<c10::BFloat16> changed = avx512_bfloat16_products();
    changed.gemm = gemm;
    changed.small_work = kSmallWork;
    return changed;
  }();
  return products;
}

void release_onednn_products() {
  if (!uses_matrix_unit) return;
  at::native::cpublas::brgemm_release(/*is_vnni=*/true);
  uses_matrix_unit = false;
}

}  // namespace elman::cpu
