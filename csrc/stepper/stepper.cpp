#include <elman/stepper.h>

#include <stdexcept>
#include <utility>

#include "stepper/file.h"
#include "stepper/network.h"

namespace elman {

template <typename T>
struct BasicStepper<T>::Impl {
  stepper::Network<T> network;
};

namespace {

template <typename T>
stepper::Network<T> make_network(const StepperParameters<T>& parameters, int64_t rows) {
  constexpr int64_t kMaxRows = int64_t{1} << 24;
  if (rows < 1 || rows > kMaxRows)
    throw std::invalid_argument("rows must be between 1 and " + std::to_string(kMaxRows) +
                                ", got " + std::to_string(rows));
  return {std::make_shared<const stepper::Weights<T>>(parameters), rows};
}

}  // namespace

template <typename T>
BasicStepper<T>::BasicStepper(std::unique_ptr<Impl> impl) noexcept : impl_(std::move(impl)) {}
template <typename T>
BasicStepper<T>::BasicStepper(const StepperParameters<T>& parameters, int64_t rows)
    : impl_(new Impl{make_network(parameters, rows)}) {}

template <typename T>
BasicStepper<T> BasicStepper<T>::load(const std::string& path, int64_t rows) {
  return BasicStepper(stepper::read_file<T>(path).parameters, rows);
}
template <typename T>
BasicStepper<T> BasicStepper<T>::from_memory(const void* data, std::size_t size, int64_t rows) {
  return BasicStepper(stepper::parse_file<T>(data, size).parameters, rows);
}

template <typename T>
BasicStepper<T>::BasicStepper(const BasicStepper& other) : impl_(new Impl(*other.impl_)) {}
template <typename T>
BasicStepper<T>& BasicStepper<T>::operator=(const BasicStepper& other) {
  impl_ = std::make_unique<Impl>(*other.impl_);
  return *this;
}
template <typename T>
BasicStepper<T>::BasicStepper(BasicStepper&&) noexcept = default;
template <typename T>
BasicStepper<T>& BasicStepper<T>::operator=(BasicStepper&&) noexcept = default;
template <typename T>
BasicStepper<T>::~BasicStepper() = default;

template <typename T>
int64_t BasicStepper<T>::rows() const noexcept {
  return impl_->network.rows();
}
template <typename T>
int64_t BasicStepper<T>::input_size() const noexcept {
  return impl_->network.weights().input_size;
}
template <typename T>
int64_t BasicStepper<T>::hidden_size() const noexcept {
  return impl_->network.weights().hidden_size;
}
template <typename T>
int64_t BasicStepper<T>::num_layers() const noexcept {
  return impl_->network.num_layers();
}
template <typename T>
int64_t BasicStepper<T>::output_size() const noexcept {
  return impl_->network.weights().output_size;
}

template <typename T>
void BasicStepper<T>::reset() noexcept {
  for (int64_t row = 0; row < rows(); ++row) impl_->network.reset(row);
}
template <typename T>
bool BasicStepper<T>::reset(int64_t row) noexcept {
  if (row < 0 || row >= rows()) return false;
  impl_->network.reset(row);
  return true;
}

template <typename T>
void BasicStepper<T>::step(const T* x, T* y) noexcept {
  impl_->network.step(x, y);
}
template <typename T>
void BasicStepper<T>::process(const T* x, T* y, int64_t steps) noexcept {
  impl_->network.process(x, y, steps);
}
template <typename T>
void BasicStepper<T>::state(T* to) const noexcept {
  impl_->network.get_state(to);
}
template <typename T>
void BasicStepper<T>::set_state(const T* from) noexcept {
  impl_->network.set_state(from);
}

template class BasicStepper<float>;
template class BasicStepper<double>;

}  // namespace elman
