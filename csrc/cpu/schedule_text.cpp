#include <algorithm>
#include <cstdio>

#include "cpu/schedule.h"

// Schedules in words: the one place that makes text of them, and only when asked to.

namespace elman::cpu {
namespace {

std::string number(int64_t value) { return std::to_string(value); }

std::string counted(int64_t count, const std::string& noun) {
  return number(count) + " " + noun + (count == 1 ? "" : "s");
}

/// "0.33 million operations".
std::string operations(double flops) {
  constexpr double kMillion = 1e6;
  const double millions = flops / kMillion;
  char text[48];
  std::snprintf(text, sizeof(text), millions < 10 ? "%.2g" : "%.0f", millions);
  return std::string(text) + " million operations";
}

/// "256 KiB".
std::string memory(int64_t bytes) {
  constexpr int64_t kKiB = 1024, kMiB = kKiB * kKiB;
  if (bytes < kKiB) return counted(bytes, "byte");
  return bytes < kMiB ? number(bytes / kKiB) + " KiB" : number(bytes / kMiB) + " MiB";
}

/// Rows of a step; packed, later steps have fewer.
std::string step_rows(const Choice& choice, const StackShape& shape) {
  return (shape.packed() ? "up to " : "") + counted(choice.rows, "row");
}

/// call_flops: of the whole call.
std::string one_thread(const Choice& choice, const StackShape& shape, double call_flops) {
  switch (choice.alone) {
    case Alone::kNumThreads:
      return "one thread, as torch.get_num_threads() is 1";
    case Alone::kParallelRegion:
      return "one thread, as the call comes from inside a parallel region";
    case Alone::kSmallCall:
      return "one thread, as " + operations(call_flops) + " are too few to wake another";
    case Alone::kLittleWork:
      return "one thread, as " + operations(choice.flops) + " at a time are too few for more";
    case Alone::kIndivisible:
      return "one thread: " + step_rows(choice, shape) + " and a W_h of " +
             memory(choice.weight_bytes) + " are too small to divide";
    case Alone::kNot:
      break;
  }
  return {};
}

/// How many rows of the batch a part has, of so many parts.
std::string rows_of_part(const StackShape& shape, int64_t parts) {
  if (parts == 1) return (shape.packed() ? "up to " : "") + counted(shape.batch, "row");
  if (shape.packed()) return "some of " + counted(shape.batch, "sequence");
  const bool even = shape.batch % parts == 0;
  return (even ? "" : "up to ") + counted(ceil_div(shape.batch, parts), "row");
}

/// Threads that take `tasks` parts, each `part`, without a barrier.
std::string parts_text(int64_t threads, int64_t tasks, const std::string& part,
                       const std::string& where) {
  if (tasks == threads)
    return "each of " + number(threads) + " threads takes " + part + " through " + where;
  return number(threads) + " threads take " + number(tasks) + " parts by turns, each " + part +
         ", through " + where;
}

std::string columns_text(const Choice& choice, const StackShape& shape) {
  return number(choice.threads) + " threads share each step's columns" +
         (shape.num_directions == 2 ? ", one direction after the other" : "") + ": " +
         step_rows(choice, shape) + ", W_h " + memory(choice.weight_bytes);
}

std::string layer_text(const LayerSchedule& layer, const StackShape& shape) {
  const Choice& choice = layer.choice;
  if (choice.division == Division::kColumns) return columns_text(choice, shape);
  if (choice.shared()) {
    std::string part = rows_of_part(shape, layer.splits);
    if (shape.num_directions == 2) part += " of one direction";
    return parts_text(choice.threads, layer.tasks, part, "all steps");
  }
  std::string text = one_thread(choice, shape, forward_flops(shape));
  if (layer.product_threads > 1)
    text += "; " + number(layer.product_threads) + " threads share the products with W_x";
  return text;
}

/// A stack whose layers follow each other, each done as `layer` says.
std::string by_layer(const StackShape& shape, const Choice& choice, const std::string& layer) {
  const bool of_the_call = choice.alone == Alone::kNumThreads ||
                           choice.alone == Alone::kParallelRegion ||
                           choice.alone == Alone::kSmallCall;
  return shape.num_layers == 1 || of_the_call ? layer : "layer by layer, " + layer;
}

std::string behind(int64_t tile) { return counted(tile, "step") + " behind the one before"; }

std::string windows_text(const Windows& windows) {
  return counted(windows.count, "window") + " of " + counted(windows.k2, "step");
}

std::string sweep_text(const SweepSchedule& sweep, const StackShape& shape,
                       const Windows& windows) {
  const Choice& choice = sweep.choice;
  const std::string of = windows.count == 1 ? "" : " of " + windows_text(windows);
  if (choice.division == Division::kColumns) return columns_text(choice, shape) + of;
  std::string part = rows_of_part(shape, sweep.splits);
  if (choice.alone == Alone::kIndivisible && windows.count > 1)
    return "one thread: " + counted(windows.count, "window") + " of " + part + " and a W_h of " +
           memory(choice.weight_bytes) + " are too small to divide";
  if (!choice.shared()) return one_thread(choice, shape, backward_flops(shape, windows));
  if (shape.num_directions == 2) part += " of one direction";
  if (windows.count == 1) return parts_text(choice.threads, sweep.tasks, part, "all steps");
  const bool even = windows.count % sweep.group == 0;
  part = (even ? "" : "up to ") + counted(sweep.group, "window") + " of " + part;
  return parts_text(choice.threads, sweep.tasks, part, "all " + counted(windows.k2, "lag"));
}

std::string joint_text(const JointSchedule& joint, const StackShape& shape,
                       const Windows& windows) {
  const Choice& choice = joint.choice;
  const std::string of = ", of " + windows_text(windows);
  switch (choice.division) {
    case Division::kRows:
      return parts_text(choice.threads, joint.splits, rows_of_part(shape, joint.splits),
                        "all " + windows_text(windows));
    case Division::kWindows:
      return number(choice.threads) + " threads share " + counted(joint.group, "window") +
             " at a time and meet after each lag: " + rows_of_part(shape, 1) + of;
    default:
      return one_thread(choice, shape, backward_flops(shape, windows));
  }
}

}  // namespace

std::string describe(const ForwardSchedule& schedule, const StackShape& shape) {
  const Choice& stages = schedule.stages;
  if (stages.shared()) {
    const std::string threads =
        number(stages.threads) + " threads, " + step_rows(stages, shape) + ": ";
    const std::string each = "each " + behind(schedule.tile);
    if (schedule.together > 1)
      return threads + "the products with W_x and the recurrence of " +
             counted(schedule.together, "layer") + ", " + each;
    const std::string text = threads + "the products with W_x, and the recurrence " +
                             counted(schedule.tile, "step") + " behind";
    return by_layer(shape, stages, text);
  }
  std::string lowest = layer_text(schedule.lowest, shape);
  if (shape.num_layers == 1) return lowest;
  const std::string upper = layer_text(schedule.upper, shape);
  if (lowest == upper) return by_layer(shape, schedule.lowest.choice, lowest);
  return "first layer: " + lowest + "; then: " + upper;
}

std::string describe(const BackwardSchedule& schedule, const StackShape& shape,
                     const Windows& windows) {
  switch (schedule.order) {
    case BackwardSchedule::Order::kInStages:
      return number(schedule.stages.threads) + " threads, " + step_rows(schedule.stages, shape) +
             ": " + counted(shape.num_layers, "layer") + ", each " + behind(schedule.tile);
    case BackwardSchedule::Order::kTogether:
      return joint_text(schedule.joint, shape, windows);
    case BackwardSchedule::Order::kByLayer:
      break;
  }
  return by_layer(shape, schedule.sweep.choice, sweep_text(schedule.sweep, shape, windows));
}

}  // namespace elman::cpu
