#include "cuda/persistent/instantiate.cuh"

namespace elman::cuda::persistent {

Kernels kernels_tf32() { return instantiate<MmaProduct<float>>(); }

}  // namespace elman::cuda::persistent
