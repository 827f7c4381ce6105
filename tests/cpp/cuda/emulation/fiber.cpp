#include "cuda/emulation/fiber.h"

#include <sys/mman.h>

#include <cstdint>
#include <stdexcept>

#if defined(ELMAN_FIBERS_UNDER_ASAN)
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace elman::emulation {

void* FiberStacks::get(std::size_t i) {
  while (stacks_.size() <= i) {
    void* const stack = mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (stack == MAP_FAILED) throw std::runtime_error("no memory for the stack of a fiber");
    stacks_.push_back(stack);
  }
  return stacks_[i];
}

FiberStacks::~FiberStacks() {
  for (void* const stack : stacks_) munmap(stack, kStackBytes);
}

#if defined(ELMAN_FIBERS_IN_ASSEMBLY)

// Keeps what a call has to keep on the stack that it leaves, and takes it from the one it enters.
extern "C" void elman_switch_stack(void** from, void* to);
asm(R"(
    .text
    .type elman_switch_stack, @function
elman_switch_stack:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
    .size elman_switch_stack, .-elman_switch_stack
)");

void Fiber::prepare(void* stack, void (*entry)()) {
  auto* const top =
      reinterpret_cast<std::uintptr_t*>(static_cast<unsigned char*>(stack) + kStackBytes);
  top[-1] = 0;  // where a function expects its return address; entry never returns
  top[-2] = reinterpret_cast<std::uintptr_t>(entry);
  for (int i = 3; i <= 8; ++i) top[-i] = 0;
  stack_pointer = top - 8;
}

void Fiber::entered() {}

void switch_fiber(Fiber& from, Fiber& to) {
  elman_switch_stack(&from.stack_pointer, to.stack_pointer);
}

#else

namespace {
#if defined(ELMAN_FIBERS_UNDER_ASAN)
const void* main_stack = nullptr;
std::size_t main_stack_bytes = 0;
#endif
}  // namespace

void Fiber::prepare(void* memory, void (*entry)()) {
  stack = memory;
#if defined(ELMAN_FIBERS_UNDER_ASAN)
  // The last fiber there was left in the middle of its frames, whose guards are still marked.
  ASAN_UNPOISON_MEMORY_REGION(stack, kStackBytes);
#endif
  getcontext(&context);
  context.uc_stack.ss_sp = stack;
  context.uc_stack.ss_size = kStackBytes;
  context.uc_link = nullptr;
  makecontext(&context, entry, 0);
}

void Fiber::entered() {
#if defined(ELMAN_FIBERS_UNDER_ASAN)
  __sanitizer_finish_switch_fiber(nullptr, &main_stack, &main_stack_bytes);
#endif
}

void switch_fiber(Fiber& from, Fiber& to) {
#if defined(ELMAN_FIBERS_UNDER_ASAN)
  void* fake = nullptr;
  __sanitizer_start_switch_fiber(&fake, to.stack != nullptr ? to.stack : main_stack,
                                 to.stack != nullptr ? kStackBytes : main_stack_bytes);
  swapcontext(&from.context, &to.context);
  __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
#else
  swapcontext(&from.context, &to.context);
#endif
}

#endif

}  // namespace elman::emulation
