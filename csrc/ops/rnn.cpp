#include "composite/rnn.h"

#include <torch/library.h>

#include "checks.h"
#include "dispatch/operators.h"
#include "dispatch/signatures.h"
#include "ops/fallback.h"

namespace elman {
namespace {

/// elman::rnn and elman::rnn.data where autograd has nothing to record: nothing is saved.
std::tuple<at::Tensor, at::Tensor> rnn(const RnnArguments& args) {
  check_arguments(args);
  auto [output, h_n, saved] = call_rnn_forward(args, kKeepNothing);
  return {std::move(output), std::move(h_n)};
}

std::tuple<at::Tensor, at::Tensor, Saved> composite_forward(const RnnArguments& args, Keep keep) {
  check_arguments(args);
  check_data(args);
  warn_missing_kernels(args.input.device().type());
  return composite::forward(args, keep);
}

std::vector<at::Tensor> composite_backward(const RnnArguments& args,
                                           const BackwardArguments& grads) {
  check_backward_arguments(args, grads);
  check_data(args, grads);
  return composite::backward(args, grads);
}

}  // namespace

// Every device that has no kernels of its own runs the composite engine.
TORCH_LIBRARY_IMPL(elman, CompositeExplicitAutograd, m) {
  m.impl("rnn", Padded<RnnResult>::kernel<rnn>);
  m.impl("rnn.data", Packed<RnnResult>::kernel<rnn>);
  m.impl("_rnn_forward", Internal::forward<composite_forward>);
  m.impl("_rnn_backward", Internal::backward<composite_backward>);
}

}  // namespace elman
