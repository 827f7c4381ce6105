#include <deque>
#include <vector>

#include "cpu/factors.h"
#include "cpu/forward_layer.h"
#include "cpu/forward_rows.h"
#include "cpu/rnn.h"
#include "cpu/row_block.h"
#include "cpu/schedule.h"
#include "cpu/tasks.h"
#include "cpu/team.h"
#include "cpu/wavefront.h"

namespace elman::cpu {
namespace {

/// Runs one layer, in its one or two directions.
template <typename S, typename P>
void run_layer(const ForwardLayer<S, P>& layer, const LayerSchedule& schedule) {
  const StackShape& shape = layer.shape();
  const int64_t hidden = shape.hidden_size, threads = schedule.choice.threads;
  if (schedule.choice.division == Division::kColumns) {
    for (const ForwardCell<S, P>& cell : layer.cells()) {
      const ForwardRows<S, P> rows(layer, cell, {0, shape.batch}, {/*alone=*/false, threads});
      run_team<P>(threads, hidden, schedule.step_flops,
                  [&](const Member& member) { rows.run(member); });
    }
    return;
  }
  const std::vector<BatchRange> ranges = split_batch(shape, schedule.splits);
  share_tasks(schedule.tasks, threads, [&](int64_t task) {
    ForwardRows<S, P>(layer, layer.cells()[task / schedule.splits], ranges[task % schedule.splits],
                      {/*alone=*/schedule.tasks == 1})
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

/// Runs the layers [first, end) in stages, each some tiles of steps behind the one before.
template <typename S, typename P>
void run_in_stages(const StackForward& stack, const ForwardSchedule& schedule, int64_t first,
                   int64_t end) {
  const StackShape& shape = stack.shape;
  std::deque<ForwardLayer<S, P>> prepared;
  std::deque<ForwardRows<S, P>> rows;
  for (int64_t layer = first; layer < end; ++layer) {
    prepared.emplace_back(stack, layer);
    rows.emplace_back(prepared.back(), prepared.back().cells()[0], BatchRange{0, shape.batch},
                      Sharing{/*alone=*/false, /*members=*/1, schedule.tile, kTilesAhead});
  }
  std::vector<typename ForwardRows<S, P>::Carried> carried(rows.size());
  const int64_t stages = kForwardStages * static_cast<int64_t>(rows.size());
  run_wavefront(stages, rows[0].tiles(), schedule.stages.threads, [&](int64_t stage, int64_t tile) {
    const int64_t i = stage / kForwardStages;
    Member everything = alone(shape.hidden_size);
    if (stage % kForwardStages == 0) {
      rows[i].project(everything, tile);
    } else {
      rows[i].advance(everything, tile, carried[i]);
    }
  });
}

template <typename S, typename P>
void run_stack(const StackForward& stack) {
  const ForwardSchedule schedule = schedule_forward(stack.shape, shares_states(stack),
                                                    element_bytes<S, P>(), available_threads());
  const CallThreads call_threads(schedule.threads);
  const int64_t layers = stack.shape.num_layers;
  if (schedule.stages.shared()) {
    for (int64_t layer = 0; layer < layers; layer += schedule.together)
      run_in_stages<S, P>(stack, schedule, layer, layer + schedule.together);
    return;
  }
  for (int64_t layer = 0; layer < layers; ++layer)
    run_layer(ForwardLayer<S, P>(stack, layer), schedule.layer(layer));
}

}  // namespace

template <typename S>
void rnn_forward(const StackForward& stack) {
  const StackShape& shape = stack.shape;
  with_factors<S>(
      [&] {
        return prefers_bfloat16_forward(bfloat16_units(), shape.batch, shape.rows(),
                                        shape.hidden_size);
      },
      [&](auto factor) { run_stack<S, decltype(factor)>(stack); });
}

template void rnn_forward<double>(const StackForward&);
template void rnn_forward<float>(const StackForward&);
template void rnn_forward<c10::BFloat16>(const StackForward&);
template void rnn_forward<c10::Half>(const StackForward&);

}  // namespace elman::cpu
