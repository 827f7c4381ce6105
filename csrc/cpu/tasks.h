#pragma once

#include <ATen/Parallel.h>

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "cpu/parallel.h"
#include "cpu/schedule.h"
#include "cpu/vec/kernels.h"

// The threads that a call may use, and tasks for them.

namespace elman::cpu {

/// Whether the call that this thread is in keeps to it.
inline bool& keeps_to_one_thread() {
  thread_local bool keeps = false;
  return keeps;
}

/// Whether other threads count as awake. Tests set it, since their calls are small.
inline std::atomic<bool> threads_are_awake{false};

/// The threads that the calling one may use.
inline Threads available_threads() {
  return {at::get_num_threads(), at::in_parallel_region(), keeps_to_one_thread(),
          threads_are_awake.load(std::memory_order_relaxed)};
}

/// Makes them those of a call's schedule, in all that the call does.
class CallThreads {
 public:
  explicit CallThreads(const Threads& threads) : before_(keeps_to_one_thread()) {
    keeps_to_one_thread() = threads.small_call;
  }
  ~CallThreads() { keeps_to_one_thread() = before_; }
  CallThreads(const CallThreads&) = delete;
  CallThreads& operator=(const CallThreads&) = delete;

 private:
  const bool before_;
};

/// How many threads a piece of work of `flops` operations may use.
inline int64_t threads_for(double flops) { return available_threads().for_work(flops); }

/// A thread's work with the matrix unit, which it releases where that ends, by an exception too.
struct MatrixUnitUse {
  MatrixUnitUse() = default;
  MatrixUnitUse(const MatrixUnitUse&) = delete;
  ~MatrixUnitUse() { release_matrix_unit(); }
};

/// Calls run(i) for i = 0 ... tasks-1 on so many threads. A thread that is done takes the next
/// task, since tasks may differ in size and cores in speed.
template <typename Run>
void share_tasks(int64_t tasks, int64_t threads, const Run& run) {
  if (threads == 1) {
    const MatrixUnitUse use;
    for (int64_t i = 0; i < tasks; ++i) run(i);
    return;
  }
  std::atomic<int64_t> next{0};
  parallel_parts(threads, [&](int64_t, int64_t) {
    const MatrixUnitUse use;
    for (int64_t i = next++; i < tasks; i = next++) run(i);
  });
}

/// The same on several threads if `flops` operations in all are worth it.
template <typename Run>
void parallel_tasks(int64_t tasks, double flops, const Run& run) {
  share_tasks(tasks, tasks == 1 ? 1 : std::min(tasks, threads_for(flops)), run);
}

}  // namespace elman::cpu
