#include <torch/library.h>

#include "checks.h"
#include "composite/engine.h"
#include "cuda/engine.h"
#include "ops/signatures.h"

// Loaded into a process that has elman: from there on CPU tensors take the CUDA path.

namespace elman {
namespace {

std::tuple<at::Tensor, at::Tensor, Saved> forward(const RnnArguments& args, bool save_states) {
  check_arguments(args);
  check_batch_sizes(args);
  if (args.input.is_complex()) return composite::forward(args, save_states);
  return cuda::forward(args, save_states);
}

std::vector<at::Tensor> backward(const RnnArguments& args, const BackwardArguments& grads) {
  check_arguments(args);
  check_batch_sizes(args);
  if (args.input.is_complex()) return composite::backward(args, grads);
  return cuda::backward(args, grads);
}

}  // namespace

TORCH_LIBRARY_IMPL(elman, CPU, m) {
  m.impl("_rnn_forward", rnn_forward_kernel<forward>);
  m.impl("_rnn_backward", rnn_backward_kernel<backward>);
}

}  // namespace elman
