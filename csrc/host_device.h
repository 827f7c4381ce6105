#pragma once

// For functions that the CUDA kernels have too, which a C++ compiler reads where there is no nvcc.

#ifdef __CUDACC__
#define ELMAN_HOST_DEVICE __host__ __device__ __forceinline__
#else
#define ELMAN_HOST_DEVICE inline
#endif
