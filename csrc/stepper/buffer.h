#pragma once

#include <cstdint>
#include <cstring>
#include <new>
#include <utility>

namespace elman::stepper {

/// Zeros, on the border of a cache line.
template <typename T>
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(int64_t count)
      : count_(count),
        data_(static_cast<T*>(::operator new(bytes() + kSlack, std::align_val_t(kAlignment)))) {
    std::memset(static_cast<void*>(data_), 0, bytes() + kSlack);
  }
  Buffer(const Buffer& other) : Buffer(other.count_) {
    std::memcpy(static_cast<void*>(data_), other.data_, bytes());
  }
  Buffer(Buffer&& other) noexcept
      : count_(std::exchange(other.count_, 0)), data_(std::exchange(other.data_, nullptr)) {}
  Buffer& operator=(Buffer other) noexcept {
    std::swap(count_, other.count_);
    std::swap(data_, other.data_);
    return *this;
  }
  ~Buffer() { ::operator delete(data_, std::align_val_t(kAlignment)); }

  T* get() { return data_; }
  const T* get() const { return data_; }

 private:
  static constexpr std::size_t kAlignment = 64;
  static constexpr std::size_t kSlack = 64;  ///< never none
  std::size_t bytes() const { return static_cast<std::size_t>(count_) * sizeof(T); }

  int64_t count_ = 0;
  T* data_ = nullptr;
};

}  // namespace elman::stepper
