#include <c10/core/SymInt.h>
#include <c10/util/Exception.h>

#include "checks.h"
#include "checks/tensor.h"

namespace elman {
namespace {

/// output or its gradient: the input's shape with D*H in the last dimension.
void check_output_like(const RnnArguments& args, const at::Tensor& tensor, const char* name) {
  const at::Tensor& input = args.input;
  check_like_input(input, tensor, [&] { return name; });
  const c10::SymInt features = args.params[1].sym_size(1) * args.num_directions();
  const int64_t rows = input.dim() - 1;
  TORCH_CHECK(tensor.dim() == input.dim() && tensor.sym_size(rows) == features &&
                  tensor.sym_sizes().slice(0, rows) == input.sym_sizes().slice(0, rows),
              name, " must have the input's shape ", shape_of(input), " with ", features,
              " in the last dimension, got ", shape_of(tensor));
}

/// grad_h_n: [L*D, B, H], [L*D, H] unbatched.
void check_grad_h_n(const RnnArguments& args, const at::Tensor& grad) {
  check_like_input(args.input, grad, [] { return "grad_h_n"; });
  const int64_t cells = args.num_layers * args.num_directions();
  const c10::SymInt hidden = args.params[1].sym_size(1);
  if (!args.batched()) {
    TORCH_CHECK(grad.dim() == 2 && grad.sym_size(0) == cells && grad.sym_size(1) == hidden,
                "grad_h_n must have shape [", cells, ", ", hidden, "], got ", shape_of(grad));
    return;
  }
  TORCH_CHECK(grad.dim() == 3, "grad_h_n must have 3 dimensions with batched input, got ",
              grad.dim());
  // How many rows packed input has is a value, unless hx tells: see check_data.
  const c10::SymInt batch = !args.packed() ? args.input.sym_size(args.batch_first ? 0 : 1)
                            : args.hx      ? args.hx->sym_size(1)
                                           : grad.sym_size(1);
  TORCH_CHECK(grad.sym_size(0) == cells && grad.sym_size(1) == batch && grad.sym_size(2) == hidden,
              "grad_h_n must have shape [", cells, ", ", batch, ", ", hidden, "], got ",
              shape_of(grad));
}

/// One of Saved's tensors, of so many layers; `may_be_absent`: [0] stands for none.
void check_saved(const RnnArguments& args, const at::Tensor& tensor, const char* name,
                 int64_t layers, bool may_be_absent) {
  check_like_input(args.input, tensor, [&] { return name; });
  if (may_be_absent && tensor.dim() == 1 && tensor.sym_size(0) == 0) return;
  const std::vector<c10::SymInt> expected = args.saved_sizes(layers);
  TORCH_CHECK(tensor.sym_sizes() == c10::SymIntArrayRef(expected), name, " must have shape ",
              c10::SymIntArrayRef(expected), ", got ", shape_of(tensor));
}

}  // namespace

void check_gradients(const RnnArguments& args, const BackwardArguments& grads) {
  check_arguments(args);
  const size_t edges = BackwardArguments::count(args.params.size());
  TORCH_CHECK(grads.output_mask.size() == edges, "output_mask must hold ", edges, " bools (",
              BackwardArguments::kGradients, "), got ", grads.output_mask.size());
  if (grads.grad_output) check_output_like(args, *grads.grad_output, "grad_output");
  if (grads.grad_h_n) check_grad_h_n(args, *grads.grad_h_n);
  check_saved(args, grads.saved.masks, "saved_masks", args.num_layers - 1, /*may_be_absent=*/true);
}

void check_backward_arguments(const RnnArguments& args, const BackwardArguments& grads) {
  check_gradients(args, grads);
  check_output_like(args, grads.output, "output");
  check_saved(args, grads.saved.states, "states", args.num_layers - 1,
              /*may_be_absent=*/args.num_layers == 1);
  check_saved(args, grads.saved.drives, "drives", args.num_layers,
              /*may_be_absent=*/!args.reads_drives(grads.wants_leak()));
}

}  // namespace elman
