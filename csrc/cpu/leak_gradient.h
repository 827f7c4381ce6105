#pragma once

#include <algorithm>
#include <vector>

#include "cpu/schedule.h"
#include "cpu/tasks.h"
#include "cpu/vec/kernels.h"
#include "cpu/weight_gradients.h"

namespace elman::cpu {

/// gradient[H] = sum over rows of errors[rows, H] * (drive[rows, H] - before[rows, H]), where
/// `before` is given in segments, zero where these are absent or reset. Summed in an order that
/// does not depend on threads.
template <typename S>
void leak_gradient(int64_t hidden, Rows<const compute_t<S>> errors, Rows<const S> drive,
                   const std::vector<RowSegment<S>>& before, compute_t<S>* gradient) {
  using C = compute_t<S>;
  constexpr int64_t kRows = 32;
  int64_t rows = 0;
  for (const RowSegment<S>& segment : before) rows += segment.count;
  parallel_tasks(ceil_div(hidden, kPanelColumns), 8.0 * rows * hidden, [&](int64_t panel) {
    const int64_t j = panel * kPanelColumns, columns = std::min(kPanelColumns, hidden - j);
    const auto load = [&](int64_t count, Rows<const S> from, int64_t row, C* to) {
      storage_kernels<S, C>().load(count, columns, columns,
                                   {from.data + row * from.row_stride + j, from.row_stride}, to,
                                   columns);
    };
    C pull[kRows * kPanelColumns], entered[kRows * kPanelColumns], sum[kPanelColumns] = {};
    int64_t row = 0;  // of all
    const auto add = [&](const RowSegment<S>& segment, int64_t first, int64_t count) {
      load(count, drive, row, pull);
      if (segment.x.data != nullptr) load(count, segment.x, first, entered);
      for (int64_t i = 0; i < count; ++i) {
        C* const to = pull + i * columns;
        const bool is_reset = segment.reset != nullptr && segment.reset[first + i];
        if (segment.x.data != nullptr && !is_reset) {
          for (int64_t k = 0; k < columns; ++k) to[k] -= entered[i * columns + k];
        }
        const C* const error = errors.data + (row + i) * errors.row_stride + j;
        for (int64_t k = 0; k < columns; ++k) to[k] *= error[k];
      }
      math_kernels<C>().add_column_sums(count, columns, pull, columns, sum);
      row += count;
    };
    for (const RowSegment<S>& segment : before) {
      for (int64_t first = 0; first < segment.count; first += kRows)
        add(segment, first, std::min(kRows, segment.count - first));
    }
    std::copy_n(sum, columns, gradient + j);
  });
}

}  // namespace elman::cpu
