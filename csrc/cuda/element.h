#pragma once

#include <cstdint>

namespace elman::cuda {

/// The storage type S of a call's tensors. Sums and f are computed in its accumulation type: float
/// for the two 16-bit types, else S.
enum class Element : std::int8_t { kFloat64, kFloat32, kBFloat16, kFloat16 };

inline int64_t element_size(Element element) {
  return element == Element::kFloat64 ? 8 : element == Element::kFloat32 ? 4 : 2;
}

}  // namespace elman::cuda

struct CUstream_st;

namespace elman::cuda {

/// cudaStream_t, for headers that plain C++ reads.
using Stream = CUstream_st*;

/// What a launcher returns: a cudaError_t, 0 for success.
using LaunchError = int;

}  // namespace elman::cuda
