#include "ops/fallback.h"

#include <c10/util/Exception.h>

namespace elman {

std::string missing_kernels(c10::DeviceType device) {
  if (device == c10::DeviceType::CPU || device == c10::DeviceType::Meta) return "";
  const std::string name = c10::DeviceTypeName(device, /*lower_case=*/true);
  if (device != c10::DeviceType::CUDA) {
    return "elman has no kernels for tensors on '" + name +
           "': the operators run on PyTorch's own there, with the same results but slower.";
  }
  return "this build of elman has no CUDA kernels: on CUDA tensors the operators run on PyTorch's "
         "own, with the same results but slower. To get the kernels, install the CUDA toolkit of "
         "the version that torch.version.cuda names, put its nvcc on the PATH and install elman "
         "again (pip install --force-reinstall --no-deps). elman.kernel_info tells which kernel a "
         "call takes.";
}

void warn_missing_kernels(c10::DeviceType device) {
  const std::string message = missing_kernels(device);
  if (message.empty()) return;
  TORCH_WARN_ONCE(message);
}

}  // namespace elman
