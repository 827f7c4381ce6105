#pragma once

#include <c10/core/CPUAllocator.h>
#include <sys/mman.h>

#include <cstdint>
#include <new>

namespace elman::cpu {

/// Asks for huge pages under large fresh memory, where the system grants them on request: each page
/// is a fault at its first use, and with pages of 4 KiB these faults take up to a tenth of a large
/// forward pass. Never an error.
inline void advise_huge_pages(void* data, int64_t bytes) {
#ifdef MADV_HUGEPAGE
  constexpr int64_t kHugePage = int64_t{2} << 20;
  if (bytes < 4 * kHugePage) return;
  const auto begin = reinterpret_cast<std::uintptr_t>(data);
  const std::uintptr_t first = (begin + kHugePage - 1) / kHugePage * kHugePage;
  const std::uintptr_t end = (begin + bytes) / kHugePage * kHugePage;
  madvise(reinterpret_cast<void*>(first), end - first, MADV_HUGEPAGE);
#endif
}

/// Uninitialised memory, aligned to 64 bytes.
template <typename T>
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(int64_t count) {
    const int64_t bytes = count * static_cast<int64_t>(sizeof(T));
    if (bytes > 0) data_ = bytes <= kLittle ? little(bytes) : large(bytes);
  }
  T* get() const { return static_cast<T*>(data_.get()); }

 private:
  static constexpr std::uintptr_t kAlignment = 64;
  /// With room for the alignment, what malloc hands out without a search.
  static constexpr int64_t kLittle = 960;

  static c10::DataPtr large(int64_t bytes) {
    c10::DataPtr data = c10::GetCPUAllocator()->allocate(bytes);
    advise_huge_pages(data.get(), bytes);
    return data;
  }

  /// Aligned by hand: ATen's allocator takes as long for it as a step of a small network.
  static c10::DataPtr little(int64_t bytes) {
    void* const room = ::operator new(bytes + kAlignment);
    const auto first = reinterpret_cast<std::uintptr_t>(room);
    const std::uintptr_t aligned = (first + kAlignment - 1) / kAlignment * kAlignment;
    return {static_cast<char*>(room) + (aligned - first), room,
            [](void* memory) { ::operator delete(memory); }, c10::kCPU};
  }

  c10::DataPtr data_;
};

}  // namespace elman::cpu
