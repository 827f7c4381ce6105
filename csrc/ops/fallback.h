#pragma once

#include <c10/core/DeviceType.h>

#include <string>

namespace elman {

/// What this build lacks for tensors on such a device, and how to get it; "" where the composite
/// engine is not a fallback (shapes without values).
std::string missing_kernels(c10::DeviceType device);

/// Says so, once per process.
void warn_missing_kernels(c10::DeviceType device);

}  // namespace elman
