#pragma once

#include "cuda/persistent/launch_layout.h"

namespace elman::cuda::persistent {

/// What numbers are multiplied as.
enum class Arithmetic : std::int8_t { kFloat64, kFloat32, kTf32, kBFloat16, kFloat16 };

/// What the planner has to know of a device.
struct DeviceLimits {
  int compute_capability;  ///< 10 * major + minor
  int multiprocessors;
  int shared_bytes_per_block;  ///< at most, with opt-in
  int max_cluster;             ///< blocks of a cluster at most; 1 where there are none
  /// Clusters of 2, 4, 8 and 16 blocks, a block a multiprocessor, that are on the chip at once;
  /// zero where that is not known. Fewer than the multiprocessors would make: a cluster lies in one
  /// part of the chip.
  int clusters_at_once[4] = {};
  bool async_clusters = false;  ///< whether Exchange::kAsyncCluster is looked at

  int groups_at_once(int group_blocks) const;
};

/// The policy's constants (product.h) as the host sees them.
struct ProductShape {
  int tile, rows, units, results, unit_elements, unit_bytes, element_bytes, compute_bytes;
};
ProductShape product_shape(Arithmetic arithmetic);

/// What one multiprocessor can do in a clock cycle, and what an exchange between blocks takes.
/// Rates are figures that vendors publish or that follow from the instruction set; what a chunk, a
/// result and an exchange take was estimated from a profile of the kernels on an H200
/// (docs/cuda_persistent.md).
struct DeviceRates {
  double multiply_adds;           ///< of the product's arithmetic
  double shared_bytes = 128;      ///< from shared memory
  double cache_bytes = 24;        ///< from the L2 cache, all multiprocessors reading
  double cluster_bytes = 32;      ///< into other blocks' shared memory
  double barrier = 40;            ///< cycles of a barrier of a block
  double epilogue = 500;          ///< cycles of a chunk from the partial sums to the stored state
  double result = 100;            ///< what each further result of a thread adds to that
  double cluster_latency = 1500;  ///< cycles from a push to the other side's product: stores, a
                                  ///< fence, a flag, a poll
  double async_latency = 700;     ///< the same without fence and flag
  double global_latency = 3000;   ///< store, fence, flag, poll and load through the L2 cache
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
