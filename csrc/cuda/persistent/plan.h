#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "cuda/persistent/launch_layout.h"
#include "cuda/persistent/roofline.h"

namespace elman::cuda::persistent {

/// One recurrence: a layer in one direction, forward or back.
struct Problem {
  Arithmetic arithmetic;
  std::int64_t steps;        ///< T going forward, k2 going back
  std::int64_t batch;        ///< B
  std::int64_t hidden;       ///< H
  std::int64_t windows = 1;  ///< going back: windows, which are rows like those of the batch
  bool overlap = false;      ///< k1 < k2: all windows of a batch row have to be in one group
  bool leaky = false;        ///< whether something is carried beside what W_h reads (leak.h)
};

struct Plan {
  Layout layout;
  StepCost step;                ///< what a step is expected to take, in clock cycles
  double cycles;                ///< the whole recurrence: steps, and waves of groups
  std::size_t flags_at;         ///< Workspace::flags, in bytes from its begin (the error word)
  std::size_t vectors_at;       ///< Workspace::vectors
  std::size_t workspace_bytes;  ///< all of it; has to be zero when the kernel starts

  int blocks() const { return layout.groups * layout.group_blocks; }
  /// All blocks have to be on the chip at once: only then may one wait for another.
  bool cooperative() const { return layout.exchange == Exchange::kGlobal; }
  int cluster() const { return is_cluster(layout.exchange) ? layout.group_blocks : 1; }
};

/// Bytes of the flags or barriers of a block in a cluster; none elsewhere.
std::int64_t arrival_bytes(const Layout& layout);

struct Decision {
  std::optional<Plan> plan;
  std::string reason;  ///< why this plan, or why none
};

/// All layouts that keep W_h on the chip.
std::vector<Plan> candidates(const Problem& problem, const DeviceLimits& device);

/// The fastest layout, as far as step_cost can tell, that keeps W_h on the chip.
Decision plan(const Problem& problem, const DeviceLimits& device);

}  // namespace elman::cuda::persistent
