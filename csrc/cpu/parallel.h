#pragma once

#include <ATen/Parallel.h>

#include <cstdint>
#ifdef __SSE__
#include <xmmintrin.h>
#endif

// Where the kernels hand work to other threads: the only at::parallel_for here.

namespace elman::cpu {

/// What the calling thread does with denormal numbers: bits of its floating point control register
/// (MXCSR on x86, FPCR on Arm). torch.set_flush_denormal sets them in the calling thread, and those
/// threads of the pool that are made later inherit them.
class FlushMode {
 public:
#if defined(__SSE__)
  static FlushMode of_thread() { return FlushMode(_mm_getcsr() & kBits); }
  void set() const { _mm_setcsr((_mm_getcsr() & ~kBits) | bits_); }
#elif defined(__aarch64__)
  static FlushMode of_thread() { return FlushMode(control() & kBits); }
  void set() const { asm volatile("msr fpcr, %0" ::"r"((control() & ~kBits) | bits_)); }
#else
  static FlushMode of_thread() { return FlushMode(0); }
  void set() const {}
#endif
  bool operator==(const FlushMode& other) const { return bits_ == other.bits_; }
  bool operator!=(const FlushMode& other) const { return bits_ != other.bits_; }

 private:
#ifdef __aarch64__
  using Bits = std::uint64_t;
  static constexpr Bits kBits = (Bits{1} << 24) | (Bits{1} << 19);  // FZ, FZ16
  static Bits control() {
    Bits value;
    asm volatile("mrs %0, fpcr" : "=r"(value));
    return value;
  }
#else
  using Bits = unsigned;
  static constexpr Bits kBits = 0x8040;  // results (FTZ) and operands (DAZ)
#endif
  explicit FlushMode(Bits bits) : bits_(bits) {}

  Bits bits_;
};

/// Gives the calling thread a mode for its lifetime; exceptions pass.
class FlushModeGuard {
 public:
  explicit FlushModeGuard(FlushMode mode)
      : before_(FlushMode::of_thread()), changes_(mode != before_) {
    if (changes_) mode.set();
  }
  ~FlushModeGuard() {
    if (changes_) before_.set();
  }
  FlushModeGuard(const FlushModeGuard&) = delete;
  FlushModeGuard& operator=(const FlushModeGuard&) = delete;

 private:
  const FlushMode before_;
  const bool changes_;
};

/// Calls run(begin, end) for parts of 0 ... parts, each on a thread of its own as far as there are
/// threads. All of them treat denormal numbers as the caller does: which thread computes an element
/// must not show in it.
template <typename Run>
void parallel_parts(int64_t parts, const Run& run) {
  const FlushMode mode = FlushMode::of_thread();
  at::parallel_for(0, parts, 1, [&](int64_t begin, int64_t end) {
    const FlushModeGuard guard(mode);
    run(begin, end);
  });
}

}  // namespace elman::cpu
