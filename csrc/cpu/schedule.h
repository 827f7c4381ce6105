#pragma once

#include <cstdint>
#include <string>

#include "stack.h"
#include "truncation.h"

// How the work of a call is divided among threads, and why: plain C++, made of sizes alone.
// forward.cpp, backward.cpp and sweep.cpp carry out what is decided here; kernel_info words it
// (schedule_text.cpp). Threads never show in a result, so all of this is about time.

namespace elman::cpu {

/// A second thread gets at least so many floating point operations; with less it costs more than it
/// saves, even if it waits for work.
constexpr double kWorthAThread = 2e5;
/// A call of fewer operations in all keeps to the calling thread: other threads may be asleep, and
/// to wake them takes longer than they can save. The second bound is for calls in which they save
/// less, since they wait for each other or share some products only. docs/performance.md has the
/// measurements.
constexpr double kWorthWaking = 2e6;
constexpr double kWorthWakingForAPart = 4e6;

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

/// What threads do side by side.
enum class Division : int8_t {
  kOneThread,
  kRows,     ///< some rows each, through all steps, without a barrier
  kColumns,  ///< some columns of each step (team.h)
  kStages,   ///< layers, or a layer's two products, some steps behind each other (wavefront.h)
  kWindows,  ///< some of the windows that overlap, with a barrier after each lag
};

/// Why there is one thread only.
enum class Alone : int8_t {
  kNot,
  kNumThreads,      ///< there are no others
  kParallelRegion,  ///< the caller is one of several that run already
  kSmallCall,       ///< too few operations in the whole call to wake another
  kLittleWork,      ///< too few operations in a layer, or between two barriers
  kIndivisible,     ///< too few rows to take some each, and W_h is too small for a team
};

/// A choice, and the figures that it was made of.
struct Choice {
  Division division = Division::kOneThread;
  Alone alone = Alone::kNot;
  int64_t threads = 1;       ///< that take part
  double flops = 0;          ///< operations of what is divided
  int64_t rows = 0;          ///< of a step: sequences, times windows
  int64_t weight_bytes = 0;  ///< W_h as the products' factor

  bool shared() const { return division != Division::kOneThread; }
};

/// The threads that a call finds.
struct Threads {
  int64_t count = 1;             ///< as torch.get_num_threads()
  bool parallel_region = false;  ///< the caller is one of several that run already
  bool small_call = false;       ///< it keeps to the calling thread
  bool awake = false;            ///< there are no small calls: nobody has to be woken

  /// How many a piece of work of so many operations may use.
  int64_t for_work(double flops) const;
  /// Why it is one.
  Alone why_one() const;
};

/// Bytes of an element of the products' factors, and of what is computed in.
struct ElementBytes {
  int64_t factor, computed;
};

/// Operations of the products of a call, the gradient of its input not counted.
double forward_flops(const StackShape& shape);
double backward_flops(const StackShape& shape, const Windows& windows);

// Forward: in stages, or layer by layer; a layer by columns, or by rows.

/// A layer in its one or two directions.
struct LayerSchedule {
  Choice choice;
  int64_t splits = 1;           ///< parts of the batch
  int64_t tasks = 1;            ///< these parts, for each direction
  int64_t product_threads = 1;  ///< that share the products with W_x, in a task by itself
  double step_flops = 0;        ///< of a direction's recurrence
};

/// The stages of a layer: its products with W_x, and its recurrence.
constexpr int64_t kForwardStages = 2;

struct ForwardSchedule {
  Threads threads;
  Choice stages;         ///< of the stack, shared or not
  int64_t tile = 1;      ///< steps that a stage hands on at a time
  int64_t together = 1;  ///< layers whose stages run at a time
  LayerSchedule lowest;  ///< without stages: layer 0, and each of the others
  LayerSchedule upper;

  const LayerSchedule& layer(int64_t index) const { return index == 0 ? lowest : upper; }
};

/// shares_states: layers write to the same memory by turns, so that they cannot run side by side.
ForwardSchedule schedule_forward(const StackShape& shape, bool shares_states, ElementBytes bytes,
                                 const Threads& found);

/// Steps whose products with W_x are made at a time for so many rows, to stay in the second-level
/// cache until the recurrence reads them.
int64_t forward_tile(const StackShape& shape, int64_t rows, int64_t computed_bytes);
/// Rows of the products with W_x that a thread takes where all share them.
constexpr int64_t kSharedRows = 48;

// Backward: all layers together, in stages, or layer by layer; a layer by columns, or by blocks.

/// The sweep of a layer whose windows do not overlap, in blocks: some windows of some rows.
struct SweepSchedule {
  Choice choice;
  int64_t group = 1;      ///< windows of a block,
  int64_t groups = 1;     ///< and how many blocks they fall into
  int64_t splits = 1;     ///< parts of the batch
  int64_t tasks = 1;      ///< blocks of all directions
  double step_flops = 0;  ///< of a block
};

/// The sweep of several layers whose windows overlap.
struct JointSchedule {
  Choice choice;
  int64_t group = 1;            ///< windows that are swept side by side
  bool shares_windows = false;  ///< divided by windows; if not, by rows
  int64_t splits = 1;           ///< parts of the batch, or of a whole group
  double window_flops = 0;      ///< of one window at one lag

  double lag_flops(int64_t count) const { return window_flops * static_cast<double>(count); }
};

struct BackwardSchedule {
  enum class Order : int8_t { kByLayer, kInStages, kTogether };

  Threads threads;
  Order order = Order::kByLayer;
  Choice stages;        ///< kInStages
  int64_t tile = 1;     ///< kInStages: steps that a layer hands down at a time
  SweepSchedule sweep;  ///< kByLayer: of each
  JointSchedule joint;  ///< kTogether
};

/// layers: how many are swept, from the top down. by_lag: deltas are wanted window by window.
BackwardSchedule schedule_backward(const StackShape& shape, const Windows& windows, int64_t layers,
                                   bool by_lag, ElementBytes bytes, const Threads& found);

// What multiplies.

/// Whether dot products with the rows of a matrix where it is stored, [n, k], are faster for so
/// many rows in all than packing it first: each sum ends with that of a vector's elements, which
/// costs as much as some of its terms, while packing costs the same for any number of rows. With
/// `beside_bfloat16`, than packing it for bfloat16's products, which are faster.
bool prefers_dot_products(int64_t rows, int64_t k, bool beside_bfloat16 = false);

/// What a CPU multiplies bfloat16 with.
struct BFloat16Units {
  bool dot_products = false;  ///< AVX512_BF16
  bool matrix_unit = false;   ///< AMX_BF16
  bool onednn = false;        ///< whether oneDNN, which uses the matrix unit, is not switched off
  int64_t small_work = 0;     ///< rows times k that are too little for it
};

/// Whether bfloat16's products of `rows` rows, with sums of k terms, are there and faster than
/// those of float.
bool prefers_bfloat16_products(const BFloat16Units& units, int64_t rows, int64_t k);
/// The same in a forward pass, which has dot products for few rows: `rows` rows in a step, all_rows
/// in all steps, k = H.
bool prefers_bfloat16_forward(const BFloat16Units& units, int64_t rows, int64_t all_rows,
                              int64_t k);

// In words, for people.

std::string describe(const ForwardSchedule& schedule, const StackShape& shape);
std::string describe(const BackwardSchedule& schedule, const StackShape& shape,
                     const Windows& windows);

}  // namespace elman::cpu
