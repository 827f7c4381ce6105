#pragma once

#include <algorithm>
#include <cmath>
#include <vector>

#include "cpu/buffer.h"
#include "cpu/factors.h"
#include "cpu/panels.h"
#include "cpu/right_factor.h"
#include "cpu/row_block.h"
#include "cpu/sweep.h"
#include "cpu/team.h"
#include "cpu/vec/kernels.h"

namespace elman::cpu {

/// A block of rows that runs through the lags together: the windows [m0, m1) of some batch rows,
/// row (m - m0) * width + (b - b0). It holds the current delta of each cell, in the cache of one
/// core, and with a leak what goes on beside it.
template <typename S, typename P>
class SweepRows {
 public:
  using C = compute_t<S>;
  using Cell = SweepCell<S, P>;
  using Cells = std::vector<Cell>;

  SweepRows(const StackShape& shape, const Windows& windows, const Cells& cells, int64_t m0,
            int64_t m1, BatchRange range, bool keep_norms = false)
      : shape_(shape),
        windows_(windows),
        m0_(m0),
        m1_(m1),
        range_(range),
        hidden_(shape.hidden_size),
        features_(shape.features()),
        slot_((m1 - m0) * range.size() * hidden_),
        deltas_(2 * num_cells(cells) * slot_),
        factors_(kRounds ? 2 * num_cells(cells) * slot_ : 0),
        leaked_(cells[0].leak != nullptr ? num_cells(cells) * slot_ : 0),
        norms_(keep_norms ? num_cells(cells) * (m1 - m0) * range.size() : 0) {
    // A window that has not begun (its nominal end lies beyond the sequence) has no error yet.
    std::fill_n(deltas_.get(), 2 * num_cells(cells) * slot_, C(0));
    if constexpr (kRounds) std::fill_n(factors_.get(), 2 * num_cells(cells) * slot_, P(0));
    if (leaked_.get() != nullptr) std::fill_n(leaked_.get(), num_cells(cells) * slot_, C(0));
  }

  /// Takes the block's windows through all lags, as a member of a team.
  void run(const Cells& cells, Member member) const {
    bool stays = true;
    for (int64_t j = 0; j < windows_.k2 && stays; ++j) stays = step(cells, j, member);
  }

  /// Takes the block's windows through lag j in all `cells`, which come from the top down, in the
  /// columns of `member`. Returns whether it stays in the team.
  bool step(const Cells& cells, int64_t j, Member& member) const {
    const Active active = active_at(j, cells[0].reverse);
    for (size_t i = 0; i < cells.size() && active.count() > 0; ++i) {
      step_cell(cells, i, j, active, member);
      if (!member.meet(hidden_)) return false;
    }
    if (j + 1 == windows_.k2) return true;
    if (cells[0].reset == nullptr && cells[0].carry_scale == nullptr) return true;
    for (size_t i = 0; i < cells.size(); ++i) gate(cells[i], i, j + 1, member);
    return member.meet(hidden_);
  }

  /// sums[cells, B] += the norms of the deltas made by the step at lag j, window after window.
  void add_norms(int64_t num_cells, int64_t j, double* sums) const {
    const Active active = active_at(j, /*reverse=*/false);
    for (int64_t cell = 0; cell < num_cells; ++cell) {
      for (int64_t m = active.first; m < active.end; ++m) {
        for (int64_t i = 0; i < range_.size(); ++i)
          sums[cell * shape_.batch + range_.first + i] += norm(cell, m)[i];
      }
    }
  }

 private:
  static constexpr bool kRounds = !std::is_same_v<P, C>;

  static int64_t num_cells(const Cells& cells) { return static_cast<int64_t>(cells.size()); }

  /// The windows that have a step at some lag.
  struct Active {
    int64_t first, end;
    int64_t count() const { return end - first; }
  };
  Active active_at(int64_t j, bool reverse) const {
    if (range_.size() == 0) return {0, 0};
    return {std::max(m0_, windows_.first_active(j, reverse)),
            std::min(m1_, windows_.end_active(j, reverse))};
  }

  /// A cell's deltas at lag j, from whose memory those of lag j - 2 have gone.
  C* at_lag(int64_t cell, int64_t j) const { return deltas_.get() + (2 * cell + (j & 1)) * slot_; }
  /// The same deltas as factors of products.
  P* factors_at_lag(int64_t cell, int64_t j) const {
    if constexpr (kRounds) {
      return factors_.get() + (2 * cell + (j & 1)) * slot_;
    } else {
      return at_lag(cell, j);
    }
  }
  /// With a leak: what goes to a cell's state before the last step beside that step's delta.
  C* leaked(int64_t cell) const { return leaked_.get() + cell * slot_; }
  /// The first of window m's rows, in elements.
  int64_t place(int64_t m) const { return (m - m0_) * range_.size() * hidden_; }
  double* norm(int64_t cell, int64_t m) const {
    return norms_.get() + (cell * (m1_ - m0_) + m - m0_) * range_.size();
  }

  void step_cell(const Cells& cells, int64_t index, int64_t j, const Active& active,
                 const Member& member) const {
    const Cell& cell = cells[index];
    C* const c = at_lag(index, j);
    const auto panel = [&](int64_t column, int64_t columns) {
      const Block block{j, active, column, columns};
      bool is_zero = true;
      if (cell.upper_weight_ih != nullptr) {
        multiply(block, cell, factors_at_lag(index - 1, j), *cell.upper_weight_ih, c, false);
        if (cell.mask != nullptr) scale_by_mask(block, cell, c);
        is_zero = false;
      }
      if (j > 0) {
        multiply(block, cell, factors_at_lag(index, j - 1), *cell.weight_hh, c, !is_zero);
        is_zero = false;
      }
      if (cell.leak != nullptr) {
        add_leaky_errors(block, cell, index, is_zero);
      } else {
        add_errors(block, cell, c, factors_at_lag(index, j), is_zero);
      }
    };
    for_panels(member.first, member.end, panel,
               cell.weight_hh->backwards(j, active.count() * range_.size()));
    if (norms_.get() != nullptr) keep_norms(index, j, active);
  }

  /// The columns [column, column + columns) of the windows active at lag j.
  struct Block {
    int64_t j;
    const Active& active;
    int64_t column, columns;
  };

  /// What of the deltas at the lag before, and of what goes on beside them, passes the border to
  /// the step at lag j: nothing where the border is reset, so that NaN ends there too, or a part.
  /// Steps without either are not touched.
  void gate(const Cell& cell, int64_t index, int64_t j, const Member& member) const {
    C* const deltas = at_lag(index, j - 1);
    const auto changed = [&](int64_t at) {
      if constexpr (kRounds)
        storage_kernels<P, C>().store(1, member.end - member.first, deltas + at + member.first,
                                      hidden_,
                                      {factors_at_lag(index, j - 1) + at + member.first, hidden_});
    };
    const Active active = active_at(j, cell.reverse);
    for (int64_t m = active.first; m < active.end; ++m) {
      const int64_t t = windows_.step(m, j, cell.reverse);
      const int64_t border = cell.reverse ? t : t + 1;
      const int64_t count = range_.alive(shape_, border);
      if (count == 0) continue;
      const int64_t row = range_.row(shape_, border);
      for (int64_t i = 0; i < count; ++i) {
        const bool is_reset = cell.reset != nullptr && cell.reset[row + i];
        const C scale = cell.carry_scale != nullptr ? cell.carry_scale[row + i] : C(1);
        if (!is_reset && scale == C(1)) continue;
        const int64_t at = place(m) + i * hidden_;
        for (C* const values : {deltas, cell.leak != nullptr ? leaked(index) : nullptr}) {
          if (values == nullptr) continue;
          for (int64_t k = member.first; k < member.end; ++k)
            values[at + k] = is_reset ? C(0) : values[at + k] * scale;
        }
        changed(at);
      }
    }
  }

  /// A block of c (+)= a weight, for the rows that have the step. Windows that have all rows go
  /// into one product.
  void multiply(const Block& block, const Cell& cell, const P* a, const RightFactor<S, P>& weight,
                C* c, bool accumulate) const {
    const int64_t width = range_.size(), end = block.active.end, column = block.column;
    const auto step = [&](int64_t m) { return windows_.step(m, block.j, cell.reverse); };
    for (int64_t m = block.active.first, next; m < end; m = next) {
      next = m + 1;
      int64_t rows = range_.alive(shape_, step(m));
      if (!shape_.packed()) {
        next = end;
      } else if (rows == width) {
        while (next < end && range_.alive(shape_, step(next)) == width) ++next;
      }
      if (rows == width) rows *= next - m;
      const int64_t problem_rows =
          windows_.count == 1 ? shape_.batch_at(step(m)) : windows_.count * shape_.batch;
      multiply_columns(product_kernels<P>().for_problem(problem_rows, hidden_), rows,
                       {a + place(m), hidden_, 1}, weight, column, block.columns,
                       c + place(m) + column, hidden_, accumulate);
    }
  }

  /// Rows of active windows that lie evenly in memory.
  struct Run {
    int64_t m, windows;  ///< the first window, and how many
    int64_t count;       ///< rows of each window
    int64_t t;           ///< the first window's step
    int64_t row;         ///< where its first row stands in [T, B]
    int64_t row_stride;  ///< distance to the next row in [T, B]
    int64_t rows() const { return windows * count; }
  };

  /// Calls run(Run): with one batch row for all windows at once (they are k1 steps apart), else for
  /// each window by itself.
  template <typename Function>
  void for_runs(const Block& block, bool reverse, const Function& run) const {
    const auto [first, end] = block.active;
    if (range_.size() == 1 && !shape_.packed()) {
      const int64_t t = windows_.step(first, block.j, reverse);
      run(Run{first, end - first, 1, t, range_.row(shape_, t), windows_.k1 * shape_.batch});
      return;
    }
    for (int64_t m = first; m < end; ++m) {
      const int64_t t = windows_.step(m, block.j, reverse), count = range_.alive(shape_, t);
      if (count > 0) run(Run{m, 1, count, t, range_.row(shape_, t), 1});
    }
  }

  void scale_by_mask(const Block& block, const Cell& cell, C* c) const {
    for_runs(block, cell.reverse, [&](const Run& run) {
      storage_kernels<S, C>().scale(
          run.rows(), block.columns,
          {cell.mask + run.row * features_ + block.column, run.row_stride * features_},
          c + place(run.m) + block.column, hidden_);
    });
  }

  /// The epilogue of a step: the gradients that arrive from outside, f', the sum over the windows,
  /// and delta as factors.
  void add_errors(const Block& block, const Cell& cell, C* deltas, P* factors, bool is_zero) const {
    const auto& kernels = storage_kernels<S, C>();
    const int64_t column = block.column, columns = block.columns;
    const bool owned = block.j < windows_.k1;  // else another window owns these steps' losses
    const bool accumulate = !windows_.disjoint();
    for_runs(block, cell.reverse, [&](const Run& run) {
      C* const c = deltas + place(run.m) + column;
      Rows<S> rounded{nullptr, hidden_};
      if constexpr (kRounds) rounded.data = factors + place(run.m) + column;
      bool c_is_zero = is_zero;
      if (owned && cell.grad_h_n != nullptr && add_final(block, cell, run, c, is_zero))
        c_is_zero = false;
      const int64_t row_stride = run.row_stride * features_;
      const int64_t place = run.row * features_ + column;  // in everything of D * H columns
      const Rows<C> sum{cell.delta + place, row_stride};
      if (owned && cell.grad_h != nullptr) {
        kernels.delta_of_computed(shape_.activation, run.rows(), columns, c_is_zero,
                                  {cell.grad_h + place, row_stride}, {cell.h + place, row_stride},
                                  c, hidden_, sum, accumulate, rounded);
      } else {
        const bool has_gradient = owned && cell.grad_output != nullptr;
        kernels.delta(shape_.activation, run.rows(), columns, c_is_zero,
                      {has_gradient ? cell.grad_output + place : nullptr, row_stride},
                      {cell.h + place, row_stride}, c, hidden_, sum, accumulate, rounded);
      }
    });
  }

  /// The same for a cell with a leak. The gradient of h_n arrives at the state itself, as what goes
  /// on beside delta does.
  void add_leaky_errors(const Block& block, const Cell& cell, int64_t index, bool is_zero) const {
    const int64_t column = block.column, columns = block.columns;
    const bool owned = block.j < windows_.k1;
    for_runs(block, cell.reverse, [&](const Run& run) {
      const int64_t at = place(run.m) + column;
      C* const carried = leaked(index) + at;
      if (owned && cell.grad_h_n != nullptr)
        add_final(block, cell, run, carried, /*is_zero=*/false);
      const int64_t row_stride = run.row_stride * features_;
      const int64_t place = run.row * features_ + column;  // in everything of D * H columns
      const auto rows = [&](auto* data) {
        using Row = Rows<std::remove_pointer_t<decltype(data)>>;
        return Row{data != nullptr ? data + place : nullptr, row_stride};
      };
      const auto step = [&](auto g) {
        using G = std::remove_const_t<std::remove_pointer_t<decltype(g.data)>>;
        Rows<S> rounded{nullptr, hidden_};
        if constexpr (kRounds) rounded.data = factors_at_lag(index, block.j) + at;
        return LeakyDelta<G, S, C>{shape_.leak_form,
                                   shape_.activation,
                                   run.rows(),
                                   columns,
                                   is_zero,
                                   at_lag(index, block.j) + at,
                                   hidden_,
                                   g,
                                   rows(cell.h),
                                   cell.leak + column,
                                   {carried, hidden_},
                                   rows(cell.delta),
                                   rows(cell.errors),
                                   !windows_.disjoint(),
                                   rounded};
      };
      const auto& kernels = storage_kernels<S, C>();
      if (owned && cell.grad_h != nullptr) {
        kernels.leaky_delta_of_computed(step(rows(cell.grad_h)));
      } else {
        kernels.leaky_delta(step(rows(owned ? cell.grad_output : nullptr)));
      }
    });
  }

  /// Adds the gradient of h_n to the rows of `run` whose last state is made at its step; says
  /// whether there are any.
  bool add_final(const Block& block, const Cell& cell, const Run& run, C* c, bool is_zero) const {
    // Of several windows the last one holds the last step (the first one, in reverse).
    const int64_t window = cell.reverse ? 0 : run.windows - 1;
    const int64_t t = run.t + window * windows_.k1;
    const int64_t first = range_.first_final(shape_, t, cell.reverse);
    const int64_t count = range_.alive(shape_, t) - first;
    if (count <= 0) return false;
    if (is_zero) {
      for (int64_t i = 0; i < run.rows(); ++i) std::fill_n(c + i * hidden_, block.columns, C(0));
    }
    storage_kernels<S, C>().add(
        count, block.columns,
        {cell.grad_h_n + (range_.first + first) * hidden_ + block.column, hidden_},
        c + (window * run.count + first) * hidden_, hidden_);
    return true;
  }

  void keep_norms(int64_t index, int64_t j, const Active& active) const {
    for (int64_t m = active.first; m < active.end; ++m) {
      const int64_t count = range_.alive(shape_, windows_.step(m, j, /*reverse=*/false));
      const C* delta = at_lag(index, j) + place(m);
      for (int64_t i = 0; i < range_.size(); ++i, delta += hidden_)
        norm(index, m)[i] = i < count ? l2_norm(delta) : 0;
    }
  }

  double l2_norm(const C* row) const {
    double sums[4] = {};  // one chain of additions would take their latency for each element
    const auto add = [&](double& sum, C value) {
      sum += static_cast<double>(value) * static_cast<double>(value);
    };
    int64_t k = 0;
    for (; k + 4 <= hidden_; k += 4) {
      for (int i = 0; i < 4; ++i) add(sums[i], row[k + i]);
    }
    for (; k < hidden_; ++k) add(sums[0], row[k]);
    return std::sqrt((sums[0] + sums[1]) + (sums[2] + sums[3]));
  }

  const StackShape& shape_;
  const Windows& windows_;
  const int64_t m0_, m1_;
  const BatchRange range_;
  const int64_t hidden_, features_;
  const int64_t slot_;
  Buffer<C> deltas_;      ///< [cells, 2, rows, H]: delta at this lag and at the next, by turns
  Buffer<P> factors_;     ///< the same, rounded, if the products' factors are not computed values
  Buffer<C> leaked_;      ///< [cells, rows, H] with a leak
  Buffer<double> norms_;  ///< [cells, rows] of the last step's deltas, if they are kept
};

}  // namespace elman::cpu
