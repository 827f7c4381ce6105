#pragma once

#include <ucontext.h>

#include <cstddef>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#define ELMAN_FIBERS_UNDER_ASAN
#elif defined(__x86_64__)
#define ELMAN_FIBERS_IN_ASSEMBLY
#endif

namespace elman::emulation {

constexpr std::size_t kStackBytes = 256 * 1024;

/// Stacks, kept from launch to launch: fresh pages are what costs most.
class FiberStacks {
 public:
  FiberStacks() = default;
  FiberStacks(const FiberStacks&) = delete;
  FiberStacks& operator=(const FiberStacks&) = delete;
  ~FiberStacks();
  void* get(std::size_t i);

 private:
  std::vector<void*> stacks_;
};

/// A thread of execution that runs until it switches to another. A plain swapcontext works anywhere
/// but makes two system calls a switch, of which a test makes millions; hence the few lines of
/// assembly where they are known to work.
struct Fiber {
  void prepare(void* stack, void (*entry)());
  /// To be called first thing in `entry`.
  static void entered();

#if defined(ELMAN_FIBERS_IN_ASSEMBLY)
  void* stack_pointer = nullptr;
#else
  ucontext_t context;
  void* stack = nullptr;  ///< null: the thread's own
#endif
};

void switch_fiber(Fiber& from, Fiber& to);

}  // namespace elman::emulation
