#include "cuda/persistent/instantiate.cuh"

namespace elman::cuda::persistent {

Kernels kernels_bfloat16() { return instantiate<MmaProduct<device::bfloat16>>(); }

}  // namespace elman::cuda::persistent
