#pragma once

#include <c10/util/BFloat16.h>

#include <cstdint>

#include "activation.h"
#include "cpu/vec/operands.h"
#include "leak.h"

namespace elman::cpu {

struct BFloat16Units;

/// Columns that a product and its epilogue (bias, activation, f') are done in at a time, so that
/// the epilogue finds the product in the first-level cache.
constexpr int64_t kPanelColumns = 64;

template <>
constexpr int64_t kInterleaved<c10::BFloat16> = 2;

/// The kernels of products, compiled once per instruction set and chosen at run time.
template <typename P>
struct ProductKernels {
  using Multiply = void (*)(const Product<P>& product);
  /// Columns of a panel, a divisor of kPanelColumns: matrices that stand on the right of a product
  /// are packed into panels of this many columns (fewer in the last one), each [K, columns] row
  /// after row. It is what a block of the product takes at a time, so that a block reads memory in
  /// one stream: rows further apart would fight for a part of the first-level cache's sets.
  int64_t panel_columns;
  /// Each element is one chain of fused multiply-adds over k, so that a row's result does not
  /// depend on which rows it is computed together with.
  Multiply gemm;
  /// gemm for problems where rows times k is at most small_work.
  Multiply small_gemm;
  int64_t small_work;
  /// gemm for problems of one row. Its sums are four chains over k, since a single row has too few
  /// of them to hide the latency of an addition.
  Multiply gemv;
  /// k rows [k, n] of a right factor as a panel; in its columns n ... ldb, and beside a last odd
  /// row, stand zeros. Null where rows are not interleaved: then a panel is its rows.
  void (*interleave)(int64_t k, int64_t n, Rows<const P> from, P* panel, int64_t ldb);

  /// The product for a problem of so many rows, with sums of k terms. The rows of a step decide,
  /// not those of a thread, so that threads do not show in the result.
  Multiply for_problem(int64_t problem_rows, int64_t k) const {
    if (problem_rows == 1) return gemv;
    return problem_rows * k <= small_work ? small_gemm : gemm;
  }
};

/// The other inner loops, compiled and chosen likewise. C is the type computed in: float or double.
template <typename C>
struct MathKernels {
  /// out[n] += sum over m of a[m, n].
  void (*add_column_sums)(int64_t m, int64_t n, const C* a, int64_t lda, C* out);
};

/// The epilogue of a step of leaky cells: m rows of n elements, in the notation of leak.h. The
/// output is rounded to S, the state is not: with a small alpha a rounded one would never move.
template <typename S, typename C>
struct LeakyStep {
  LeakForm form;
  Activation activation;
  int64_t m, n;
  C* c;  ///< a, but for the bias; undefined afterwards, or with `take_back` the output as computed
  int64_t ldc;
  Rows<const C> bias;  ///< rows 0 apart where all are one; or absent
  Rows<const C> leak;  ///< alpha; rows 0 apart where all are one
  Rows<C> state;       ///< h or v, of the step before, then of this one
  Rows<S> output;      ///< h or f(v); may be c
  Rows<S> drive;       ///< f(a), or a minus the state before; or absent
  bool take_back;
};

/// The epilogue of a step of their backward pass. What arrives at the output is c + g, at the state
/// after the step `carried`; e is the gradient there. G is g's type.
template <typename G, typename S, typename C>
struct LeakyDelta {
  LeakForm form;
  Activation activation;
  int64_t m, n;
  bool c_is_zero;  ///< c counts as zero and is only written
  C* c;            ///< then delta = alpha f' e, or in the current form alpha e
  int64_t ldc;
  Rows<const G> g;  ///< or absent
  Rows<const S> f;  ///< what f' is made of: f(a), or in the current form f(v), the output
  const C* leak;    ///< alpha: [n]
  Rows<C> carried;  ///< then (1 - alpha) e, what goes on to the state before
  Rows<C> sum;      ///< = delta, or += with `accumulate`
  Rows<C> errors;   ///< the same of e; or absent
  bool accumulate;
  Rows<S> rounded;  ///< = delta; or absent
};

/// Kernels that move values between the storage type S and C.
template <typename S, typename C>
struct StorageKernels {
  /// to[m, n] = from[m, n], with zeros in the columns n ... padded_n.
  void (*load)(int64_t m, int64_t n, int64_t padded_n, Rows<const S> from, C* to, int64_t ldt);
  /// to[n, m] = from[m, n] transposed, with zeros in the columns m ... padded_m.
  void (*load_transposed)(int64_t m, int64_t n, int64_t padded_m, Rows<const S> from, C* to,
                          int64_t ldt);
  /// to[m, n] = from[m, n], rounded to S.
  void (*store)(int64_t m, int64_t n, const C* from, int64_t ldf, Rows<S> to);
  /// c[m, n] = a[m, k] b[n, k]^T, or += with `accumulate`: a product that reads its right factor's
  /// transpose where it is stored. A sum has as many chains as a vector has elements.
  void (*dot)(int64_t m, int64_t n, int64_t k, Rows<const C> a, Rows<const S> b, C* c, int64_t ldc,
              bool accumulate);
  /// c[m, n] += from[m, n].
  void (*add)(int64_t m, int64_t n, Rows<const S> from, C* c, int64_t ldc);
  /// c[m, n] *= factor[m, n].
  void (*scale)(int64_t m, int64_t n, Rows<const S> factor, C* c, int64_t ldc);
  /// h[m, n] = f(c + bias), rounded to S; c is undefined afterwards, or with `take_back` what h
  /// holds. h may be c. bias: [m, n], rows 0 apart where all are one; or absent.
  void (*activate)(Activation activation, int64_t m, int64_t n, Rows<const C> bias, C* c,
                   int64_t ldc, Rows<S> h, bool take_back);
  /// c = f'(h) * (c + g); then sum = c, or sum += c with `accumulate`, and rounded = c, if it is
  /// not absent. c: [m, n]; where `c_is_zero`, c counts as zero and is only written. h: rows of S;
  /// g: rows of S, of C in the second, or absent.
  void (*delta)(Activation activation, int64_t m, int64_t n, bool c_is_zero, Rows<const S> g,
                Rows<const S> h, C* c, int64_t ldc, Rows<C> sum, bool accumulate, Rows<S> rounded);
  void (*delta_of_computed)(Activation activation, int64_t m, int64_t n, bool c_is_zero,
                            Rows<const C> g, Rows<const S> h, C* c, int64_t ldc, Rows<C> sum,
                            bool accumulate, Rows<S> rounded);
  void (*leaky_activate)(const LeakyStep<S, C>& step);
  void (*leaky_delta)(const LeakyDelta<S, S, C>& step);
  void (*leaky_delta_of_computed)(const LeakyDelta<C, S, C>& step);
};

/// The tables for this machine, the same for the life of the process, but for bfloat16's products:
/// torch.backends.mkldnn decides whether those of oneDNN are among them.
template <typename C>
const MathKernels<C>& math_kernels();
template <typename P>
const ProductKernels<P>& product_kernels();
template <typename S, typename C>
const StorageKernels<S, C>& storage_kernels();

/// What this CPU multiplies bfloat16 with (cpu/schedule.h), as torch.backends.mkldnn allows.
BFloat16Units bfloat16_units();
/// What multiplies the states of a bfloat16 network in its forward pass, for people.
const char* bfloat16_products(int64_t rows, int64_t all_rows, int64_t k);

/// Ends the calling thread's use of the CPU's matrix unit, after its last product.
void release_matrix_unit();

}  // namespace elman::cpu
