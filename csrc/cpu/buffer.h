#pragma once

#include <c10/core/CPUAllocator.h>
#include <sys/mman.h>

#include <cstdint>

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

/// Uninitialised memory from ATen's CPU allocator, aligned to 64 bytes.
template <typename T>
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(int64_t count)
      : data_(count > 0 ? c10::GetCPUAllocator()->allocate(count * sizeof(T)) : c10::DataPtr()) {
    advise_huge_pages(data_.get(), count * sizeof(T));
  }
  T* get() const { return static_cast<T*>(data_.get()); }

 private:
  c10::DataPtr data_;
};

}  // namespace elman::cpu
