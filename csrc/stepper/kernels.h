#pragma once

#include <cstdint>

#include "activation.h"
#include "cpu/vec/operands.h"

namespace elman::stepper {

/// The columns that rows are padded to: a multiple of every vector.
constexpr int64_t kPadding = 16;
constexpr int64_t padded(int64_t n) { return (n + kPadding - 1) / kPadding * kPadding; }

/// What happens to the sums of a layer.
enum class Form : std::int8_t { kPlain, kRate, kCurrent, kSoftmax };

/// n padded sums become n outputs. All pointers are to whole rows, padded.
template <typename C>
struct Epilogue {
  Form form;
  Activation activation;
  int64_t n;       ///< columns that are used; the softmax leaves the others out
  const C* bias;   ///< [padded(n)]
  const C* alpha;  ///< [padded(n)], with kRate and kCurrent
};

/// How many rows are finished, one after another, and the elements between two of them.
struct FinishedRows {
  int64_t m;
  int64_t sums, carried, h, copy;
};

/// The loops of a stepper, compiled once for each instruction set.
template <typename C>
struct Kernels {
  const char* name;
  int64_t panel_columns;  ///< see cpu::ProductKernels
  void (*multiply_row)(const cpu::Product<C>& product);
  void (*multiply_rows)(const cpu::Product<C>& product);
  /// sums: rows of [padded(n)], destroyed; carried: v, or for kRate h, read and written; h: the
  /// outputs; copy: null, or where they go too. Of h and copy padded(n) elements of a row are
  /// written.
  void (*finish)(const Epilogue<C>& epilogue, const FinishedRows& rows, C* sums, C* carried, C* h,
                 C* copy);
  /// h = f(v), padded.
  void (*activate)(Activation activation, int64_t n, const C* v, C* h);
};

/// Those for this machine; see elman::stepper_instruction_set.
template <typename C>
const Kernels<C>& kernels();

// The namespaces of the compilations of stepper/kernels.cpp.
#define ELMAN_DECLARE_STEPPER_KERNELS(CAPABILITY) \
  namespace CAPABILITY {                          \
  extern const Kernels<float> kFloat;             \
  extern const Kernels<double> kDouble;           \
  }
ELMAN_DECLARE_STEPPER_KERNELS(DEFAULT)
#ifdef ELMAN_HAVE_AVX
ELMAN_DECLARE_STEPPER_KERNELS(AVX2)
ELMAN_DECLARE_STEPPER_KERNELS(AVX512)
#endif
#undef ELMAN_DECLARE_STEPPER_KERNELS

}  // namespace elman::stepper
