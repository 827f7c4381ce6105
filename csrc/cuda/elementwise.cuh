#pragma once

#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

#include <algorithm>
#include <cstdint>

#include "activation.h"
#include "cuda/element.h"

// A functor over a grid [rows, columns], one thread per element. Compiled by a C++ compiler it is a
// loop: so the tests run the very code of the kernels where there is no GPU.

namespace elman::cuda {

template <typename S>
struct Accumulation {
  using type = float;
};
template <>
struct Accumulation<double> {
  using type = double;
};
template <typename S>
using Acc = typename Accumulation<S>::type;

#ifdef __CUDACC__

template <typename F>
__global__ void __launch_bounds__(256) elementwise_kernel(int64_t rows, int64_t columns, F f) {
  const int64_t column = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  if (column >= columns) return;
  const int64_t step = int64_t{gridDim.y} * blockDim.y;
  for (int64_t row = int64_t{blockIdx.y} * blockDim.y + threadIdx.y; row < rows; row += step)
    f(row, column);
}

template <typename F>
LaunchError elementwise(int64_t rows, int64_t columns, const F& f, Stream stream) {
  if (rows == 0 || columns == 0) return 0;
  constexpr int64_t kThreads = 256;
  int64_t width = 32;  // threads along the columns: whole warps, so that loads are coalesced
  while (width < columns && width < kThreads) width *= 2;
  const int64_t height = kThreads / width;
  const dim3 block(static_cast<unsigned>(width), static_cast<unsigned>(height));
  const dim3 grid(static_cast<unsigned>((columns + width - 1) / width),
                  static_cast<unsigned>(std::min<int64_t>((rows + height - 1) / height, 65535)));
  elementwise_kernel<<<grid, block, 0, stream>>>(rows, columns, f);
  return cudaGetLastError();
}

#else

template <typename F>
LaunchError elementwise(int64_t rows, int64_t columns, const F& f, Stream) {
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t column = 0; column < columns; ++column) f(row, column);
  return 0;
}

#endif

/// Calls run(S()) for the storage type that `element` names.
template <typename Run>
LaunchError dispatch_element(Element element, const Run& run) {
  switch (element) {
    case Element::kFloat64:
      return run(double());
    case Element::kFloat32:
      return run(float());
    case Element::kBFloat16:
      return run(c10::BFloat16());
    case Element::kFloat16:
      return run(c10::Half());
  }
  return 1;  // cudaErrorInvalidValue: no such element
}

}  // namespace elman::cuda
