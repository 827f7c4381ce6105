#pragma once

#include <cmath>

#include "activation.h"

#ifdef __CUDACC__
#define ELMAN_HOST_DEVICE __host__ __device__ __forceinline__
#else
#define ELMAN_HOST_DEVICE inline
#endif

namespace elman::cuda {

/// f, for all CUDA kernels; compiled by a C++ compiler too, where tests run them on the CPU.
template <typename A>
ELMAN_HOST_DEVICE A activate(A a, Activation activation) {
  using std::exp;
  using std::tanh;
  switch (activation) {
    case Activation::kTanh:
      return tanh(a);
    case Activation::kRelu:
      return a <= A(0) ? A(0) : a;  // NaN passes
    case Activation::kSigmoid:
      return A(1) / (A(1) + exp(-a));
  }
  __builtin_unreachable();
}

/// f' from h = f(a).
template <typename A>
ELMAN_HOST_DEVICE A slope(A h, Activation activation) {
  switch (activation) {
    case Activation::kTanh:
      return A(1) - h * h;
    case Activation::kRelu:
      return h <= A(0) ? A(0) : A(1);
    case Activation::kSigmoid:
      return h * (A(1) - h);
  }
  __builtin_unreachable();
}

}  // namespace elman::cuda
