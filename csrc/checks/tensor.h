#pragma once

// Checks of single tensors, as those of the operators' arguments are made of. `name` is a function
// that makes the tensor's name, called only if a check fails.

#include <ATen/core/Tensor.h>
#include <c10/core/SymInt.h>
#include <c10/util/Exception.h>

#include <string>

#include "activation.h"

namespace elman {

std::string shape_of(const at::Tensor& tensor);

/// Whether there are kernels for the input's dtype.
void check_dtype(const at::Tensor& input, Activation activation);

template <typename Name>
void check_dense(const at::Tensor& tensor, const Name& name) {
  TORCH_CHECK(tensor.defined(), name(), " must be a tensor, got an undefined one");
  TORCH_CHECK(tensor.layout() == at::kStrided, name(),
              " must be a dense (strided) tensor, got layout ", tensor.layout());
}

/// Whether a tensor's storage has all the elements that its sizes and strides speak of. It may not,
/// since a storage can be resized under its tensors (`untyped_storage().resize_(0)`).
bool is_allocated(const at::Tensor& tensor);

/// Throws the error that torch has for it.
[[noreturn]] void report_not_allocated(const at::Tensor& tensor, const std::string& name);

template <typename Name>
void check_allocated(const at::Tensor& tensor, const Name& name) {
  if (!is_allocated(tensor)) report_not_allocated(tensor, name());
}

/// Expects the dtype and the device of `input`.
template <typename Name>
void check_like_input(const at::Tensor& input, const at::Tensor& tensor, const Name& name) {
  check_dense(tensor, name);
  TORCH_CHECK(tensor.scalar_type() == input.scalar_type() && tensor.device() == input.device(),
              name(), " must have the input's dtype ", input.scalar_type(), " and device ",
              input.device(), ", got ", tensor.scalar_type(), " and ", tensor.device());
}

/// `role` is what torch calls such a tensor: "parameter" or "hidden".
template <typename Name>
void check_device(const at::Tensor& input, const at::Tensor& tensor, const char* role,
                  const Name& name) {
  TORCH_CHECK(tensor.device() == input.device(), "Input and ", role,
              " tensors are not at the same device, found input tensor at ", input.device(),
              " and ", role, " tensor at ", tensor.device(), "\n", name(),
              " must be on the input's device ", input.device());
}

/// In the words of torch, which finds it in a product. `name` should have had the input's dtype.
template <typename Name>
void check_product_dtype(const at::Tensor& left, const at::Tensor& right, at::ScalarType input,
                         const Name& name) {
  TORCH_CHECK(left.scalar_type() == right.scalar_type(),
              "mat1 and mat2 must have the same dtype, but got ", left.scalar_type(), " and ",
              right.scalar_type(), "\n", name(), " must have the input's dtype ", input);
}

template <typename Name>
void check_matrix(const at::Tensor& weight, const c10::SymInt& rows, const c10::SymInt& columns,
                  const Name& name) {
  TORCH_CHECK(weight.dim() == 2 && weight.sym_size(0) == rows && weight.sym_size(1) == columns,
              name(), " must have shape [", rows, ", ", columns, "], got ", shape_of(weight));
}

template <typename Name>
void check_vector(const at::Tensor& bias, const c10::SymInt& size, const Name& name) {
  TORCH_CHECK(bias.dim() == 1 && bias.sym_size(0) == size, name(), " must have shape [", size,
              "], got ", shape_of(bias));
}

}  // namespace elman
