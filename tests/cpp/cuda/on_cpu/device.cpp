#include "cuda/device.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/mm.h>

// The device on the CPU: elementwise kernels are loops (csrc/cuda/elementwise.cuh), products are
// those of the CPU, in the precision that the GPU's have: 16-bit factors, sums of float32.

namespace elman::cuda {

Stream current_stream(const at::Tensor&) { return nullptr; }

void check_launch(LaunchError error) { TORCH_CHECK(error == 0, "a launch failed: ", error); }

void multiply(const at::Tensor& out, const at::Tensor& a, const at::Tensor& b, bool accumulate) {
  const auto sums = out.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  const at::Tensor product = at::mm(a.to(sums), b.to(sums));
  out.copy_(accumulate ? product + out.to(sums) : product);
}

}  // namespace elman::cuda
