#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <torch/library.h>

#include "checks.h"
#include "dispatch/signatures.h"
#include "owned_arguments.h"

namespace elman {
namespace {

using c10::SymInt;

/// Shapes, dtypes and strides of what the real kernels return; nothing is computed.
std::tuple<at::Tensor, at::Tensor, Saved> meta_forward(const RnnArguments& args, Keep keep) {
  check_arguments(args);
  const at::Tensor& input = args.input;
  const auto empty = [&](c10::ArrayRef<SymInt> sizes) {
    return at::empty_symint(sizes, input.options());
  };
  const int64_t cells = args.num_cells();
  const SymInt hidden = args.params[1].sym_size(1);
  const SymInt features = hidden * args.num_directions();

  at::Tensor output, h_n;
  if (args.packed()) {
    // Without the values of batch_sizes, hx alone knows how many rows there are.
    TORCH_CHECK(args.hx.has_value(),
                "hx must be given with packed input where shapes only are computed: the number of "
                "rows of h_n is a value of batch_sizes");
    output = empty({input.sym_size(0), features});
    h_n = empty({cells, args.hx->sym_size(1), hidden});
  } else if (!args.batched()) {
    output = empty({input.sym_size(0), features});
    h_n = empty({cells, hidden});
  } else if (args.batch_first) {
    output = empty({input.sym_size(1), input.sym_size(0), features}).transpose(0, 1);
    h_n = empty({cells, input.sym_size(0), hidden});
  } else {
    output = empty({input.sym_size(0), input.sym_size(1), features});
    h_n = empty({cells, input.sym_size(1), hidden});
  }

  const auto by_layer = [&](bool wanted, int64_t layers) {
    return wanted ? empty(args.saved_sizes(layers)) : empty({SymInt(0)});
  };
  const int64_t inner = args.num_layers - 1;
  Saved saved{by_layer(keep.states && inner > 0, inner),
              by_layer(keep.states && args.draws_dropout(), inner),
              by_layer(keep.drives && args.leak.has_value(), args.num_layers)};
  return {output, h_n, saved};
}

std::vector<at::Tensor> meta_backward(const RnnArguments& args, const BackwardArguments& grads) {
  check_backward_arguments(args, grads);
  std::vector<at::Tensor> result;
  each_wanted(args, grads, [&](const at::Tensor& x, Role) {
    const bool transposed = &x == &args.input && args.batched() && args.batch_first;
    // Dense in time-major order, as the output is.
    result.push_back(
        transposed ? at::empty_symint({x.sym_size(1), x.sym_size(0), x.sym_size(2)}, x.options())
                         .transpose(0, 1)
                   : at::empty_symint(x.sym_sizes(), x.options()));
  });
  return result;
}

}  // namespace

TORCH_LIBRARY_IMPL(elman, Meta, m) {
  m.impl("_rnn_forward", Internal::forward<meta_forward>);
  m.impl("_rnn_backward", Internal::backward<meta_backward>);
}

}  // namespace elman
