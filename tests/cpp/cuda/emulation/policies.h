#pragma once

#include <stdexcept>

#include "cuda/persistent/recurrence.h"
#include "cuda/persistent/roofline.h"

namespace elman::cuda::persistent {

/// Calls run(policy) with the product policy of `arithmetic`.
template <typename Run>
auto with_policy(Arithmetic arithmetic, const Run& run) {
  switch (arithmetic) {
    case Arithmetic::kFloat64:
      return run(FmaProduct<double>());
    case Arithmetic::kFloat32:
      return run(FmaProduct<float>());
    case Arithmetic::kTf32:
      return run(MmaProduct<float>());
    case Arithmetic::kBFloat16:
      return run(MmaProduct<device::bfloat16>());
    case Arithmetic::kFloat16:
      return run(MmaProduct<device::float16>());
  }
  throw std::invalid_argument("no such arithmetic");
}

}  // namespace elman::cuda::persistent
