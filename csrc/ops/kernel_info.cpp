#include <ATen/Version.h>
#include <torch/library.h>

#include "checks.h"
#include "cpu/vec/kernels.h"
#include "dispatch/signatures.h"
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
  std::string kernels = "cpu: fused kernels compiled for " + at::get_cpu_capability();
  if (args.leaky()) kernels += ", the leak in them";
  if (args.input.scalar_type() != at::kBFloat16) return kernels;
  return kernels + ", forward products by " +
         cpu::bfloat16_products(rows(args), all_rows(args), args.params[1].size(1));
}

}  // namespace

TORCH_LIBRARY_IMPL(elman, CompositeExplicitAutograd, m) {
  m.impl("kernel_info", Padded<std::string>::kernel<composite_info>);
  m.impl("kernel_info.data", Packed<std::string>::kernel<composite_info>);
}

TORCH_LIBRARY_IMPL(elman, CPU, m) {
  m.impl("kernel_info", Padded<std::string>::kernel<cpu_info>);
  m.impl("kernel_info.data", Packed<std::string>::kernel<cpu_info>);
}

}  // namespace elman
