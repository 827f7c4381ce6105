#include "cpu/sweep.h"

#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

#include <utility>

namespace elman::cpu {
namespace {

/// A block of rows that runs through the lags together: the windows [m0, m1) of the batch rows [b0,
/// b1), row (m - m0) * (b1 - b0) + (b - b0). It holds the current delta of each cell, in the cache
/// of one core.
template <typename S>
class RowBlock {
 public:
  using C = compute_t<S>;
  using Cells = std::vector<SweepCell<S>>;

  RowBlock(const StackShape& shape, const Windows& windows, int64_t num_cells, int64_t m0,
           int64_t m1, int64_t b0, int64_t b1)
      : shape_(shape),
        windows_(windows),
        m0_(m0),
        m1_(m1),
        b0_(b0),
        width_(b1 - b0),
        slot_((m1 - m0) * (b1 - b0) * shape.hidden_size),
        deltas_(2 * num_cells * slot_) {
    // A window that has not begun (its nominal end lies beyond the sequence) has no error yet.
    std::fill_n(deltas_.get(), 2 * num_cells * slot_, C(0));
  }

  int64_t rows() const { return (m1_ - m0_) * width_; }

  /// Takes the block's windows through lag j in all `cells`, which come from the top down.
  void step(const Cells& cells, int64_t j) {
    const int64_t first = std::max(m0_, windows_.first_active(j, cells[0].reverse));
    const int64_t end = std::min(m1_, windows_.end_active(j, cells[0].reverse));
    if (first < end && width_ > 0) {
      for (size_t i = 0; i < cells.size(); ++i) step_cell(cells, i, j, first, end);
    }
    parity_ ^= 1;
  }

 private:
  C* current(int64_t cell) const { return deltas_.get() + (2 * cell + parity_) * slot_; }
  C* next(int64_t cell) const { return deltas_.get() + (2 * cell + (parity_ ^ 1)) * slot_; }

  void step_cell(const Cells& cells, int64_t index, int64_t j, int64_t first, int64_t end) const {
    const SweepCell<S>& cell = cells[index];
    const int64_t hidden = shape_.hidden_size, offset = (first - m0_) * width_ * hidden;
    const int64_t count = (end - first) * width_;
    C* const c = next(index) + offset;
    const auto& kernels = math_kernels<C>();
    // The rows of a problem decide, not those of a block, so that blocks do not show in the result.
    const bool single_row = shape_.batch == 1 && windows_.count == 1;
    const auto multiply = single_row ? kernels.gemv : kernels.gemm;
    for_panels(hidden, [&](int64_t column, int64_t columns) {
      bool is_zero = true;
      if (cell.upper_weight_ih != nullptr) {
        const PackedMatrix<C>& weight = *cell.upper_weight_ih;
        multiply(count, columns, hidden, {next(index - 1) + offset, hidden, 1},
                 weight.panel(column), weight.stride(column), c + column, hidden, false);
        if (cell.mask != nullptr) scale_by_mask(cell, j, first, end, c, column, columns);
        is_zero = false;
      }
      if (j > 0) {
        const PackedMatrix<C>& weight = *cell.weight_hh;
        multiply(count, columns, hidden, {current(index) + offset, hidden, 1}, weight.panel(column),
                 weight.stride(column), c + column, hidden, !is_zero);
        is_zero = false;
      }
      add_errors(cell, j, first, end, c, column, columns, is_zero);
    });
  }

  /// Calls run(window, rows, step, stride in steps) for pieces of the windows [first, end) at lag j
  /// whose rows lie evenly in memory: with one batch row all windows at once (k1 steps apart), else
  /// each window by itself.
  template <typename Run>
  void for_runs(int64_t first, int64_t end, int64_t j, bool reverse, const Run& run) const {
    if (width_ == 1) {
      run(first, end - first, windows_.step(first, j, reverse), windows_.k1 * shape_.batch);
    } else {
      for (int64_t m = first; m < end; ++m) run(m, width_, windows_.step(m, j, reverse), 1);
    }
  }

  void scale_by_mask(const SweepCell<S>& cell, int64_t j, int64_t first, int64_t end, C* c,
                     int64_t column, int64_t columns) const {
    const int64_t hidden = shape_.hidden_size, features = shape_.features();
    for_runs(first, end, j, cell.reverse, [&](int64_t m, int64_t rows, int64_t t, int64_t stride) {
      const int64_t row = t * shape_.batch + b0_;
      storage_kernels<S, C>().scale(rows, columns,
                                    {cell.mask + row * features + column, stride * features},
                                    c + (m - first) * width_ * hidden + column, hidden);
    });
  }

  /// The epilogue of a step: the gradients that arrive from outside, f', and the sum over the
  /// windows.
  void add_errors(const SweepCell<S>& cell, int64_t j, int64_t first, int64_t end, C* c,
                  int64_t column, int64_t columns, bool is_zero) const {
    const auto& kernels = storage_kernels<S, C>();
    const int64_t hidden = shape_.hidden_size, features = shape_.features();
    const bool owned = j < windows_.k1;  // else another window owns these steps' losses
    const int64_t last_step = cell.reverse ? 0 : shape_.steps - 1;
    for_runs(first, end, j, cell.reverse, [&](int64_t m, int64_t rows, int64_t t, int64_t stride) {
      const int64_t row = t * shape_.batch + b0_;
      C* const block = c + (m - first) * width_ * hidden + column;
      bool block_is_zero = is_zero;
      if (owned && cell.grad_h_n != nullptr) {
        // The window that made the last step is the last of the run (the first, in reverse).
        const int64_t at = width_ == 1 ? (cell.reverse ? 0 : rows - 1) : 0;
        if (t + (width_ == 1 ? at * windows_.k1 : 0) == last_step) {
          if (is_zero) clear(rows, columns, block);
          block_is_zero = false;
          kernels.add(width_, columns, {cell.grad_h_n + b0_ * hidden + column, hidden},
                      block + at * hidden, hidden);
        }
      }
      const Rows<const S> h{cell.h + row * features + column, stride * features};
      const Rows<C> sum{cell.delta + row * hidden + column, stride * hidden};
      const bool accumulate = !windows_.disjoint();
      if (owned && cell.grad_h != nullptr) {
        kernels.delta_of_computed(shape_.activation, rows, columns, block_is_zero,
                                  {cell.grad_h + row * features + column, stride * features}, h,
                                  block, hidden, sum, accumulate);
      } else {
        const bool has_gradient = owned && cell.grad_output != nullptr;
        kernels.delta(shape_.activation, rows, columns, block_is_zero,
                      {has_gradient ? cell.grad_output + row * features + column : nullptr,
                       stride * features},
                      h, block, hidden, sum, accumulate);
      }
    });
  }

  void clear(int64_t rows, int64_t columns, C* block) const {
    for (int64_t i = 0; i < rows; ++i) std::fill_n(block + i * shape_.hidden_size, columns, C(0));
  }

  const StackShape& shape_;
  const Windows& windows_;
  int64_t m0_, m1_, b0_, width_;
  int64_t slot_;
  Buffer<C> deltas_;  ///< [cells, 2, rows, H]: delta at this lag and at the next, by turns
  int parity_ = 0;
};

/// Rows that a block should have: enough for the products to run at full speed, few enough for the
/// cache.
constexpr int64_t kBlockRows = 64;

/// Windows that do not overlap: every block runs through all its lags by itself, without a barrier.
template <typename S>
void sweep_disjoint(const StackShape& shape, const Windows& windows,
                    const std::vector<SweepCell<S>>& cells, double flops) {
  const int64_t batch = shape.batch, directions = cells.size();
  const int64_t group = std::clamp<int64_t>(kBlockRows / batch, 1, windows.count);
  const int64_t groups = ceil_div(windows.count, group);
  const int64_t threads = threads_for(flops);
  // The batch is split where its rows are many, or where there are too few windows for the threads.
  const int64_t splits = std::clamp<int64_t>(
      std::max(ceil_div(threads, groups * directions), ceil_div(batch, kBlockRows)), 1,
      std::max<int64_t>(1, batch / 2));
  parallel_tasks(directions * groups * splits, flops, [&](int64_t task) {
    const std::vector<SweepCell<S>> cell{cells[task / (groups * splits)]};
    const int64_t m0 = task / splits % groups * group, part = task % splits;
    RowBlock<S> block(shape, windows, 1, m0, std::min(m0 + group, windows.count),
                      batch * part / splits, batch * (part + 1) / splits);
    for (int64_t j = 0; j < windows.k2; ++j) block.step(cell, j);
  });
}

/// Overlapping windows: several of them add to the same Delta_t, at different lags. Each thread
/// takes rows of the batch through all windows if there are enough rows; if not, the threads share
/// the windows and meet after each lag. Either way Delta_t is summed in the same order: by groups
/// of windows, then by lag.
template <typename S>
void sweep_overlapping(const StackShape& shape, const Windows& windows,
                       const std::vector<SweepCell<S>>& cells, double flops) {
  const int64_t batch = shape.batch, layers = cells.size();
  const int64_t group = std::clamp<int64_t>(2 * kBlockRows / batch, 1, windows.count);
  const int64_t threads = threads_for(flops);
  const auto for_groups = [&](const auto& run) {
    for (int64_t m0 = 0; m0 < windows.count; m0 += group)
      run(m0, std::min(m0 + group, windows.count));
  };
  if (threads == 1 || batch >= 2 * threads) {
    const int64_t splits = std::max(threads, ceil_div(batch, kBlockRows));
    parallel_tasks(splits, flops, [&](int64_t part) {
      for_groups([&](int64_t m0, int64_t m1) {
        RowBlock<S> block(shape, windows, layers, m0, m1, batch * part / splits,
                          batch * (part + 1) / splits);
        for (int64_t j = 0; j < windows.k2; ++j) block.step(cells, j);
      });
    });
    return;
  }
  for_groups([&](int64_t m0, int64_t m1) {
    const int64_t splits = std::min(threads, m1 - m0);
    std::vector<RowBlock<S>> blocks;
    blocks.reserve(splits);
    for (int64_t part = 0; part < splits; ++part) {
      blocks.emplace_back(shape, windows, layers, m0 + (m1 - m0) * part / splits,
                          m0 + (m1 - m0) * (part + 1) / splits, 0, batch);
    }
    const double lag_flops = flops * (m1 - m0) / windows.count / windows.k2;
    for (int64_t j = 0; j < windows.k2; ++j)
      parallel_tasks(splits, lag_flops, [&](int64_t part) { blocks[part].step(cells, j); });
  });
}

}  // namespace

template <typename S>
void sweep(const StackShape& shape, const Windows& windows,
           const std::vector<SweepCell<S>>& cells) {
  if (shape.batch == 0) return;
  const double products = static_cast<double>(windows.count) * windows.k2 * shape.batch;
  const double flops = 2.0 * products * shape.hidden_size * shape.hidden_size * cells.size();
  if (windows.disjoint()) {
    sweep_disjoint(shape, windows, cells, flops);
  } else {
    sweep_overlapping(shape, windows, cells, flops);
  }
}

template void sweep(const StackShape&, const Windows&, const std::vector<SweepCell<double>>&);
template void sweep(const StackShape&, const Windows&, const std::vector<SweepCell<float>>&);
template void sweep(const StackShape&, const Windows&,
                    const std::vector<SweepCell<c10::BFloat16>>&);
template void sweep(const StackShape&, const Windows&, const std::vector<SweepCell<c10::Half>>&);

}  // namespace elman::cpu
