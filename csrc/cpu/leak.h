#pragma once

#include <algorithm>

#include "cpu/buffer.h"
#include "cpu/forward_layer.h"
#include "cpu/row_block.h"
#include "cpu/team.h"
#include "cpu/vec/kernels.h"
#include "stack.h"

namespace elman::cpu {

/// The states that some rows of a leaky cell carry from step to step, in the type computed in. A
/// row begins with hx, wherever its sequence begins. All work is in a member's columns.
template <typename S, typename P>
class LeakyStates {
 public:
  using C = compute_t<S>;

  LeakyStates(const StackShape& shape, const ForwardCell<S, P>& cell, BatchRange range)
      : shape_(shape),
        cell_(cell),
        hidden_(shape.hidden_size),
        states_(cell.leak.get() != nullptr ? range.size() * hidden_ : 0) {
    if (cell.leak.get() == nullptr) return;
    if (cell.hx == nullptr) {
      std::fill_n(states_.get(), range.size() * hidden_, C(0));
    } else {
      storage_kernels<S, C>().load(range.size(), hidden_, hidden_,
                                   {cell.hx + range.first * hidden_, hidden_}, states_.get(),
                                   hidden_);
    }
  }

  /// Whether the cell has a leak.
  bool exist() const { return cell_.leak.get() != nullptr; }

  /// What enters a step, whose border before it has `reset`: [count], is zero where that says so.
  void reset(const Member& member, const uint8_t* reset, int64_t count) const {
    for (int64_t i = 0; i < count; ++i) {
      C* const row = states_.get() + i * hidden_;
      if (reset[i]) std::fill(row + member.first, row + member.end, C(0));
    }
  }

  /// Asks for the lines of the cache that a step's drive goes to: the step's product hides how long
  /// they take to come.
  void fetch(int64_t count, int64_t columns, Rows<S> drive) const {
    constexpr int64_t kLine = 64 / sizeof(S);
    for (int64_t i = 0; i < count; ++i) {
      S* const row = drive.data + i * drive.row_stride;
      for (int64_t j = 0; j < columns; j += kLine) __builtin_prefetch(row + j, /*rw=*/1);
    }
  }

  /// The step of `count` rows in the columns [j, j + columns); c, output and drive stand at j.
  void advance(int64_t count, int64_t j, int64_t columns, C* c, int64_t ldc, Rows<S> output,
               Rows<S> drive, bool take_back) const {
    const int64_t row_stride = cell_.bias_rows > 1 ? hidden_ : 0;
    const C* const bias = cell_.bias.get();
    storage_kernels<S, C>().leaky_activate({shape_.leak_form,
                                            shape_.activation,
                                            count,
                                            columns,
                                            c,
                                            ldc,
                                            {bias == nullptr ? nullptr : bias + j, row_stride},
                                            {cell_.leak.get() + j, row_stride},
                                            {states_.get() + j, hidden_},
                                            output,
                                            drive,
                                            take_back});
  }

  /// to[rows first ... end, H] = the states of these rows.
  void store(const Member& member, int64_t first, int64_t end, S* to) const {
    const int64_t at = first * hidden_ + member.first;
    storage_kernels<S, C>().store(end - first, member.end - member.first, states_.get() + at,
                                  hidden_, {to + at, hidden_});
  }

 private:
  const StackShape& shape_;
  const ForwardCell<S, P>& cell_;
  const int64_t hidden_;
  const Buffer<C> states_;  ///< [rows, H]
};

}  // namespace elman::cpu
