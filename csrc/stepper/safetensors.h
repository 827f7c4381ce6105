#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace elman::stepper {

/// A tensor in a safetensors file.
struct FileTensor {
  std::string dtype;  ///< "F32", "F64", ...
  std::vector<int64_t> shape;
  int64_t begin, end;  ///< its bytes, counted from the first tensor's
};

/// What the header of a safetensors file says. The format: 8 bytes with the header's length n,
/// little-endian; n bytes of JSON; the tensors' bytes, without gaps.
struct SafetensorsHeader {
  std::map<std::string, std::string> metadata;
  std::map<std::string, FileTensor> tensors;
  const char* data = nullptr;  ///< the tensors' bytes, in the file's
};

/// Reads the header and makes sure that the tensors it lists are there, without gaps or overlaps,
/// as large as dtype and shape say. Throws std::runtime_error with the reason.
SafetensorsHeader parse_safetensors(const void* file, std::size_t size);

/// The bytes of an element; 0: unknown.
int64_t element_size(const std::string& dtype);

}  // namespace elman::stepper
