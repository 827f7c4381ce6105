#include "cuda/persistent/instantiate.cuh"

namespace elman::cuda::persistent {

Kernels kernels_float16() { return instantiate<MmaProduct<device::float16>>(); }

}  // namespace elman::cuda::persistent
