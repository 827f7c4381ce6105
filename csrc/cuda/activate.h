#pragma once

#include <cmath>

#include "activation.h"

namespace elman::cuda {

/// f, for all CUDA kernels; compiled by a C++ compiler too, where tests run them on the CPU.
template <Activation kActivation, typename A>
ELMAN_HOST_DEVICE A activate(A a) {
  using std::exp;
  using std::fabs;
  using std::log1p;
  using std::tanh;
  if constexpr (kActivation == Activation::kTanh) {
    return tanh(a);
  } else if constexpr (kActivation == Activation::kRelu) {
    return a <= A(0) ? A(0) : a;  // NaN passes
  } else if constexpr (kActivation == Activation::kSigmoid) {
    return A(1) / (A(1) + exp(-a));
  } else if constexpr (kActivation == Activation::kSoftplus) {
    return (a <= A(0) ? A(0) : a) + log1p(exp(-fabs(a)));  // no overflow
  } else {
    static_assert(kActivation == Activation::kIdentity);
    return a;
  }
}

/// f' from h = f(a).
template <Activation kActivation, typename A>
ELMAN_HOST_DEVICE A slope(A h) {
  using std::expm1;
  if constexpr (kActivation == Activation::kTanh) {
    return A(1) - h * h;
  } else if constexpr (kActivation == Activation::kRelu) {
    return h <= A(0) ? A(0) : A(1);
  } else if constexpr (kActivation == Activation::kSigmoid) {
    return h * (A(1) - h);
  } else if constexpr (kActivation == Activation::kSoftplus) {
    return -expm1(-h);  // 1 - e^-h, exact for small h
  } else {
    static_assert(kActivation == Activation::kIdentity);
    return A(1);
  }
}

template <typename A>
ELMAN_HOST_DEVICE A activate(A a, Activation activation) {
  return with_activation(activation, [a](auto f) { return activate<decltype(f)::value>(a); });
}

template <typename A>
ELMAN_HOST_DEVICE A slope(A h, Activation activation) {
  return with_activation(activation, [h](auto f) { return slope<decltype(f)::value>(h); });
}

}  // namespace elman::cuda
