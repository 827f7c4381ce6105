#pragma once

#include "cuda/persistent/operands.h"
#include "cuda/persistent/plan.h"

struct CUstream_st;

namespace elman::cuda::persistent {

/// What the current device is. Returns a cudaError_t, 0 for success, as do the functions below.
int query_device(DeviceLimits& limits);

/// Whether the current device can have all blocks that wait for each other on the chip together, by
/// its driver's own count; nothing is launched otherwise. `resident` is false too where the driver
/// refuses the kernel's shared memory or cluster.
int query_resident(const Plan& plan, const Problem& problem, bool backward, bool& resident);

/// Queues one kernel for all steps. The workspace's memory has to be zero by then; `operands` are
/// copied. Nothing is waited for and nothing is read back: a wait inside the kernel that was given
/// up (it is bounded, see Workspace) shows as a nonzero error word and as NaN in the results.
int launch_forward(const Plan& plan, Arithmetic arithmetic, const Workspace& workspace,
                   const ForwardOperands& operands, CUstream_st* stream);
int launch_backward(const Plan& plan, Arithmetic arithmetic, const Workspace& workspace,
                    const BackwardOperands& operands, CUstream_st* stream);

}  // namespace elman::cuda::persistent
