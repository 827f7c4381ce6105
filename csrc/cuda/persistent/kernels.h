#pragma once

namespace elman::cuda::persistent {

/// The entry points of a product policy, as the runtime's launch functions want them; each is
/// compiled in a file of its own (kernels_*.cu).
struct Kernels {
  const void* forward;   ///< (Layout, Workspace, ForwardOperands)
  const void* backward;  ///< (Layout, Workspace, BackwardOperands)
  const void* leaky_forward;
  const void* leaky_backward;
};

Kernels kernels_float64();
Kernels kernels_float32();
Kernels kernels_tf32();
Kernels kernels_bfloat16();
Kernels kernels_float16();

}  // namespace elman::cuda::persistent
