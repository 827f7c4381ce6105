#include "cpu/schedule.h"

#include <algorithm>

namespace elman::cpu {
namespace {

/// Bytes of pre-activations that are made at a time.
constexpr int64_t kTileBytes = 128 * 1024;
/// Rows that a block of a sweep should have: enough for the products to run at full speed, few
/// enough for the cache.
constexpr int64_t kBlockRows = 64;

double step_flops(const StackShape& shape) {
  return 2.0 * shape.batch * shape.hidden_size * shape.hidden_size;
}

double layer_flops(const StackShape& shape, int64_t input_size) {
  const int64_t hidden = shape.hidden_size;
  return 2.0 * shape.rows() * hidden * (input_size + hidden) * shape.num_directions;
}

double sweep_flops(const StackShape& shape, const Windows& windows, int64_t cells) {
  const double steps = static_cast<double>(windows.count) * windows.k2 / shape.steps;
  return 2.0 * steps * shape.rows() * shape.hidden_size * shape.hidden_size * cells;
}

/// Shared by `threads`, or if that is one, not.
void divide(Choice& choice, Division division, int64_t threads) {
  choice.threads = threads;
  if (threads > 1) choice.division = division;
}

int64_t weight_bytes(const StackShape& shape, ElementBytes bytes) {
  return shape.hidden_size * shape.hidden_size * bytes.factor;
}

/// How many threads should share each step of `rows` rows, with a part of the H columns each,
/// rather than each take some rows through all steps. Measured: where there are too few rows to
/// make use of what is read of W_h, the more so where W_h does not stay in the cache of one core.
/// With many rows nothing is gained, and each step waits for the slower core.
int64_t team_size(int64_t threads, int64_t rows, const StackShape& shape, ElementBytes bytes) {
  constexpr int64_t kColumns = 64;  // no part is smaller
  const int64_t hidden = shape.hidden_size, weight = weight_bytes(shape, bytes);
  const bool few_rows = rows <= 2 * threads && weight >= (int64_t{1} << 17);
  const bool large = rows <= 8 * threads && weight >= (int64_t{1} << 20);
  const bool pays = few_rows || (large && hidden >= kColumns * threads);
  return pays ? std::clamp<int64_t>(hidden / kColumns, 1, threads) : 1;
}

/// Steps of a stage's tile: few, so that a stage need not wait for long, or the last one at the
/// end, but so many that handing them on costs little beside them.
int64_t stage_tile(const StackShape& shape) {
  return std::max<int64_t>({8,
                            static_cast<int64_t>(kWorthAThread / std::max(1.0, step_flops(shape))),
                            shape.steps / (8 * shape.num_layers)});
}

/// Whether threads should share the stages of a one-directional stack, `stages` to a layer, rather
/// than take two rows of the batch each.
Choice choose_stages(const StackShape& shape, int64_t stages, ElementBytes bytes,
                     const Threads& available) {
  Choice choice;
  choice.rows = shape.batch;
  if (shape.num_directions == 2 || shape.rows() == 0) return choice;
  choice.flops = 4.0 * shape.rows() * shape.hidden_size * shape.hidden_size;
  const int64_t threads = available.for_work(choice.flops);
  const int64_t sharing = std::min(threads, stages * shape.num_layers);
  const int64_t splits = std::min(threads, shape.batch / 2);
  // Rows keep threads equally busy, stages do not.
  if (splits > 1 && sharing < 2 * splits) return choice;
  // With fewer tiles, most stages wait most of the time (measured).
  const int64_t tiles = shape.num_layers == 1 ? 8 : 4;
  if (shape.steps < tiles * stage_tile(shape)) return choice;
  if (team_size(threads, shape.batch, shape, bytes) > 1) return choice;
  divide(choice, Division::kStages, sharing);
  return choice;
}

LayerSchedule schedule_layer(const StackShape& shape, int64_t input_size, ElementBytes bytes,
                             const Threads& available) {
  LayerSchedule layer;
  Choice& choice = layer.choice;
  choice.flops = layer_flops(shape, input_size);
  layer.step_flops = step_flops(shape);
  choice.rows = shape.batch;
  choice.weight_bytes = weight_bytes(shape, bytes);
  const int64_t threads = available.for_work(choice.flops);
  divide(choice, Division::kColumns, team_size(threads, shape.batch, shape, bytes));
  if (choice.shared()) return layer;
  // Rows of the batch are independent. At least two to a task: a single row does not fill the
  // product's kernel.
  const int64_t directions = shape.num_directions;
  layer.splits = std::max<int64_t>(1, std::min(ceil_div(threads, directions), shape.batch / 2));
  layer.tasks = layer.splits * directions;
  divide(choice, Division::kRows, std::min(layer.tasks, threads));
  if (choice.shared()) return layer;
  choice.alone = threads > 1 ? Alone::kIndivisible : available.why_one();
  if (layer.tasks > 1) return layer;
  const int64_t tile = shape.offset(forward_tile(shape, shape.batch, bytes.computed));
  const double flops = 2.0 * tile * input_size * shape.hidden_size;
  layer.product_threads = std::min(ceil_div(tile, kSharedRows), available.for_work(flops));
  return layer;
}

SweepSchedule schedule_sweep(const StackShape& shape, const Windows& windows, ElementBytes bytes,
                             const Threads& available) {
  SweepSchedule sweep;
  const int64_t batch = shape.batch, directions = shape.num_directions;
  Choice& choice = sweep.choice;
  choice.flops = sweep_flops(shape, windows, directions);
  choice.rows = windows.count * batch;
  choice.weight_bytes = weight_bytes(shape, bytes);
  const int64_t threads = available.for_work(choice.flops);
  sweep.group = std::clamp<int64_t>(kBlockRows / std::max<int64_t>(1, batch), 1, windows.count);
  sweep.groups = ceil_div(windows.count, sweep.group);
  const int64_t members = team_size(threads, choice.rows, shape, bytes);
  // The batch is split where its rows are many, or where there are too few windows for the threads.
  const int64_t sharing = members > 1 ? 1 : threads;
  sweep.splits = std::clamp<int64_t>(
      std::max(ceil_div(sharing, sweep.groups * directions), ceil_div(batch, kBlockRows)), 1,
      std::max<int64_t>(1, batch / 2));
  sweep.tasks = directions * sweep.groups * sweep.splits;
  sweep.step_flops = choice.flops / static_cast<double>(sweep.tasks * windows.k2);
  divide(choice, Division::kColumns, members);
  if (choice.shared()) return sweep;
  divide(choice, Division::kRows, std::min(sweep.tasks, threads));
  if (!choice.shared()) choice.alone = threads > 1 ? Alone::kIndivisible : available.why_one();
  return sweep;
}

/// Each thread takes rows of the batch through all windows if there are enough rows; if not, the
/// threads share the windows.
JointSchedule schedule_joint(const StackShape& shape, const Windows& windows, int64_t layers,
                             ElementBytes bytes, const Threads& available) {
  JointSchedule joint;
  const int64_t batch = shape.batch;
  Choice& choice = joint.choice;
  choice.flops = sweep_flops(shape, windows, layers);
  choice.rows = windows.count * batch;
  choice.weight_bytes = weight_bytes(shape, bytes);
  joint.group = std::clamp<int64_t>(2 * kBlockRows / std::max<int64_t>(1, batch), 1, windows.count);
  joint.window_flops = choice.flops / static_cast<double>(windows.count * windows.k2);
  const int64_t threads = available.for_work(choice.flops);
  joint.shares_windows = threads > 1 && batch < 2 * threads;
  if (!joint.shares_windows) {
    joint.splits = std::max(threads, ceil_div(batch, kBlockRows));
    divide(choice, Division::kRows, std::min(joint.splits, threads));
    if (!choice.shared()) choice.alone = available.why_one();
    return joint;
  }
  joint.splits = threads;
  const int64_t parts = std::min(threads, joint.group);
  choice.flops = joint.lag_flops(joint.group);
  divide(choice, Division::kWindows, std::min(parts, available.for_work(choice.flops)));
  if (!choice.shared()) choice.alone = parts == 1 ? Alone::kIndivisible : Alone::kLittleWork;
  return joint;
}

ForwardSchedule divide_forward(const StackShape& shape, bool shares_states, ElementBytes bytes,
                               const Threads& threads) {
  ForwardSchedule schedule;
  schedule.threads = threads;
  // Where the first stage has most of the work, all threads share it better.
  if (shape.input_size <= 2 * shape.num_layers * shape.hidden_size) {
    schedule.stages = choose_stages(shape, kForwardStages, bytes, threads);
  }
  if (schedule.stages.shared()) {
    schedule.tile = std::min(stage_tile(shape), forward_tile(shape, shape.batch, bytes.computed));
    schedule.together = shares_states ? 1 : shape.num_layers;
    return schedule;
  }
  schedule.lowest = schedule_layer(shape, shape.input_size, bytes, threads);
  if (shape.num_layers > 1)
    schedule.upper = schedule_layer(shape, shape.features(), bytes, threads);
  return schedule;
}

BackwardSchedule divide_backward(const StackShape& shape, const Windows& windows, int64_t layers,
                                 bool by_lag, ElementBytes bytes, const Threads& threads) {
  BackwardSchedule schedule;
  schedule.threads = threads;
  // A layer can be swept before the error that it hands down is looked at, if windows do not
  // overlap and nobody wants to see them apart.
  if (by_lag || !windows.disjoint()) {
    schedule.order = BackwardSchedule::Order::kTogether;
    schedule.joint = schedule_joint(shape, windows, layers, bytes, threads);
    return schedule;
  }
  if (windows.count == 1) schedule.stages = choose_stages(shape, /*stages=*/1, bytes, threads);
  if (schedule.stages.shared()) {
    schedule.order = BackwardSchedule::Order::kInStages;
    schedule.tile = stage_tile(shape);
    return schedule;
  }
  schedule.sweep = schedule_sweep(shape, windows, bytes, threads);
  return schedule;
}

/// Whether threads have work of their own, rather than wait for each other or share some products
/// only.
bool shares_all(const Choice& choice) {
  return choice.division == Division::kRows || choice.division == Division::kColumns;
}
bool shares_all(const ForwardSchedule& schedule) {
  return shares_all(schedule.lowest.choice) || shares_all(schedule.upper.choice);
}
bool shares_all(const BackwardSchedule& schedule) {
  return shares_all(schedule.sweep.choice) || shares_all(schedule.joint.choice);
}

/// divide(threads) for the threads that a call of `flops` operations in all is worth.
template <typename Divide>
auto worth_waking(double flops, Threads threads, const Divide& divide) {
  if (threads.awake) return divide(threads);
  threads.small_call = flops < kWorthWaking;
  auto schedule = divide(threads);
  if (threads.small_call || flops >= kWorthWakingForAPart || shares_all(schedule)) return schedule;
  threads.small_call = true;
  return divide(threads);
}

}  // namespace

int64_t Threads::for_work(double flops) const {
  if (small_call || flops < 2 * kWorthAThread || parallel_region) return 1;
  return count;
}

Alone Threads::why_one() const {
  if (count == 1) return Alone::kNumThreads;
  if (parallel_region) return Alone::kParallelRegion;
  return small_call ? Alone::kSmallCall : Alone::kLittleWork;
}

double forward_flops(const StackShape& shape) {
  double flops = 0;
  for (int64_t layer = 0; layer < shape.num_layers; ++layer)
    flops += layer_flops(shape, shape.layer_input_size(layer));
  return flops;
}

double backward_flops(const StackShape& shape, const Windows& windows) {
  const double handed_down =
      2.0 * shape.rows() * shape.features() * shape.features() * (shape.num_layers - 1);
  return sweep_flops(shape, windows, shape.num_layers * shape.num_directions) + handed_down +
         forward_flops(shape);  // as many for the weights' gradients
}

int64_t forward_tile(const StackShape& shape, int64_t rows, int64_t computed_bytes) {
  const int64_t step = std::max<int64_t>(1, rows * shape.hidden_size * computed_bytes);
  return std::clamp<int64_t>(kTileBytes / step, 1, shape.steps);
}

ForwardSchedule schedule_forward(const StackShape& shape, bool shares_states, ElementBytes bytes,
                                 const Threads& found) {
  return worth_waking(forward_flops(shape), found, [&](const Threads& threads) {
    return divide_forward(shape, shares_states, bytes, threads);
  });
}

BackwardSchedule schedule_backward(const StackShape& shape, const Windows& windows, int64_t layers,
                                   bool by_lag, ElementBytes bytes, const Threads& found) {
  return worth_waking(backward_flops(shape, windows), found, [&](const Threads& threads) {
    return divide_backward(shape, windows, layers, by_lag, bytes, threads);
  });
}

bool prefers_dot_products(int64_t rows, int64_t k, bool beside_bfloat16) {
  return rows <= k / (beside_bfloat16 ? 32 : 8);
}

bool prefers_bfloat16_products(const BFloat16Units& units, int64_t rows, int64_t k) {
  if (!units.matrix_unit) return units.dot_products;
  // CPUs with a matrix unit have slower dot products than multiply-adds of float. They pay for a
  // single row where they halve what is read from beyond the first-level cache.
  constexpr int64_t kFirstLevelFactors = 8192, kTile = 32, kPair = 2;
  if (!units.onednn || k % kPair != 0 || k < kTile) return false;
  return rows * k > units.small_work || k * k > kFirstLevelFactors;
}

bool prefers_bfloat16_forward(const BFloat16Units& units, int64_t rows, int64_t all_rows,
                              int64_t k) {
  return !prefers_dot_products(all_rows, k, /*beside_bfloat16=*/true) &&
         prefers_bfloat16_products(units, rows, k);
}

}  // namespace elman::cpu
