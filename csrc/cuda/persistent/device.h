#pragma once

// What the kernels take from the machine they run on: thread indices, barriers, shuffles, the
// matrix instructions, memory order. Compiled by nvcc these are the GPU's own intrinsics. Compiled
// as host C++ (tests only) they are functions of the same names that emulate them, so that the
// logic of the kernels is executed where there is no GPU.
#if defined(__CUDACC__)
#include "cuda/persistent/device_intrinsics.h"
#else
#include "cuda/emulation/device.h"
#endif
