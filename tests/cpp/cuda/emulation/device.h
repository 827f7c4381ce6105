#pragma once

// The device functions of csrc/cuda/persistent/device_intrinsics.h, emulated on the host.

#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

#include "cuda/emulation/emulator.h"

#define ELMAN_DEVICE inline
#define ELMAN_UNROLL
#define ELMAN_ROLLED

namespace elman::cuda::device {

using bfloat16 = c10::BFloat16;
using float16 = c10::Half;

struct alignas(16) Vector16 {
  std::uint32_t word[4];
};

inline int thread() { return emulation::thread_index(); }
inline int block() { return emulation::block_index(); }
inline unsigned char* shared_memory() { return emulation::shared_memory(block()); }
inline void sync() { emulation::block_barrier(); }
inline void pause() { emulation::give_way(); }

inline void sync_warp() {
  emulation::warp_collective(
      "sync_warp", nullptr, 0, [](emulation::WarpWords&, int) {}, 0);
}
inline bool warp_all(bool condition) {
  std::uint32_t word = condition;
  emulation::warp_collective(
      "warp_all", &word, 1,
      [](emulation::WarpWords& words, int) {
        std::uint32_t all = 1;
        for (auto& lane : words) all &= lane[0];
        for (auto& lane : words) lane[0] = all;
      },
      0);
  return word != 0;
}
template <typename T>
T shuffle_xor(T value, int mask) {
  constexpr int kWords = sizeof(T) / 4;
  std::uint32_t words[kWords];
  std::memcpy(words, &value, sizeof(T));
  emulation::warp_collective(
      "shuffle_xor", words, kWords,
      [](emulation::WarpWords& all, int mask) {
        emulation::WarpWords given;
        std::memcpy(given, all, sizeof(given));
        for (int lane = 0; lane < 32; ++lane)
          std::memcpy(all[lane], given[lane ^ mask], sizeof(all[lane]));
      },
      mask);
  std::memcpy(&value, words, sizeof(T));
  return value;
}

// Memory order: a write for other blocks comes at some later time, in any order, unless a release
// of its own block goes out before: that takes everything along that the block has written. And
// these give way, since the result may not depend on who runs first.
template <typename T>
void store_for_blocks(T* p, T value) {
  emulation::later(block(), block(), [p, value] { *p = value; });
}
inline void store_release(std::uint32_t* p, std::uint32_t value) {
  emulation::give_way();
  emulation::flush();
  *p = value;
}
inline std::uint32_t load_acquire(const std::uint32_t* p) {
  emulation::give_way();
  return *p;
}
inline std::uint32_t load_relaxed(const std::uint32_t* p) { return *p; }
inline Vector16 load_shared_by_blocks(const void* p) {
  emulation::give_way();
  return *static_cast<const Vector16*>(p);
}

inline void cluster_sync() { emulation::cluster_barrier(); }
/// The same place in the shared memory of another block of the cluster.
inline unsigned char* place_in(const volatile void* p, int rank) {
  const int first = block() / emulation::cluster_size() * emulation::cluster_size();
  return emulation::shared_memory(first + rank) +
         (static_cast<const volatile unsigned char*>(p) - shared_memory());
}
template <typename T>
T* peer(T* p, int rank) {
  return reinterpret_cast<T*>(place_in(p, rank));
}
inline void store_in(Vector16* place, int rank, const Vector16& value) {
  emulation::later(block(), block() - block() % emulation::cluster_size() + rank,
                   [to = peer(place, rank), value] { *to = value; });
}
inline void store_release_cluster(std::uint32_t* p, std::uint32_t value) {
  store_release(p, value);
}
inline std::uint32_t load_acquire_cluster(const std::uint32_t* p) { return load_acquire(p); }

/// As mbarrier with one arrival: a phase ends when that has come, and with it all expected bytes.
struct Barrier {
  std::int32_t bytes;  ///< still expected; negative where they came before they were expected
  std::uint8_t arrived, parity, started, unused;

  void try_to_end() {
    if (arrived == 0 || bytes != 0) return;
    arrived = 0;
    parity ^= 1;
  }
};
static_assert(sizeof(Barrier) == 8);
inline void barrier_start(Barrier* barrier) { *barrier = {0, 0, 0, 1, 0}; }
inline void barrier_expect(Barrier* barrier, std::uint32_t bytes) {
  emulation::give_way();
  if (barrier->started != 1 || barrier->arrived != 0)
    return emulation::fail("a barrier's phase is armed twice, or before it was made");
  barrier->bytes += static_cast<std::int32_t>(bytes);
  barrier->arrived = 1;
  barrier->try_to_end();
}
inline bool barrier_done(const Barrier* barrier, std::uint32_t parity) {
  emulation::give_way();
  return barrier->parity != parity;
}
/// Comes at some later time, whatever else has been pushed or done since: no release takes it
/// along.
inline void push(Vector16* place, Barrier* barrier, int rank, const Vector16& value) {
  const int target = block() / emulation::cluster_size() * emulation::cluster_size() + rank;
  emulation::later(emulation::kNobody, target,
                   [place = peer(place, rank), counts = peer(barrier, rank), value] {
                     *place = value;
                     counts->bytes -= static_cast<std::int32_t>(sizeof(value));
                     counts->try_to_end();
                   });
}

inline float to_compute(float x) { return x; }
inline double to_compute(double x) { return x; }
inline float to_compute(bfloat16 x) { return x; }
inline float to_compute(float16 x) { return x; }
template <typename S, typename C>
S to_storage(C x) {
  return static_cast<S>(x);
}
inline std::uint32_t bits(float x) {
  std::uint32_t word;
  std::memcpy(&word, &x, 4);
  return word;
}
inline std::uint32_t bits(bfloat16 x) { return x.x; }
inline std::uint32_t bits(float16 x) { return x.x; }
/// To the nearest with 10 bits of mantissa, ties away from zero.
inline float round_to_tf32(float x) {
  if (!std::isfinite(x)) return x;
  const std::uint32_t word = (bits(x) + 0x1000u) & ~0x1fffu;
  std::memcpy(&x, &word, 4);
  return x;
}
template <typename C>
C not_a_number() {
  return std::numeric_limits<C>::quiet_NaN();
}
inline float fused_multiply_add(float a, float b, float c) { return std::fma(a, b, c); }
inline double fused_multiply_add(double a, double b, double c) { return std::fma(a, b, c); }

// --- Matrix instructions, from the tables of fragment layouts in NVIDIA's PTX ISA ("Matrix
// Fragments for mma.m16n8k16 with floating point type" and "... mma.m16n8k8").

/// The value of element i of a lane's words: two to a word for 16-bit types.
template <typename S>
float fragment_element(const std::uint32_t* words, int i) {
  if constexpr (sizeof(S) == 4) {
    float x;
    const std::uint32_t kept = words[i] & ~0x1fffu;  // the tensor core reads 19 bits
    std::memcpy(&x, &kept, 4);
    return x;
  } else {
    S x;
    x.x = static_cast<unsigned short>(words[i / 2] >> (16 * (i % 2)));
    return x;
  }
}

template <typename S>
void compute_mma(emulation::WarpWords& words, int) {
  constexpr int kDepth = sizeof(S) == 4 ? 8 : 16;
  float a[16][kDepth], b[kDepth][8];
  for (int lane = 0; lane < 32; ++lane) {
    const int group = lane >> 2, in_group = lane % 4;
    for (int i = 0; i < kDepth / 2; ++i) {
      int row, column;
      if constexpr (sizeof(S) == 4) {
        // m16n8k8 .tf32: row = group for a0 and a2, else group + 8; column = in_group for a0 and
        // a1, else in_group + 4.
        row = i == 0 || i == 2 ? group : group + 8;
        column = i == 0 || i == 1 ? in_group : in_group + 4;
      } else {
        // m16n8k16: row = group for 0 <= i < 2 and 4 <= i < 6, else group + 8; column = in_group *
        // 2 + (i & 1), plus 8 for i >= 4.
        row = (0 <= i && i < 2) || (4 <= i && i < 6) ? group : group + 8;
        column = in_group * 2 + (i & 1) + (i >= 4 ? 8 : 0);
      }
      a[row][column] = fragment_element<S>(words[lane], i);
    }
    for (int i = 0; i < kDepth / 4; ++i) {
      int row;
      if constexpr (sizeof(S) == 4) {
        row = i == 0 ? in_group : in_group + 4;
      } else {
        row = in_group * 2 + (i & 1) + (i >= 2 ? 8 : 0);
      }
      b[row][group] = fragment_element<S>(words[lane] + 4, i);
    }
  }
  for (int lane = 0; lane < 32; ++lane) {
    float d[4];
    std::memcpy(d, words[lane] + 6, sizeof(d));
    for (int i = 0; i < 4; ++i) {
      const int row = (lane >> 2) + (i < 2 ? 0 : 8), column = lane % 4 * 2 + (i & 1);
      for (int k = 0; k < kDepth; ++k) d[i] += a[row][k] * b[k][column];
    }
    std::memcpy(words[lane] + 6, d, sizeof(d));
  }
}

template <typename S>
void mma(S, float (&d)[4], const std::uint32_t* a, std::uint32_t b0, std::uint32_t b1) {
  std::uint32_t words[10] = {a[0], a[1], a[2], a[3], b0, b1};
  std::memcpy(words + 6, d, sizeof(d));
  emulation::warp_collective(std::is_same_v<S, float> ? "mma tf32" : "mma 16 bit", words, 10,
                             compute_mma<S>, 0);
  std::memcpy(d, words + 6, sizeof(d));
}

}  // namespace elman::cuda::device
