#include "ops/kernel_info.h"

#include <ATen/Version.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <elman/kernel_info.h>
#include <torch/library.h>

#include "checks.h"
#include "cpu/vec/kernels.h"
#include "ops/fallback.h"

namespace elman {
namespace {

void check(const RnnArguments& args) {
  check_arguments(args);
  if (!args.input.is_meta()) check_batch_sizes(args);
}

std::string composite_info(const RnnArguments& args) {
  check(args);
  const std::string missing = missing_kernels(args.input.device().type());
  return "composite: PyTorch operators; " +
         (missing.empty() ? "there are no values to compute" : missing);
}

/// Rows of the largest step.
int64_t rows(const RnnArguments& args) {
  if (args.packed())
    return args.batch_sizes->numel() > 0 ? args.batch_sizes->max().item<int64_t>() : 0;
  return args.batched() ? args.input.size(args.batch_first ? 0 : 1) : 1;
}

/// Rows of all steps.
int64_t all_rows(const RnnArguments& args) {
  return args.input.dim() == 3 ? args.input.size(0) * args.input.size(1) : args.input.size(0);
}

std::string cpu_info(const RnnArguments& args) {
  check(args);
  if (args.input.is_complex()) {
    return std::string("composite: PyTorch operators; there are no fused kernels for ") +
           c10::toString(args.input.scalar_type());
  }
  const std::string kernels = "cpu: fused kernels compiled for " + at::get_cpu_capability();
  if (args.input.scalar_type() != at::kBFloat16) return kernels;
  return kernels + ", forward products by " +
         cpu::bfloat16_products(rows(args), all_rows(args), args.params[1].size(1));
}

}  // namespace

std::string kernel_info(const at::Tensor& input, const std::optional<at::Tensor>& hx,
                        at::TensorList params, bool has_biases, int64_t num_layers, double dropout,
                        bool train, bool bidirectional, bool batch_first,
                        std::string_view nonlinearity, int64_t k1, int64_t k2,
                        const std::optional<at::Tensor>& reset,
                        const std::optional<at::Tensor>& carry_scale) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("elman::kernel_info", "")
                             .typed<KernelInfoSignature>();
  return op.call(input, hx, params, has_biases, num_layers, dropout, train, bidirectional,
                 batch_first, nonlinearity, k1, k2, reset, carry_scale);
}

std::string kernel_info(const at::Tensor& data, const at::Tensor& batch_sizes,
                        const std::optional<at::Tensor>& hx, at::TensorList params, bool has_biases,
                        int64_t num_layers, double dropout, bool train, bool bidirectional,
                        std::string_view nonlinearity, int64_t k1, int64_t k2) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("elman::kernel_info", "data")
                             .typed<KernelInfoDataSignature>();
  return op.call(data, batch_sizes, hx, params, has_biases, num_layers, dropout, train,
                 bidirectional, nonlinearity, k1, k2);
}

TORCH_LIBRARY_IMPL(elman, CompositeExplicitAutograd, m) {
  m.impl("kernel_info", KernelInfo<composite_info>::rnn);
  m.impl("kernel_info.data", KernelInfo<composite_info>::data);
}

TORCH_LIBRARY_IMPL(elman, CPU, m) {
  m.impl("kernel_info", KernelInfo<cpu_info>::rnn);
  m.impl("kernel_info.data", KernelInfo<cpu_info>::data);
}

}  // namespace elman
