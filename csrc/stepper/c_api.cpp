// What Python calls through ctypes, beside the C++ interface. Nothing here throws.
#include <elman/stepper.h>

#include <cstdio>
#include <exception>

namespace {

template <typename T>
void* create(const void* file, std::size_t size, int64_t rows, char* error,
             std::size_t error_size) noexcept {
  try {
    return new elman::BasicStepper<T>(elman::BasicStepper<T>::from_memory(file, size, rows));
  } catch (const std::exception& wrong) {
    std::snprintf(error, error_size, "%s", wrong.what());
    return nullptr;
  }
}

}  // namespace

// A stepper of float (F32) or double (F64) behind a pointer; null and a message in `error` where
// there is none.
// NOLINTBEGIN(bugprone-macro-parentheses): a type takes none
#define ELMAN_STEPPER_FUNCTIONS(T, SUFFIX)                                                      \
  extern "C" ELMAN_API void* elman_stepper_create_##SUFFIX(                                     \
      const void* file, std::size_t size, int64_t rows, char* error, std::size_t error_size) {  \
    return create<T>(file, size, rows, error, error_size);                                      \
  }                                                                                             \
  extern "C" ELMAN_API void elman_stepper_destroy_##SUFFIX(elman::BasicStepper<T>* stepper) {   \
    delete stepper;                                                                             \
  }                                                                                             \
  extern "C" ELMAN_API void elman_stepper_step_##SUFFIX(elman::BasicStepper<T>* stepper,        \
                                                        const T* x, T* y) {                     \
    stepper->step(x, y);                                                                        \
  }                                                                                             \
  extern "C" ELMAN_API void elman_stepper_process_##SUFFIX(elman::BasicStepper<T>* stepper,     \
                                                           const T* x, T* y, int64_t steps) {   \
    stepper->process(x, y, steps);                                                              \
  }                                                                                             \
  extern "C" ELMAN_API void elman_stepper_reset_##SUFFIX(elman::BasicStepper<T>* stepper,       \
                                                         int64_t row) {                         \
    row < 0 ? stepper->reset() : static_cast<void>(stepper->reset(row));                        \
  }                                                                                             \
  extern "C" ELMAN_API void elman_stepper_state_##SUFFIX(const elman::BasicStepper<T>* stepper, \
                                                         T* to) {                               \
    stepper->state(to);                                                                         \
  }                                                                                             \
  extern "C" ELMAN_API void elman_stepper_set_state_##SUFFIX(elman::BasicStepper<T>* stepper,   \
                                                             const T* from) {                   \
    stepper->set_state(from);                                                                   \
  }                                                                                             \
  extern "C" ELMAN_API void elman_stepper_sizes_##SUFFIX(const elman::BasicStepper<T>* stepper, \
                                                         int64_t* to) {                         \
    to[0] = stepper->rows();                                                                    \
    to[1] = stepper->input_size();                                                              \
    to[2] = stepper->hidden_size();                                                             \
    to[3] = stepper->num_layers();                                                              \
    to[4] = stepper->output_size();                                                             \
  }
// NOLINTEND(bugprone-macro-parentheses)

ELMAN_STEPPER_FUNCTIONS(float, float32)
ELMAN_STEPPER_FUNCTIONS(double, float64)
