#pragma once

#include <cmath>
#include <cstdint>
#include <string_view>
#include <type_traits>

#include "host_device.h"

namespace elman {

/// The activation f of the recurrence h_t = f(W_x x_t + b_x + W_h h_{t-1} + b_h).
///
/// Each f is one whose derivative can be written in terms of h = f(a) alone, so that a backward
/// pass needs the states and nothing else:
///   tanh' = 1 - h^2,   relu' = [not (h <= 0)] (so that NaN passes),   sigmoid' = h (1 - h),
///   softplus' = 1 - e^-h (softplus is log(1 + e^a)),   identity' = 1.
enum class Activation : std::int8_t { kTanh, kRelu, kSigmoid, kSoftplus, kIdentity };

/// What is to be known of an activation beside f and f'.
struct ActivationInfo {
  Activation activation;
  std::string_view name;  ///< in the schemas, and what modules print
  /// Why f is not defined for complex numbers, for an error message; empty: it is.
  std::string_view not_complex;
};

/// The one list of activations, in the order of the enum and of `Nonlinearity` (elman/options.h).
inline constexpr ActivationInfo kActivations[] = {
    {Activation::kTanh, "tanh", ""},
    {Activation::kRelu, "relu", "complex numbers have no order"},
    {Activation::kSigmoid, "sigmoid", ""},
    {Activation::kSoftplus, "softplus", "log(1 + e^a) jumps where 1 + e^a is real and negative"},
    {Activation::kIdentity, "identity", ""},
};

constexpr const ActivationInfo& info_of(Activation activation) {
  return kActivations[static_cast<int>(activation)];
}

/// Calls function with the activation as a constant: on the device or the host, as function is.
#ifdef __CUDACC__
#pragma nv_exec_check_disable
#endif
template <typename Function>
ELMAN_HOST_DEVICE auto with_activation(Activation activation, const Function& function) {
  switch (activation) {
    case Activation::kTanh:
      return function(std::integral_constant<Activation, Activation::kTanh>());
    case Activation::kRelu:
      return function(std::integral_constant<Activation, Activation::kRelu>());
    case Activation::kSigmoid:
      return function(std::integral_constant<Activation, Activation::kSigmoid>());
    case Activation::kSoftplus:
      return function(std::integral_constant<Activation, Activation::kSoftplus>());
    case Activation::kIdentity:
      return function(std::integral_constant<Activation, Activation::kIdentity>());
  }
  __builtin_unreachable();
}

/// f of a single number: all CUDA kernels have it. The CPU's vectors have their own
/// (cpu/vec/activate.h), and so have tensors (composite/activate.h).
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

}  // namespace elman
