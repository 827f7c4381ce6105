// The planner of the persistent CUDA kernels: whatever it proposes has to hold together.
#include "cuda/persistent/plan.h"

#include <gtest/gtest.h>

#include <vector>

#include "cuda/persistent/operands.h"

namespace elman::cuda::persistent {
namespace {

struct NamedDevice {
  const char* name;
  DeviceLimits limits;
};

const std::vector<NamedDevice>& devices() {
  static const std::vector<NamedDevice> all = {
      {"8.0", {80, 108, 163 * 1024, 1}},
      {"8.6", {86, 84, 99 * 1024, 1}},
      {"8.9", {89, 128, 99 * 1024, 1}},
      {"9.0", {90, 132, 227 * 1024, 8}},
      {"9.0, asynchronous", {90, 132, 227 * 1024, 8, {66, 32, 14, 0}, true}},
      {"9.0, clusters of 16", {90, 132, 227 * 1024, 16}},
      {"10.0", {100, 148, 227 * 1024, 8}},
      {"12.0", {120, 170, 99 * 1024, 8}},
      {"small", {86, 3, 64 * 1024, 1}},
  };
  return all;
}

constexpr Arithmetic kArithmetics[] = {Arithmetic::kFloat64, Arithmetic::kFloat32,
                                       Arithmetic::kTf32, Arithmetic::kBFloat16,
                                       Arithmetic::kFloat16};

/// Every element of W_h is in exactly one unit of one warp of one block of a group.
void expect_weights_covered_once(const Layout& layout, const ProductShape& shape) {
  const int k_tiles = (layout.hidden + shape.unit_elements - 1) / shape.unit_elements;
  const int n_tiles = (layout.hidden + shape.tile - 1) / shape.tile;
  std::vector<int> covered(static_cast<std::size_t>(k_tiles) * n_tiles, 0);
  for (int rank = 0; rank < layout.group_blocks; ++rank) {
    for (int warp = 0; warp < kWarps; ++warp) {
      for (int i = 0; i < layout.tiles_per_warp; ++i) {
        const int tile = warp / layout.k_warps * layout.tiles_per_warp + i;
        if (tile >= layout.tiles) continue;
        ASSERT_EQ(rank * layout.features % shape.tile, 0);
        const int n = rank * layout.features / shape.tile + tile;
        for (int j = 0; j < layout.units_per_tile; ++j) {
          const int k = warp % layout.k_warps * layout.units_per_tile + j;
          if (n < n_tiles && k < k_tiles) ++covered[n * k_tiles + k];
        }
      }
    }
  }
  for (const int times : covered) ASSERT_EQ(times, 1);
}

void expect_sound(const Plan& plan, const Problem& problem, const DeviceLimits& device) {
  const Layout& l = plan.layout;
  const ProductShape shape = product_shape(problem.arithmetic);
  const std::int64_t rows = problem.batch * problem.windows;
  ASSERT_EQ(l.hidden, problem.hidden);
  ASSERT_EQ(l.rows, rows);
  ASSERT_EQ(l.steps, problem.steps);
  // Groups and chunks cover the rows, and none is empty.
  ASSERT_GE(static_cast<std::int64_t>(l.groups) * l.group_rows, rows);
  ASSERT_LT(static_cast<std::int64_t>(l.groups - 1) * l.group_rows, rows);
  ASSERT_GE(l.chunks * l.chunk_rows, l.group_rows);
  ASSERT_LT((l.chunks - 1) * l.chunk_rows, l.group_rows);
  ASSERT_EQ(l.chunk_rows % shape.rows, 0);
  if (problem.overlap) {
    ASSERT_EQ(l.group_rows % problem.windows, 0);
  }
  // The blocks of a group cover the features, and none is empty.
  ASSERT_GE(l.group_blocks * l.features, l.hidden);
  ASSERT_LT((l.group_blocks - 1) * l.features, l.hidden);
  ASSERT_EQ(l.features, l.tiles * shape.tile);
  ASSERT_LE(l.features, 1 << l.column_bits);
  ASSERT_LE(1 << l.column_bits, kThreads);
  // A thread finishes what it has room for.
  ASSERT_LE(l.chunk_rows << l.column_bits, kThreads * shape.results);
  // Units in shared memory are those that are not in registers.
  ASSERT_TRUE(l.tiles_per_warp == 1 || l.tiles_per_warp == 2);
  ASSERT_GE(l.tiles_per_warp * (kWarps / l.k_warps), l.tiles);
  ASSERT_EQ(l.shared_units,
            l.tiles_per_warp * std::max(0, l.units_per_tile - shape.units / l.tiles_per_warp));
  // Vectors hold all that is read and written of them.
  ASSERT_GE(l.vector_bytes,
            l.k_warps * l.units_per_tile * shape.unit_elements * shape.element_bytes);
  ASSERT_GE(l.vector_bytes, l.group_blocks * l.features * shape.element_bytes);
  ASSERT_EQ(l.vector_bytes % 16, 0);
  ASSERT_EQ(l.features * shape.element_bytes % 16, 0);
  if (shape.rows > 1) {
    ASSERT_EQ(l.vector_bytes / 4 % 32, 16);
  }
  // Shared memory: pieces in order, none over another, all within the limit.
  const std::vector<int> places = {l.vectors_at, l.partials_at, l.weights_at, l.rows_at,
                                   l.spans_at,   l.arrivals_at, l.control_at, l.shared_bytes};
  const int vectors = l.exchange == Exchange::kGlobal ? l.chunk_rows : 2 * l.chunks * l.chunk_rows;
  const std::vector<std::int64_t> sizes = {
      static_cast<std::int64_t>(vectors) * l.vector_bytes,
      static_cast<std::int64_t>(l.k_warps) * l.chunk_rows * l.partial_stride * shape.compute_bytes,
      static_cast<std::int64_t>(kWarps) * l.shared_units * shape.unit_bytes,
      static_cast<std::int64_t>(l.group_rows) * static_cast<std::int64_t>(sizeof(RowInfo)),
      l.chunks * static_cast<std::int64_t>(sizeof(ChunkSpan)),
      arrival_bytes(l),
      4};
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    ASSERT_EQ(places[i] % 16, 0);
    ASSERT_GE(places[i + 1] - places[i], sizes[i]);
  }
  ASSERT_LE(l.shared_bytes, device.shared_bytes_per_block);
  // A launch is one that every device with the capability takes: a row of blocks, clusters of the
  // portable size unless the device grants more, operands within the 4 KiB of a kernel's arguments.
  ASSERT_LE(static_cast<std::int64_t>(l.groups) * l.group_blocks, 0x7fffffff);
  ASSERT_LE(plan.cluster(), std::max(1, device.max_cluster));
  static_assert(kThreads <= 1024 && kThreads % 32 == 0);
  static_assert(sizeof(Layout) + sizeof(Workspace) + sizeof(BackwardOperands) <= 4096);
  static_assert(sizeof(ForwardOperands) <= sizeof(BackwardOperands));
  // Blocks that wait for each other are on the chip together.
  if (l.exchange == Exchange::kBlock) {
    ASSERT_EQ(l.group_blocks, 1);
  }
  if (is_cluster(l.exchange)) {
    ASSERT_LE(l.group_blocks, device.max_cluster);
    ASSERT_EQ(plan.blocks() % plan.cluster(), 0);
  }
  ASSERT_EQ(plan.cooperative(), l.exchange == Exchange::kGlobal);
  if (plan.cooperative()) {
    ASSERT_LE(plan.blocks(), device.multiprocessors);
    ASSERT_GE(plan.vectors_at - plan.flags_at, 4u * l.groups * l.chunks * l.group_blocks);
    ASSERT_EQ(plan.vectors_at % 16, 0u);
    ASSERT_GE(plan.workspace_bytes, plan.vectors_at + 2ull * rows * l.vector_bytes);
  }
  ASSERT_GT(plan.step.total, 0);
  ASSERT_GE(plan.cycles, plan.step.total * static_cast<double>(problem.steps));
}

std::vector<int> hidden_sizes() {
  std::vector<int> sizes;
  for (int h = 1; h <= 70; ++h) sizes.push_back(h);
  for (int h = 71; h < 4096; h += 97) sizes.push_back(h);
  for (int h = 128; h <= 4096; h *= 2) sizes.insert(sizes.end(), {h - 1, h, h + 1});
  return sizes;
}

TEST(PersistentPlanTest, EveryCandidateIsSound) {
  for (const NamedDevice& device : devices()) {
    for (const Arithmetic arithmetic : kArithmetics) {
      const ProductShape shape = product_shape(arithmetic);
      for (const int hidden : hidden_sizes()) {
        for (const Problem& problem :
             {Problem{arithmetic, 100, 1, hidden}, Problem{arithmetic, 7, 33, hidden},
              Problem{arithmetic, 20, 256, hidden}, Problem{arithmetic, 20, 16, hidden, 50},
              Problem{arithmetic, 5, 3, hidden, 40, true}}) {
          SCOPED_TRACE(std::string(device.name) + ", arithmetic " +
                       std::to_string(static_cast<int>(arithmetic)) + ", H " +
                       std::to_string(hidden) + ", rows " +
                       std::to_string(problem.batch * problem.windows));
          for (const Plan& plan : candidates(problem, device.limits)) {
            expect_sound(plan, problem, device.limits);
            if (HasFatalFailure()) return;
          }
          const Decision decision = plan(problem, device.limits);
          if (!decision.plan) {
            EXPECT_NE(decision.reason.find("does not fit"), std::string::npos);
            continue;
          }
          expect_weights_covered_once(decision.plan->layout, shape);
          if (HasFatalFailure()) return;
        }
      }
    }
  }
}

TEST(PersistentPlanTest, FitsWhatTheChipCanHold) {
  const DeviceLimits device = devices()[3].limits;  // 132 multiprocessors
  EXPECT_TRUE(plan({Arithmetic::kFloat32, 1024, 64, 2048}, device).plan);
  EXPECT_TRUE(plan({Arithmetic::kBFloat16, 1024, 256, 2048}, device).plan);
  EXPECT_FALSE(plan({Arithmetic::kFloat32, 1024, 64, 4096}, device).plan);  // 64 MiB of weights
}

TEST(PersistentPlanTest, SmallLayersStayInOneBlock) {
  const Decision decision = plan({Arithmetic::kBFloat16, 128, 64, 128}, devices()[3].limits);
  ASSERT_TRUE(decision.plan);
  EXPECT_EQ(decision.plan->layout.exchange, Exchange::kBlock);
  EXPECT_EQ(decision.plan->layout.groups, 8);  // of the eight rows that a tensor core takes
}

TEST(PersistentPlanTest, ReasonsSayWhatIsMissing) {
  const Problem problem{Arithmetic::kFloat32, 10, 4, 64};
  EXPECT_NE(plan(problem, {75, 40, 64 * 1024, 1}).reason.find("8.0"), std::string::npos);
  EXPECT_EQ(plan({Arithmetic::kFloat32, 10, 0, 64}, devices()[0].limits).reason,
            "nothing to compute");
  EXPECT_FALSE(plan({Arithmetic::kFloat32, int64_t{1} << 40, 1, 64}, devices()[0].limits).plan);
  EXPECT_FALSE(plan({Arithmetic::kFloat32, 5, 1 << 20, 64, 1 << 20}, devices()[0].limits).plan);
}

TEST(PersistentPlanTest, AStepCostsAtLeastEachOfItsLimits) {
  for (const Arithmetic arithmetic : kArithmetics) {
    const DeviceRates rates = device_rates(arithmetic, 90);
    for (const Plan& plan : candidates({arithmetic, 100, 64, 512}, devices()[3].limits)) {
      const StepCost& cost = plan.step;
      EXPECT_GE(cost.total, cost.arithmetic);
      EXPECT_GE(cost.total, cost.shared_memory);
      EXPECT_GE(cost.total, cost.exchange + cost.overhead + cost.latency);
      // The multiply-adds of the problem, without what padding adds.
      const Layout& l = plan.layout;
      const double least = 1.0 * l.group_rows * l.hidden * l.hidden / l.group_blocks;
      EXPECT_GE(cost.arithmetic * rates.multiply_adds, least * 0.99);
    }
  }
}

}  // namespace
}  // namespace elman::cuda::persistent
