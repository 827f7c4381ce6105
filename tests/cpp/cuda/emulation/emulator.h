#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

namespace elman::emulation {

/// One launch of a kernel on an emulated device.
struct Launch {
  int blocks;
  int threads;
  int cluster = 1;  ///< blocks of a cluster
  std::size_t shared_bytes = 0;
  std::uint32_t seed = 0;  ///< of the order in which threads run
};

/// What went wrong; empty if nothing did.
struct Outcome {
  std::string error;
  std::uint64_t switches = 0;  ///< how often one thread gave way to another
};

/// Runs `kernel` in every thread of the launch, each thread a fiber of its own. A fiber runs until
/// it has to wait (barrier, collective of a warp, poll); then a random one of those that can go on
/// does, of whatever block. All blocks of the launch are resident. Shared memory starts as NaNs.
///
/// Found are: barriers that not all threads of a block (warp, cluster) reach, different collectives
/// met by the lanes of a warp, deadlocks, writes right behind the shared memory, and what comes
/// `later` to a block that has ended.
/// Of the weak memory order of a GPU what is emulated is that writes for other blocks come late
/// (device.h); within a block all writes are seen at once.
Outcome launch(const Launch& launch, const std::function<void()>& kernel);

// For the emulated device functions (device.h), within a launch.
int thread_index();
int block_index();
unsigned char* shared_memory(int block);
int cluster_size();
void block_barrier();
void cluster_barrier();
/// Lets others run.
void give_way();
/// Runs `effect`, a write of block `from`, on the memory of block `to` some time later, in any
/// order.
void later(int from, int to, std::function<void()> effect);
constexpr int kNobody = -1;
/// Runs the writes of the current block that are still to come.
void flush();
/// Ends the launch.
void fail(const std::string& error);

/// A collective of a warp: every lane hands in `words` words; once all 32 have, `compute` is called
/// with [32][kWarpWords] of them and leaves the results in their place, from which each lane takes
/// its own.
constexpr int kWarpWords = 12;
using WarpWords = std::uint32_t[32][kWarpWords];
void warp_collective(const char* name, std::uint32_t* words, int count,
                     void (*compute)(WarpWords& words, int argument), int argument);

}  // namespace elman::emulation
