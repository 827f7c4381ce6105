#include <deque>
#include <vector>

#include "cpu/common.h"
#include "cpu/factors.h"
#include "cpu/forward_layer.h"
#include "cpu/forward_rows.h"
#include "cpu/rnn.h"
#include "cpu/row_block.h"
#include "cpu/team.h"
#include "cpu/wavefront.h"

namespace elman::cpu {
namespace {

/// Runs one layer, in its one or two directions.
template <typename S, typename P>
void run_layer(const ForwardLayer<S, P>& layer) {
  const StackShape& shape = layer.shape();
  const int64_t directions = layer.cells().size(), hidden = shape.hidden_size;
  const double flops = 2.0 * shape.rows() * hidden * (layer.input_size() + hidden) * directions;
  const int64_t threads = threads_for(flops);
  const int64_t members = team_size<P>(threads, shape.batch, hidden);
  if (members > 1) {
    const double step_flops = 2.0 * shape.batch * hidden * hidden;
    for (const ForwardCell<S, P>& cell : layer.cells()) {
      const ForwardRows<S, P> rows(layer, cell, {0, shape.batch}, {/*alone=*/false, members});
      run_team<P>(members, hidden, step_flops, [&](const Member& member) { rows.run(member); });
    }
    return;
  }
  // Rows of the batch are independent, so each thread takes some rows (of one direction) through
  // the whole sequence, without a barrier. At least two rows to a task: a single row does not fill
  // the product's kernel.
  const int64_t splits =
      std::max<int64_t>(1, std::min(ceil_div(threads, directions), shape.batch / 2));
  const std::vector<BatchRange> ranges = split_batch(shape, splits);
  const int64_t tasks = splits * directions;
  parallel_tasks(tasks, flops, [&](int64_t task) {
    ForwardRows<S, P>(layer, layer.cells()[task / splits], ranges[task % splits],
                      {/*alone=*/tasks == 1})
        .run(alone(hidden));
  });
}

/// Whether layers write to the same memory by turns, so that they cannot run side by side.
bool shares_states(const StackForward& stack) {
  for (size_t layer = 2; layer < stack.states.size(); ++layer) {
    if (stack.states[layer] == stack.states[layer - 2]) return true;
  }
  return false;
}

/// A stage for each layer's products with W_x and one for its recurrence.
constexpr int64_t kStages = 2;

/// How many threads should run the stack in stages, if not one. Where the first stage has most of
/// the work, all threads share it better.
template <typename P>
int64_t stage_threads(const StackShape& shape) {
  if (shape.input_size > 2 * shape.num_layers * shape.hidden_size) return 1;
  return wavefront_threads<P>(shape, kStages);
}

/// Runs the layers [first, end) in stages, each some tiles of steps behind the one before.
template <typename S, typename P>
void run_in_stages(const StackForward& stack, int64_t first, int64_t end, int64_t threads) {
  const StackShape& shape = stack.shape;
  std::deque<ForwardLayer<S, P>> prepared;
  std::deque<ForwardRows<S, P>> rows;
  for (int64_t layer = first; layer < end; ++layer) {
    prepared.emplace_back(stack, layer);
    rows.emplace_back(prepared.back(), prepared.back().cells()[0], BatchRange{0, shape.batch},
                      Schedule{/*alone=*/false, /*members=*/1, wavefront_tile(shape), kTilesAhead});
  }
  std::vector<typename ForwardRows<S, P>::Carried> carried(rows.size());
  run_wavefront(kStages * rows.size(), rows[0].tiles(), threads, [&](int64_t stage, int64_t tile) {
    const int64_t i = stage / kStages;
    Member everything = alone(shape.hidden_size);
    if (stage % kStages == 0) {
      rows[i].project(everything, tile);
    } else {
      rows[i].advance(everything, tile, carried[i]);
    }
  });
}

template <typename S, typename P>
void run_stack(const StackForward& stack) {
  const int64_t layers = stack.shape.num_layers;
  const int64_t threads = stage_threads<P>(stack.shape);
  if (threads > 1) {
    const int64_t together = shares_states(stack) ? 1 : layers;
    for (int64_t layer = 0; layer < layers; layer += together)
      run_in_stages<S, P>(stack, layer, layer + together, threads);
    return;
  }
  for (int64_t layer = 0; layer < layers; ++layer) run_layer(ForwardLayer<S, P>(stack, layer));
}

}  // namespace

template <typename S>
void rnn_forward(const StackForward& stack) {
  const StackShape& shape = stack.shape;
  with_factors<S>(
      [&] { return prefers_bfloat16_forward(shape.batch, shape.rows(), shape.hidden_size); },
      [&](auto factor) { run_stack<S, decltype(factor)>(stack); });
}

template void rnn_forward<double>(const StackForward&);
template void rnn_forward<float>(const StackForward&);
template void rnn_forward<c10::BFloat16>(const StackForward&);
template void rnn_forward<c10::Half>(const StackForward&);

}  // namespace elman::cpu
