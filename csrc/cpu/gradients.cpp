#include "cpu/gradients.h"

#include <algorithm>

#include "cpu/buffer.h"
#include "cpu/factors.h"
#include "cpu/panels.h"
#include "cpu/schedule.h"
#include "cpu/tasks.h"
#include "cpu/vec/kernels.h"

namespace elman::cpu {

template <typename S>
void bias_gradient(int64_t rows, int64_t hidden, Rows<const compute_t<S>> delta, S* first,
                   S* second) {
  using C = compute_t<S>;
  parallel_tasks(ceil_div(hidden, kPanelColumns), 2.0 * rows * hidden, [&](int64_t panel) {
    const int64_t j = panel * kPanelColumns, columns = std::min(kPanelColumns, hidden - j);
    C sum[kPanelColumns] = {};
    math_kernels<C>().add_column_sums(rows, columns, delta.data + j, delta.row_stride, sum);
    for (S* gradient : {first, second}) {
      if (gradient != nullptr)
        storage_kernels<S, C>().store(1, columns, sum, columns, {gradient + j, columns});
    }
  });
}

template <typename S, typename P, typename Out>
void input_gradient(int64_t rows, const std::vector<InputGradientTerm<S, P>>& terms, const S* mask,
                    Out* out, bool in_place, P* room) {
  using C = compute_t<S>;
  constexpr int64_t kRows = 96;
  constexpr bool kSameType = std::is_same_v<Out, C>, kRounds = !std::is_same_v<P, C>;
  const int64_t hidden = terms[0].weight->rows(), n = terms[0].weight->columns();
  const double flops = 2.0 * rows * hidden * n * terms.size();
  parallel_tasks(ceil_div(rows, kRows), flops, [&](int64_t block) {
    const int64_t row = block * kRows, count = std::min(kRows, rows - row);
    // The rows are computed where they go, or a block of columns at a time, or all before the first
    // one is overwritten.
    const bool direct = kSameType && !in_place;
    const Buffer<C> scratch(direct ? 0 : count * (in_place ? n : kPanelColumns));
    const Buffer<P> own_room(kRounds && room == nullptr ? terms.size() * count * hidden : 0);
    P* const factors = room != nullptr ? room + terms.size() * row * hidden : own_room.get();
    const auto left = [&](size_t i) -> StridedMatrix<P> {
      const Rows<const C>& delta = terms[i].delta;
      if constexpr (kRounds) {
        return {factors + i * count * hidden, hidden, 1};
      } else {
        return {delta.data + row * delta.row_stride, delta.row_stride, 1};
      }
    };
    if constexpr (kRounds) {
      for (size_t i = 0; i < terms.size(); ++i) {
        const Rows<const C>& delta = terms[i].delta;
        storage_kernels<P, C>().store(count, hidden, delta.data + row * delta.row_stride,
                                      delta.row_stride, {factors + i * count * hidden, hidden});
      }
    }
    for_panels(n, [&](int64_t j, int64_t columns) {
      C* c = in_place ? scratch.get() + j : scratch.get();
      int64_t ldc = in_place ? n : columns;
      if constexpr (kSameType) {
        if (direct) {
          c = out + row * n + j;
          ldc = n;
        }
      }
      for (size_t i = 0; i < terms.size(); ++i)
        multiply_columns(product_kernels<P>().gemm, count, left(i), *terms[i].weight, j, columns, c,
                         ldc, i > 0);
      if (mask != nullptr)
        storage_kernels<S, C>().scale(count, columns, {mask + row * n + j, n}, c, ldc);
      if (!direct && !in_place)
        storage_kernels<Out, C>().store(count, columns, c, ldc, {out + row * n + j, n});
    });
    if constexpr (kSameType) {
      if (in_place) std::copy_n(scratch.get(), count * n, out + row * n);
    }
  });
}

#define ELMAN_INSTANTIATE(S, P)                                                            \
  template void input_gradient<S, P>(int64_t, const std::vector<InputGradientTerm<S, P>>&, \
                                     const S*, S*, bool, P*);
ELMAN_FOR_STORAGE_AND_FACTORS(ELMAN_INSTANTIATE)
#undef ELMAN_INSTANTIATE
#define ELMAN_INSTANTIATE(S, P)                                                            \
  template void input_gradient<S, P>(int64_t, const std::vector<InputGradientTerm<S, P>>&, \
                                     const S*, float*, bool, P*)
ELMAN_INSTANTIATE(c10::BFloat16, float);
ELMAN_INSTANTIATE(c10::BFloat16, c10::BFloat16);
ELMAN_INSTANTIATE(c10::Half, float);
#undef ELMAN_INSTANTIATE
#define ELMAN_INSTANTIATE(S) \
  template void bias_gradient(int64_t, int64_t, Rows<const compute_t<S>>, S*, S*)
ELMAN_INSTANTIATE(double);
ELMAN_INSTANTIATE(float);
ELMAN_INSTANTIATE(c10::BFloat16);
ELMAN_INSTANTIATE(c10::Half);
#undef ELMAN_INSTANTIATE

}  // namespace elman::cpu
