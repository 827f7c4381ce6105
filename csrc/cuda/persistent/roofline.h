#pragma once

#include "cuda/persistent/layout.h"

namespace elman::cuda::persistent {

/// What numbers are multiplied as.
enum class Arithmetic : std::int8_t { kFloat64, kFloat32, kTf32, kBFloat16, kFloat16 };

/// What the planner has to know of a device.
struct DeviceLimits {
  int compute_capability;  ///< 10 * major + minor
  int multiprocessors;
  int shared_bytes_per_block;  ///< at most, with opt-in
  int max_cluster;             ///< blocks of a cluster at most; 1 where there are none
};

/// The policy's constants (product.h) as the host sees them.
struct ProductShape {
  int tile, rows, units, unit_elements, unit_bytes, element_bytes, compute_bytes;
};
ProductShape product_shape(Arithmetic arithmetic);

/// What one multiprocessor can do in a clock cycle, and what an exchange between blocks takes.
/// Figures that vendors publish or that follow from the instruction set, not measurements.
struct DeviceRates {
  double multiply_adds;          ///< of the product's arithmetic
  double shared_bytes = 128;     ///< from shared memory
  double cache_bytes = 24;       ///< from the L2 cache, all multiprocessors reading
  double cluster_bytes = 32;     ///< into other blocks' shared memory
  double barrier = 40;           ///< cycles of a barrier of a block
  double epilogue = 200;         ///< cycles from the partial sums to the stored state
  double cluster_latency = 500;  ///< cycles from a push to the other side's product
  double global_latency = 1800;  ///< store, flag, poll and load through the L2 cache
};
DeviceRates device_rates(Arithmetic arithmetic, int compute_capability);

/// The limits of one step of a group, in clock cycles, for all its chunks.
struct StepCost {
  double arithmetic;     ///< multiply-adds at the peak rate
  double shared_memory;  ///< weights that are not in registers, vectors, partial sums
  double exchange;       ///< bytes of the exchange
  double overhead;       ///< barriers and epilogue
  double latency;        ///< of the exchange, as far as other chunks do not hide it
  double total;          ///< max(arithmetic, shared_memory) + exchange + overhead + latency
};
StepCost step_cost(const Layout& layout, Arithmetic arithmetic, const DeviceRates& rates);

}  // namespace elman::cuda::persistent
