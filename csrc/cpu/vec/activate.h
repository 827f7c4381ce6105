#pragma once

// The activations on vectors. Included once for each instruction set.

#include "activation.h"
#include "cpu/vec/tanh.h"
#include "cpu/vec/vector.h"

namespace elman::cpu {
namespace CPU_CAPABILITY {
namespace {

/// 1 / (1 + e^-a), with e = e^-|a| and q = e / (1 + e) as 1 - q or e - e q: h near 1, and small h,
/// are a number without error, or nearly, and something small against it.
template <typename C>
inline Vectorized<C> sigmoid(const Vectorized<C>& a) {
  using Vec = Vectorized<C>;
  const Vec e = (a | Vec(C(-0.0))).exp();
  const Vec q = e / (Vec(C(1)) + e);
  return Vec::blendv(fnmadd(e, q, e), Vec(C(1)) - q, a >= Vec(C(0)));
}

/// log(1 + e^a) as max(a, 0) + log(1 + e^-|a|): no overflow, and exact for small h too.
template <typename C>
inline Vectorized<C> softplus(const Vectorized<C>& a) {
  using Vec = Vectorized<C>;
  return clamp_min(a, Vec(C(0))) + (a | Vec(C(-0.0))).exp().log1p();
}

/// f of what is going to be stored as S.
template <Activation kActivation, typename S, typename C>
inline Vectorized<C> apply(const Vectorized<C>& a) {
  using Vec = Vectorized<C>;
  if constexpr (kActivation == Activation::kTanh) {
    return tanh_as<S>(a);
  } else if constexpr (kActivation == Activation::kRelu) {
    return clamp_min(a, Vec(C(0)));  // NaN stays NaN
  } else if constexpr (kActivation == Activation::kSigmoid) {
    return sigmoid(a);
  } else if constexpr (kActivation == Activation::kSoftplus) {
    return softplus(a);
  } else {
    static_assert(kActivation == Activation::kIdentity);
    return a;
  }
}

/// f' in terms of h = f(a).
template <Activation kActivation, typename C>
inline Vectorized<C> scale_by_derivative(const Vectorized<C>& h, const Vectorized<C>& error) {
  using Vec = Vectorized<C>;
  if constexpr (kActivation == Activation::kTanh) {
    return error * ((Vec(C(1)) - h) * (Vec(C(1)) + h));  // 1 - h is exact near 1, h^2 is not
  } else if constexpr (kActivation == Activation::kRelu) {
    return Vec::blendv(error, Vec(C(0)), h <= Vec(C(0)));  // selected, so that NaN passes
  } else if constexpr (kActivation == Activation::kSigmoid) {
    return error * h * (Vec(C(1)) - h);
  } else if constexpr (kActivation == Activation::kSoftplus) {
    return error * h.neg().expm1().neg();  // 1 - e^-h, exact for small h
  } else {
    static_assert(kActivation == Activation::kIdentity);
    return error;
  }
}

}  // namespace
}  // namespace CPU_CAPABILITY
}  // namespace elman::cpu
