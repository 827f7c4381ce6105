#include <ATen/OpMathType.h>
#include <ATen/Version.h>
#include <torch/library.h>

#include "checks.h"
#include "cpu/schedule.h"
#include "cpu/tasks.h"
#include "cpu/vec/kernels.h"
#include "dispatch/signatures.h"
#include "ops/dense_arguments.h"
#include "ops/fallback.h"
#include "requires_grad.h"
#include "truncation.h"

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

/// "forward: ...; backward: ..." of a call on this thread, as it is now.
std::string divisions(const RnnArguments& args, const StackShape& shape) {
  const Windows windows = Windows::make(shape.steps, args.k1, args.k2);
  const cpu::Threads threads = cpu::available_threads();
  const at::ScalarType dtype = args.input.scalar_type();
  const bool may_be_bfloat16 = dtype == at::kBFloat16;
  const auto bytes = [&](bool factors_are_bfloat16) -> cpu::ElementBytes {
    const auto computed = static_cast<int64_t>(c10::elementSize(at::toOpMathType(dtype)));
    return {factors_are_bfloat16 ? 2 : computed, computed};
  };
  const int64_t hidden = shape.hidden_size, inner = shape.num_layers - 1;
  const cpu::BFloat16Units units = cpu::bfloat16_units();
  const cpu::ElementBytes forward =
      bytes(may_be_bfloat16 && prefers_bfloat16_forward(units, shape.batch, shape.rows(), hidden));
  const cpu::ElementBytes backward = bytes(
      may_be_bfloat16 && prefers_bfloat16_products(units, windows.count * shape.batch, hidden));
  const bool shares_states = kept_states(inner, any_requires_grad(args)) < inner;
  return "forward: " + describe(schedule_forward(shape, shares_states, forward, threads), shape) +
         "; backward: " +
         describe(schedule_backward(shape, windows, shape.num_layers, /*by_lag=*/false, backward,
                                    threads),
                  shape, windows);
}

std::string cpu_info(const RnnArguments& args) {
  check(args);
  if (const char* const what = lacks_fused_kernel(args))
    return std::string("composite: PyTorch operators; there are no fused kernels for ") + what;
  const CallSizes sizes(args);
  const StackShape& shape = sizes.shape;
  std::string text = "cpu: fused kernels compiled for " + at::get_cpu_capability();
  if (args.leaky()) text += ", the leak in them";
  if (args.input.scalar_type() == at::kBFloat16)
    text += std::string(", forward products by ") +
            cpu::bfloat16_products(shape.batch, shape.rows(), shape.hidden_size);
  return text + "; " + divisions(args, shape);
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
