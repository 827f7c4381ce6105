#include "cuda/device.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/mm.h>

#include "cuda/persistent/launch.h"

// The general path's device on the CPU: kernels are loops (csrc/cuda/elementwise.cuh), products are
// those of the CPU, in the precision that the GPU's have: 16-bit factors, sums of float32.

namespace elman::cuda {

Stream current_stream(const at::Tensor&) { return nullptr; }

void check_launch(LaunchError error) { TORCH_CHECK(error == 0, "a launch failed: ", error); }

void multiply(const at::Tensor& out, const at::Tensor& a, const at::Tensor& b, bool accumulate) {
  const auto sums = out.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  const at::Tensor product = at::mm(a.to(sums), b.to(sums));
  out.copy_(accumulate ? product + out.to(sums) : product);
}

namespace persistent {

/// A device that the planner has no layout for: the general path is what is tested here.
int query_device(DeviceLimits& limits) {
  limits = {/*compute_capability=*/0, /*multiprocessors=*/1, /*shared_bytes_per_block=*/0, 1};
  return 0;
}

int query_resident(const Plan&, Arithmetic, bool, bool&) { return 1; }
int launch_forward(const Plan&, Arithmetic, const Workspace&, const ForwardOperands&, Stream) {
  return 1;
}
int launch_backward(const Plan&, Arithmetic, const Workspace&, const BackwardOperands&, Stream) {
  return 1;
}

}  // namespace persistent
}  // namespace elman::cuda
