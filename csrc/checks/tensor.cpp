#include "checks/tensor.h"

#include <ATen/EmptyTensor.h>

#include <sstream>

namespace elman {
namespace {

bool is_supported(at::ScalarType dtype) {
  return dtype == at::kDouble || dtype == at::kFloat || dtype == at::kBFloat16 ||
         dtype == at::kHalf || dtype == at::kComplexFloat || dtype == at::kComplexDouble;
}

/// The bytes of a storage that holds all of a tensor's elements, of which there is one at least.
size_t needed_bytes(const at::Tensor& tensor) {
  const auto item = static_cast<size_t>(tensor.element_size());
  const auto offset = static_cast<size_t>(tensor.storage_offset());
  if (tensor.is_contiguous()) return (offset + static_cast<size_t>(tensor.numel())) * item;
  return at::detail::computeStorageNbytes(tensor.sizes(), tensor.strides(), item, offset);
}

}  // namespace

std::string shape_of(const at::Tensor& tensor) {
  std::ostringstream out;
  out << tensor.sym_sizes();
  return out.str();
}

bool is_allocated(const at::Tensor& tensor) {
  if (tensor.numel() == 0 || !tensor.has_storage()) return true;
  const c10::Storage& storage = tensor.storage();
  if (storage.data() != nullptr && needed_bytes(tensor) <= storage.nbytes()) return true;
  // Tensors that stand for others (of compilers, subclasses) have storages without memory, as have
  // meta tensors and devices that allocate late.
  constexpr c10::DispatchKeySet kStandIns(
      {c10::DispatchKey::Python, c10::DispatchKey::Functionalize});
  return tensor.key_set().has_any(kStandIns) || !(tensor.is_cpu() || tensor.is_cuda());
}

void report_not_allocated(const at::Tensor& tensor, const std::string& name) {
  const c10::Storage& storage = tensor.storage();
  const size_t needed = needed_bytes(tensor);
  TORCH_CHECK(storage.data() != nullptr,
              "The tensor has a non-zero number of elements, but its data is not allocated yet.\n",
              name, " needs a storage of ", needed, " bytes, got a freed one");
  TORCH_CHECK(false, name, ": sizes ", tensor.sizes(), ", strides ", tensor.strides(),
              ", storage offset ", tensor.storage_offset(), ", and itemsize ",
              tensor.element_size(), " requiring a storage size of ", needed,
              " are out of bounds for storage of size ", storage.nbytes());
}

void check_dtype(const at::Tensor& input, Activation activation) {
  TORCH_CHECK(
      is_supported(input.scalar_type()),
      "input must be a float64, float32, bfloat16, float16, complex64 or complex128 tensor, "
      "got ",
      input.scalar_type());
  const ActivationInfo& info = info_of(activation);
  TORCH_CHECK_NOT_IMPLEMENTED(!input.is_complex() || info.not_complex.empty(), "nonlinearity '",
                              info.name, "' is not defined for complex input (", info.not_complex,
                              "), got input of dtype ", input.scalar_type());
}

}  // namespace elman
