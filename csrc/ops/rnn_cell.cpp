#include <ATen/TensorOperators.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/zeros.h>
#include <torch/library.h>

#include "autocast/rnn.h"
#include "checks.h"
#include "ops/operators.h"

namespace elman {
namespace {

/// One step of a one-layer network: h' = f(w_ih x + b_ih + w_hh h + b_hh).
/// input [B, I] or [I], hx [B, H] or [H] (none: zeros), result [B, H] or [H].
at::Tensor rnn_cell(const at::Tensor& input, const std::optional<at::Tensor>& hx,
                    const at::Tensor& w_ih, const at::Tensor& w_hh,
                    const std::optional<at::Tensor>& b_ih, const std::optional<at::Tensor>& b_hh,
                    std::string_view nonlinearity) {
  check_cell_arguments(input, hx, w_ih, w_hh, b_ih, b_hh, nonlinearity);
  if (w_hh.sym_size(0) == 0) {
    // Nothing to compute, and no network to run; the gradients have their shapes.
    const auto h = at::linear(input, w_ih, b_ih);
    return hx ? h + at::linear(*hx, w_hh, b_hh) : h;
  }
  std::optional<at::Tensor> state;
  if (hx) state = hx->unsqueeze(0);
  std::vector<at::Tensor> params{w_ih, w_hh};
  const bool has_biases = b_ih || b_hh;
  if (has_biases) {
    const auto zeros = [&] { return at::zeros_symint({w_hh.sym_size(0)}, w_hh.options()); };
    params.push_back(b_ih ? *b_ih : zeros());
    params.push_back(b_hh ? *b_hh : zeros());
  }
  const at::Tensor sequence = input.unsqueeze(0);  // [1, B, I] or, unbatched, [1, I]
  auto [output, h_n] = call_rnn({sequence, state, params, has_biases, /*num_layers=*/1,
                                 /*dropout=*/0, /*train=*/false, /*bidirectional=*/false,
                                 /*batch_first=*/false, nonlinearity, /*k1=*/0, /*k2=*/0,
                                 std::nullopt, std::nullopt, std::nullopt});
  return output.squeeze(0);
}

at::Tensor rnn_cell_in_vmap(const at::Tensor& input, const std::optional<at::Tensor>& hx,
                            const at::Tensor& w_ih, const at::Tensor& w_hh,
                            const std::optional<at::Tensor>& b_ih,
                            const std::optional<at::Tensor>& b_hh, std::string_view nonlinearity) {
  const auto run = autocast_is_on(input) ? autocast_rnn_cell : rnn_cell;
  return run(input, hx, w_ih, w_hh, b_ih, b_hh, nonlinearity);
}

}  // namespace

TORCH_LIBRARY_IMPL(elman, CompositeImplicitAutograd, m) { m.impl("rnn_cell", rnn_cell); }
// CompositeImplicitAutograd does not reach into torch.func.vmap.
TORCH_LIBRARY_IMPL(elman, FuncTorchVmapMode, m) { m.impl("rnn_cell", rnn_cell_in_vmap); }

}  // namespace elman
