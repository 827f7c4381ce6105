#pragma once

#include <cmath>
#include <vector>

#include "cpu/common.h"
#include "cpu/packed.h"
#include "cpu/row_block.h"
#include "cpu/sweep.h"

namespace elman::cpu {

/// A block of rows that runs through the lags together: the windows [m0, m1) of some batch rows,
/// row (m - m0) * width + (b - b0). It holds the current delta of each cell, in the cache of one
/// core.
template <typename S>
class SweepRows {
 public:
  using C = compute_t<S>;
  using Cells = std::vector<SweepCell<S>>;

  SweepRows(const StackShape& shape, const Windows& windows, int64_t num_cells, int64_t m0,
            int64_t m1, BatchRange range, bool keep_norms = false)
      : shape_(shape),
        windows_(windows),
        m0_(m0),
        m1_(m1),
        range_(range),
        hidden_(shape.hidden_size),
        features_(shape.features()),
        slot_((m1 - m0) * range.size() * hidden_),
        deltas_(2 * num_cells * slot_),
        norms_(keep_norms ? num_cells * (m1 - m0) * range.size() : 0) {
    // A window that has not begun (its nominal end lies beyond the sequence) has no error yet.
    std::fill_n(deltas_.get(), 2 * num_cells * slot_, C(0));
  }

  /// Takes the block's windows through lag j in all `cells`, which come from the top down.
  void step(const Cells& cells, int64_t j) {
    first_ = std::max(m0_, windows_.first_active(j, cells[0].reverse));
    end_ = std::min(m1_, windows_.end_active(j, cells[0].reverse));
    if (first_ < end_ && range_.size() > 0) {
      for (size_t i = 0; i < cells.size(); ++i) step_cell(cells, i, j);
    }
    parity_ ^= 1;
  }

  /// sums[cells, B] += the norms of the deltas made by the last step, window after window.
  void add_norms(int64_t num_cells, double* sums) const {
    for (int64_t cell = 0; cell < num_cells; ++cell) {
      for (int64_t m = first_; m < end_; ++m) {
        for (int64_t i = 0; i < range_.size(); ++i)
          sums[cell * shape_.batch + range_.first + i] += norm(cell, m)[i];
      }
    }
  }

 private:
  C* current(int64_t cell) const { return deltas_.get() + (2 * cell + parity_) * slot_; }
  C* next(int64_t cell) const { return deltas_.get() + (2 * cell + (parity_ ^ 1)) * slot_; }
  /// The first of window m's rows, in elements.
  int64_t place(int64_t m) const { return (m - m0_) * range_.size() * hidden_; }
  double* norm(int64_t cell, int64_t m) const {
    return norms_.get() + (cell * (m1_ - m0_) + m - m0_) * range_.size();
  }

  void step_cell(const Cells& cells, int64_t index, int64_t j) const {
    const SweepCell<S>& cell = cells[index];
    C* const c = next(index);
    if (j > 0 && (cell.reset != nullptr || cell.carry_scale != nullptr))
      gate(cell, j, current(index));
    for_panels(hidden_, [&](int64_t column, int64_t columns) {
      bool is_zero = true;
      if (cell.upper_weight_ih != nullptr) {
        multiply(j, cell, next(index - 1), *cell.upper_weight_ih, column, c, false);
        if (cell.mask != nullptr) scale_by_mask(cell, j, c, column, columns);
        is_zero = false;
      }
      if (j > 0) {
        multiply(j, cell, current(index), *cell.weight_hh, column, c, !is_zero);
        is_zero = false;
      }
      add_errors(cell, j, c, column, columns, is_zero);
    });
    if (norms_.get() != nullptr) keep_norms(index, j);
  }

  /// What of the deltas at the lag before passes the border to the step at lag j: nothing where the
  /// border is reset, so that NaN ends there too, or a part. Steps without either are not touched.
  void gate(const SweepCell<S>& cell, int64_t j, C* deltas) const {
    for (int64_t m = first_; m < end_; ++m) {
      const int64_t t = windows_.step(m, j, cell.reverse);
      const int64_t border = cell.reverse ? t : t + 1;
      const int64_t count = range_.alive(shape_, border);
      if (count == 0) continue;
      const int64_t row = range_.row(shape_, border);
      C* const delta = deltas + place(m);
      for (int64_t i = 0; i < count; ++i) {
        if (cell.reset != nullptr && cell.reset[row + i]) {
          std::fill_n(delta + i * hidden_, hidden_, C(0));
        } else if (cell.carry_scale != nullptr && cell.carry_scale[row + i] != C(1)) {
          const C scale = cell.carry_scale[row + i];
          for (int64_t k = 0; k < hidden_; ++k) delta[i * hidden_ + k] *= scale;
        }
      }
    }
  }

  /// A panel of c (+)= a weight, for the active windows' rows that have the step at lag j. Windows
  /// that have all rows go into one product.
  void multiply(int64_t j, const SweepCell<S>& cell, const C* a, const PackedMatrix<C>& weight,
                int64_t column, C* c, bool accumulate) const {
    const int64_t width = range_.size();
    int64_t m = first_;
    while (m < end_) {
      const int64_t t = windows_.step(m, j, cell.reverse);
      int64_t rows = range_.alive(shape_, t), next = m + 1;
      if (!shape_.packed()) {
        next = end_;
        rows = (end_ - m) * width;
      } else if (rows == width) {
        while (next < end_ && range_.alive(shape_, windows_.step(next, j, cell.reverse)) == width)
          ++next;
        rows = (next - m) * width;
      }
      // The rows of a problem decide, not those of a block, so that blocks do not show in the
      // result.
      const bool single_row = windows_.count == 1 && shape_.batch_at(t) == 1;
      const auto& kernels = math_kernels<C>();
      multiply_columns(single_row ? kernels.gemv : kernels.gemm, rows, {a + place(m), hidden_, 1},
                       weight, column, std::min(kPanelColumns, hidden_ - column),
                       c + place(m) + column, hidden_, accumulate);
      m = next;
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
  void for_runs(int64_t j, bool reverse, const Function& run) const {
    if (range_.size() == 1 && !shape_.packed()) {
      const int64_t t = windows_.step(first_, j, reverse);
      run(Run{first_, end_ - first_, 1, t, range_.row(shape_, t), windows_.k1 * shape_.batch});
      return;
    }
    for (int64_t m = first_; m < end_; ++m) {
      const int64_t t = windows_.step(m, j, reverse), count = range_.alive(shape_, t);
      if (count > 0) run(Run{m, 1, count, t, range_.row(shape_, t), 1});
    }
  }

  void scale_by_mask(const SweepCell<S>& cell, int64_t j, C* c, int64_t column,
                     int64_t columns) const {
    for_runs(j, cell.reverse, [&](const Run& run) {
      storage_kernels<S, C>().scale(
          run.rows(), columns,
          {cell.mask + run.row * features_ + column, run.row_stride * features_},
          c + place(run.m) + column, hidden_);
    });
  }

  /// The epilogue of a step: the gradients that arrive from outside, f', and the sum over the
  /// windows.
  void add_errors(const SweepCell<S>& cell, int64_t j, C* c, int64_t column, int64_t columns,
                  bool is_zero) const {
    const auto& kernels = storage_kernels<S, C>();
    const bool owned = j < windows_.k1;  // else another window owns these steps' losses
    const bool accumulate = !windows_.disjoint();
    for_runs(j, cell.reverse, [&](const Run& run) {
      C* const block = c + place(run.m) + column;
      bool block_is_zero = is_zero;
      if (owned && cell.grad_h_n != nullptr &&
          add_final(cell, run, column, columns, block, is_zero))
        block_is_zero = false;
      const Rows<const S> h{cell.h + run.row * features_ + column, run.row_stride * features_};
      const Rows<C> sum{cell.delta + run.row * hidden_ + column, run.row_stride * hidden_};
      if (owned && cell.grad_h != nullptr) {
        kernels.delta_of_computed(
            shape_.activation, run.rows(), columns, block_is_zero,
            {cell.grad_h + run.row * features_ + column, run.row_stride * features_}, h, block,
            hidden_, sum, accumulate);
      } else {
        const bool has_gradient = owned && cell.grad_output != nullptr;
        kernels.delta(shape_.activation, run.rows(), columns, block_is_zero,
                      {has_gradient ? cell.grad_output + run.row * features_ + column : nullptr,
                       run.row_stride * features_},
                      h, block, hidden_, sum, accumulate);
      }
    });
  }

  /// Adds the gradient of h_n to the rows of `run` whose last state is made at its step; says
  /// whether there are any.
  bool add_final(const SweepCell<S>& cell, const Run& run, int64_t column, int64_t columns,
                 C* block, bool is_zero) const {
    // Of several windows the last one holds the last step (the first one, in reverse).
    const int64_t window = cell.reverse ? 0 : run.windows - 1;
    const int64_t t = run.t + window * windows_.k1;
    const int64_t first = range_.first_final(shape_, t, cell.reverse);
    const int64_t count = range_.alive(shape_, t) - first;
    if (count <= 0) return false;
    if (is_zero) {
      for (int64_t i = 0; i < run.rows(); ++i) std::fill_n(block + i * hidden_, columns, C(0));
    }
    storage_kernels<S, C>().add(
        count, columns, {cell.grad_h_n + (range_.first + first) * hidden_ + column, hidden_},
        block + (window * run.count + first) * hidden_, hidden_);
    return true;
  }

  void keep_norms(int64_t index, int64_t j) const {
    for (int64_t m = first_; m < end_; ++m) {
      const int64_t count = range_.alive(shape_, windows_.step(m, j, /*reverse=*/false));
      const C* delta = next(index) + place(m);
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
  Buffer<double> norms_;  ///< [cells, rows] of the last step's deltas, if they are kept
  int64_t first_ = 0, end_ = 0;  ///< the windows active at the current lag
  int parity_ = 0;
};

}  // namespace elman::cpu
