// Compiled once for each instruction set, with ATen's own macros: CPU_CAPABILITY (DEFAULT, AVX2,
// AVX512) names the namespace.
#include "cpu/vec/kernels.h"

#include <ATen/cpu/vec/functional.h>
#include <ATen/cpu/vec/vec.h>
#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

#include <algorithm>
#include <type_traits>

#include "cpu/vec/product.h"
#include "cpu/vec/tables.h"

namespace elman::cpu {
namespace CPU_CAPABILITY {
namespace {

/// Loads or stores `count` elements, all of the vector in the common case.
template <typename C>
inline Vectorized<C> load(const C* from, int64_t count) {
  return count >= Vectorized<C>::size() ? Vectorized<C>::loadu(from)
                                        : Vectorized<C>::loadu(from, count);
}
template <typename C>
inline void store(const Vectorized<C>& value, C* to, int64_t count) {
  if (count >= Vectorized<C>::size()) {
    value.store(to);
  } else {
    value.store(to, static_cast<int>(count));
  }
}

/// tanh in double as ATen computes it.
inline Vectorized<double> fast_tanh(const Vectorized<double>& x) { return x.tanh(); }

/// tanh in float within 6 units in the last place, several times faster than the exact one, which
/// would take a quarter of a forward pass: x P(x^2) / Q(x^2), see fit_tanh.py. Beyond the limit
/// tanh rounds to 1.
inline Vectorized<float> fast_tanh(const Vectorized<float>& x) {
  using Vec = Vectorized<float>;
  constexpr float kLimit = 9.02F;
  constexpr float kP[] = {9.9999997904e-01F, 1.3379721100e-01F, 3.4940382161e-03F,
                          2.0583537638e-05F, 1.3319142916e-08F};
  constexpr float kQ[] = {1.0F, 4.6713036347e-01F, 2.5871087358e-02F, 3.2830986550e-04F,
                          7.7620500035e-07F};
  const Vec clamped = at::vec::clamp(x, Vec(-kLimit), Vec(kLimit));  // NaN stays NaN
  const Vec square = clamped * clamped;
  Vec p(kP[4]), q(kQ[4]);
#pragma GCC unroll 4
  for (int i = 3; i >= 0; --i) {
    p = at::vec::fmadd(p, square, Vec(kP[i]));
    q = at::vec::fmadd(q, square, Vec(kQ[i]));
  }
  return at::vec::clamp(clamped * p / q, Vec(-1.0F), Vec(1.0F));
}

template <Activation kActivation, typename C>
inline Vectorized<C> apply(const Vectorized<C>& a) {
  using Vec = Vectorized<C>;
  if constexpr (kActivation == Activation::kTanh) {
    return fast_tanh(a);
  } else if constexpr (kActivation == Activation::kRelu) {
    return at::vec::clamp_min(a, Vec(C(0)));  // NaN stays NaN
  } else {
    return Vec(C(1)) / (Vec(C(1)) + a.neg().exp());
  }
}

/// f' in terms of h = f(a).
template <Activation kActivation, typename C>
inline Vectorized<C> scale_by_derivative(const Vectorized<C>& h, const Vectorized<C>& error) {
  using Vec = Vectorized<C>;
  if constexpr (kActivation == Activation::kTanh) {
    return error * (Vec(C(1)) - h * h);
  } else if constexpr (kActivation == Activation::kRelu) {
    return Vec::blendv(error, Vec(C(0)), h <= Vec(C(0)));  // selected, so that NaN passes
  } else {
    return error * h * (Vec(C(1)) - h);
  }
}

template <typename Function>
inline void with_activation(Activation activation, const Function& function) {
  switch (activation) {
    case Activation::kTanh:
      return function(std::integral_constant<Activation, Activation::kTanh>());
    case Activation::kRelu:
      return function(std::integral_constant<Activation, Activation::kRelu>());
    case Activation::kSigmoid:
      return function(std::integral_constant<Activation, Activation::kSigmoid>());
  }
}

template <typename C>
void activate(Activation activation, int64_t m, int64_t n, Rows<const C> bias, C* c, int64_t ldc) {
  using Vec = Vectorized<C>;
  if (ldc == n && (bias.data == nullptr || bias.row_stride == n)) {
    n *= m;  // one row, so that fewer vectors are used in part
    m = 1;
  }
  with_activation(activation, [&](auto constant) {
    for (int64_t i = 0; i < m; ++i) {
      C* row = c + i * ldc;
      for (int64_t j = 0; j < n; j += Vec::size()) {
        Vec value = load(row + j, n - j);
        if (bias.data != nullptr) value = value + load(bias.data + i * bias.row_stride + j, n - j);
        store(apply<decltype(constant)::value>(value), row + j, n - j);
      }
    }
  });
}

template <typename C>
void add_column_sums(int64_t m, int64_t n, const C* a, int64_t lda, C* out) {
  using Vec = Vectorized<C>;
  for (int64_t j = 0; j < n; j += Vec::size()) {
    Vec sum = load(out + j, n - j);
    for (int64_t i = 0; i < m; ++i) sum = sum + load(a + i * lda + j, n - j);
    store(sum, out + j, n - j);
  }
}

/// n elements at `from` as C: in place if they are stored as C, else through `buffer`.
template <typename S, typename C>
inline const C* as_compute(const S* from, int64_t n, C* buffer) {
  if constexpr (std::is_same_v<S, C>) {
    return from;
  } else {
    at::vec::convert(from, buffer, n);
    return buffer;
  }
}

template <typename S, typename C>
void load_rows(int64_t m, int64_t n, int64_t padded_n, Rows<const S> from, C* to, int64_t ldt) {
  for (int64_t i = 0; i < m; ++i) {
    C* row = to + i * ldt;
    const S* source = from.data + i * from.row_stride;
    if constexpr (std::is_same_v<S, C>) {
      std::copy_n(source, n, row);
    } else {
      at::vec::convert(source, row, n);
    }
    std::fill(row + n, row + padded_n, C(0));
  }
}

/// In blocks of 16 x 16: each cache line that is read or written is used whole.
template <typename S, typename C>
void load_transposed(int64_t m, int64_t n, int64_t padded_m, Rows<const S> from, C* to,
                     int64_t ldt) {
  constexpr int64_t kBlock = 16;
  C buffer[kBlock * kBlock];
  for (int64_t i = 0; i < padded_m; i += kBlock) {
    for (int64_t j = 0; j < n; j += kBlock) {
      const int64_t rows = std::min(kBlock, m - i), columns = std::min(kBlock, n - j);
      const S* const source = from.data + i * from.row_stride + j;
      const C* block = buffer;
      int64_t ld = kBlock;
      if constexpr (std::is_same_v<S, C>) {
        if (rows == kBlock && columns == kBlock) {
          block = source;
          ld = from.row_stride;
        }
      }
      if (block == buffer) {
        load_rows<S, C>(rows, columns, columns, {source, from.row_stride}, buffer, kBlock);
        for (int64_t r = rows; r < kBlock; ++r) std::fill_n(buffer + r * kBlock, kBlock, C(0));
      }
      C* const target = to + j * ldt + i;
      const int64_t padded = std::min(kBlock, padded_m - i);
      if (columns == kBlock && padded == kBlock) {
        at::vec::transpose_mxn<C, kBlock, kBlock>(block, ld, target, ldt);
      } else {
        for (int64_t p = 0; p < columns; ++p)
          for (int64_t r = 0; r < padded; ++r) target[p * ldt + r] = block[r * ld + p];
      }
    }
  }
}

template <typename S, typename C>
void store_rows(int64_t m, int64_t n, const C* from, int64_t ldf, Rows<S> to) {
  for (int64_t i = 0; i < m; ++i) {
    S* row = to.data + i * to.row_stride;
    if constexpr (std::is_same_v<S, C>) {
      std::copy_n(from + i * ldf, n, row);
    } else {
      at::vec::convert(from + i * ldf, row, n);
    }
  }
}

/// c = combine(c, with) element by element.
template <typename S, typename C, typename Combine>
void combine_rows(int64_t m, int64_t n, Rows<const S> with, C* c, int64_t ldc,
                  const Combine& combine) {
  using Vec = Vectorized<C>;
  C buffer[kPanelColumns];
  for (int64_t i = 0; i < m; ++i) {
    const C* other = as_compute(with.data + i * with.row_stride, n, buffer);
    C* row = c + i * ldc;
    for (int64_t j = 0; j < n; j += Vec::size())
      store(combine(load(row + j, n - j), load(other + j, n - j)), row + j, n - j);
  }
}

template <typename S, typename C>
void add_rows(int64_t m, int64_t n, Rows<const S> from, C* c, int64_t ldc) {
  using Vec = Vectorized<C>;
  combine_rows(m, n, from, c, ldc, [](const Vec& a, const Vec& b) { return a + b; });
}

template <typename S, typename C>
void scale_rows(int64_t m, int64_t n, Rows<const S> factor, C* c, int64_t ldc) {
  using Vec = Vectorized<C>;
  combine_rows(m, n, factor, c, ldc, [](const Vec& a, const Vec& b) { return a * b; });
}

template <typename G, typename S, typename C>
void delta(Activation activation, int64_t m, int64_t n, bool c_is_zero, Rows<const G> g,
           Rows<const S> h, C* c, int64_t ldc, Rows<C> sum, bool accumulate) {
  using Vec = Vectorized<C>;
  if constexpr (std::is_same_v<G, C> && std::is_same_v<S, C>) {
    const bool dense = (g.data == nullptr || g.row_stride == n) && h.row_stride == n && ldc == n &&
                       sum.row_stride == n;
    if (dense) {  // one row, so that fewer vectors are used in part
      n *= m;
      m = 1;
    }
  }
  with_activation(activation, [&](auto constant) {
    C gradients[kPanelColumns], states[kPanelColumns];
    for (int64_t i = 0; i < m; ++i) {
      const C* gradient =
          g.data != nullptr ? as_compute(g.data + i * g.row_stride, n, gradients) : nullptr;
      const C* state = as_compute(h.data + i * h.row_stride, n, states);
      C* row = c + i * ldc;
      C* total = sum.data + i * sum.row_stride;
      for (int64_t j = 0; j < n; j += Vec::size()) {
        Vec error = c_is_zero ? Vec(C(0)) : load(row + j, n - j);
        if (gradient != nullptr) error = error + load(gradient + j, n - j);
        error = scale_by_derivative<decltype(constant)::value>(load(state + j, n - j), error);
        store(error, row + j, n - j);
        if (accumulate) error = error + load(total + j, n - j);
        store(error, total + j, n - j);
      }
    }
  });
}

template <typename C>
constexpr MathKernels<C> kMath = {kMaxVectors<C>* Vectorized<C>::size(), by_columns<C, GemmColumns>,
                                  by_columns<C, GemvColumns>, activate<C>, add_column_sums<C>};
template <typename S, typename C>
constexpr StorageKernels<S, C> kStorage = {load_rows<S, C>, load_transposed<S, C>, store_rows<S, C>,
                                           add_rows<S, C>,  scale_rows<S, C>,      delta<S, S, C>,
                                           delta<C, S, C>};

}  // namespace

const KernelTables& kernel_tables() {
  static constexpr KernelTables kTables = {kMath<float>,
                                           kMath<double>,
                                           kStorage<float, float>,
                                           kStorage<double, double>,
                                           kStorage<c10::BFloat16, float>,
                                           kStorage<c10::Half, float>};
  return kTables;
}

}  // namespace CPU_CAPABILITY
}  // namespace elman::cpu
