#include "composite/activate.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/expm1.h>
#include <ATen/ops/ones_like.h>
#include <ATen/ops/relu.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/softplus.h>
#include <ATen/ops/tanh.h>
#include <c10/util/Exception.h>

namespace elman::composite {
namespace {

/// From here on log(1 + e^a) = a + e^-a + ... is a, in float64 too (torch's own default is 20,
/// where e^-a is 2e-9).
constexpr double kSoftplusIsLinear = 40;

}  // namespace

at::Tensor activate(const at::Tensor& a, Activation activation) {
  switch (activation) {
    case Activation::kTanh:
      return at::tanh(a);
    case Activation::kRelu:
      return at::relu(a);
    case Activation::kSigmoid:
      return at::sigmoid(a);
    case Activation::kSoftplus:
      return at::softplus(a, /*beta=*/1, kSoftplusIsLinear);
    case Activation::kIdentity:
      return a;
  }
  TORCH_INTERNAL_ASSERT(false, "unknown activation");
}

at::Tensor derivative(const at::Tensor& h, Activation activation) {
  switch (activation) {
    case Activation::kTanh:
      return 1 - h * h;
    case Activation::kRelu:
      return h.le(0).logical_not().to(h.scalar_type());
    case Activation::kSigmoid:
      return h * (1 - h);
    case Activation::kSoftplus:
      return -at::expm1(-h);  // 1 - e^-h, exact for small h
    case Activation::kIdentity:
      return at::ones_like(h);
  }
  TORCH_INTERNAL_ASSERT(false, "unknown activation");
}

}  // namespace elman::composite
