#include <ATen/TensorOperators.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/ops/empty.h>
#include <c10/core/DefaultDtype.h>
#include <elman/random_truncation.h>
#include <torch/library.h>

namespace elman {
namespace {

using Signature = at::Tensor(int64_t, int64_t, double, std::optional<at::Generator>,
                             std::optional<at::Device>);

at::Tensor kernel(int64_t T, int64_t B, double length, std::optional<at::Generator> generator,
                  std::optional<at::Device> device) {
  TORCH_CHECK_VALUE(T >= 0, "T must not be negative, got ", T);
  TORCH_CHECK_VALUE(B >= 0, "B must not be negative, got ", B);
  TORCH_CHECK_VALUE(length > 1,
                    "length must be greater than 1 (a gradient that is always cut "
                    "cannot be compensated), got ",
                    length);
  const double keep = 1 - 1 / length;
  const auto options = at::TensorOptions(c10::get_default_dtype_as_scalartype()).device(device);
  return at::empty({T, B}, options).bernoulli_(keep, std::move(generator)).div_(keep);
}

}  // namespace

at::Tensor random_truncation(int64_t T, int64_t B, double length,
                             std::optional<at::Generator> generator,
                             std::optional<at::Device> device) {
  static const auto op = c10::Dispatcher::singleton()
                             .findSchemaOrThrow("elman::random_truncation", "")
                             .typed<Signature>();
  return op.call(T, B, length, std::move(generator), device);
}

TORCH_LIBRARY_IMPL(elman, CompositeExplicitAutograd, m) { m.impl("random_truncation", kernel); }

}  // namespace elman
