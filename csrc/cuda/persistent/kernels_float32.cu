#include "cuda/persistent/instantiate.cuh"

namespace elman::cuda::persistent {

Kernels kernels_float32() { return instantiate<FmaProduct<float>>(); }

}  // namespace elman::cuda::persistent
