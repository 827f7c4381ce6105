#pragma once

// What the tests of the CPU's inner loops share: every instruction set that this machine has, and
// operands in poisoned memory.

#include <ATen/Version.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

#include "cpu/vec/tables.h"

namespace elman::cpu {

struct InstructionSet {
  std::string name;
  const KernelTables* tables;
};

inline std::vector<InstructionSet> instruction_sets() {
  std::vector<InstructionSet> sets{{"DEFAULT", &DEFAULT::kernel_tables()}};
#ifdef ELMAN_HAVE_AVX
  const std::string capability = at::get_cpu_capability();
  if (capability == "AVX2" || capability == "AVX512")
    sets.push_back({"AVX2", &AVX2::kernel_tables()});
  if (capability == "AVX512") sets.push_back({"AVX512", &AVX512::kernel_tables()});
#endif
  return sets;
}

template <typename S>
const StorageKernels<S, compute_t<S>>& storage(const KernelTables& tables) {
  if constexpr (std::is_same_v<S, double>) {
    return tables.storage_double;
  } else if constexpr (std::is_same_v<S, float>) {
    return tables.storage_float;
  } else if constexpr (std::is_same_v<S, c10::BFloat16>) {
    return tables.storage_bfloat16;
  } else {
    return tables.storage_half;
  }
}

/// f(a), written out.
inline double activation(Activation f, double a) {
  switch (f) {
    case Activation::kTanh:
      return std::tanh(a);
    case Activation::kRelu:
      return std::isnan(a) ? a : std::max(a, 0.0);
    case Activation::kSigmoid:
      return 1 / (1 + std::exp(-a));
    case Activation::kSoftplus:
      return (a > 0 ? a : 0) + std::log1p(std::exp(-std::abs(a)));
    case Activation::kIdentity:
      return a;
  }
  __builtin_unreachable();
}

/// f' in terms of h = f(a).
inline double derivative(Activation f, double h) {
  switch (f) {
    case Activation::kTanh:
      return 1 - h * h;
    case Activation::kRelu:
      return h <= 0 ? 0 : 1;
    case Activation::kSigmoid:
      return h * (1 - h);
    case Activation::kSoftplus:
      return -std::expm1(-h);
    case Activation::kIdentity:
      return 1;
  }
  __builtin_unreachable();
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

}  // namespace elman::cpu
