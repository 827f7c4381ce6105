#include "cpu/sweep.h"

#include <algorithm>
#include <deque>

#include "cpu/buffer.h"
#include "cpu/factors.h"
#include "cpu/gradients.h"
#include "cpu/row_block.h"
#include "cpu/schedule.h"
#include "cpu/sweep_rows.h"
#include "cpu/tasks.h"
#include "cpu/vec/kernels.h"
#include "cpu/wavefront.h"

namespace elman::cpu {
namespace {

/// The norms of the deltas, summed so that neither threads nor blocks show: for each row of the
/// batch over the windows in their order, then over the rows.
class LagNorms {
 public:
  LagNorms(int64_t cells, int64_t lags, int64_t batch, double* result)
      : cells_(cells), lags_(lags), batch_(batch), result_(result) {
    if (result != nullptr) sums_.assign(cells * lags * batch, 0);
  }

  bool wanted() const { return result_ != nullptr; }

  /// Adds those of the last step of `rows`, lag j.
  template <typename S, typename P>
  void add(const SweepRows<S, P>& rows, int64_t j) {
    if (wanted()) rows.add_norms(cells_, j, sums_.data() + j * cells_ * batch_);
  }

  void finish() const {
    if (!wanted()) return;
    for (int64_t cell = 0; cell < cells_; ++cell) {
      for (int64_t j = 0; j < lags_; ++j) {
        const double* const rows = sums_.data() + (j * cells_ + cell) * batch_;
        double sum = 0;
        for (int64_t b = 0; b < batch_; ++b) sum += rows[b];
        result_[(cells_ - 1 - cell) * lags_ + j] = sum;
      }
    }
  }

 private:
  int64_t cells_, lags_, batch_;
  double* result_;
  std::vector<double> sums_;  ///< [k2, cells, B]
};

}  // namespace

/// Every block runs through all its lags by itself, without a barrier, or by a team.
template <typename S, typename P>
void sweep_disjoint(const StackShape& shape, const Windows& windows, const SweepSchedule& schedule,
                    const std::vector<SweepCell<S, P>>& cells) {
  if (shape.batch == 0) return;
  const int64_t hidden = shape.hidden_size, threads = schedule.choice.threads;
  const std::vector<BatchRange> ranges = split_batch(shape, schedule.splits);
  const auto run_block = [&](int64_t task, const auto& run) {
    const int64_t m0 = task / schedule.splits % schedule.groups * schedule.group;
    const int64_t m1 = std::min(m0 + schedule.group, windows.count);
    const std::vector<SweepCell<S, P>> cell{cells[task / (schedule.groups * schedule.splits)]};
    const SweepRows<S, P> rows(shape, windows, cell, m0, m1, ranges[task % schedule.splits]);
    run([&](const Member& member) { rows.run(cell, member); });
  };
  if (schedule.choice.division == Division::kColumns) {
    for (int64_t task = 0; task < schedule.tasks; ++task)
      run_block(task,
                [&](const auto& run) { run_team<P>(threads, hidden, schedule.step_flops, run); });
    return;
  }
  share_tasks(schedule.tasks, threads,
              [&](int64_t task) { run_block(task, [&](const auto& run) { run(alone(hidden)); }); });
}

/// Several windows add to the same Delta_t, at different lags. However they are divided, Delta_t is
/// summed in the same order: by groups of windows, then by lag.
template <typename S, typename P>
void sweep_joint(const StackShape& shape, const Windows& windows, const JointSchedule& schedule,
                 const std::vector<SweepCell<S, P>>& cells, double* lag_norms) {
  const int64_t batch = shape.batch, layers = cells.size(), group = schedule.group;
  LagNorms norms(layers, windows.k2, batch, lag_norms);
  if (batch == 0) return norms.finish();
  const auto for_groups = [&](const auto& run) {
    for (int64_t m0 = 0; m0 < windows.count; m0 += group)
      run(m0, std::min(m0 + group, windows.count));
  };
  if (!schedule.shares_windows) {
    const std::vector<BatchRange> ranges = split_batch(shape, schedule.splits);
    share_tasks(schedule.splits, schedule.choice.threads, [&](int64_t part) {
      for_groups([&](int64_t m0, int64_t m1) {
        SweepRows<S, P> rows(shape, windows, cells, m0, m1, ranges[part], norms.wanted());
        Member everything = alone(shape.hidden_size);
        for (int64_t j = 0; j < windows.k2; ++j) {
          rows.step(cells, j, everything);
          norms.add(rows, j);
        }
      });
    });
    return norms.finish();
  }
  for_groups([&](int64_t m0, int64_t m1) {
    const int64_t splits = std::min(schedule.splits, m1 - m0);
    std::vector<SweepRows<S, P>> blocks;
    blocks.reserve(splits);
    for (int64_t part = 0; part < splits; ++part) {
      blocks.emplace_back(shape, windows, cells, m0 + (m1 - m0) * part / splits,
                          m0 + (m1 - m0) * (part + 1) / splits, BatchRange{0, batch},
                          norms.wanted());
    }
    for (int64_t j = 0; j < windows.k2; ++j) {
      parallel_tasks(splits, schedule.lag_flops(m1 - m0), [&](int64_t part) {
        Member everything = alone(shape.hidden_size);
        blocks[part].step(cells, j, everything);
      });
      for (const SweepRows<S, P>& block : blocks) norms.add(block, j);
    }
  });
  norms.finish();
}

template <typename S, typename P>
void sweep_wavefront(const StackShape& shape, const std::vector<SweepCell<S, P>>& cells,
                     int64_t threads, int64_t tile) {
  const Windows whole = Windows::make(shape.steps, 0, 0);
  const int64_t layers = cells.size();
  constexpr bool kRounds = !std::is_same_v<P, compute_t<S>>;
  // Nothing is allocated in a stage: what its calls need, it has.
  struct Stage {
    SweepRows<S, P> rows;
    std::vector<SweepCell<S, P>> cell;
    std::vector<InputGradientTerm<S, P>> from_above;
    Buffer<P> room;  ///< [tile, H], its delta as factors
  };
  std::deque<Stage> stage;
  for (int64_t i = 0; i < layers; ++i) {
    stage.push_back({{shape, whole, {cells[i]}, 0, 1, BatchRange{0, shape.batch}},
                     {cells[i]},
                     {},
                     Buffer<P>()});
    if (i == 0) continue;
    SweepCell<S, P>& cell = stage[i].cell[0];
    cell.upper_weight_ih = nullptr;  // handed down beforehand
    cell.mask = nullptr;
    cell.grad_h = cells[i].delta;
    stage[i].from_above = {{{cells[i - 1].delta, shape.features()}, cells[i].upper_weight_ih}};
    if (kRounds) stage[i].room = Buffer<P>(tile * shape.batch * shape.hidden_size);
  }
  run_wavefront(layers, ceil_div(shape.steps, tile), threads, [&](int64_t i, int64_t index) {
    const int64_t begin = index * tile, end = std::min(begin + tile, shape.steps);  // lags
    Stage& own = stage[i];
    if (i > 0) {
      const int64_t row = shape.offset(shape.steps - end);
      const int64_t count = shape.offset(shape.steps - begin) - row, place = row * shape.features();
      const S* const mask = cells[i].mask == nullptr ? nullptr : cells[i].mask + place;
      own.from_above[0].delta.data = cells[i - 1].delta + place;
      input_gradient<S, P>(count, own.from_above, mask, cells[i].delta + place, /*in_place=*/false,
                           own.room.get());
    }
    Member everything = alone(shape.hidden_size);
    for (int64_t j = begin; j < end; ++j) own.rows.step(own.cell, j, everything);
  });
}

#define ELMAN_INSTANTIATE(S, P)                                                                  \
  template void sweep_disjoint(const StackShape&, const Windows&, const SweepSchedule&,          \
                               const std::vector<SweepCell<S, P>>&);                             \
  template void sweep_joint(const StackShape&, const Windows&, const JointSchedule&,             \
                            const std::vector<SweepCell<S, P>>&, double*);                       \
  template void sweep_wavefront(const StackShape&, const std::vector<SweepCell<S, P>>&, int64_t, \
                                int64_t);
ELMAN_FOR_STORAGE_AND_FACTORS(ELMAN_INSTANTIATE)
#undef ELMAN_INSTANTIATE

}  // namespace elman::cpu
