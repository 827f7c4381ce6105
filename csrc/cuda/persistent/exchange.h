#pragma once

#include "cuda/persistent/device.h"
#include "cuda/persistent/layout.h"

namespace elman::cuda::persistent {

using device::Vector16;

template <typename C>
ELMAN_DEVICE C not_a_number() {
  return C(0) / C(0);
}

/// The vectors that enter the steps of a group's rows, handed on between its blocks.
///
/// Step s of a chunk reads slot s % 2 and writes slot (s + 1) % 2. A block's *flag* for a chunk is
/// the number of vectors that it has published. It waits for everybody's flag s + 1 before it reads
/// step s's vectors; since a block publishes only after it has read, nobody still reads the slot
/// that is written next. So two slots and one wait a step are enough.
///
/// Waits are bounded: one that is given up sets the launch's error word and makes the block's
/// results NaN from there on. The block never leaves early, so no barrier is left waiting.
template <typename P>
class Vectors {
 public:
  using Element = typename P::Element;

  ELMAN_DEVICE Vectors(const Layout& layout, const Workspace& workspace, int group, int rank,
                       int rows)
      : layout_(layout),
        workspace_(workspace),
        shared_(device::shared_memory()),
        group_(group),
        rank_(rank),
        rows_(rows) {}

  /// Before anything else; a barrier has to follow.
  ELMAN_DEVICE void begin() const {
    const int thread = device::thread();
    if (thread == 0) *control() = 0;
    if (layout_.exchange == Exchange::kGlobal) return;
    // The padding behind H is multiplied with zeros, so that it must be finite.
    const int pieces = 2 * layout_.chunks * layout_.chunk_rows * (layout_.vector_bytes / 16);
    Vector16* const vectors = reinterpret_cast<Vector16*>(shared_ + layout_.vectors_at);
    for (int i = thread; i < pieces; i += kThreads) vectors[i] = Vector16{{0, 0, 0, 0}};
    if (layout_.exchange != Exchange::kCluster) return;
    std::uint32_t* const flags = reinterpret_cast<std::uint32_t*>(shared_ + layout_.flags_at);
    for (int i = thread; i < layout_.chunks * layout_.group_blocks; i += kThreads) flags[i] = 0;
    device::cluster_sync();  // nobody's memory is written to before it is ready
  }

  /// One element of the vector that enters step `step`.
  ELMAN_DEVICE void store(int chunk, int step, int row, int local_feature, Element value) const {
    const int at = rank_ * layout_.features + local_feature;
    if (layout_.exchange == Exchange::kGlobal) {
      reinterpret_cast<Element*>(global_vector(chunk, step, row))[at] = value;
    } else {
      reinterpret_cast<Element*>(shared_vector(chunk, step, row))[at] = value;
    }
  }

  /// After all threads have stored: hands the block's slice of `count` rows to the group.
  ELMAN_DEVICE void publish(int chunk, int step, int count) const {
    device::sync();
    if (layout_.exchange == Exchange::kBlock) return;
    const int thread = device::thread();
    const std::uint32_t arrived = step + 1;
    if (layout_.exchange == Exchange::kGlobal) {
      if (thread == 0) device::store_release(global_flags(chunk) + rank_, arrived);
      return;
    }
    push(chunk, step, count);
    device::sync();
    if (thread < layout_.group_blocks && thread != rank_)
      device::store_release_cluster(device::peer(cluster_flags(chunk) + rank_, thread), arrived);
  }

  /// Waits for the vectors that enter step `step`; they are then at the returned place in shared
  /// memory.
  ELMAN_DEVICE const unsigned char* receive(int chunk, int step, int count) const {
    if (layout_.exchange == Exchange::kBlock) return shared_vector(chunk, step, 0);
    const std::uint32_t expected = step + 1;
    if (layout_.exchange == Exchange::kCluster) {
      wait(cluster_flags(chunk), expected, device::load_acquire_cluster);
      return shared_vector(chunk, step, 0);
    }
    if (device::thread() < 32) wait(global_flags(chunk), expected, device::load_acquire);
    device::sync();
    const unsigned char* const source = global_vector(chunk, step, 0);
    unsigned char* const target = shared_ + layout_.vectors_at;
    const int pieces = count * (layout_.vector_bytes / 16);
    for (int i = device::thread(); i < pieces; i += kThreads)
      reinterpret_cast<Vector16*>(target)[i] = device::load_shared_by_blocks(source + 16 * i);
    device::sync();
    return target;
  }

  ELMAN_DEVICE bool failed() const { return *control() != 0; }

  ELMAN_DEVICE void end() const {
    if (layout_.exchange == Exchange::kCluster)
      device::cluster_sync();  // nobody writes here any more
  }

 private:
  ELMAN_DEVICE volatile int* control() const {
    return reinterpret_cast<volatile int*>(shared_ + layout_.control_at);
  }
  ELMAN_DEVICE std::uint32_t* global_flags(int chunk) const {
    return workspace_.flags + (group_ * layout_.chunks + chunk) * layout_.group_blocks;
  }
  ELMAN_DEVICE std::uint32_t* cluster_flags(int chunk) const {
    return reinterpret_cast<std::uint32_t*>(shared_ + layout_.flags_at) +
           chunk * layout_.group_blocks;
  }
  // Apart, so that the compiler knows which memory it is.
  ELMAN_DEVICE unsigned char* global_vector(int chunk, int step, int row) const {
    const std::int64_t first = static_cast<std::int64_t>(step & 1) * layout_.rows +
                               static_cast<std::int64_t>(group_) * layout_.group_rows;
    return workspace_.vectors + (first + chunk * layout_.chunk_rows + row) * layout_.vector_bytes;
  }
  ELMAN_DEVICE unsigned char* shared_vector(int chunk, int step, int row) const {
    const int first = (step & 1) * layout_.chunks * layout_.chunk_rows;
    return shared_ + layout_.vectors_at +
           (first + chunk * layout_.chunk_rows + row) * layout_.vector_bytes;
  }

  /// Copies the block's slice to the same place in the other blocks of the cluster.
  ELMAN_DEVICE void push(int chunk, int step, int count) const {
    const int pieces = layout_.features * static_cast<int>(sizeof(Element)) / 16;
    for (int i = device::thread(); i < count * pieces; i += kThreads) {
      Vector16* const own = reinterpret_cast<Vector16*>(shared_vector(chunk, step, i / pieces)) +
                            rank_ * pieces + i % pieces;
      for (int other = 1; other < layout_.group_blocks; ++other)
        *device::peer(own, (rank_ + other) % layout_.group_blocks) = *own;
    }
  }

  /// One warp: until all of the group's flags have come to `expected`.
  template <typename Load>
  ELMAN_DEVICE void wait(const std::uint32_t* flags, std::uint32_t expected, Load load) const {
    const int lane = device::thread() % 32;
    for (std::uint32_t polls = 0;; ++polls) {
      bool arrived = true;
      for (int i = lane; i < layout_.group_blocks; i += 32) {
        if (i != rank_) arrived = arrived && load(flags + i) >= expected;
      }
      if (device::warp_all(arrived)) break;
      // Where one block has given up, none need wait any longer.
      const bool hopeless = *control() != 0 || polls >= workspace_.spin_limit ||
                            (polls % 64 == 63 && device::load_relaxed(workspace_.error) != 0);
      if (!device::warp_all(!hopeless)) {
        if (lane == 0) {
          *control() = 1;
          device::store_release(workspace_.error, 1);
        }
        break;
      }
      device::pause();
    }
    device::sync_warp();  // what one lane has acquired is there for all
  }

  const Layout& layout_;
  const Workspace& workspace_;
  unsigned char* shared_;
  int group_, rank_, rows_;
};

}  // namespace elman::cuda::persistent
