#pragma once

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <cstdint>

#define ELMAN_DEVICE __device__ __forceinline__
#define ELMAN_UNROLL _Pragma("unroll")
#define ELMAN_ROLLED _Pragma("unroll 1")

namespace elman::cuda::device {

using bfloat16 = __nv_bfloat16;
using float16 = __half;

struct alignas(16) Vector16 {
  std::uint32_t word[4];
};

ELMAN_DEVICE int thread() { return threadIdx.x; }
ELMAN_DEVICE int block() { return blockIdx.x; }

/// The block's dynamic shared memory.
ELMAN_DEVICE unsigned char* shared_memory() {
  extern __shared__ __align__(16) unsigned char elman_shared[];
  return elman_shared;
}

ELMAN_DEVICE void sync() { __syncthreads(); }
ELMAN_DEVICE void sync_warp() { __syncwarp(); }
ELMAN_DEVICE bool warp_all(bool condition) { return __all_sync(0xffffffffu, condition); }
template <typename T>
ELMAN_DEVICE T shuffle_xor(T value, int mask) {
  return __shfl_xor_sync(0xffffffffu, value, mask);
}
/// Between two polls.
ELMAN_DEVICE void pause() {}

// --- Memory order. A block's flag is stored by one thread after a barrier of the block, so that it
// covers what the others wrote.

ELMAN_DEVICE void store_release(std::uint32_t* p, std::uint32_t value) {
  asm volatile("st.release.gpu.global.u32 [%0], %1;" ::"l"(p), "r"(value) : "memory");
}
ELMAN_DEVICE std::uint32_t load_acquire(const std::uint32_t* p) {
  std::uint32_t value;
  asm volatile("ld.acquire.gpu.global.u32 %0, [%1];" : "=r"(value) : "l"(p) : "memory");
  return value;
}
ELMAN_DEVICE std::uint32_t load_relaxed(const std::uint32_t* p) {
  return *const_cast<const volatile std::uint32_t*>(p);
}
/// A write that other blocks read once a release behind it has been acquired.
template <typename T>
ELMAN_DEVICE void store_for_blocks(T* p, T value) {
  *p = value;
}
/// A read of what other blocks write during the launch: past the first-level cache.
ELMAN_DEVICE Vector16 load_shared_by_blocks(const void* p) {
  const uint4 v = __ldcg(static_cast<const uint4*>(p));
  return {{v.x, v.y, v.z, v.w}};
}

// --- Clusters, compute capability 9.0 and above; elsewhere no plan asks for them.

/// In shared memory. A phase ends with one arrival and all bytes that it expects.
using Barrier = std::uint64_t;

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
ELMAN_DEVICE void cluster_sync() {
  // Not the .aligned forms: the lanes of a warp may come out of a loop one by one.
  asm volatile(
      "barrier.cluster.arrive.release;\n\t"
      "barrier.cluster.wait.acquire;" ::
          : "memory");
}
/// The same place in the shared memory of the cluster's block `rank`.
template <typename T>
ELMAN_DEVICE T* peer(T* p, int rank) {
  return static_cast<T*>(__cluster_map_shared_rank(p, rank));
}
/// Stores to the same place in the shared memory of the cluster's block `rank`.
ELMAN_DEVICE void store_in(Vector16* place, int rank, const Vector16& value) {
  *peer(place, rank) = value;
}
ELMAN_DEVICE void store_release_cluster(std::uint32_t* p, std::uint32_t value) {
  asm volatile("st.release.cluster.u32 [%0], %1;" ::"l"(p), "r"(value) : "memory");
}
ELMAN_DEVICE std::uint32_t load_acquire_cluster(const std::uint32_t* p) {
  std::uint32_t value;
  asm volatile("ld.acquire.cluster.u32 %0, [%1];" : "=r"(value) : "l"(p) : "memory");
  return value;
}

ELMAN_DEVICE std::uint32_t shared_address(const void* p) {
  return static_cast<std::uint32_t>(__cvta_generic_to_shared(p));
}
/// Makes a barrier; a cluster_sync has to follow before another block may push.
ELMAN_DEVICE void barrier_start(Barrier* barrier) {
  asm volatile(
      "mbarrier.init.shared::cta.b64 [%0], 1;\n\tfence.mbarrier_init.release.cluster;" ::"r"(
          shared_address(barrier))
      : "memory");
}
/// The one arrival of the barrier's phase, with what has to be pushed before the phase ends.
ELMAN_DEVICE void barrier_expect(Barrier* barrier, std::uint32_t bytes) {
  asm volatile(
      "mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)),
      "r"(bytes)
      : "memory");
}
/// Whether the phase of this parity has ended; what was pushed in it can then be read.
ELMAN_DEVICE bool barrier_done(const Barrier* barrier, std::uint32_t parity) {
  std::uint32_t done;
  asm volatile(
      "{\n\t.reg .pred p;\n\t"
      "mbarrier.test_wait.parity.acquire.cluster.shared::cta.b64 p, [%1], %2;\n\t"
      "selp.u32 %0, 1, 0, p;\n\t}"
      : "=r"(done)
      : "r"(shared_address(barrier)), "r"(parity)
      : "memory");
  return done != 0;
}
/// Stores to the same place in the shared memory of the cluster's block `rank`, and counts the
/// bytes at its barrier when they have come. No fence is needed.
ELMAN_DEVICE void push(Vector16* place, Barrier* barrier, int rank, const Vector16& v) {
  asm volatile(
      "{\n\t.reg .b32 place, barrier;\n\t"
      "mapa.shared::cluster.u32 place, %0, %2;\n\t"
      "mapa.shared::cluster.u32 barrier, %1, %2;\n\t"
      "st.async.weak.shared::cluster.mbarrier::complete_tx::bytes.v4.b32 [place], "
      "{%3, %4, %5, %6}, [barrier];\n\t}" ::"r"(shared_address(place)),
      "r"(shared_address(barrier)), "r"(rank), "r"(v.word[0]), "r"(v.word[1]), "r"(v.word[2]),
      "r"(v.word[3])
      : "memory");
}
#else
ELMAN_DEVICE void cluster_sync() {}
template <typename T>
ELMAN_DEVICE T* peer(T* p, int) {
  return p;
}
ELMAN_DEVICE void store_in(Vector16*, int, const Vector16&) {}
ELMAN_DEVICE void store_release_cluster(std::uint32_t* p, std::uint32_t value) { *p = value; }
ELMAN_DEVICE std::uint32_t load_acquire_cluster(const std::uint32_t* p) { return *p; }
ELMAN_DEVICE void barrier_start(Barrier*) {}
ELMAN_DEVICE void barrier_expect(Barrier*, std::uint32_t) {}
ELMAN_DEVICE bool barrier_done(const Barrier*, std::uint32_t) { return true; }
ELMAN_DEVICE void push(Vector16*, Barrier*, int, const Vector16&) {}
#endif

// --- Numbers.

ELMAN_DEVICE float to_compute(float x) { return x; }
ELMAN_DEVICE double to_compute(double x) { return x; }
ELMAN_DEVICE float to_compute(bfloat16 x) { return __bfloat162float(x); }
ELMAN_DEVICE float to_compute(float16 x) { return __half2float(x); }
template <typename S, typename C>
ELMAN_DEVICE S to_storage(C x) {
  return static_cast<S>(x);
}
template <>
ELMAN_DEVICE bfloat16 to_storage<bfloat16, float>(float x) {
  return __float2bfloat16_rn(x);
}
template <>
ELMAN_DEVICE float16 to_storage<float16, float>(float x) {
  return __float2half_rn(x);
}
ELMAN_DEVICE std::uint32_t bits(float x) { return __float_as_uint(x); }
ELMAN_DEVICE std::uint32_t bits(bfloat16 x) { return __bfloat16_as_ushort(x); }
ELMAN_DEVICE std::uint32_t bits(float16 x) { return __half_as_ushort(x); }
/// x rounded to what the tensor cores keep of a float32 (10 bits of mantissa).
ELMAN_DEVICE float round_to_tf32(float x) {
  std::uint32_t y;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(y) : "f"(x));
  return __uint_as_float(y);
}
template <typename C>
ELMAN_DEVICE C not_a_number() {
  return static_cast<C>(__int_as_float(0x7fffffff));
}
ELMAN_DEVICE float fused_multiply_add(float a, float b, float c) { return fmaf(a, b, c); }
ELMAN_DEVICE double fused_multiply_add(double a, double b, double c) { return fma(a, b, c); }

// --- Matrix instructions: d += a b with a 16 x 32 bytes (row major), b 32 bytes x 8 (column major)
// and float32 sums. Lane l = 4 g + t holds, in words of 4 bytes: a[0] at row g, word t; a[1] at row
// g + 8; a[2] and a[3] four words on; b[0] at word t, column g; b[1] four words on; d[0] and d[1]
// at row g, columns 2 t and 2 t + 1; d[2] and d[3] at row g + 8.

#define ELMAN_MMA(SHAPE)                                                                 \
  asm("mma.sync.aligned." SHAPE " {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};" \
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])                                   \
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1))

ELMAN_DEVICE void mma(bfloat16, float (&d)[4], const std::uint32_t* a, std::uint32_t b0,
                      std::uint32_t b1) {
  ELMAN_MMA("m16n8k16.row.col.f32.bf16.bf16.f32");
}
ELMAN_DEVICE void mma(float16, float (&d)[4], const std::uint32_t* a, std::uint32_t b0,
                      std::uint32_t b1) {
  ELMAN_MMA("m16n8k16.row.col.f32.f16.f16.f32");
}
/// float: TF32.
ELMAN_DEVICE void mma(float, float (&d)[4], const std::uint32_t* a, std::uint32_t b0,
                      std::uint32_t b1) {
  ELMAN_MMA("m16n8k8.row.col.f32.tf32.tf32.f32");
}
#undef ELMAN_MMA

}  // namespace elman::cuda::device
