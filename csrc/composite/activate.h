#pragma once

#include <ATen/core/Tensor.h>

#include "activation.h"

namespace elman::composite {

/// f and f' in ATen's operators, to be differentiated any number of times.
///
/// a, h and the results have one shape and the compute dtype. f' is given from h = f(a).
at::Tensor activate(const at::Tensor& a, Activation activation);
at::Tensor derivative(const at::Tensor& h, Activation activation);

}  // namespace elman::composite
