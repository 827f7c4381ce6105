#pragma once

#include "cuda/persistent/device.h"
#include "cuda/persistent/launch_layout.h"

namespace elman::cuda::persistent {

using device::Vector16;

/// The vectors that enter the steps of a group's rows, handed on between its blocks.
///
/// Step s of a chunk reads slot s % 2 and writes slot (s + 1) % 2. A block waits for everybody's
/// vectors of step s before it reads them; since a block publishes only after it has read, nobody
/// still reads the slot that is written next. So two slots and one wait a step are enough.
///
/// A block's *flag* for a chunk is the number of vectors that it has published. In asynchronous
/// clusters each slot has a barrier in each block instead, whose phase ends when all bytes of the
/// others have come. Two barriers, since a quick block's next vectors may come before a slow one's
/// last ones, and must not be counted in their place.
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
    if (layout_.exchange == Exchange::kBlock) return;
    if (layout_.exchange == Exchange::kAsyncCluster) {
      for (int i = thread; i < 2 * layout_.chunks; i += kThreads)
        device::barrier_start(barrier(i / 2, i % 2));
    } else {
      const int flags = layout_.chunks * layout_.group_blocks;
      for (int i = thread; i < flags; i += kThreads) cluster_flags(0)[i] = 0;
    }
    device::cluster_sync();  // nobody's memory is written to before it is ready
  }

  /// An element of each of kCount rows' vectors that enter step `step`; rows from `count` on are
  /// left out.
  template <int kCount, typename C>
  ELMAN_DEVICE void store(int chunk, int step, const int* rows, int count, int local_feature,
                          const C* values) const {
    const int at = rank_ * layout_.features + local_feature;
    if (layout_.exchange == Exchange::kGlobal) {
      ELMAN_UNROLL
      for (int i = 0; i < kCount; ++i) {
        if (rows[i] < count)
          device::store_for_blocks(
              reinterpret_cast<Element*>(global_vector(chunk, step, rows[i])) + at,
              P::to_element(values[i]));
      }
    } else {
      ELMAN_UNROLL
      for (int i = 0; i < kCount; ++i) {
        if (rows[i] < count)
          reinterpret_cast<Element*>(shared_vector(chunk, step, rows[i]))[at] =
              P::to_element(values[i]);
      }
    }
  }

  /// After all threads have stored: hands the block's slice of `count` rows to the group.
  /// Everything that is published has to be received, since nothing may be on its way to a block
  /// that has ended.
  ELMAN_DEVICE void publish(int chunk, int step, int count) const {
    device::sync();
    switch (layout_.exchange) {
      case Exchange::kBlock:
        return;
      case Exchange::kCluster:
        return publish_to_cluster(chunk, step, count);
      case Exchange::kAsyncCluster:
        return push_to_cluster(chunk, step, count);
      case Exchange::kGlobal:
        if (device::thread() == 0) device::store_release(global_flags(chunk) + rank_, step + 1);
    }
  }

  /// Waits for the vectors that enter step `step`; they are then at the returned place in shared
  /// memory.
  ELMAN_DEVICE const unsigned char* receive(int chunk, int step, int count) const {
    switch (layout_.exchange) {
      case Exchange::kBlock:
        break;
      case Exchange::kCluster:
        wait_for_flags(cluster_flags(chunk), step + 1, device::load_acquire_cluster);
        break;
      case Exchange::kAsyncCluster:
        wait([&] { return device::barrier_done(barrier(chunk, step), (step >> 1) & 1); });
        break;
      case Exchange::kGlobal:
        return receive_from_global_memory(chunk, step, count);
    }
    return shared_vector(chunk, step, 0);
  }

  ELMAN_DEVICE bool failed() const { return *control() != 0; }

  ELMAN_DEVICE void end() const {
    if (layout_.exchange == Exchange::kCluster || layout_.exchange == Exchange::kAsyncCluster)
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
    return reinterpret_cast<std::uint32_t*>(shared_ + layout_.arrivals_at) +
           chunk * layout_.group_blocks;
  }
  ELMAN_DEVICE device::Barrier* barrier(int chunk, int step) const {
    return reinterpret_cast<device::Barrier*>(shared_ + layout_.arrivals_at) + 2 * chunk +
           (step & 1);
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

  /// Pieces of 16 bytes of the block's slice of a row.
  ELMAN_DEVICE int pieces() const {
    return layout_.features * static_cast<int>(sizeof(Element)) / 16;
  }

  /// give(piece, rank) for the pieces of the block's slice that this thread hands to the others of
  /// the cluster.
  template <typename Give>
  ELMAN_DEVICE void for_pieces(int chunk, int step, int count, const Give& give) const {
    const int of_row = pieces();
    for (int i = device::thread(); i < count * of_row; i += kThreads) {
      const int row = i / of_row;
      Vector16* const own = reinterpret_cast<Vector16*>(shared_vector(chunk, step, row)) +
                            rank_ * of_row + (i - row * of_row);
      for (int other = 1; other < layout_.group_blocks; ++other) {
        const int to = rank_ + other;
        give(own, to < layout_.group_blocks ? to : to - layout_.group_blocks);
      }
    }
  }

  ELMAN_DEVICE void publish_to_cluster(int chunk, int step, int count) const {
    for_pieces(chunk, step, count,
               [](Vector16* own, int rank) { device::store_in(own, rank, *own); });
    device::sync();
    const int thread = device::thread();
    if (thread < layout_.group_blocks && thread != rank_)
      device::store_release_cluster(device::peer(cluster_flags(chunk) + rank_, thread), step + 1);
  }

  ELMAN_DEVICE void push_to_cluster(int chunk, int step, int count) const {
    device::Barrier* const arrivals = barrier(chunk, step);
    if (device::thread() == 0)
      device::barrier_expect(arrivals, (layout_.group_blocks - 1) * count * pieces() * 16);
    for_pieces(chunk, step, count,
               [&](Vector16* own, int rank) { device::push(own, arrivals, rank, *own); });
  }

  ELMAN_DEVICE const unsigned char* receive_from_global_memory(int chunk, int step,
                                                               int count) const {
    if (device::thread() < 32) wait_for_flags(global_flags(chunk), step + 1, device::load_acquire);
    device::sync();
    const unsigned char* const source = global_vector(chunk, step, 0);
    unsigned char* const target = shared_ + layout_.vectors_at;
    const int all = count * (layout_.vector_bytes / 16);
    for (int i = device::thread(); i < all; i += kThreads)
      reinterpret_cast<Vector16*>(target)[i] = device::load_shared_by_blocks(source + 16 * i);
    device::sync();
    return target;
  }

  /// One warp: until the flags of all others have come to `expected`.
  template <typename Load>
  ELMAN_DEVICE void wait_for_flags(const std::uint32_t* flags, std::uint32_t expected,
                                   Load load) const {
    wait([&] {
      bool arrived = true;
      for (int i = device::thread() % 32; i < layout_.group_blocks; i += 32) {
        if (i != rank_) arrived = arrived && load(flags + i) >= expected;
      }
      return arrived;
    });
  }

  /// One warp: until `arrived` is true in all lanes.
  template <typename Arrived>
  ELMAN_DEVICE void wait(const Arrived& arrived) const {
    const int lane = device::thread() % 32;
    for (std::uint32_t polls = 0;; ++polls) {
      if (device::warp_all(arrived())) break;
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
