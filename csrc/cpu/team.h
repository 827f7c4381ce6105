#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <thread>

#include "cpu/schedule.h"
#include "cpu/tasks.h"
#include "cpu/vec/kernels.h"

namespace elman::cpu {

/// A short rest in a loop that waits for another core.
inline void pause_core() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

/// Where the members of a team meet after each step. They come in groups, one to a thread, and each
/// group waits for the others: for a part of a step's time without giving the core away, then
/// politely, since there may be fewer cores than threads. Where the latter happens often, the team
/// does not pay: it is dissolved, and one member goes on alone.
class StepBarrier {
 public:
  /// `step_flops`: operations of a member between two meetings.
  explicit StepBarrier(int64_t members, double step_flops = 0)
      : members_(members), spins_(kSpins + static_cast<int>(step_flops / kFlopsPerSpin)) {}

  /// What a meeting comes to, for all the same.
  enum class Outcome { kGoOn, kDissolved, kAbandoned };

  /// Called by a thread for the `group` members that it is: returns when all have come, or when one
  /// of them never will.
  Outcome wait(int64_t group) {
    const int64_t round = round_.load(std::memory_order_relaxed);
    if (arrived_.fetch_add(group, std::memory_order_acq_rel) + group == members_) {
      arrived_.store(0, std::memory_order_relaxed);
      dissolved_ = late_.load(std::memory_order_relaxed) > kLate + round / kLateEvery;
      round_.store(round + 1, std::memory_order_release);
      return outcome();
    }
    for (int spin = 0; round_.load(std::memory_order_acquire) == round; ++spin) {
      if (abandoned_.load(std::memory_order_relaxed)) return Outcome::kAbandoned;
      if (spin < spins_) {
        pause_core();
      } else {
        if (spin == spins_) late_.fetch_add(1, std::memory_order_relaxed);
        std::this_thread::yield();
      }
    }
    return outcome();
  }

  /// Called by a member that leaves with an exception: nobody waits for it.
  void abandon() { abandoned_.store(true, std::memory_order_relaxed); }

 private:
  Outcome outcome() const { return dissolved_ ? Outcome::kDissolved : Outcome::kGoOn; }

  /// Rests before a member that waits gives its core away: a step may be over in microseconds, and
  /// from one to another cores differ by about a quarter of it. A rest lasts as long as about a
  /// thousand operations.
  static constexpr int kSpins = 2000;
  static constexpr double kFlopsPerSpin = 4000;
  /// The team is dissolved after more late rounds than kLate and one of kLateEvery.
  static constexpr int64_t kLate = 4, kLateEvery = 16;

  const int64_t members_;
  const int spins_;
  alignas(64) std::atomic<int64_t> arrived_{0};
  std::atomic<int64_t> late_{0};
  alignas(64) std::atomic<int64_t> round_{0};
  std::atomic<bool> abandoned_{false};
  bool dissolved_ = false;  ///< written before round_, read after it
};

/// One thread's part in a team's work: of every row of H columns the columns [first, end).
struct Member {
  int64_t first, end;
  int64_t index;  ///< 0 ... members - 1
  int64_t group;  ///< how many members this thread is
  StepBarrier* barrier;

  /// Ends a step. Returns whether the member stays: if the team has been dissolved, only the first
  /// one does, with all `columns`; after an exception nobody does.
  bool meet(int64_t columns) {
    if (barrier == nullptr) return true;
    const StepBarrier::Outcome outcome = barrier->wait(group);
    if (outcome == StepBarrier::Outcome::kGoOn) return true;
    if (outcome == StepBarrier::Outcome::kAbandoned || index > 0) return false;
    *this = {0, columns, 0, 1, nullptr};
    return true;
  }
};

/// All of the work by itself.
inline Member alone(int64_t columns) { return {0, columns, 0, 1, nullptr}; }

/// Calls run(Member) on up to `members` threads at the same time, each with its part of `columns`
/// columns; `step_flops` are the operations between two meetings. With fewer threads than members
/// some get a larger part; nobody waits for a thread that does not exist.
template <typename P, typename Run>
void run_team(int64_t members, int64_t columns, double step_flops, const Run& run) {
  StepBarrier barrier(members, step_flops / static_cast<double>(members));
  // Parts are whole panels, and whole lines of the cache.
  const int64_t unit = std::max<int64_t>(product_kernels<P>().panel_columns, 16);
  const int64_t units = ceil_div(columns, unit);
  const auto part = [&](int64_t begin, int64_t end) {
    const auto border = [&](int64_t member) {
      return std::min(columns, units * member / members * unit);
    };
    const MatrixUnitUse use;
    try {
      run(end - begin == members
              ? alone(columns)
              : Member{border(begin), border(end), begin, end - begin, &barrier});
    } catch (...) {  // parallel_for hands it on, once all have ended
      barrier.abandon();
      throw;
    }
  };
#if AT_PARALLEL_OPENMP
  parallel_parts(members, part);  // parts run at the same time, each on a thread of its own
#else
  part(0, members);
#endif
}

}  // namespace elman::cpu
