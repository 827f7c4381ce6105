#pragma once

// Vectorized<C> without ATen, on the vector types of GCC and Clang, which every architecture has.
// Only a fused multiply-add takes a CPU's own instruction. See vec/vector.h.

#if defined(CPU_CAPABILITY_AVX2) || defined(CPU_CAPABILITY_AVX512)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

#include <cstdint>
#include <type_traits>

namespace elman::cpu {
namespace CPU_CAPABILITY {
namespace {

#if defined(CPU_CAPABILITY_AVX512)
constexpr int kVectorBytes = 64;
#elif defined(CPU_CAPABILITY_AVX2)
constexpr int kVectorBytes = 32;
#else
constexpr int kVectorBytes = 16;
#endif

// Not in the template: the attribute asks for a type that is known.
template <typename C>
struct NativeVector;
template <>
struct NativeVector<float> {
  typedef float Values __attribute__((vector_size(kVectorBytes)));
  typedef std::int32_t Bits __attribute__((vector_size(kVectorBytes)));
};
template <>
struct NativeVector<double> {
  typedef double Values __attribute__((vector_size(kVectorBytes)));
  typedef std::int64_t Bits __attribute__((vector_size(kVectorBytes)));
};

template <typename C>
class Vectorized {
 public:
  using Native = typename NativeVector<C>::Values;
  using Bits = typename NativeVector<C>::Bits;

  Vectorized() = default;
  Vectorized(C value) : native_(value - Native{}) {}  // not a sum, which would lose -0
  Vectorized(Native native) : native_(native) {}
  explicit Vectorized(Bits bits) : native_(reinterpret_cast<Native>(bits)) {}
  operator Native() const { return native_; }
  Bits bits() const { return reinterpret_cast<Bits>(native_); }

  static constexpr int size() { return kVectorBytes / static_cast<int>(sizeof(C)); }
  static Vectorized loadu(const C* from) {
    Native native;
    __builtin_memcpy(&native, from, sizeof(native));
    return native;
  }
  void store(C* to) const { __builtin_memcpy(to, &native_, sizeof(native_)); }

  /// b where the mask's bits are set, else a.
  static Vectorized blendv(const Vectorized& a, const Vectorized& b, const Vectorized& mask) {
    return Vectorized((b.bits() & mask.bits()) | (a.bits() & ~mask.bits()));
  }

  Vectorized operator+(const Vectorized& other) const { return native_ + other.native_; }
  Vectorized operator-(const Vectorized& other) const { return native_ - other.native_; }
  Vectorized operator*(const Vectorized& other) const { return native_ * other.native_; }
  Vectorized operator/(const Vectorized& other) const { return native_ / other.native_; }
  Vectorized operator&(const Vectorized& other) const { return Vectorized(bits() & other.bits()); }
  Vectorized operator|(const Vectorized& other) const { return Vectorized(bits() | other.bits()); }
  Vectorized operator^(const Vectorized& other) const { return Vectorized(bits() ^ other.bits()); }
  // Masks: all bits set, or none.
  Vectorized operator<(const Vectorized& other) const {
    return Vectorized(native_ < other.native_);
  }
  Vectorized operator<=(const Vectorized& other) const {
    return Vectorized(native_ <= other.native_);
  }
  Vectorized operator>=(const Vectorized& other) const {
    return Vectorized(native_ >= other.native_);
  }
  Vectorized operator>(const Vectorized& other) const {
    return Vectorized(native_ > other.native_);
  }

  // vec/own_math.h
  Vectorized exp() const;
  Vectorized log1p() const;
  Vectorized tanh() const;

 private:
  Native native_;
};

/// a * b + c, in one rounding where the instruction set has it.
template <typename C>
inline Vectorized<C> fmadd(const Vectorized<C>& a, const Vectorized<C>& b, const Vectorized<C>& c) {
#if defined(CPU_CAPABILITY_AVX512)
  if constexpr (std::is_same_v<C, float>) {
    return typename Vectorized<C>::Native(_mm512_fmadd_ps(a, b, c));
  } else {
    return typename Vectorized<C>::Native(_mm512_fmadd_pd(a, b, c));
  }
#elif defined(CPU_CAPABILITY_AVX2)
  if constexpr (std::is_same_v<C, float>) {
    return typename Vectorized<C>::Native(_mm256_fmadd_ps(a, b, c));
  } else {
    return typename Vectorized<C>::Native(_mm256_fmadd_pd(a, b, c));
  }
#elif defined(__aarch64__)
  using Native = typename Vectorized<C>::Native;
  if constexpr (std::is_same_v<C, float>) {
    return Native(
        vfmaq_f32(float32x4_t(Native(c)), float32x4_t(Native(a)), float32x4_t(Native(b))));
  } else {
    return Native(
        vfmaq_f64(float64x2_t(Native(c)), float64x2_t(Native(a)), float64x2_t(Native(b))));
  }
#else
  return a * b + c;
#endif
}

/// c - a * b, likewise.
template <typename C>
inline Vectorized<C> fnmadd(const Vectorized<C>& a, const Vectorized<C>& b,
                            const Vectorized<C>& c) {
  return fmadd(a ^ Vectorized<C>(C(-0.0)), b, c);
}

// NaN stays NaN.
template <typename C>
inline Vectorized<C> clamp_min(const Vectorized<C>& a, const Vectorized<C>& least) {
  return Vectorized<C>::blendv(a, least, a < least);
}
template <typename C>
inline Vectorized<C> clamp_max(const Vectorized<C>& a, const Vectorized<C>& most) {
  return Vectorized<C>::blendv(a, most, a > most);
}
template <typename C>
inline Vectorized<C> clamp(const Vectorized<C>& a, const Vectorized<C>& least,
                           const Vectorized<C>& most) {
  return clamp_max(clamp_min(a, least), most);
}

}  // namespace
}  // namespace CPU_CAPABILITY
}  // namespace elman::cpu

#include "cpu/vec/own_math.h"
