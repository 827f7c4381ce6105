#include <c10/core/SymInt.h>
#include <c10/util/Exception.h>
#include <torch/version.h>

#include "checks.h"
#include "checks/leak.h"
#include "checks/tensor.h"

namespace elman {
namespace {

/// Whether torch's cell says that the number of hx's dimensions is wrong: 2.15 does, 2.11 does not.
constexpr bool kTorchCountsDimensions = TORCH_VERSION_MAJOR > 2 ||
                                        (TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR >= 15);

void check_cell_shapes(const at::Tensor& input, const std::optional<at::Tensor>& hx,
                       const at::Tensor& w_ih, const at::Tensor& w_hh,
                       const std::optional<at::Tensor>& b_ih,
                       const std::optional<at::Tensor>& b_hh) {
  TORCH_CHECK(w_ih.defined() && w_hh.defined(),
              "w_ih and w_hh must be tensors, got undefined ones");
  TORCH_CHECK(w_ih.dim() == 2 && w_hh.dim() == 2, "w_ih and w_hh must have 2 dimensions, got ",
              w_ih.dim(), " and ", w_hh.dim());
  const c10::SymInt hidden = w_hh.sym_size(1);  // 0 too, as torch's cell
  check_matrix(w_hh, hidden, hidden, [] { return "w_hh"; });
  check_matrix(w_ih, hidden, w_ih.sym_size(1), [] { return "w_ih"; });
  if (b_ih) check_vector(*b_ih, hidden, [] { return "b_ih"; });
  if (b_hh) check_vector(*b_hh, hidden, [] { return "b_hh"; });
  TORCH_CHECK_VALUE(input.dim() == 1 || input.dim() == 2,
                    "RNNCell: Expected input to be 1D or 2D, got ", input.dim(), "D instead");
  TORCH_CHECK(input.sym_size(-1) == w_ih.sym_size(1), "input has inconsistent input_size: got ",
              input.sym_size(-1), " expected ", w_ih.sym_size(1));
  if (!hx) return;
  TORCH_CHECK_VALUE(hx->dim() == 1 || hx->dim() == 2,
                    "RNNCell: Expected hidden to be 1D or 2D, got ", hx->dim(), "D instead");
  const auto wrong_batch = [&] {
    return c10::str("Input batch size ", input.sym_size(0), " doesn't match hidden0 batch size ",
                    hx->sym_size(0));
  };
  const auto wrong_size = [&](const c10::SymInt& size) {
    return c10::str("hidden0 has inconsistent hidden_size: got ", size, ", expected ", hidden);
  };
  const auto wrong_dimensions = [&] {
    if constexpr (kTorchCountsDimensions) {
      // Of an unbatched call torch counts them after it has given both arguments a batch of one.
      return c10::str("Expected 2D hidden0 (batch x hidden_size), but got ",
                      hx->dim() + (input.dim() == 1), "D tensor");
    }
    // It takes the dimension there is for the one that it looks for.
    return input.dim() == 2 ? wrong_batch() : wrong_size(hx->sym_size(0));
  };
  TORCH_CHECK(hx->dim() == input.dim(), wrong_dimensions(),
              "\nhx must have as many dimensions as input, expected ", input.dim(), ", got ",
              hx->dim());
  TORCH_CHECK(input.dim() == 1 || hx->sym_size(0) == input.sym_size(0), wrong_batch());
  TORCH_CHECK(hx->sym_size(-1) == hidden, wrong_size(hx->sym_size(-1)));
}

}  // namespace

void check_cell_arguments(const CellArguments& args) {
  const at::Tensor &input = args.input, &w_ih = args.w_ih, &w_hh = args.w_hh;
  const std::optional<at::Tensor>&hx = args.hx, &b_ih = args.b_ih, &b_hh = args.b_hh;
  const Activation activation = parse_nonlinearity(args.nonlinearity);
  const auto check = [&](const at::Tensor& tensor, const char* role, const char* name) {
    check_dense(tensor, [&] { return name; });
    check_device(input, tensor, role, [&] { return name; });
  };
  check_dense(input, [] { return "input"; });
  check(w_ih, "parameter", "w_ih");
  check(w_hh, "parameter", "w_hh");
  if (b_ih) check(*b_ih, "parameter", "b_ih");
  if (b_hh) check(*b_hh, "parameter", "b_hh");
  if (hx) check(*hx, "hidden", "hx");
  // Shapes before dtypes, as torch's cell finds them.
  check_cell_shapes(input, hx, w_ih, w_hh, b_ih, b_hh);
  const auto check_dtype_of = [&](const at::Tensor& tensor, const char* name) {
    check_product_dtype(input, tensor, input.scalar_type(), [&] { return name; });
  };
  check_dtype_of(w_ih, "w_ih");
  check_dtype_of(w_hh, "w_hh");
  if (b_ih) check_dtype_of(*b_ih, "b_ih");
  if (b_hh) check_dtype_of(*b_hh, "b_hh");
  if (hx) check_product_dtype(*hx, w_hh, input.scalar_type(), [] { return "hx"; });
  check_dtype(input, activation);
  check_leaky_arguments(args);
}

}  // namespace elman
