#include "cuda/device.h"

#include <ATen/ops/addmm.h>
#include <ATen/ops/mm.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAStream.h>

namespace elman::cuda {

Stream current_stream(const at::Tensor& tensor) {
  return c10::cuda::getCurrentCUDAStream(tensor.device().index()).stream();
}

void check_launch(LaunchError error) { C10_CUDA_CHECK(static_cast<cudaError_t>(error)); }

void multiply(const at::Tensor& out, const at::Tensor& a, const at::Tensor& b, bool accumulate) {
  at::Tensor result = out;  // the very same object twice where it adds in place: nothing is copied
  if (out.scalar_type() == a.scalar_type()) {
    if (accumulate) {
      at::addmm_out(result, result, a, b);
    } else {
      at::mm_out(result, a, b);
    }
  } else if (accumulate) {
    at::addmm_out(result, result, a, b, out.scalar_type());
  } else {
    at::mm_out(result, a, b, out.scalar_type());
  }
}

}  // namespace elman::cuda
