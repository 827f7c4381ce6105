// Tells the Thread sanitizer of OpenMP's fork and join, which libgomp makes of futexes, out of its
// sight. Part of every C++ test under `ELMAN_SANITIZE=thread`: a program's own GOMP_parallel comes
// before libgomp's, for torch's libraries too.

#include <dlfcn.h>
#include <sanitizer/tsan_interface.h>

namespace {

using Body = void (*)(void*);
using Parallel = void (*)(Body, void*, unsigned, unsigned);

struct Region {
  Body body;
  void* data;
  char fork, join;  // what is handed to the sanitizer is their addresses
};

/// One thread's part: after the fork, before the join.
void run(void* pointer) {
  auto* const region = static_cast<Region*>(pointer);
  __tsan_acquire(&region->fork);
  region->body(region->data);
  __tsan_release(&region->join);
}

}  // namespace

extern "C" __attribute__((visibility("default"))) void GOMP_parallel(Body body, void* data,
                                                                     unsigned threads,
                                                                     unsigned flags) {
  static const auto libgomp = reinterpret_cast<Parallel>(dlsym(RTLD_NEXT, "GOMP_parallel"));
  Region region{body, data, 0, 0};
  __tsan_release(&region.fork);
  libgomp(run, &region, threads, flags);
  __tsan_acquire(&region.join);
}
