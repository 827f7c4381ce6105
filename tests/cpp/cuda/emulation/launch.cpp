// csrc/cuda/persistent/launch.h on the emulated device: the kernels run before the call returns.
#include "cuda/persistent/launch.h"

#include <cstdio>
#include <mutex>

#include "cuda/emulation/emulator.h"
#include "cuda/emulation/policies.h"

namespace elman::cuda::persistent {
namespace {

constexpr int kFailed = 719;  // cudaErrorLaunchFailure

/// Runs `kernel` with the policy of `arithmetic`, in another order of threads each time.
template <typename Kernel>
int run(const Plan& plan, Arithmetic arithmetic, const Workspace& workspace, const Kernel& kernel) {
  static std::mutex one_device;
  const std::lock_guard<std::mutex> lock(one_device);
  static std::uint32_t seed = 0;
  const emulation::Outcome outcome = with_policy(arithmetic, [&](auto policy) {
    return emulation::launch({plan.blocks(), kThreads, plan.cluster(),
                              static_cast<std::size_t>(plan.layout.shared_bytes), ++seed},
                             [&] { kernel(policy); });
  });
  if (!outcome.error.empty()) std::fprintf(stderr, "emulated kernel: %s\n", outcome.error.c_str());
  return outcome.error.empty() && *workspace.error == 0 ? 0 : kFailed;
}

}  // namespace

/// A small device, so that small layers too come in several groups and clusters.
int query_device(DeviceLimits& limits) {
  limits = {/*compute_capability=*/90, /*multiprocessors=*/4,
            /*shared_bytes_per_block=*/227 * 1024, /*max_cluster=*/2};
  return 0;
}

int query_resident(const Plan&, const Problem&, bool, bool& resident) {
  resident = true;
  return 0;
}

int launch_forward(const Plan& plan, Arithmetic arithmetic, const Workspace& workspace,
                   const ForwardOperands& operands, CUstream_st*) {
  return run(plan, arithmetic, workspace, [&](auto policy) {
    using P = decltype(policy);
    if (operands.leak.carried != nullptr) {
      run_forward<P, LeakyForwardPass>(plan.layout, workspace, operands);
    } else {
      run_forward<P, ForwardPass>(plan.layout, workspace, operands);
    }
  });
}

int launch_backward(const Plan& plan, Arithmetic arithmetic, const Workspace& workspace,
                    const BackwardOperands& operands, CUstream_st*) {
  return run(plan, arithmetic, workspace, [&](auto policy) {
    using P = decltype(policy);
    if (operands.leak.carried != nullptr) {
      run_backward<P, LeakyBackwardPass>(plan.layout, workspace, operands);
    } else {
      run_backward<P, BackwardPass>(plan.layout, workspace, operands);
    }
  });
}

}  // namespace elman::cuda::persistent
