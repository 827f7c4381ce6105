#include "ops/rnn_cell.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/zeros.h>
#include <torch/library.h>

#include <vector>

#include "checks.h"
#include "dispatch/operators.h"
#include "dispatch/signatures.h"

namespace elman {

at::Tensor rnn_cell(const CellArguments& args) {
  check_cell_arguments(args);
  const auto& [input, hx, w_ih, w_hh, b_ih, b_hh, nonlinearity, leak, leak_form, preactivation] =
      args;
  if (w_hh.sym_size(0) == 0) {
    // Nothing to compute, and no network to run; the gradients have their shapes.
    at::Tensor h = at::linear(input, w_ih, b_ih);
    if (hx) h = h + at::linear(*hx, w_hh, b_hh);
    if (preactivation) h = h + *preactivation;
    if (leak) h = h * leak->to(h.scalar_type());
    return h;
  }
  // One layer's, and one step's.
  const auto one = [](const std::optional<at::Tensor>& tensor) -> std::optional<at::Tensor> {
    return tensor ? std::optional(tensor->unsqueeze(0)) : std::nullopt;
  };
  std::vector<at::Tensor> params{w_ih, w_hh};
  const bool has_biases = b_ih || b_hh;
  if (has_biases) {
    const auto zeros = [&] { return at::zeros_symint({w_hh.sym_size(0)}, w_hh.options()); };
    params.push_back(b_ih ? *b_ih : zeros());
    params.push_back(b_hh ? *b_hh : zeros());
  }
  const at::Tensor sequence = input.unsqueeze(0);  // [1, B, I] or, unbatched, [1, I]
  const std::optional<at::Tensor> state = one(hx);
  auto [output, h_n] =
      call_rnn({sequence, state, params, has_biases, /*num_layers=*/1, /*dropout=*/0,
                /*train=*/false, /*bidirectional=*/false, /*batch_first=*/false, nonlinearity,
                /*k1=*/0, /*k2=*/0, /*reset=*/std::nullopt,
                /*carry_scale=*/std::nullopt, one(leak), leak_form, one(preactivation)});
  // What the next step is to be given: in the current form v, which is not the output.
  return (leak_form == "current" ? h_n : output).squeeze(0);
}

TORCH_LIBRARY_IMPL(elman, CompositeImplicitAutograd, m) {
  m.impl("rnn_cell", RnnCell::kernel<rnn_cell>);
}

}  // namespace elman
