#pragma once

#include <c10/core/DeviceType.h>
#include <c10/core/ScalarType.h>

#include <string>

#include "arguments.h"

namespace elman {

/// What of a call no device has fused kernels for, so that the composite engine takes it; null if
/// there is no such thing.
inline const char* lacks_fused_kernel(const RnnArguments& args) {
  return args.input.is_complex() ? c10::toString(args.input.scalar_type()) : nullptr;
}

/// What this build lacks for tensors on such a device, and how to get it; "" where the composite
/// engine is not a fallback (shapes without values).
std::string missing_kernels(c10::DeviceType device);

/// Says so, once per process.
void warn_missing_kernels(c10::DeviceType device);

}  // namespace elman
