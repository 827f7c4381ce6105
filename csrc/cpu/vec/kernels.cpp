// Compiled once for each instruction set, with ATen's own macros: CPU_CAPABILITY (DEFAULT, AVX2,
// AVX512) names the namespace.
#include "cpu/vec/kernels.h"

#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

#include <algorithm>
#include <type_traits>

#include "cpu/vec/activate.h"
#include "cpu/vec/dot_products.h"
#include "cpu/vec/leaky.h"
#include "cpu/vec/load_store.h"
#include "cpu/vec/product.h"
#include "cpu/vec/tables.h"
#include "cpu/vec/vec_lanes.h"

namespace elman::cpu {
namespace CPU_CAPABILITY {
namespace {

/// h[m, n] = f(c + bias); c is undefined afterwards, or with `take_back` what h holds.
template <typename S, typename C>
void activate(Activation activation, int64_t m, int64_t n, Rows<const C> bias, C* c, int64_t ldc,
              Rows<S> h, bool take_back) {
  using Vec = Vectorized<C>;
  if (ldc == n && is_dense(n, bias) && is_dense(n, h)) {
    n *= m;
    m = 1;
  }
  with_activation(activation, [&](auto constant) {
    for (int64_t i = 0; i < m; ++i) {
      const C* const row_bias = bias.data != nullptr ? bias.data + i * bias.row_stride : nullptr;
      C* const row = c + i * ldc;
      S* const state = h.data + i * h.row_stride;
      for_two<C>(n, [&](int64_t j) {
        auto values = load_two<C>(row + j, n - j);
        if (row_bias != nullptr)
          values = values.map([](const Vec& a, const Vec& b) { return a + b; },
                              load_two<C>(row_bias + j, n - j));
        values = values.map([](const Vec& a) { return apply<decltype(constant)::value, S>(a); });
        if (take_back) {
          store_two(store_and_round(values, state + j), row + j);
        } else {
          store_two(values, state + j);
        }
      });
    }
  });
}

/// sum plus the sum over m rows of what `load` makes of each: a vector or a number. In chains: one
/// would take an addition's latency for each row.
template <typename Value, typename C, typename Load>
inline Value column_sums(int64_t m, const C* a, int64_t lda, Value sum, const Load& load) {
  constexpr int kChains = 4;
  Value sums[kChains] = {sum, Value(C(0)), Value(C(0)), Value(C(0))};
  int64_t i = 0;
  for (; i + kChains <= m; i += kChains) {
#pragma GCC unroll 4
    for (int chain = 0; chain < kChains; ++chain, a += lda) sums[chain] = sums[chain] + load(a);
  }
  for (; i < m; ++i, a += lda) sums[0] = sums[0] + load(a);
  return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

template <typename C>
void add_column_sums(int64_t m, int64_t n, const C* a, int64_t lda, C* out) {
  using Vec = Vectorized<C>;
  int64_t j = 0;
  for (; j + Vec::size() <= n; j += Vec::size())
    column_sums(m, a + j, lda, Vec::loadu(out + j), [](const C* row) {
      return Vec::loadu(row);
    }).store(out + j);
  for (; j < n; ++j) out[j] = column_sums(m, a + j, lda, out[j], [](const C* row) { return *row; });
}

/// to[n] = from[n], converted.
template <typename C, typename S>
inline void load_row(int64_t n, const S* from, C* to) {
  if constexpr (std::is_same_v<S, C>) {
    copy_row(n, from, to);
  } else {
    for_two<C>(n, [&](int64_t j) { store_two(load_two<C>(from + j, n - j), to + j); });
  }
}

template <typename S, typename C>
void load_rows(int64_t m, int64_t n, int64_t padded_n, Rows<const S> from, C* to, int64_t ldt) {
  if (n == padded_n && ldt == n && is_dense(n, from)) {
    n = padded_n = n * m;
    m = 1;
  }
  if constexpr (std::is_same_v<S, C>) {
    if (are_narrow<C>(m, n)) {
      if (padded_n == n) return copy_narrow_rows(m, n, from, to, ldt, [](C*) {});
      if (padded_n == kNarrowRow) {
        return copy_narrow_rows(m, n, from, to, ldt,
                                [](C* row) { __builtin_memset(row, 0, kNarrowRow * sizeof(C)); });
      }
    }
  }
  for (int64_t i = 0; i < m; ++i) {
    C* row = to + i * ldt;
    const S* source = from.data + i * from.row_stride;
    load_row(n, source, row);
    fill_zeros(padded_n - n, row + n);
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
  if (ldf == n && is_dense(n, to)) {
    n *= m;
    m = 1;
  }
  if constexpr (std::is_same_v<S, C>) {
    if (are_narrow<C>(m, n))
      return copy_narrow_rows(m, n, Rows<const C>{from, ldf}, to.data, to.row_stride, [](C*) {});
  }
  for (int64_t i = 0; i < m; ++i) {
    S* row = to.data + i * to.row_stride;
    if constexpr (std::is_same_v<S, C>) {
      copy_row(n, from + i * ldf, row);
    } else {
      for_two<C>(n, [&](int64_t j) { store_two(load_two<C>(from + i * ldf + j, n - j), row + j); });
    }
  }
}

/// c = combine(c, with) element by element.
template <typename S, typename C, typename Combine>
void combine_rows(int64_t m, int64_t n, Rows<const S> with, C* c, int64_t ldc,
                  const Combine& combine) {
  for (int64_t i = 0; i < m; ++i) {
    const S* const other = with.data + i * with.row_stride;
    C* const row = c + i * ldc;
    for_two<C>(n, [&](int64_t j) {
      store_two(load_two<C>(row + j, n - j).map(combine, load_two<C>(other + j, n - j)), row + j);
    });
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
           Rows<const S> h, C* c, int64_t ldc, Rows<C> sum, bool accumulate, Rows<S> rounded) {
  using Vec = Vectorized<C>;
  if (ldc == n && is_dense(n, g) && is_dense(n, h) && is_dense(n, sum) && is_dense(n, rounded)) {
    n *= m;
    m = 1;
  }
  const auto add = [](const Vec& a, const Vec& b) { return a + b; };
  with_activation(activation, [&](auto constant) {
    const auto scale = [](const Vec& error, const Vec& state) {
      return scale_by_derivative<decltype(constant)::value>(state, error);
    };
    for (int64_t i = 0; i < m; ++i) {
      const G* const gradient = g.data != nullptr ? g.data + i * g.row_stride : nullptr;
      const S* const state = h.data + i * h.row_stride;
      S* const factors = rounded.data != nullptr ? rounded.data + i * rounded.row_stride : nullptr;
      C* const row = c + i * ldc;
      C* const total = sum.data + i * sum.row_stride;
      for_two<C>(n, [&](int64_t j) {
        TwoVectors<C> error;
        if (c_is_zero && gradient == nullptr) {
          error = {Vec(C(0)), Vec(C(0)), std::min(n - j, TwoVectors<C>::kSize)};
        } else if (c_is_zero) {
          error = load_two<C>(gradient + j, n - j);
        } else {
          error = load_two<C>(row + j, n - j);
          if (gradient != nullptr) error = error.map(add, load_two<C>(gradient + j, n - j));
        }
        error = error.map(scale, load_two<C>(state + j, n - j));
        store_two(error, row + j);
        if (factors != nullptr) store_two(error, factors + j);
        if (accumulate) error = error.map(add, load_two<C>(total + j, n - j));
        store_two(error, total + j);
      });
    }
  });
}

template <typename C>
constexpr ProductKernels<C> kProducts = {VecLanes<C>::kMaxVectors* VecLanes<C>::kSize,
                                         PanelProduct<VecLanes<C>>::gemm,
                                         PanelProduct<VecLanes<C>>::gemm,
                                         /*small_work=*/0,
                                         PanelProduct<VecLanes<C>>::gemv,
                                         /*interleave=*/nullptr};
template <typename C>
constexpr MathKernels<C> kMath = {add_column_sums<C>};
template <typename S, typename C>
constexpr StorageKernels<S, C> kStorage = {
    load_rows<S, C>, load_transposed<S, C>, store_rows<S, C>,     dot<S, C>,
    add_rows<S, C>,  scale_rows<S, C>,      activate<S, C>,       delta<S, S, C>,
    delta<C, S, C>,  leaky_activate<S, C>,  leaky_delta<S, S, C>, leaky_delta<C, S, C>};

}  // namespace

const KernelTables& kernel_tables() {
  static constexpr KernelTables kTables = {kProducts<float>,
                                           kProducts<double>,
                                           kMath<float>,
                                           kMath<double>,
                                           kStorage<float, float>,
                                           kStorage<double, double>,
                                           kStorage<c10::BFloat16, float>,
                                           kStorage<c10::Half, float>};
  return kTables;
}

}  // namespace CPU_CAPABILITY
}  // namespace elman::cpu
