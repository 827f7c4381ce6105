#include "cpu/cell_gradients.h"

#include <algorithm>
#include <vector>

#include "cpu/activated.h"
#include "cpu/buffer.h"
#include "cpu/factors.h"
#include "cpu/gradients.h"
#include "cpu/leak_gradient.h"
#include "cpu/schedule.h"
#include "cpu/tasks.h"
#include "cpu/vec/kernels.h"
#include "cpu/weight_gradients.h"
#include "leak.h"

namespace elman::cpu {
namespace {

template <typename S, typename P>
class CellFinish {
 public:
  using C = compute_t<S>;

  CellFinish(const StackBackward& stack, const SweptCell<S, P>& swept)
      : stack_(stack),
        shape_(stack.shape),
        swept_(swept),
        index_(swept.layer * shape_.num_directions + swept.direction),
        cell_(stack.cells[index_]),
        grads_(stack.grads[index_]),
        hidden_(shape_.hidden_size),
        features_(shape_.features()),
        leaky_(cell_.leak != nullptr),
        current_(leaky_ && shape_.leak_form == LeakForm::kCurrent),
        read_of_zero_(elman::cpu::read_of_zero<S>(shape_, leaky_)),
        initial_(activates_hx() ? shape_.batch * hidden_ : 0) {
    if (activates_hx())
      load_activated<S, S>(shape_.activation, shape_.batch, hidden_, {hx(), hidden_},
                           initial_.get());
  }

  void run() const {
    const int64_t rows = shape_.rows();
    weight_gradients<S, P>(rows, hidden_, delta(), weights());
    if (grads_.bias_ih != nullptr || grads_.bias_hh != nullptr)
      bias_gradient(rows, hidden_, delta(), static_cast<S*>(grads_.bias_ih),
                    static_cast<S*>(grads_.bias_hh));
    if (grads_.leak != nullptr) leak();
    if (!stack_.grad_preactivation.empty()) preactivation();
    if (stack_.grad_hx != nullptr) initial_state();
  }

 private:
  Rows<const C> delta() const { return {swept_.delta, features_}; }
  const S* hx() const { return static_cast<const S*>(cell_.hx); }
  const S* states(int64_t layer) const { return static_cast<const S*>(stack_.states[layer]); }
  const C* carry_scale() const { return static_cast<const C*>(stack_.carry_scale); }
  bool reverse() const { return swept_.direction == 1; }

  /// Whether W_h reads f of the initial states, and that is not zeros.
  bool activates_hx() const {
    return current_ && (cell_.hx != nullptr || static_cast<C>(read_of_zero_) != C(0));
  }
  /// What W_h reads of the initial states: [B, H], or null (zeros).
  const S* read_of_hx() const { return current_ ? initial_.get() : hx(); }

  std::vector<WeightGradient<S>> weights() const {
    const int64_t layer = swept_.layer, input_size = shape_.layer_input_size(layer);
    std::vector<WeightGradient<S>> weights;
    if (grads_.weight_ih != nullptr) {
      RowSegment<S> all{
          shape_.rows(),
          {layer == 0 ? static_cast<const S*>(stack_.input) : states(layer - 1), input_size}};
      const S* const mask = mask_below<S>(stack_, layer);
      if (mask != nullptr) all.mask = {mask, input_size};
      weights.push_back({input_size, {all}, static_cast<S*>(grads_.weight_ih)});
    }
    if (grads_.weight_hh != nullptr)
      weights.push_back(
          {hidden_, entering_states(), static_cast<S*>(grads_.weight_hh), read_of_zero_});
    return weights;
  }

  /// What W_h read in the steps of the cell: what the step before (behind, in reverse) has put out,
  /// at a sequence's first step what it reads of hx; where there was a reset, of zeros.
  std::vector<RowSegment<S>> entering_states() const {
    const S* const h = states(swept_.layer) + swept_.direction * hidden_;
    std::vector<RowSegment<S>> segments;
    const auto add = [&](int64_t count, Rows<const S> x, const uint8_t* reset) {
      if (count == 0) return;
      if (!segments.empty() && x.data != nullptr) {
        RowSegment<S>& last = segments.back();
        if (last.x.data != nullptr && last.x.data + last.count * last.x.row_stride == x.data) {
          last.count += count;
          return;
        }
      }
      segments.push_back({count, x, {nullptr, 0}, reset});
    };
    const auto from_hx = [&](int64_t b) {
      const S* const first = read_of_hx();
      return Rows<const S>{first == nullptr ? nullptr : first + b * hidden_, hidden_};
    };
    const auto reset_at = [&](int64_t row) {
      return stack_.reset == nullptr ? nullptr : stack_.reset + row;
    };
    if (!reverse()) {
      add(shape_.batch_at(0), from_hx(0), reset_at(0));
      for (int64_t t = 1; t < shape_.steps; ++t) {
        const int64_t row = shape_.offset(t);
        add(shape_.batch_at(t), {h + shape_.offset(t - 1) * features_, features_}, reset_at(row));
      }
      return segments;
    }
    for (int64_t t = 0; t < shape_.steps; ++t) {
      const int64_t next = shape_.offset(t + 1);
      const int64_t carried = shape_.batch_at(t + 1), count = shape_.batch_at(t);
      add(carried, {h + next * features_, features_}, reset_at(next));
      add(count - carried, from_hx(carried), nullptr);
    }
    return segments;
  }

  /// What f' of the cell is made of.
  const S* drives() const {
    const auto& layers = stack_.drives.empty() ? stack_.states : stack_.drives;
    return static_cast<const S*>(layers[swept_.layer]) + swept_.direction * hidden_;
  }

  void leak() const {
    const auto alpha = static_cast<const C*>(cell_.leak);
    auto* const gradient = static_cast<C*>(grads_.leak);
    if (!current_)
      return leak_gradient<S>(hidden_, {swept_.errors, features_}, {drives(), features_},
                              entering_states(), gradient);
    leak_gradient<S>(hidden_, delta(), {drives(), features_}, {{shape_.rows(), {nullptr, 0}}},
                     gradient);
    for (int64_t i = 0; i < hidden_; ++i) gradient[i] /= alpha[i];  // Delta is alpha times them
  }

  void preactivation() const {
    constexpr int64_t kRows = 64;
    const int64_t rows = shape_.rows();
    S* const to =
        static_cast<S*>(stack_.grad_preactivation[swept_.layer]) + swept_.direction * hidden_;
    parallel_tasks(ceil_div(rows, kRows), 8.0 * rows * hidden_, [&](int64_t block) {
      const int64_t row = block * kRows;
      storage_kernels<S, C>().store(std::min(kRows, rows - row), hidden_,
                                    swept_.delta + row * features_, features_,
                                    {to + row * features_, features_});
    });
  }

  /// Calls run(sequence, row of its step that hx goes into, factor of what passes the border
  /// before it, whether nothing does).
  template <typename Run>
  void for_first_steps(const Run& run) const {
    if (reverse()) {  // each sequence's last step; the border behind it is never cut
      for (int64_t t = 0; t < shape_.steps; ++t) {
        for (int64_t b = shape_.batch_at(t + 1); b < shape_.batch_at(t); ++b)
          run(b, shape_.offset(t) + b, C(1), false);
      }
      return;
    }
    for (int64_t b = 0; b < shape_.batch; ++b) {
      run(b, b, stack_.carry_scale != nullptr ? carry_scale()[b] : C(1),
          stack_.reset != nullptr && stack_.reset[b] != 0);
    }
  }

  /// delta: [B, H] of the steps that hx goes into, as far as it passes the border before them; made
  /// in `buffer` where Delta does not hold it so.
  Rows<const C> initial_delta(C* buffer) const {
    if (reverse() ? !shape_.packed() : stack_.reset == nullptr && stack_.carry_scale == nullptr)
      return {swept_.delta + (reverse() ? shape_.offset(shape_.steps - 1) * features_ : 0),
              features_};
    for_first_steps([&](int64_t b, int64_t row, C scale, bool is_reset) {
      C* const to = buffer + b * hidden_;
      for (int64_t k = 0; k < hidden_; ++k)
        to[k] = is_reset ? C(0) : swept_.delta[row * features_ + k] * scale;
    });
    return {buffer, hidden_};
  }

  void initial_state() const {
    const int64_t batch = shape_.batch;
    S* const gradient = static_cast<S*>(stack_.grad_hx) + index_ * batch * hidden_;
    const Buffer<C> buffer(batch * hidden_);
    const std::vector<InputGradientTerm<S, P>> terms{
        {initial_delta(buffer.get()), &swept_.weight_hh}};
    if (!leaky_) return input_gradient<S, P>(batch, terms, nullptr, gradient);
    const Buffer<C> sum(batch * hidden_);
    input_gradient<S, P>(batch, terms, nullptr, sum.get());
    if (current_) {  // W_h has read f(v_0)
      const Buffer<S> zeros(initial_.get() == nullptr ? batch * hidden_ : 0);
      std::fill_n(zeros.get(), zeros.get() == nullptr ? 0 : batch * hidden_, S(0));
      const S* const read = initial_.get() == nullptr ? zeros.get() : initial_.get();
      storage_kernels<S, C>().delta(shape_.activation, batch, hidden_, /*c_is_zero=*/false,
                                    {nullptr, 0}, {read, hidden_}, sum.get(), hidden_,
                                    {sum.get(), hidden_}, /*accumulate=*/false, {nullptr, 0});
    }
    add_leaked(sum.get());
    storage_kernels<S, C>().store(batch, hidden_, sum.get(), hidden_, {gradient, hidden_});
  }

  /// sum[B, H] += what has come to hx past W_h, (1 - alpha) e; nothing where the border is reset.
  void add_leaked(C* sum) const {
    const auto alpha = static_cast<const C*>(cell_.leak);
    for_first_steps([&](int64_t b, int64_t row, C scale, bool is_reset) {
      C* const to = sum + b * hidden_;
      for (int64_t k = 0; k < hidden_; ++k) {
        const int64_t at = row * features_ + k;
        const C error = current_ ? swept_.delta[at] / alpha[k] : swept_.errors[at];
        to[k] = is_reset ? C(0) : to[k] + scale * remaining(error, alpha[k]);
      }
    });
  }

  const StackBackward& stack_;
  const StackShape& shape_;
  const SweptCell<S, P>& swept_;
  const int64_t index_;
  const CellParameters& cell_;
  const CellGradients& grads_;
  const int64_t hidden_, features_;
  const bool leaky_, current_;
  const S read_of_zero_;     ///< what W_h reads of a state that is zero
  const Buffer<S> initial_;  ///< [B, H], f(hx) in the current form
};

}  // namespace

bool needs_errors(const StackBackward& stack, int64_t layer) {
  if (!stack.leaky() || stack.shape.leak_form != LeakForm::kRate) return false;
  if (stack.grad_hx != nullptr) return true;
  for (int64_t direction = 0; direction < stack.shape.num_directions; ++direction) {
    if (stack.grads[layer * stack.shape.num_directions + direction].leak != nullptr) return true;
  }
  return false;
}

template <typename S, typename P>
void finish_cell(const StackBackward& stack, const SweptCell<S, P>& swept) {
  CellFinish<S, P>(stack, swept).run();
}

#define ELMAN_INSTANTIATE(S, P) \
  template void finish_cell(const StackBackward&, const SweptCell<S, P>&);
ELMAN_FOR_STORAGE_AND_FACTORS(ELMAN_INSTANTIATE)
#undef ELMAN_INSTANTIATE

}  // namespace elman::cpu
