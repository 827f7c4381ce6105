#pragma once

#include "cuda/persistent/kernels.h"
#include "cuda/persistent/recurrence.h"

namespace elman::cuda::persistent {

template <typename P>
__global__ void __launch_bounds__(kThreads, 1)
    forward(const __grid_constant__ Layout layout, const __grid_constant__ Workspace workspace,
            const __grid_constant__ ForwardOperands operands) {
  run_forward<P>(layout, workspace, operands);
}

template <typename P>
__global__ void __launch_bounds__(kThreads, 1)
    backward(const __grid_constant__ Layout layout, const __grid_constant__ Workspace workspace,
             const __grid_constant__ BackwardOperands operands) {
  run_backward<P>(layout, workspace, operands);
}

template <typename P>
Kernels instantiate() {
  return {reinterpret_cast<const void*>(&forward<P>), reinterpret_cast<const void*>(&backward<P>)};
}

}  // namespace elman::cuda::persistent
