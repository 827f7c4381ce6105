#include <ATen/OpMathType.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/zeros.h>
#include <elman/gradient_by_lag.h>
#include <torch/library.h>

#include <algorithm>

#include "checks.h"
#include "checks/tensor.h"
#include "composite/rnn.h"
#include "dispatch/operators.h"
#include "dispatch/signatures.h"
#include "ops/lag_norms.h"

namespace elman {
namespace {

using Signature = at::Tensor(const at::Tensor&, const std::optional<at::Tensor>&, at::TensorList,
                             bool, int64_t, double, bool, bool, bool, int64_t, std::string_view,
                             const std::optional<at::Tensor>&, const std::optional<at::Tensor>&,
                             const std::optional<at::Tensor>&, std::string_view,
                             const std::optional<at::Tensor>&);

/// The arguments of the operator: those of a sliding window, k1 = 1.
struct LagArguments {
  RnnArguments rnn;
  const std::optional<at::Tensor>& grad_output;
  int64_t max_lag;

  int64_t steps() const { return rnn.input.size(rnn.batched() && rnn.batch_first ? 1 : 0); }
  int64_t rows() const { return rnn.batched() ? rnn.input.size(rnn.batch_first ? 0 : 1) : 1; }
};

template <auto impl>
at::Tensor lag_kernel(const at::Tensor& input, const std::optional<at::Tensor>& hx,
                      at::TensorList params, bool has_biases, int64_t num_layers, double dropout,
                      bool train, bool bidirectional, bool batch_first, int64_t max_lag,
                      std::string_view nonlinearity, const std::optional<at::Tensor>& grad_output,
                      const std::optional<at::Tensor>& reset, const std::optional<at::Tensor>& leak,
                      std::string_view leak_form, const std::optional<at::Tensor>& preactivation) {
  const LagArguments args{{input, hx, params, has_biases, num_layers, dropout, train, bidirectional,
                           batch_first, nonlinearity, /*k1=*/0, /*k2=*/0, reset,
                           /*carry_scale=*/std::nullopt, leak, leak_form, preactivation},
                          grad_output,
                          max_lag};
  TORCH_CHECK_VALUE(max_lag >= 1, "max_lag must be at least 1, got ", max_lag);
  TORCH_CHECK_VALUE(!bidirectional,
                    "gradient_by_lag is not defined for a bidirectional network, which has no "
                    "online order; expected bidirectional=False");
  check_arguments(args.rnn);
  if (grad_output) {
    check_dense(*grad_output, [] { return "grad_output"; });
    auto sizes = input.sym_sizes().vec();
    sizes.back() = params[1].sym_size(1);
    TORCH_CHECK(grad_output->sym_sizes() == c10::SymIntArrayRef(sizes),
                "grad_output must have the output's shape ", c10::SymIntArrayRef(sizes), ", got ",
                grad_output->sym_sizes());
    TORCH_CHECK_VALUE(grad_output->scalar_type() == input.scalar_type(),
                      "grad_output must have the input's dtype ", input.scalar_type(), ", got ",
                      grad_output->scalar_type());
    TORCH_CHECK(grad_output->device() == input.device(), "grad_output must be on the input's ",
                "device ", input.device(), ", got ", grad_output->device());
  }
  return impl(args);
}

at::TensorOptions result_options(const LagArguments& args) {
  const auto& input = args.rnn.input;
  return input.options().dtype(c10::toRealValueType(at::toOpMathType(input.scalar_type())));
}

/// The forward pass, and then `lag_norms`: composite::lag_norms or a device's own.
template <auto lag_norms>
at::Tensor kernel(const LagArguments& args) {
  if (args.grad_output) check_allocated(*args.grad_output, [] { return "grad_output"; });
  const int64_t lags = std::min(args.steps(), args.max_lag);
  if (args.rows() == 0) {  // nothing to take means over
    return at::zeros({args.rnn.num_layers, args.max_lag}, result_options(args));
  }
  auto [output, h_n, saved] = call_rnn_forward(args.rnn, kKeepAll);
  const auto grad_output = args.grad_output ? *args.grad_output : at::ones_like(output);
  const std::vector<bool> everything(BackwardArguments::count(args.rnn.params.size()), true);
  const auto norms =
      lag_norms(args.rnn, {grad_output, std::nullopt, output, std::move(saved), everything}, lags);
  return at::constant_pad_nd(norms, {0, args.max_lag - lags});
}

/// A measurement, not a function to differentiate.
at::Tensor autograd_kernel(const LagArguments& args) {
  const at::AutoDispatchBelowADInplaceOrView guard;
  return gradient_by_lag(args.rnn.input, args.rnn.hx, args.rnn.params, args.rnn.has_biases,
                         args.rnn.num_layers, args.rnn.dropout, args.rnn.train,
                         args.rnn.bidirectional, args.rnn.batch_first, args.max_lag,
                         args.rnn.nonlinearity, args.grad_output, args.rnn.reset, args.rnn.leak,
                         args.rnn.leak_form, args.rnn.preactivation);
}

at::Tensor meta_kernel(const LagArguments& args) {
  return at::empty({args.rnn.num_layers, args.max_lag}, result_options(args));
}

}  // namespace

at::Tensor gradient_by_lag(const at::Tensor& input, const std::optional<at::Tensor>& hx,
                           at::TensorList params, bool has_biases, int64_t num_layers,
                           double dropout, bool train, bool bidirectional, bool batch_first,
                           int64_t max_lag, std::string_view nonlinearity,
                           const std::optional<at::Tensor>& grad_output,
                           const std::optional<at::Tensor>& reset,
                           const std::optional<at::Tensor>& leak, std::string_view leak_form,
                           const std::optional<at::Tensor>& preactivation) {
  static const auto op = find_operator<Signature>("elman::gradient_by_lag");
  return op.call(input, hx, params, has_biases, num_layers, dropout, train, bidirectional,
                 batch_first, max_lag, nonlinearity, grad_output, reset, leak, leak_form,
                 preactivation);
}

TORCH_LIBRARY_IMPL(elman, CompositeExplicitAutograd, m) {
  m.impl("gradient_by_lag", lag_kernel<kernel<composite::lag_norms>>);
}
TORCH_LIBRARY_IMPL(elman, CPU, m) { m.impl("gradient_by_lag", lag_kernel<kernel<cpu::lag_norms>>); }
TORCH_LIBRARY_IMPL(elman, Autograd, m) { m.impl("gradient_by_lag", lag_kernel<autograd_kernel>); }
TORCH_LIBRARY_IMPL(elman, Meta, m) { m.impl("gradient_by_lag", lag_kernel<meta_kernel>); }

}  // namespace elman
