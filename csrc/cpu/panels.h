#pragma once

#include <algorithm>
#include <cstdint>

#include "cpu/schedule.h"
#include "cpu/vec/kernels.h"

namespace elman::cpu {

/// Calls run(first column, columns) for the pieces of `width` columns that `columns` columns fall
/// into.
template <typename Run>
void for_panels(int64_t columns, const Run& run, int64_t width = kPanelColumns) {
  for (int64_t j = 0; j < columns; j += width) run(j, std::min(width, columns - j));
}

/// The same for the columns [first, end), or `backwards`, from the last ones to the first.
template <typename Run>
void for_panels(int64_t first, int64_t end, const Run& run, bool backwards = false) {
  const int64_t panels = ceil_div(end - first, kPanelColumns);
  for (int64_t i = 0; i < panels; ++i) {
    const int64_t j = first + (backwards ? panels - 1 - i : i) * kPanelColumns;
    run(j, std::min(kPanelColumns, end - j));
  }
}

}  // namespace elman::cpu
