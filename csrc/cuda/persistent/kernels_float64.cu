#include "cuda/persistent/instantiate.cuh"

namespace elman::cuda::persistent {

Kernels kernels_float64() { return instantiate<FmaProduct<double>>(); }

}  // namespace elman::cuda::persistent
