#pragma once

// Included once for each instruction set.

#include "cpu/vec/vector.h"

namespace elman::cpu {
namespace CPU_CAPABILITY {
namespace {

/// elman::remaining (leak.h) of vectors, in one rounding.
template <typename C>
inline Vectorized<C> remains(const Vectorized<C>& value, const Vectorized<C>& alpha) {
  return fnmadd(alpha, value, value);
}

}  // namespace
}  // namespace CPU_CAPABILITY
}  // namespace elman::cpu
