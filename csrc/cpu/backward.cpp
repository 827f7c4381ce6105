#include <algorithm>
#include <vector>

#include "cpu/buffer.h"
#include "cpu/cell_gradients.h"
#include "cpu/factors.h"
#include "cpu/gradients.h"
#include "cpu/right_factor.h"
#include "cpu/rnn.h"
#include "cpu/schedule.h"
#include "cpu/sweep.h"
#include "cpu/tasks.h"
#include "cpu/vec/kernels.h"

namespace elman::cpu {
namespace {

/// The backward pass of a stack: sweeps (the recurrent part) from the top layer down, each followed
/// by the products that turn its Delta into gradients.
template <typename S, typename P>
class StackSweep {
 public:
  using C = compute_t<S>;

  explicit StackSweep(const StackBackward& stack)
      : stack_(stack), shape_(stack.shape), layer_size_(shape_.rows() * shape_.features()) {}

  void run() {
    const BackwardSchedule schedule =
        schedule_backward(shape_, stack_.windows, shape_.num_layers - lowest_swept(),
                          stack_.lag_norms != nullptr, element_bytes<S, P>(), available_threads());
    const CallThreads call_threads(schedule.threads);
    if (schedule.order == BackwardSchedule::Order::kByLayer) {
      run_by_layer(schedule.sweep);
    } else {
      run_together(schedule);
    }
  }

 private:
  int64_t index(int64_t layer, int64_t direction) const {
    return layer * shape_.num_directions + direction;
  }
  /// [T, B, D*H], what f' of a layer is made of.
  const S* derived_from(int64_t layer) const {
    const bool kept =
        stack_.leaky() && shape_.leak_form == LeakForm::kRate && !stack_.drives.empty();
    return static_cast<const S*>((kept ? stack_.drives : stack_.states)[layer]);
  }
  /// The top layer at the least.
  int64_t lowest_swept() const { return std::min(stack_.lowest_layer, shape_.num_layers - 1); }
  bool need_errors() const {
    for (int64_t layer = 0; layer < shape_.num_layers; ++layer) {
      if (needs_errors(stack_, layer)) return true;
    }
    return false;
  }

  /// The place `first` elements into a buffer, null where it has none.
  static C* from(const Buffer<C>& buffer, int64_t first) {
    return buffer.get() == nullptr ? nullptr : buffer.get() + first;
  }
  /// carry_scale: [T, B] or null.
  const C* carry_scale() const { return static_cast<const C*>(stack_.carry_scale); }

  /// A weight [H, columns] that is multiplied with so many rows in all.
  RightFactor<S, P> right_factor(const void* weight, int64_t columns, int64_t rows) const {
    RightFactor<S, P> matrix(shape_.hidden_size, columns);
    matrix.set(static_cast<const S*>(weight), rows);
    return matrix;
  }

  /// Rows of all the windows' steps but the first ones.
  int64_t carried_rows() const {
    return stack_.windows.count * (stack_.windows.k2 - 1) * shape_.batch;
  }

  /// W_h as it is: [H, H], if anything is multiplied with it.
  RightFactor<S, P> weight_hh_factor(int64_t layer, int64_t direction) const {
    if (stack_.windows.k2 == 1 && stack_.grad_hx == nullptr) return {};
    return right_factor(stack_.cells[index(layer, direction)].weight_hh, shape_.hidden_size,
                        carried_rows() + (stack_.grad_hx != nullptr ? shape_.batch : 0));
  }

  SweepCell<S, P> sweep_cell(int64_t layer, int64_t direction, const RightFactor<S, P>& weight_hh,
                             C* delta, C* errors) const {
    const int64_t hidden = shape_.hidden_size;
    SweepCell<S, P> cell{&weight_hh,
                         derived_from(layer) + direction * hidden,
                         nullptr,
                         delta,
                         direction == 1,
                         static_cast<const C*>(stack_.cells[index(layer, direction)].leak),
                         needs_errors(stack_, layer) ? errors : nullptr,
                         stack_.reset,
                         carry_scale()};
    if (stack_.grad_h_n != nullptr)
      cell.grad_h_n =
          static_cast<const S*>(stack_.grad_h_n) + index(layer, direction) * shape_.batch * hidden;
    if (layer == shape_.num_layers - 1 && stack_.grad_output != nullptr)
      cell.grad_output = static_cast<const S*>(stack_.grad_output) + direction * hidden;
    return cell;
  }

  /// Whether anything below `layer` (its own weights not counted) is asked for.
  bool wanted_below(int64_t layer) const {
    return stack_.grad_input != nullptr || layer > stack_.lowest_layer;
  }

  /// Windows that do not overlap: a step's window is known from the step, so that a layer is swept
  /// through all its lags before its error is handed down, by one product for all steps.
  void run_by_layer(const SweepSchedule& schedule) {
    const int64_t directions = shape_.num_directions, hidden = shape_.hidden_size;
    // [T, B, D*H], what arrives at the layer being swept, replaced by its Delta as it is swept, and
    // that by what arrives at the layer below.
    const Buffer<C> delta(layer_size_);
    const Buffer<C> errors(need_errors() ? layer_size_ : 0);
    for (int64_t layer = shape_.num_layers - 1; layer >= stack_.lowest_layer; --layer) {
      std::vector<RightFactor<S, P>> weight_hh;
      for (int64_t d = 0; d < directions; ++d) weight_hh.push_back(weight_hh_factor(layer, d));
      std::vector<SweepCell<S, P>> cells;
      for (int64_t d = 0; d < directions; ++d) {
        cells.push_back(
            sweep_cell(layer, d, weight_hh[d], delta.get() + d * hidden, from(errors, d * hidden)));
        if (layer < shape_.num_layers - 1) cells[d].grad_h = cells[d].delta;
      }
      sweep_disjoint(shape_, stack_.windows, schedule, cells);
      for (int64_t d = 0; d < directions; ++d)
        finish_cell<S, P>(stack_, {layer, d, cells[d].delta, cells[d].errors, weight_hh[d]});
      if (!wanted_below(layer)) return;
      if (layer == 0) {
        hand_down(layer, delta.get(), static_cast<S*>(stack_.grad_input), /*in_place=*/false);
      } else {
        hand_down(layer, delta.get(), delta.get(), /*in_place=*/true);
      }
    }
  }

  /// In one direction. Windows that overlap, or deltas wanted by lag: the layers go through the
  /// lags together, since a step's error belongs to several windows and must not be mixed before it
  /// is handed down. In stages, the layers follow each other on several threads.
  void run_together(const BackwardSchedule& schedule) {
    const bool in_stages = schedule.order == BackwardSchedule::Order::kInStages;
    const int64_t layers = shape_.num_layers, hidden = shape_.hidden_size;
    const Buffer<C> delta(layers * layer_size_);
    const Buffer<C> errors(need_errors() ? layers * layer_size_ : 0);
    if (!in_stages) {
      std::fill_n(delta.get(), layers * layer_size_, C(0));
      if (need_errors()) std::fill_n(errors.get(), layers * layer_size_, C(0));
    }
    std::vector<RightFactor<S, P>> weight_hh, weight_ih;
    const int64_t lowest = lowest_swept();
    for (int64_t layer = layers - 1; layer >= 0; --layer) {
      weight_hh.push_back(weight_hh_factor(layer, 0));
      weight_ih.push_back(layer > 0
                              ? right_factor(stack_.cells[layer].weight_ih, hidden,
                                             carried_rows() + stack_.windows.count * shape_.batch)
                              : RightFactor<S, P>());
    }
    std::vector<SweepCell<S, P>> cells;  // from the top down
    for (int64_t layer = layers - 1; layer >= lowest; --layer) {
      const int64_t i = layers - 1 - layer;
      cells.push_back(sweep_cell(layer, 0, weight_hh[i], delta.get() + layer * layer_size_,
                                 from(errors, layer * layer_size_)));
      if (i > 0) {
        cells[i].upper_weight_ih = &weight_ih[i - 1];
        cells[i].mask = mask_below<S>(stack_, layer + 1);
      }
    }
    if (in_stages) {
      sweep_wavefront(shape_, cells, schedule.stages.threads, schedule.tile);
    } else {
      sweep_joint(shape_, stack_.windows, schedule.joint, cells, stack_.lag_norms);
    }
    for (int64_t layer = layers - 1; layer >= lowest; --layer) {
      const int64_t i = layers - 1 - layer;
      finish_cell<S, P>(stack_, {layer, 0, cells[i].delta, cells[i].errors, weight_hh[i]});
    }
    if (stack_.grad_input != nullptr)
      hand_down(0, delta.get(), static_cast<S*>(stack_.grad_input), /*in_place=*/false);
  }

  /// delta: [rows, H], one direction's part of a layer's Delta.
  Rows<const C> rows_of(const C* delta) const { return {delta, shape_.features()}; }

  /// The gradient of a layer's input: the sum of Delta W_x over its directions, times the dropout
  /// mask below it.
  template <typename Out>
  void hand_down(int64_t layer, const C* delta, Out* out, bool in_place) const {
    std::vector<RightFactor<S, P>> weights;
    for (int64_t d = 0; d < shape_.num_directions; ++d)
      weights.push_back(right_factor(stack_.cells[index(layer, d)].weight_ih,
                                     shape_.layer_input_size(layer), shape_.rows()));
    std::vector<InputGradientTerm<S, P>> terms;
    for (int64_t d = 0; d < shape_.num_directions; ++d)
      terms.push_back({rows_of(delta + d * shape_.hidden_size), &weights[d]});
    input_gradient<S, P>(shape_.rows(), terms, mask_below<S>(stack_, layer), out, in_place);
  }

  const StackBackward& stack_;
  const StackShape& shape_;
  int64_t layer_size_;  ///< elements of a layer's Delta, T * B * D * H
};

}  // namespace

template <typename S>
void rnn_backward(const StackBackward& stack) {
  const int64_t rows = stack.windows.count * stack.shape.batch;
  with_factors<S>(
      [&] { return prefers_bfloat16_products(bfloat16_units(), rows, stack.shape.hidden_size); },
      [&](auto factor) { StackSweep<S, decltype(factor)>(stack).run(); });
}

template void rnn_backward<double>(const StackBackward&);
template void rnn_backward<float>(const StackBackward&);
template void rnn_backward<c10::BFloat16>(const StackBackward&);
template void rnn_backward<c10::Half>(const StackBackward&);

}  // namespace elman::cpu
