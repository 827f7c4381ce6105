#include "cuda/persistent/roofline.h"

#include <algorithm>

namespace elman::cuda::persistent {

int DeviceLimits::groups_at_once(int group_blocks) const {
  for (int i = 0; i < 4; ++i) {
    if (group_blocks == 2 << i && clusters_at_once[i] > 0) return clusters_at_once[i];
  }
  return std::max(1, multiprocessors / group_blocks);
}

ProductShape product_shape(Arithmetic arithmetic) {
  switch (arithmetic) {
    case Arithmetic::kFloat64:
      return {8, 1, 2, 4, 64, 4096, 8, 8};
    case Arithmetic::kFloat32:
      return {8, 1, 4, 4, 128, 4096, 4, 4};
    case Arithmetic::kTf32:
      return {16, 8, 16, 8, 16, 1024, 4, 4};
    case Arithmetic::kBFloat16:
    case Arithmetic::kFloat16:
      return {16, 8, 16, 8, 32, 1024, 2, 4};
  }
  return {};
}

DeviceRates device_rates(Arithmetic arithmetic, int compute_capability) {
  // Data-centre chips (8.0, 9.0, 10.0) and the others of a generation differ in float64 and in the
  // rate of the tensor cores with float32 sums.
  const bool data_centre = compute_capability % 10 == 0 && compute_capability < 120;
  DeviceRates rates{};
  switch (arithmetic) {
    case Arithmetic::kFloat64:
      rates.multiply_adds = !data_centre ? 2 : (compute_capability < 90 ? 32 : 64);
      break;
    case Arithmetic::kFloat32:
      rates.multiply_adds = compute_capability == 80 ? 64 : 128;
      break;
    case Arithmetic::kTf32:
      rates.multiply_adds = data_centre ? 512 : 128;
      break;
    case Arithmetic::kBFloat16:
    case Arithmetic::kFloat16:
      rates.multiply_adds = data_centre ? 1024 : 256;
      break;
  }
  return rates;
}

StepCost step_cost(const Layout& layout, Arithmetic arithmetic, const DeviceRates& rates) {
  const ProductShape shape = product_shape(arithmetic);
  const double chunks = layout.chunks;
  const double units = kWarps * layout.tiles_per_warp * layout.units_per_tile;
  const int rows = std::min(layout.chunk_rows, layout.group_rows);
  const double row_tiles = (rows + shape.rows - 1) / shape.rows;
  const double multiply_adds = shape.tile * shape.unit_elements * shape.rows;
  const int at_once = kSumsAtOnce / layout.tiles_per_warp;
  const double weight_reads =
      static_cast<int>(row_tiles) / at_once + static_cast<int>(row_tiles) % at_once;
  const double results = static_cast<double>(rows) * layout.features;

  StepCost cost{};
  cost.arithmetic = chunks * units * row_tiles * multiply_adds / rates.multiply_adds;
  const double shared_bytes = units / layout.tiles_per_warp * row_tiles * 512 +
                              weight_reads * kWarps * layout.shared_units * shape.unit_bytes +
                              2 * layout.k_warps * results * shape.compute_bytes;
  cost.shared_memory = chunks * shared_bytes / rates.shared_bytes;
  double barriers = 2, latency = 0;
  if (is_cluster(layout.exchange)) {
    const bool async = layout.exchange == Exchange::kAsyncCluster;
    barriers = async ? 2 : 3;
    latency = async ? rates.async_latency : rates.cluster_latency;
    cost.exchange =
        chunks * results * shape.element_bytes * (layout.group_blocks - 1) / rates.cluster_bytes;
  } else if (layout.exchange == Exchange::kGlobal) {
    barriers = 4;
    latency = rates.global_latency;
    cost.exchange = chunks * rows * layout.vector_bytes / rates.cache_bytes;
  }
  // A thread finishes 1, 2, 4 or 8 results, those that are missing included.
  const int row_step = kThreads >> layout.column_bits;
  int of_thread = 1;
  while (of_thread * row_step < rows) of_thread *= 2;
  cost.overhead = chunks * (barriers * rates.barrier + rates.epilogue + of_thread * rates.result);
  const double busy = std::max(cost.arithmetic, cost.shared_memory) + cost.exchange + cost.overhead;
  // While one chunk is on its way, the others are computed.
  cost.latency = std::max(0.0, latency - busy * (chunks - 1) / chunks);
  cost.total = busy + cost.latency;
  return cost;
}

}  // namespace elman::cuda::persistent
