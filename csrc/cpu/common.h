#pragma once

#include <c10/core/CPUAllocator.h>
#include <sys/mman.h>

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "cpu/parallel.h"
#include "cpu/schedule.h"
#include "cpu/vec/kernels.h"

namespace elman::cpu {

/// Asks for huge pages under large fresh memory, where the system grants them on request: each page
/// is a fault at its first use, and with pages of 4 KiB these faults take up to a tenth of a large
/// forward pass. Never an error.
inline void advise_huge_pages(void* data, int64_t bytes) {
#ifdef MADV_HUGEPAGE
  constexpr int64_t kHugePage = int64_t{2} << 20;
  if (bytes < 4 * kHugePage) return;
  const auto begin = reinterpret_cast<std::uintptr_t>(data);
  const std::uintptr_t first = (begin + kHugePage - 1) / kHugePage * kHugePage;
  const std::uintptr_t end = (begin + bytes) / kHugePage * kHugePage;
  madvise(reinterpret_cast<void*>(first), end - first, MADV_HUGEPAGE);
#endif
}

/// Asks for the lines of the cache that `count` rows of `columns` elements lie in, to be written
/// soon: what is computed until then hides how long they take to come.
template <typename T>
inline void prefetch_for_writing(int64_t count, int64_t columns, Rows<T> rows) {
  constexpr int64_t kLine = 64 / sizeof(T);
  for (int64_t i = 0; i < count; ++i) {
    T* const row = rows.data + i * rows.row_stride;
    for (int64_t j = 0; j < columns; j += kLine) __builtin_prefetch(row + j, /*rw=*/1);
  }
}

/// Uninitialised memory from ATen's CPU allocator, aligned to 64 bytes.
template <typename T>
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(int64_t count)
      : data_(count > 0 ? c10::GetCPUAllocator()->allocate(count * sizeof(T)) : c10::DataPtr()) {
    advise_huge_pages(data_.get(), count * sizeof(T));
  }
  T* get() const { return static_cast<T*>(data_.get()); }

 private:
  c10::DataPtr data_;
};

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

/// Calls run(first column, columns) for the pieces of `width` columns that `columns` columns fall
/// into.
template <typename Run>
void for_panels(int64_t columns, const Run& run, int64_t width = kPanelColumns) {
  for (int64_t j = 0; j < columns; j += width) run(j, std::min(width, columns - j));
}

/// The same for the columns [first, end), or `backwards`, from the last ones to the first.
template <typename Run>
void for_panels(int64_t first, int64_t end, const Run& run, bool backwards = false) {
  const int64_t panels = ceil_div(end - first, kPanelColumns);
  for (int64_t i = 0; i < panels; ++i) {
    const int64_t j = first + (backwards ? panels - 1 - i : i) * kPanelColumns;
    run(j, std::min(kPanelColumns, end - j));
  }
}

}  // namespace elman::cpu
