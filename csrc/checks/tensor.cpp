#include "checks/tensor.h"

#include <sstream>

namespace elman {
namespace {

bool is_supported(at::ScalarType dtype) {
  return dtype == at::kDouble || dtype == at::kFloat || dtype == at::kBFloat16 ||
         dtype == at::kHalf || dtype == at::kComplexFloat || dtype == at::kComplexDouble;
}

}  // namespace

std::string shape_of(const at::Tensor& tensor) {
  std::ostringstream out;
  out << tensor.sym_sizes();
  return out.str();
}

void check_dtype(const at::Tensor& input, Activation activation) {
  TORCH_CHECK(
      is_supported(input.scalar_type()),
      "input must be a float64, float32, bfloat16, float16, complex64 or complex128 tensor, "
      "got ",
      input.scalar_type());
  TORCH_CHECK_NOT_IMPLEMENTED(
      !(input.is_complex() && activation == Activation::kRelu),
      "nonlinearity 'relu' is not defined for complex input, got input of dtype ",
      input.scalar_type());
}

}  // namespace elman
