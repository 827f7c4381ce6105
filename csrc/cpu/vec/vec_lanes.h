#pragma once

#include "cpu/vec/product.h"
#include "cpu/vec/vector.h"

namespace elman::cpu {
namespace CPU_CAPABILITY {
namespace {

/// Factors and sums of one type, for vec/product.h.
template <typename C>
struct VecLanes {
  using Factor = C;
  using Sum = C;
  using Vec = Vectorized<C>;
  using Left = Vec;
  using Right = Vec;
  static constexpr int kSize = Vec::size();
  /// 6 x 4 of 32 registers, 6 x 2 of 16.
  static constexpr int kMaxVectors = sizeof(Vec) >= 64 ? 4 : 2;
  static Vec zero() { return Vec(C(0)); }
  static Right load(const C* from) { return Vec::loadu(from); }
  static Left broadcast(const C* from) { return Vec(*from); }
  static Vec multiply_add(const Left& left, const Right& right, const Vec& sum) {
    return fmadd(left, right, sum);
  }
};

}  // namespace
}  // namespace CPU_CAPABILITY
}  // namespace elman::cpu
