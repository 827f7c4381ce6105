#pragma once

/// \file stepper.h
///
/// A trained Elman network one step at a time, in real time. This header and the library behind it
/// (CMake: `Elman::stepper`) need neither LibTorch nor Python.

#include <elman/export.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace elman {

/// The parameters of one recurrent layer, in the caller's memory, each matrix row after row. The
/// layer's input size I is the network's for the first layer, and H above.
template <typename T>
struct StepperLayer {
  const T* weight_ih = nullptr;  ///< W_x: [H, I]
  const T* weight_hh = nullptr;  ///< W_h: [H, H]
  const T* bias_ih = nullptr;    ///< b_x: [H], or null for zeros
  const T* bias_hh = nullptr;    ///< b_h: [H], or null for zeros
  const T* alpha = nullptr;      ///< the leak: [H], in (0, 1]; or null for a plain layer
};

/// A network of one direction: L recurrent layers and, where output_size is not 0, a head.
///
///     plain:    h_t = f(W_x x_t + b_x + W_h h_{t-1} + b_h)
///     rate:     h_t = (1 - alpha) h_{t-1} + alpha f(W_x x_t + b_x + W_h h_{t-1} + b_h)
///     current:  v_t = (1 - alpha) v_{t-1} + alpha (W_x x_t + b_x + W_h f(v_{t-1}) + b_h),
///               h_t = f(v_t)
///     head:     y_t = f_y(W_y h_t + b_y), h_t of the last layer; without a head y_t = h_t
template <typename T>
struct StepperParameters {
  int64_t input_size = 0;   ///< I
  int64_t hidden_size = 0;  ///< H
  std::vector<StepperLayer<T>> layers;
  std::string nonlinearity = "tanh";  ///< f: "tanh", "relu", "sigmoid", "softplus", "identity"
  std::string leak_form = "rate";     ///< "rate" or "current", for layers with alpha
  int64_t output_size = 0;            ///< O; 0: no head
  const T* weight_out = nullptr;      ///< W_y: [O, H]
  const T* bias_out = nullptr;        ///< b_y: [O], or null for zeros
  std::string output = "identity";    ///< f_y: one of f's, or "softmax"
};

/// Says how parameters are read from a module of another library. `elman/elman.h` specializes it
/// for `elman::RNN` and its like, with
/// `template <typename T> static Owner<T> read(const Module&)`, whose result has
/// `StepperParameters<T> parameters` and keeps what they point to.
template <typename Module>
struct StepperSource;

/// A trained network that takes one step, or some, at a time and keeps its state.
///
/// Weights are packed by the constructor. After it, all methods that are `noexcept` are real-time
/// safe: they allocate nothing, take no lock, make no system call and start no thread. Denormal
/// numbers count as zero inside of them, so that a state that dies away costs no more than others;
/// the caller's mode comes back. One stepper belongs to one thread at a time. Copies share the
/// weights and have states of their own.
///
/// T is float (`Stepper`) or double (`DoubleStepper`). Sizes: I = input_size(), H = hidden_size(),
/// L = num_layers(), O = output_size() (H without a head).
///
/// Example:
/// ```
/// elman::Stepper stepper = elman::Stepper::load("amplifier.safetensors");
/// std::vector<float> x(stepper.input_size()), y(stepper.output_size());
/// stepper.step(x.data(), y.data());
/// ```
template <typename T>
class ELMAN_API BasicStepper {
 public:
  /// Copies the parameters. `rows` (B) networks with the same weights are stepped together.
  /// Throws std::invalid_argument naming what is wrong.
  explicit BasicStepper(const StepperParameters<T>& parameters, int64_t rows = 1);

  /// From a module of LibTorch; include `elman/elman.h`.
  template <typename Module, typename Source = StepperSource<Module>,
            typename = decltype(sizeof(Source))>
  explicit BasicStepper(const Module& module, int64_t rows = 1)
      : BasicStepper(Source::template read<T>(module).parameters, rows) {}

  /// From a file that `elman.save_stepper` or `save_stepper` wrote. Throws std::runtime_error with
  /// the reason where the file cannot be read, is damaged, or is not for this class.
  static BasicStepper load(const std::string& path, int64_t rows = 1);
  /// From such a file's contents.
  static BasicStepper from_memory(const void* data, std::size_t size, int64_t rows = 1);

  BasicStepper(const BasicStepper& other);
  BasicStepper& operator=(const BasicStepper& other);
  /// What is moved from may only be destroyed or assigned to.
  BasicStepper(BasicStepper&& other) noexcept;
  BasicStepper& operator=(BasicStepper&& other) noexcept;
  ~BasicStepper();

  int64_t rows() const noexcept;
  int64_t input_size() const noexcept;
  int64_t hidden_size() const noexcept;
  int64_t num_layers() const noexcept;
  int64_t output_size() const noexcept;

  /// All states are zeros again (h; v in the current form), of all rows, or of one. Returns whether
  /// there is such a row.
  void reset() noexcept;
  bool reset(int64_t row) noexcept;

  /// One step. x: [B, I], y: [B, O]; y may be x.
  void step(const T* x, T* y) noexcept;

  /// Some steps, faster than one by one. x: [steps, B, I], y: [steps, B, O]; y may be x where O is
  /// at most I. Where `steps` is not positive nothing happens.
  void process(const T* x, T* y, int64_t steps) noexcept;

  /// Copies the carried states (h; v in the current form) to or from [L, B, H], as `elman::RNN`'s
  /// h_n and hx.
  void state(T* to) const noexcept;
  void set_state(const T* from) noexcept;

 private:
  struct Impl;
  explicit BasicStepper(std::unique_ptr<Impl> impl) noexcept;
  std::unique_ptr<Impl> impl_;
};

using Stepper = BasicStepper<float>;
using DoubleStepper = BasicStepper<double>;

extern template class BasicStepper<float>;
extern template class BasicStepper<double>;

/// Writes a `.safetensors` file with the options in its metadata, which steppers load and any
/// safetensors reader reads. Throws std::invalid_argument naming what is wrong with the parameters,
/// std::runtime_error where the file cannot be written.
template <typename T>
ELMAN_API void save_stepper(const StepperParameters<T>& parameters, const std::string& path);

/// The same from a module of LibTorch, in float64 if its parameters are, else in float32; include
/// `elman/elman.h`.
template <typename Module, typename Source = StepperSource<Module>,
          typename = decltype(sizeof(Source))>
void save_stepper(const Module& module, const std::string& path) {
  if (Source::is_double(module)) {
    save_stepper(Source::template read<double>(module).parameters, path);
  } else {
    save_stepper(Source::template read<float>(module).parameters, path);
  }
}

/// Which vectors steppers use here: "AVX512", "AVX2" or "DEFAULT". ATEN_CPU_CAPABILITY (avx512,
/// avx2, default) in the environment of the first stepper can lower it, as it does LibTorch's.
ELMAN_API const char* stepper_instruction_set() noexcept;

}  // namespace elman
