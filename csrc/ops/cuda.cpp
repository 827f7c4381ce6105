#include <c10/core/DeviceGuard.h>
#include <torch/library.h>

#include "checks.h"
#include "composite/rnn.h"
#include "cuda/rnn.h"
#include "dispatch/signatures.h"
#include "ops/fallback.h"

// What the kernels are registered for: tests of what surrounds them, where there is no GPU, say
// CPU.
#ifndef ELMAN_CUDA_DISPATCH_KEY
#define ELMAN_CUDA_DISPATCH_KEY CUDA
#endif

namespace elman {
namespace {

std::tuple<at::Tensor, at::Tensor, Saved> forward(const RnnArguments& args, Keep keep) {
  check_arguments(args);
  check_data(args);
  if (lacks_fused_kernel(args)) return composite::forward(args, keep);
  const c10::DeviceGuard guard(args.input.device());
  return cuda::forward(args, keep);
}

std::vector<at::Tensor> backward(const RnnArguments& args, const BackwardArguments& grads) {
  check_backward_arguments(args, grads);
  check_data(args, grads);
  if (lacks_fused_kernel(args)) return composite::backward(args, grads);
  const c10::DeviceGuard guard(args.input.device());
  return cuda::backward(args, grads);
}

std::string info(const RnnArguments& args) {
  check_arguments(args);
  check_batch_sizes(args);
  if (const char* const what = lacks_fused_kernel(args))
    return std::string("composite: PyTorch operators; there are no CUDA kernels for ") + what;
  const c10::DeviceGuard guard(args.input.device());
  return cuda::kernel_info(args);
}

}  // namespace

TORCH_LIBRARY_IMPL(elman, ELMAN_CUDA_DISPATCH_KEY, m) {
  m.impl("kernel_info", Padded<std::string>::kernel<info>);
  m.impl("kernel_info.data", Packed<std::string>::kernel<info>);
  m.impl("_rnn_forward", Internal::forward<forward>);
  m.impl("_rnn_backward", Internal::backward<backward>);
}

}  // namespace elman
