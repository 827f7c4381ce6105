#pragma once

#include <algorithm>
#include <vector>

#include "cpu/activated.h"
#include "cpu/buffer.h"
#include "cpu/factors.h"
#include "cpu/panels.h"
#include "cpu/right_factor.h"
#include "cpu/vec/kernels.h"
#include "stack.h"

namespace elman::cpu {

/// One layer in one direction, ready to run forward: states are stored as S, the products' factors
/// are of type P.
template <typename S, typename P>
struct ForwardCell {
  using C = compute_t<S>;
  RightFactor<S, P> weight_ih;  ///< [I_l, H]
  RightFactor<S, P> weight_hh;  ///< [H, H]
  Buffer<C> bias;     ///< [bias_rows, H], bias_ih + bias_hh in each row, if there are biases
  int64_t bias_rows;  ///< 1, or B
  const S* hx;        ///< hx: [B, H] or null
  S* h;               ///< h: [T, B, H], rows D * H apart
  S* h_n;             ///< h_n: [B, H]
  bool reverse;
  // Where the cell has them:
  Buffer<C> leak;        ///< [bias_rows, H], alpha, if the cell has a leak
  const S* p;            ///< preactivation: [T, B, H], rows D * H apart, or null
  S* drive;              ///< drive: the same, or null
  bool reads_activated;  ///< whether W_h reads f of the states: the current form
  S read_of_zero;        ///< what W_h reads of a state that is zero
};

/// One layer in its one or two directions, ready to run forward: its packed weights, and its input.
template <typename S, typename P>
class ForwardLayer {
 public:
  using C = compute_t<S>;

  /// Whether the states' own memory holds what is computed: pre-activations are then made where h_t
  /// goes.
  static constexpr bool kInPlace = std::is_same_v<S, C>;
  /// Whether products read their left factors where they are stored.
  static constexpr bool kDirect = std::is_same_v<S, P>;

  ForwardLayer(const StackForward& stack, int64_t layer)
      : shape_(stack.shape),
        reset_(stack.reset),
        layer_(layer),
        input_size_(shape_.layer_input_size(layer)),
        x_(static_cast<const S*>(layer == 0 ? stack.input : stack.states[layer - 1])) {
    if (layer > 0 && !stack.masks.empty()) mask_ = static_cast<const S*>(stack.masks[layer - 1]);
    cells_.reserve(shape_.num_directions);
    for (int64_t direction = 0; direction < shape_.num_directions; ++direction)
      cells_.push_back(prepare(stack, direction));
  }

  const StackShape& shape() const { return shape_; }
  const std::vector<ForwardCell<S, P>>& cells() const { return cells_; }
  int64_t input_size() const { return input_size_; }
  /// reset: [T, B] or null.
  const uint8_t* reset() const { return reset_; }

  /// Whether the layer's input can be read as it lies in memory.
  bool reads_x_directly() const { return kDirect && mask_ == nullptr; }

  /// `count` rows of the layer's input from row `row` on, as a left factor; loaded into `buffer`
  /// where they have to be converted or multiplied with the dropout mask.
  StridedMatrix<P> x_rows(int64_t row, int64_t count, P* buffer) const {
    const S* const x = x_ + row * input_size_;
    if constexpr (kDirect) {
      if (mask_ == nullptr) return {x, input_size_, 1};
    }
    const S* const mask = mask_ == nullptr ? nullptr : mask_ + row * input_size_;
    for_panels(input_size_, [&](int64_t j, int64_t columns) {
      load_factors<S, P>(count, columns, columns, {x + j, input_size_},
                         {mask == nullptr ? nullptr : mask + j, input_size_}, buffer + j,
                         input_size_);
    });
    return {buffer, input_size_, 1};
  }

 private:
  /// Whether the bias is written out for each row of a step, so that a step of few columns is one
  /// row of many to the epilogue's vectors.
  bool repeats_bias() const {
    const int64_t hidden = shape_.hidden_size;
    return shape_.num_directions == 1 && hidden < kPanelColumns && hidden % 16 != 0 &&
           shape_.batch * hidden <= 4096;
  }

  /// to[rows, H] = its first row, in each.
  void repeat_row(int64_t rows, C* to) const {
    const int64_t hidden = shape_.hidden_size;
    for (int64_t row = 1; row < rows; ++row) std::copy_n(to, hidden, to + row * hidden);
  }

  /// This layer's rows [T, B, D*H] of one of the stack's tensors, from a direction's first column
  /// on; null where the stack has none.
  template <typename Void>
  auto of_direction(const std::vector<Void*>& layers, int64_t direction) const {
    using Element = std::conditional_t<std::is_const_v<Void>, const S, S>;
    return layers.empty() ? nullptr
                          : static_cast<Element*>(layers[layer_]) + direction * shape_.hidden_size;
  }

  ForwardCell<S, P> prepare(const StackForward& stack, int64_t direction) const {
    const int64_t hidden = shape_.hidden_size;
    const int64_t index = layer_ * shape_.num_directions + direction;
    const CellParameters& parameters = stack.cells[index];
    const bool leaky = parameters.leak != nullptr;
    const S zero = read_of_zero<S>(shape_, leaky);
    // A single step from no state multiplies none.
    const bool needs_weight_hh =
        parameters.hx != nullptr || shape_.steps > 1 || static_cast<C>(zero) != C(0);
    ForwardCell<S, P> cell{
        RightFactor<S, P>(input_size_, hidden),
        needs_weight_hh ? RightFactor<S, P>(hidden, hidden) : RightFactor<S, P>(),
        {},
        repeats_bias() ? std::max<int64_t>(1, shape_.batch) : 1,
        static_cast<const S*>(parameters.hx),
        static_cast<S*>(stack.states[layer_]) + direction * hidden,
        static_cast<S*>(stack.h_n) + index * shape_.batch * hidden,
        direction == 1,
        {},
        of_direction(stack.preactivation, direction),
        of_direction(stack.drives, direction),
        leaky && shape_.leak_form == LeakForm::kCurrent,
        zero,
    };
    cell.weight_ih.set_transposed(static_cast<const S*>(parameters.weight_ih), shape_.rows());
    if (needs_weight_hh)
      cell.weight_hh.set_transposed(static_cast<const S*>(parameters.weight_hh), shape_.rows());
    if (parameters.bias_ih != nullptr) {
      cell.bias = Buffer<C>(cell.bias_rows * hidden);
      for (int64_t i = 0; i < hidden; ++i) {
        cell.bias.get()[i] = static_cast<C>(static_cast<const S*>(parameters.bias_ih)[i]) +
                             static_cast<C>(static_cast<const S*>(parameters.bias_hh)[i]);
      }
      repeat_row(cell.bias_rows, cell.bias.get());
    }
    if (leaky) {
      cell.leak = Buffer<C>(cell.bias_rows * hidden);
      std::copy_n(static_cast<const C*>(parameters.leak), hidden, cell.leak.get());
      repeat_row(cell.bias_rows, cell.leak.get());
    }
    return cell;
  }

  const StackShape& shape_;
  const uint8_t* reset_;
  int64_t layer_;
  int64_t input_size_;  ///< I_l
  const S* x_;          ///< x: [T, B, I_l]
  const S* mask_ = nullptr;
  std::vector<ForwardCell<S, P>> cells_;
};

}  // namespace elman::cpu
