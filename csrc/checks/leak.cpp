#include <ATen/OpMathType.h>
#include <c10/core/ScalarType.h>
#include <c10/core/SymInt.h>
#include <c10/util/Exception.h>

#include <vector>

#include "checks.h"
#include "checks/tensor.h"

// The checks of leaky cells' arguments, of the stack's operators and of the cell's.

namespace elman {

LeakForm parse_leak_form(std::string_view leak_form) {
  if (leak_form == "rate") return LeakForm::kRate;
  if (leak_form == "current") return LeakForm::kCurrent;
  TORCH_CHECK_VALUE(false, "Unknown leak_form '", leak_form, "'. Select from 'rate' or 'current'.");
}

void check_leak(const at::Tensor& input, const at::Tensor& leak,
                const std::vector<c10::SymInt>& expected) {
  check_dense(leak, [] { return "leak"; });
  const auto computed = c10::toRealValueType(at::toOpMathType(input.scalar_type()));
  const auto own = c10::toRealValueType(input.scalar_type());
  const bool right_dtype = leak.scalar_type() == own || leak.scalar_type() == computed;
  TORCH_CHECK(right_dtype && leak.device() == input.device(), "leak must have ",
              input.is_complex() ? "the real dtype " : "the input's dtype ", own,
              own == computed ? "" : c10::str(" (or ", computed, ")"), " and device ",
              input.device(), ", got ", leak.scalar_type(), " and ", leak.device());
  TORCH_CHECK(leak.sym_sizes() == c10::SymIntArrayRef(expected), "leak must have shape ",
              c10::SymIntArrayRef(expected), ", got ", shape_of(leak));
}

void check_preactivation(const RnnArguments& args) {
  const at::Tensor& given = *args.preactivation;
  check_like_input(args.input, given, [] { return "preactivation"; });
  std::vector<c10::SymInt> expected = args.input.sym_sizes().vec();
  expected.back() = args.params[1].sym_size(1) * args.num_directions();
  const bool one_layer = args.num_layers == 1 && given.sym_sizes() == c10::SymIntArrayRef(expected);
  if (one_layer) return;
  expected.insert(expected.begin(), args.num_layers);
  TORCH_CHECK(given.sym_sizes() == c10::SymIntArrayRef(expected), "preactivation must have shape ",
              c10::SymIntArrayRef(expected),
              args.num_layers == 1 ? ", or that without its first 1" : "", ", got ",
              shape_of(given));
}

void check_leaky_arguments(const RnnArguments& args) {
  parse_leak_form(args.leak_form);
  if (args.leak) check_leak(args.input, *args.leak, {args.num_cells(), args.params[1].sym_size(1)});
  if (args.preactivation) check_preactivation(args);
}

void check_leaky_arguments(const CellArguments& args) {
  parse_leak_form(args.leak_form);
  const c10::SymInt hidden = args.w_hh.sym_size(1);
  if (args.leak) check_leak(args.input, *args.leak, {hidden});
  if (!args.preactivation) return;
  check_like_input(args.input, *args.preactivation, [] { return "preactivation"; });
  std::vector<c10::SymInt> expected = args.input.sym_sizes().vec();
  expected.back() = hidden;
  TORCH_CHECK(args.preactivation->sym_sizes() == c10::SymIntArrayRef(expected),
              "preactivation must have shape ", c10::SymIntArrayRef(expected), ", got ",
              shape_of(*args.preactivation));
}

void check_leak_values(const RnnArguments& args) {
  if (!args.leak || !args.leak->is_cpu() || args.leak->numel() == 0) return;
  const at::Tensor values = args.leak->detach().to(at::kDouble).contiguous();
  const double* const alpha = values.const_data_ptr<double>();
  for (int64_t i = 0; i < values.numel(); ++i)
    TORCH_CHECK_VALUE(alpha[i] > 0 && alpha[i] <= 1, "leak must lie in (0, 1], got ", alpha[i]);
}

}  // namespace elman
