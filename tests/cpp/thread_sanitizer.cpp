// What the Thread sanitizer cannot see by itself. Part of every C++ test under
// `ELMAN_SANITIZE=thread`.
//
// OpenMP's fork and join are made of futexes by libgomp, out of its sight: GOMP_parallel below
// tells of them. A program's own one comes before libgomp's, for torch's libraries too.

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

/// Reports about torch, where threads share a parameter. Its node that accumulates gradients is
/// counted by atomics of a library that was not compiled with the sanitizer; and the flag that the
/// node has a parent is written without one by every thread that makes a graph on it, always as
/// true (torch/csrc/autograd/function.h).
extern "C" __attribute__((visibility("default"))) const char* __tsan_default_suppressions() {
  return "race:torch::autograd::impl::grad_accumulator\n"
         "race:torch::autograd::Node::topological_nr\n";
}
