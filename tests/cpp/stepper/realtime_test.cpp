// A stepping loop allocates nothing, takes no lock and makes no system call. The functions for the
// first two are replaced by ones that count; a system call ends the process that steps.
#include <dlfcn.h>
#include <elman/stepper.h>
#include <errno.h>
#include <gtest/gtest.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <string>
#include <vector>

#include "reference.h"

namespace {

bool counting = false;
int64_t allocations = 0;
int64_t locks = 0;

}  // namespace

#ifdef __SANITIZE_ADDRESS__
// The sanitizer's memory is its own; it says when somebody asks for some.
extern "C" int __sanitizer_install_malloc_and_free_hooks(void (*)(const volatile void*, size_t),
                                                         void (*)(const volatile void*));
[[maybe_unused]] const int installed = __sanitizer_install_malloc_and_free_hooks(
    [](const volatile void*, size_t) { allocations += counting; },
    [](const volatile void*) { allocations += counting; });
#else
// The C++ operators of the standard library call malloc, aligned_alloc and free.
extern "C" {
void* __libc_malloc(std::size_t size);
void* __libc_calloc(std::size_t count, std::size_t size);
void* __libc_realloc(void* memory, std::size_t size);
void* __libc_memalign(std::size_t alignment, std::size_t size);
void __libc_free(void* memory);

void* malloc(std::size_t size) {
  allocations += counting;
  return __libc_malloc(size);
}
void* calloc(std::size_t count, std::size_t size) {
  allocations += counting;
  return __libc_calloc(count, size);
}
void* realloc(void* memory, std::size_t size) {
  allocations += counting;
  return __libc_realloc(memory, size);
}
void* aligned_alloc(std::size_t alignment, std::size_t size) {
  allocations += counting;
  return __libc_memalign(alignment, size);
}
void* memalign(std::size_t alignment, std::size_t size) { return aligned_alloc(alignment, size); }
int posix_memalign(void** memory, std::size_t alignment, std::size_t size) {
  *memory = aligned_alloc(alignment, size);
  return *memory == nullptr ? ENOMEM : 0;
}
void free(void* memory) {
  allocations += counting;
  __libc_free(memory);
}
}
#endif

/// The function of this name that would be called if this program had none.
template <typename Lock>
int call_real(const char* name, Lock* lock) {
  locks += counting;
  return reinterpret_cast<int (*)(Lock*)>(dlsym(RTLD_NEXT, name))(lock);
}

extern "C" {
int pthread_mutex_lock(pthread_mutex_t* lock) noexcept { return call_real(__func__, lock); }
int pthread_mutex_trylock(pthread_mutex_t* lock) noexcept { return call_real(__func__, lock); }
int pthread_rwlock_rdlock(pthread_rwlock_t* lock) noexcept { return call_real(__func__, lock); }
int pthread_rwlock_wrlock(pthread_rwlock_t* lock) noexcept { return call_real(__func__, lock); }
// Of a variable in a function that is made at the first call.
int __cxa_guard_acquire(std::int64_t* guard) { return call_real(__func__, guard); }
}

namespace {

using reference::Network;
using reference::Options;

struct Counts {
  int64_t allocations, locks;
};

template <typename Function>
Counts count(const Function& function) {
  allocations = locks = 0;
  counting = true;
  function();
  counting = false;
  return {allocations, locks};
}

/// Whether function() makes no system call. It runs in a child, in which any but the one to exit
/// ends the process.
template <typename Function>
bool makes_no_system_call(const Function& function) {
  const pid_t child = fork();
  if (child == 0) {
    sock_filter program[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
    };
    const sock_fprog filter{sizeof(program) / sizeof(program[0]), program};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0)
      _exit(3);
    function();
    syscall(SYS_exit_group, 0);
  }
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  EXPECT_FALSE(WIFEXITED(status) && WEXITSTATUS(status) == 3) << "seccomp is not to be had here";
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

TEST(Realtime, TheCountersCount) {
  pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
  pthread_mutex_lock(&mutex);  // the first time, dlsym may allocate
  pthread_mutex_unlock(&mutex);
  const Counts counts = count([&] {
    std::vector<int>* volatile vector = new std::vector<int>(1000);
    delete vector;
    pthread_mutex_lock(&mutex);
    pthread_mutex_unlock(&mutex);
  });
  EXPECT_EQ(counts.allocations, 4);
  EXPECT_EQ(counts.locks, 1);
  EXPECT_TRUE(makes_no_system_call([] {}));
  EXPECT_FALSE(makes_no_system_call([] { getppid(); }));
}

template <typename T>
class RealtimeStepper : public testing::Test {};
using Dtypes = testing::Types<float, double>;
TYPED_TEST_SUITE(RealtimeStepper, Dtypes);

TYPED_TEST(RealtimeStepper, AMillionStepsOfEveryKind) {
  using T = TypeParam;
  int64_t kinds = 0;
  for (const char* form : {"", "rate", "current"})
    for (const int64_t layers : {1, 2, 3})
      for (const int64_t rows : {1, 3})
        for (const int64_t O : {0, 2}) {
          Options options;
          options.form = form;
          options.L = layers;
          options.rows = rows;
          options.O = O;
          options.output = "softmax";
          // Mostly what a vector holds, also some panels, and part of one.
          options.H = ++kinds % 3 == 0 ? 70 : 8;
          const Network<T> network(options);
          elman::BasicStepper<T> stepper(network.parameters, rows);
          constexpr int64_t kBlock = 50;
          const std::vector<T> x = reference::make_input<T>(options, kBlock);
          std::vector<T> y(static_cast<size_t>(kBlock * rows * stepper.output_size()));
          std::vector<T> state(static_cast<size_t>(layers * rows * options.H));
          const auto run = [&](int64_t steps) {
            for (int64_t t = 0; t < steps; t += 2 * kBlock) {
              for (int64_t s = 0; s < kBlock; ++s)
                stepper.step(x.data() + s * rows * options.I, y.data());
              stepper.process(x.data(), y.data(), kBlock);
              stepper.state(state.data());
              stepper.set_state(state.data());
              stepper.reset(rows - 1);
              if (t % 1000 == 0) stepper.reset();
            }
          };
          // A million in all for each dtype, and as many again where system calls are watched.
          constexpr int64_t kSteps = 30'000;
          const Counts counts = count([&] { run(kSteps); });
          EXPECT_EQ(counts.allocations, 0);
          EXPECT_EQ(counts.locks, 0);
          EXPECT_TRUE(makes_no_system_call([&] { run(kSteps); }));
        }
}

TEST(Realtime, MethodsAreNoexcept) {
  elman::Stepper* const s = nullptr;
  float* const f = nullptr;
  static_assert(noexcept(s->step(f, f))&& noexcept(s->process(f, f, 1))&& noexcept(
      s->reset())&& noexcept(s->reset(0))&& noexcept(s->state(f))&& noexcept(s->set_state(f)));
}

}  // namespace
