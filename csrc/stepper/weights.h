#pragma once

#include <elman/stepper.h>

#include <cstdint>
#include <vector>

#include "stepper/buffer.h"
#include "stepper/kernels.h"
#include "stepper/parameters.h"

namespace elman::stepper {

/// A matrix [k, n] on the right of products, its columns padded, in panels (see cpu::Product) with
/// `before` rows in front of those of its lower part, and what happens to the sums.
template <typename T>
struct PackedLayer {
  int64_t n;         ///< outputs: H, or O of the head
  int64_t k;         ///< rows of the panels: H + I of a layer, first those of W_h; H of the head
  Buffer<T> panels;  ///< panel after panel, each [k, its columns]
  Buffer<T> bias;    ///< [padded(n)]
  Buffer<T> alpha;   ///< [padded(n)], with a leak
  Epilogue<T> epilogue;
};

/// The weights of a network, packed once.
template <typename T>
struct Weights {
  explicit Weights(const StepperParameters<T>& parameters);

  const Kernels<T>& kernels;
  int64_t input_size, hidden_size, output_size;  ///< output_size of what is returned
  std::vector<PackedLayer<T>> layers;
  std::vector<PackedLayer<T>> head;  ///< one, or none
};

}  // namespace elman::stepper
