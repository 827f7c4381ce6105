#include <elman/stepper.h>

#include <cstdlib>
#include <string_view>

#include "stepper/kernels.h"

namespace elman {
namespace stepper {
namespace {

/// 0: default, 1: AVX2, 2: AVX512. The variable is ATen's, so that one switch is for all of a
/// program.
int chosen_level() {
  static const int chosen = [] {
    int level = 0;
#ifdef ELMAN_HAVE_AVX
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) level = 1;
    if (level == 1 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq"))
      level = 2;
    const char* const wanted = std::getenv("ATEN_CPU_CAPABILITY");
    const std::string_view name = wanted != nullptr ? wanted : "";
    if (name == "default") level = 0;
    if (name == "avx2" && level > 1) level = 1;
#endif
    return level;
  }();
  return chosen;
}

template <typename C>
const Kernels<C>& of_level(const Kernels<C>& by_default, [[maybe_unused]] const Kernels<C>* avx2,
                           [[maybe_unused]] const Kernels<C>* avx512) {
  const int level = chosen_level();
  return level == 2 ? *avx512 : level == 1 ? *avx2 : by_default;
}

}  // namespace

#ifdef ELMAN_HAVE_AVX
#define ELMAN_AVX(name) &AVX2::name, &AVX512::name
#else
#define ELMAN_AVX(name) nullptr, nullptr
#endif

template <>
const Kernels<float>& kernels() {
  return of_level<float>(DEFAULT::kFloat, ELMAN_AVX(kFloat));
}
template <>
const Kernels<double>& kernels() {
  return of_level<double>(DEFAULT::kDouble, ELMAN_AVX(kDouble));
}

}  // namespace stepper

const char* stepper_instruction_set() noexcept { return stepper::kernels<float>().name; }

}  // namespace elman
