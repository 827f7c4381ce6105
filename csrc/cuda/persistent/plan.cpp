#include "cuda/persistent/plan.h"

#include <algorithm>

namespace elman::cuda::persistent {
namespace {

constexpr int kMaxTilesPerWarp = 2;

std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }
std::int64_t round_up(std::int64_t a, std::int64_t b) { return ceil_div(a, b) * b; }

const char* name_of(Exchange exchange) {
  switch (exchange) {
    case Exchange::kBlock:
      return "one block";
    case Exchange::kCluster:
      return "a cluster";
    case Exchange::kAsyncCluster:
      return "a cluster, asynchronously";
    case Exchange::kGlobal:
      return "global memory";
  }
  return "";
}

/// Looks through the layouts for one problem.
class Planner {
 public:
  Planner(const Problem& problem, const DeviceLimits& device)
      : problem_(problem),
        device_(device),
        shape_(product_shape(problem.arithmetic)),
        rates_(device_rates(problem.arithmetic, device.compute_capability)) {}

  std::vector<Plan> run() {
    for (int blocks = 1; blocks <= device_.max_cluster; blocks *= 2) {
      const std::int64_t features = round_up(ceil_div(problem_.hidden, blocks), shape_.tile);
      if ((blocks - 1) * features >= problem_.hidden) continue;  // a block without features
      consider_slice(blocks == 1 ? Exchange::kBlock : Exchange::kCluster, blocks, features);
      if (blocks > 1 && device_.async_clusters)
        consider_slice(Exchange::kAsyncCluster, blocks, features);
    }
    for (int features = shape_.tile; features <= max_features(); features += shape_.tile) {
      const std::int64_t blocks = ceil_div(problem_.hidden, features);
      if (blocks > 1 && blocks <= device_.multiprocessors)
        consider_slice(Exchange::kGlobal, blocks, features);
    }
    return plans_;
  }

 private:
  int max_features() const { return kMaxTilesPerWarp * kWarps * shape_.tile; }
  std::int64_t rows() const { return problem_.batch * problem_.windows; }

  std::int64_t groups_at_once(Exchange exchange, std::int64_t blocks) const {
    if (is_cluster(exchange)) return device_.groups_at_once(static_cast<int>(blocks));
    return std::max<std::int64_t>(1, device_.multiprocessors / blocks);
  }

  /// All divisions of the rows for one division of W_h.
  void consider_slice(Exchange exchange, std::int64_t blocks, std::int64_t features) {
    if (features > max_features()) return;
    Layout layout = slice(exchange, blocks, features);
    // Rows come in whole batch rows where windows overlap, else one by one.
    const std::int64_t granule = problem_.overlap ? problem_.windows : 1;
    const std::int64_t resident = groups_at_once(exchange, blocks);
    // Where groups need not be on the chip together they may come in waves.
    const std::int64_t max_waves = exchange == Exchange::kGlobal ? 1 : 64;
    for (std::int64_t waves = 1; waves <= max_waves; waves *= 2) {
      std::int64_t group_rows = round_up(ceil_div(rows(), resident * waves), granule);
      // Fewer rows than the product takes at once would save nothing.
      if (granule == 1) group_rows = std::min(rows(), round_up(group_rows, shape_.rows));
      bool any = false;
      for (int chunk_rows = shape_.rows; chunk_rows <= 64; chunk_rows *= 2) {
        if (chunk_rows > shape_.rows && chunk_rows / 2 >= group_rows) break;
        any = consider(layout, group_rows, chunk_rows) || any;
      }
      if (any || group_rows <= granule) break;
    }
  }

  /// How W_h is dealt to blocks, warps and units.
  Layout slice(Exchange exchange, std::int64_t blocks, std::int64_t features) const {
    Layout layout{};
    layout.exchange = exchange;
    layout.steps = problem_.steps;
    layout.hidden = problem_.hidden;
    layout.rows = rows();
    layout.group_blocks = blocks;
    layout.features = features;
    layout.tiles = features / shape_.tile;
    const std::int64_t k_units = ceil_div(problem_.hidden, shape_.unit_elements);
    std::int64_t fewest = 0;
    for (int k_warps = 1; k_warps <= kWarps; k_warps *= 2) {
      const std::int64_t tiles = ceil_div(layout.tiles, kWarps / k_warps);
      const std::int64_t units = ceil_div(k_units, k_warps);
      if (tiles > kMaxTilesPerWarp || (fewest != 0 && tiles * units >= fewest)) continue;
      fewest = tiles * units;
      layout.k_warps = k_warps;
      layout.tiles_per_warp = tiles;
      layout.units_per_tile = units;
    }
    const int in_registers = shape_.units / layout.tiles_per_warp;
    layout.shared_units = layout.tiles_per_warp * std::max(0, layout.units_per_tile - in_registers);
    while ((1 << layout.column_bits) < features) ++layout.column_bits;
    // Rows of 16 floats more than a multiple of 32 spread a tensor core operand over all banks.
    const std::int64_t elements = std::max<std::int64_t>(
        layout.k_warps * layout.units_per_tile * shape_.unit_elements, blocks * features);
    std::int64_t bytes = round_up(elements * shape_.element_bytes, 64);
    if (shape_.rows > 1 && bytes % 128 == 0) bytes += 64;
    layout.vector_bytes = bytes;
    layout.partial_stride = features + 4;
    return layout;
  }

  /// Whether the layout fits with these rows; if so it is kept.
  bool consider(Layout layout, std::int64_t group_rows, int chunk_rows) {
    const int results = problem_.leaky ? kLeakyResults : shape_.results;
    if ((chunk_rows << layout.column_bits) > kThreads * results) return false;
    layout.group_rows = group_rows;
    layout.chunk_rows = chunk_rows;
    layout.chunks = ceil_div(group_rows, chunk_rows);
    layout.groups = ceil_div(rows(), group_rows);
    if (layout.exchange == Exchange::kGlobal &&
        layout.groups * layout.group_blocks > device_.multiprocessors)
      return false;
    const std::int64_t shared = place(layout);
    if (shared > device_.shared_bytes_per_block) return false;

    Plan plan{};
    plan.step = step_cost(layout, problem_.arithmetic, rates_);
    const std::int64_t resident = groups_at_once(layout.exchange, layout.group_blocks);
    const std::int64_t waves = ceil_div(layout.groups, resident);
    plan.cycles = plan.step.total * static_cast<double>(problem_.steps) * waves;
    plan.flags_at = 16;
    plan.vectors_at = plan.flags_at;
    plan.workspace_bytes = plan.flags_at;
    if (layout.exchange == Exchange::kGlobal) {
      plan.vectors_at += round_up(4LL * layout.groups * layout.chunks * layout.group_blocks, 16);
      plan.workspace_bytes = plan.vectors_at + 2LL * layout.rows * layout.vector_bytes;
    }
    plan.layout = layout;
    plans_.push_back(plan);
    return true;
  }

  /// Lays out a block's shared memory; returns its bytes.
  std::int64_t place(Layout& layout) const {
    const std::int64_t vectors = layout.exchange == Exchange::kGlobal
                                     ? layout.chunk_rows
                                     : 2LL * layout.chunks * layout.chunk_rows;
    const std::int64_t sizes[] = {
        vectors * layout.vector_bytes,
        static_cast<std::int64_t>(layout.k_warps) * layout.chunk_rows * layout.partial_stride *
            shape_.compute_bytes,
        static_cast<std::int64_t>(kWarps) * layout.shared_units * shape_.unit_bytes,
        layout.group_rows * static_cast<std::int64_t>(sizeof(RowInfo)),
        layout.chunks * static_cast<std::int64_t>(sizeof(ChunkSpan)),
        arrival_bytes(layout),
        4,
    };
    int* const places[] = {&layout.vectors_at, &layout.partials_at, &layout.weights_at,
                           &layout.rows_at,    &layout.spans_at,    &layout.arrivals_at,
                           &layout.control_at};
    std::int64_t at = 0;
    for (int i = 0; i < 7; ++i) {
      // Only layouts that fit are used, so that what does not fit into an int does not matter.
      *places[i] = static_cast<int>(at);
      at = round_up(at + sizes[i], 16);
    }
    layout.shared_bytes = static_cast<int>(std::min<std::int64_t>(at, 0x7fffffff));
    return at;
  }

  const Problem& problem_;
  const DeviceLimits& device_;
  const ProductShape shape_;
  const DeviceRates rates_;
  std::vector<Plan> plans_;
};

std::string describe(const Plan& plan) {
  const Layout& layout = plan.layout;
  return std::to_string(layout.groups) + " groups of " + std::to_string(layout.group_blocks) +
         " blocks, " + std::to_string(layout.features) + " features each, " +
         std::to_string(layout.group_rows) + " rows in chunks of " +
         std::to_string(layout.chunk_rows) + ", exchange through " + name_of(layout.exchange);
}

}  // namespace

std::int64_t arrival_bytes(const Layout& layout) {
  switch (layout.exchange) {
    case Exchange::kCluster:
      return 4LL * layout.chunks * layout.group_blocks;
    case Exchange::kAsyncCluster:
      return 2LL * layout.chunks * kBarrierBytes;
    case Exchange::kBlock:
    case Exchange::kGlobal:
      break;
  }
  return 0;
}

std::vector<Plan> candidates(const Problem& problem, const DeviceLimits& device) {
  return Planner(problem, device).run();
}

Decision plan(const Problem& problem, const DeviceLimits& device) {
  constexpr std::int64_t kLimit = std::int64_t{1}
                                  << 30;  // the kernels count rows of the data in int
  if (device.compute_capability < 80) return {{}, "needs compute capability 8.0"};
  if (problem.steps < 1 || problem.batch < 1 || problem.hidden < 1 || problem.windows < 1)
    return {{}, "nothing to compute"};
  if (problem.steps > kLimit || problem.hidden > 65536 ||
      problem.batch > kLimit / problem.windows / problem.steps)
    return {{}, "more steps or rows than the persistent kernels count"};
  const std::vector<Plan> plans = candidates(problem, device);
  const auto best = std::min_element(
      plans.begin(), plans.end(), [](const Plan& a, const Plan& b) { return a.cycles < b.cycles; });
  if (best == plans.end())
    return {{}, "W_h does not fit into the chip's registers and shared memory"};
  return {*best, describe(*best)};
}

}  // namespace elman::cuda::persistent
