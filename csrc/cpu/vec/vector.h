#pragma once

// The vectors that the kernels of this folder are written on: Vectorized<C> with C float or double,
// fmadd, fnmadd, clamp, clamp_min and clamp_max. With LibTorch they are ATen's; a library without
// LibTorch (ELMAN_WITHOUT_ATEN) has its own of the same names, so that the kernels are the same.
// Included once for each instruction set, as CPU_CAPABILITY says.

#ifdef ELMAN_WITHOUT_ATEN

#include "cpu/vec/own_vector.h"

#else

#include <ATen/cpu/vec/functional.h>
#include <ATen/cpu/vec/vec.h>

namespace elman::cpu {
namespace CPU_CAPABILITY {
namespace {

using at::vec::clamp;
using at::vec::clamp_max;
using at::vec::clamp_min;
using at::vec::fmadd;
using at::vec::fnmadd;
using at::vec::Vectorized;

}  // namespace
}  // namespace CPU_CAPABILITY
}  // namespace elman::cpu

#endif
