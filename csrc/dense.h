#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace elman {

/// The tensor itself if it is contiguous and its data is aligned to its elements, which memory from
/// elsewhere (`torch.frombuffer` with an odd offset) need not be; else a copy that is.
inline at::Tensor dense(const at::Tensor& tensor) {
  const at::Tensor result = tensor.contiguous();
  const auto address = reinterpret_cast<std::uintptr_t>(result.const_data_ptr());
  // Element sizes are powers of two: no division, which a single small step would notice.
  return (address & (result.element_size() - 1)) == 0 ? result : result.clone();
}

/// The bytes of a bool tensor, true wherever they are not 0: memory from elsewhere may hold others
/// than 0 and 1, which a C++ bool cannot.
inline const std::uint8_t* flags(const at::Tensor& tensor) {
  return reinterpret_cast<const std::uint8_t*>(tensor.const_data_ptr<bool>());
}

}  // namespace elman
