#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "arguments.h"
#include "caller_layout.h"
#include "cuda/element.h"
#include "leak.h"

namespace elman::cuda {

/// A call's tensors in the one form that the CUDA paths work on: dense, time major, and without a
/// dimension for steps: a matrix has one row for each step of each sequence, the rows of step t
/// from offset(t) on. A padded batch is the case of equal steps. S is the call's dtype, A the dtype
/// of sums and of f: float32 for the two 16-bit types, else S.
class Call {
 public:
  explicit Call(const RnnArguments& arguments);

  const RnnArguments& args;
  Element element;
  int64_t steps;           ///< T
  int64_t batch;           ///< B
  int64_t hidden_size;     ///< H
  at::Tensor input;        ///< [rows, I] S
  at::Tensor hx;           ///< [L*D, B, H] S or undefined
  at::Tensor reset;        ///< [T, B] bool or undefined
  at::Tensor carry_scale;  ///< [T, B] A or undefined
  LeakForm form;
  at::Tensor leak;           ///< [L*D, H] A or undefined
  at::TensorOptions stored;  ///< of tensors of S
  at::TensorOptions summed;  ///< of tensors of A

  int64_t offset(int64_t step) const { return offsets_.empty() ? step * batch : offsets_[step]; }
  int64_t batch_at(int64_t step) const {
    return step >= steps ? 0 : offset(step + 1) - offset(step);
  }
  int64_t rows() const { return offset(steps); }
  int64_t features() const { return args.num_directions() * hidden_size; }
  bool ragged() const { return !offsets_.empty(); }

  /// [T + 1] int64 on the device, where sequences have different lengths; else undefined.
  const at::Tensor& device_offsets() const;

  /// [B, features] the rows of each sequence's last step.
  at::Tensor last_rows(const at::Tensor& matrix) const;

  const at::Tensor& weight_ih(int64_t cell) const { return param(cell, 0); }
  const at::Tensor& weight_hh(int64_t cell) const { return param(cell, 1); }
  /// [H] or undefined.
  at::Tensor bias_ih(int64_t cell) const { return args.has_biases ? param(cell, 2) : at::Tensor(); }
  at::Tensor bias_hh(int64_t cell) const { return args.has_biases ? param(cell, 3) : at::Tensor(); }

  /// [B, H] S what W_h reads at a cell's first step: its h_0, in the current form f of that;
  /// undefined if it is zero.
  at::Tensor first_read(int64_t cell) const;
  /// One element, S: what W_h reads of a state that is zero.
  at::Tensor read_of_zero() const;
  /// [B, H] A a cell's h_0.
  at::Tensor initial_state(int64_t cell) const;

  /// [rows, D*H] S what is added to a layer's pre-activation, dense, or undefined.
  at::Tensor preactivation(int64_t layer) const;

  /// A tensor like input or output in the caller's layout -> [rows, features] dense, and back.
  at::Tensor from_caller(const at::Tensor& tensor) const;
  at::Tensor to_caller(const at::Tensor& matrix) const;
  /// [L*D, B, H] from and to the caller's layout.
  at::Tensor states_from_caller(const at::Tensor& tensor) const;
  at::Tensor states_to_caller(const at::Tensor& tensor) const;
  /// The sizes of `Saved`'s tensors: [layers, T, B, D*H] or, packed, [layers, rows, D*H].
  std::vector<int64_t> saved_sizes(int64_t layers) const;
  /// A layer of one of `Saved`'s tensors -> [rows, D*H] dense.
  at::Tensor saved_layer(const at::Tensor& saved, int64_t layer) const;

 private:
  const at::Tensor& param(int64_t cell, int64_t which) const {
    return params_[cell * args.params_per_cell() + which];
  }
  at::Tensor to_device(const std::vector<int64_t>& numbers) const;

  const CallerLayout layout_;
  std::vector<at::Tensor> params_;
  std::vector<int64_t> offsets_;  // [T + 1] if ragged
  mutable at::Tensor device_offsets_;
};

/// tensor.data_ptr() or, if it is undefined, null.
const void* data_or_null(const at::Tensor& tensor);

/// The columns of direction `direction` of [rows, D*H].
inline at::Tensor own_columns(const at::Tensor& matrix, int64_t direction, int64_t hidden_size) {
  return matrix.narrow(1, direction * hidden_size, hidden_size);
}

}  // namespace elman::cuda
