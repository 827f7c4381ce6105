#pragma once

// Python's C interface, as far as it is needed here: this library does not depend on Python, and in
// a process without it these are null.
extern "C" {
__attribute__((weak)) int PyGILState_Check();
__attribute__((weak)) void* PyEval_SaveThread();
__attribute__((weak)) void PyEval_RestoreThread(void* state);
}

namespace elman {

/// While it lives, the calling thread does not hold Python's global lock.
class WithoutGil {
 public:
  WithoutGil() {
    if (PyGILState_Check && PyEval_SaveThread && PyEval_RestoreThread && PyGILState_Check() == 1)
      state_ = PyEval_SaveThread();
  }
  ~WithoutGil() {
    if (state_) PyEval_RestoreThread(state_);
  }
  WithoutGil(const WithoutGil&) = delete;
  WithoutGil& operator=(const WithoutGil&) = delete;

 private:
  void* state_ = nullptr;
};

}  // namespace elman
