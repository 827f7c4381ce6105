#pragma once

#include "cuda/persistent/kernels.h"
#include "cuda/persistent/recurrence.h"

namespace elman::cuda::persistent {

template <typename P, template <typename> typename Pass>
__global__ void __launch_bounds__(kThreads, 1)
    forward(const __grid_constant__ Layout layout, const __grid_constant__ Workspace workspace,
            const __grid_constant__ ForwardOperands operands) {
  run_forward<P, Pass>(layout, workspace, operands);
}

template <typename P, template <typename> typename Pass>
__global__ void __launch_bounds__(kThreads, 1)
    backward(const __grid_constant__ Layout layout, const __grid_constant__ Workspace workspace,
             const __grid_constant__ BackwardOperands operands) {
  run_backward<P, Pass>(layout, workspace, operands);
}

template <typename P>
Kernels instantiate() {
  return {reinterpret_cast<const void*>(&forward<P, ForwardPass>),
          reinterpret_cast<const void*>(&backward<P, BackwardPass>),
          reinterpret_cast<const void*>(&forward<P, LeakyForwardPass>),
          reinterpret_cast<const void*>(&backward<P, LeakyBackwardPass>)};
}

}  // namespace elman::cuda::persistent
