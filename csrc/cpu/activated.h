#pragma once

#include <algorithm>

#include "cpu/panels.h"
#include "cpu/vec/kernels.h"
#include "stack.h"

namespace elman::cpu {

/// to[rows, n] = f(states), rounded to S, as factors of type P: what W_h reads of states in the
/// current form. states: [rows, n]; absent: zeros.
template <typename S, typename P>
void load_activated(Activation f, int64_t rows, int64_t n, Rows<const S> states, P* to) {
  using C = compute_t<S>;
  const auto& kernels = storage_kernels<S, C>();
  C values[kPanelColumns];
  S rounded[kPanelColumns];
  for (int64_t i = 0; i < rows; ++i) {
    for_panels(n, [&](int64_t j, int64_t columns) {
      if (states.data == nullptr) {
        std::fill_n(values, columns, C(0));
      } else {
        kernels.load(1, columns, columns, {states.data + i * states.row_stride + j, columns},
                     values, columns);
      }
      kernels.activate(f, 1, columns, {nullptr, 0}, values, columns, {rounded, columns},
                       /*take_back=*/true);
      P* const row = to + i * n + j;
      if constexpr (std::is_same_v<P, S>) {
        std::copy_n(rounded, columns, row);
      } else {
        static_assert(std::is_same_v<P, C>);
        std::copy_n(values, columns, row);
      }
    });
  }
}

/// What W_h reads of a cell's state where that is zero: f(0) in the current form, else zero.
template <typename S>
S read_of_zero(const StackShape& shape, bool leaky) {
  S value(0);
  if (leaky && shape.leak_form == LeakForm::kCurrent)
    load_activated<S, S>(shape.activation, 1, 1, {nullptr, 0}, &value);
  return value;
}

}  // namespace elman::cpu
