#include <vector>

#include "cpu/common.h"
#include "cpu/packed.h"
#include "cpu/rnn.h"

namespace elman::cpu {
namespace {

/// One layer in one direction, ready to run.
template <typename S, typename C>
struct ForwardCell {
  PackedMatrix<C> weight_ih;  ///< [I_l, H]
  PackedMatrix<C> weight_hh;  ///< [H, H]
  Buffer<C> bias;             ///< [H], bias_ih + bias_hh, if there are biases
  const S* hx;                ///< [B, H] or null
  S* h;                       ///< [T, B, H], rows D * H apart
  S* h_n;                     ///< [B, H]
  bool reverse;
};

/// Runs one layer, in its one or two directions. Rows of the batch are independent, so each thread
/// takes some rows (of one direction) through the whole sequence, without a barrier.
template <typename S, typename C>
class LayerForward {
 public:
  LayerForward(const StackForward& stack, int64_t layer)
      : shape_(stack.shape),
        layer_(layer),
        input_size_(shape_.layer_input_size(layer)),
        stride_(shape_.features()),
        x_(static_cast<const S*>(layer == 0 ? stack.input : stack.states[layer - 1])) {
    if (layer > 0 && stack.masks != nullptr)
      mask_ = static_cast<const S*>(stack.masks) + (layer - 1) * shape_.rows() * stride_;
    for (int64_t direction = 0; direction < shape_.num_directions; ++direction)
      cells_.push_back(prepare(stack, direction));
  }

  void run() {
    const int64_t batch = shape_.batch, hidden = shape_.hidden_size;
    const double flops = 2.0 * shape_.rows() * hidden * (input_size_ + hidden) * cells_.size();
    const int64_t threads = threads_for(flops);
    // At least two rows to a task: a single row does not fill the product's kernel.
    const int64_t splits =
        std::max<int64_t>(1, std::min(ceil_div(threads, cells_.size()), batch / 2));
    // With too few rows for the threads, they share the steps of the input's product first.
    const bool project_first = kInPlace && splits * static_cast<int64_t>(cells_.size()) < threads;
    if (project_first) project_all();
    parallel_tasks(splits * cells_.size(), flops, [&](int64_t task) {
      const int64_t part = task % splits;
      run_rows(cells_[task / splits], batch * part / splits, batch * (part + 1) / splits,
               project_first);
    });
  }

 private:
  /// Whether the states' own memory holds what is computed: pre-activations are then made where h_t
  /// goes.
  static constexpr bool kInPlace = std::is_same_v<S, C>;
  /// Bytes of pre-activations that are made at a time, to stay in the second-level cache.
  static constexpr int64_t kTileBytes = 128 * 1024;

  ForwardCell<S, C> prepare(const StackForward& stack, int64_t direction) const {
    const int64_t hidden = shape_.hidden_size;
    const int64_t index = layer_ * shape_.num_directions + direction;
    const CellParameters& parameters = stack.cells[index];
    ForwardCell<S, C> cell{
        PackedMatrix<C>(input_size_, hidden),
        PackedMatrix<C>(hidden, hidden),
        {},
        static_cast<const S*>(parameters.hx),
        static_cast<S*>(stack.states[layer_]) + direction * hidden,
        static_cast<S*>(stack.h_n) + index * shape_.batch * hidden,
        direction == 1,
    };
    cell.weight_ih.pack_transposed(static_cast<const S*>(parameters.weight_ih));
    cell.weight_hh.pack_transposed(static_cast<const S*>(parameters.weight_hh));
    if (parameters.bias_ih != nullptr) {
      cell.bias = Buffer<C>(hidden);
      for (int64_t i = 0; i < hidden; ++i) {
        cell.bias.get()[i] = static_cast<C>(static_cast<const S*>(parameters.bias_ih)[i]) +
                             static_cast<C>(static_cast<const S*>(parameters.bias_hh)[i]);
      }
    }
    return cell;
  }

  int64_t x_stride() const { return input_size_; }

  /// Whether the layer's input can be read as it lies in memory.
  bool reads_x_directly() const { return kInPlace && mask_ == nullptr; }

  /// `count` rows of the layer's input from row `row` on, as a matrix of C; loaded into `buffer`
  /// where they have to be converted or multiplied with the dropout mask.
  StridedMatrix<C> x_rows(int64_t row, int64_t count, C* buffer) const {
    if constexpr (kInPlace) {
      if (mask_ == nullptr) return {x_ + row * x_stride(), x_stride(), 1};
    }
    const auto& kernels = storage_kernels<S, C>();
    for_panels(input_size_, [&](int64_t j, int64_t columns) {
      kernels.load(count, columns, columns, {x_ + row * x_stride() + j, x_stride()}, buffer + j,
                   input_size_);
      if (mask_ != nullptr)
        kernels.scale(count, columns, {mask_ + row * x_stride() + j, x_stride()}, buffer + j,
                      input_size_);
    });
    return {buffer, input_size_, 1};
  }

  /// The product of all inputs with W_x, rows of it shared by the threads.
  void project_all() {
    if constexpr (kInPlace) {
      constexpr int64_t kRows = 96;
      const int64_t rows = shape_.rows(), blocks = ceil_div(rows, kRows);
      for (ForwardCell<S, C>& cell : cells_) {
        parallel_tasks(blocks, 2.0 * rows * shape_.hidden_size * input_size_, [&](int64_t block) {
          const int64_t row = block * kRows, count = std::min(kRows, rows - row);
          const Buffer<C> buffer(reads_x_directly() ? 0 : count * input_size_);
          const StridedMatrix<C> x = x_rows(row, count, buffer.get());
          for_panels(shape_.hidden_size, [&](int64_t j, int64_t) {
            multiply_panel(count, x, cell.weight_ih, j, cell.h + row * stride_ + j, stride_, false);
          });
        });
      }
    }
  }

  /// Takes the rows [b0, b1) of the batch through all steps, a tile of steps at a time: first the
  /// tile's product with W_x, then step after step the recurrent product with bias and activation
  /// in its epilogue.
  void run_rows(const ForwardCell<S, C>& cell, int64_t b0, int64_t b1, bool projected) const {
    const int64_t m = b1 - b0, hidden = shape_.hidden_size, steps = shape_.steps;
    if (m == 0) return;
    const int64_t tile = std::clamp<int64_t>(kTileBytes / (m * hidden * sizeof(C)), 1, steps);
    const Buffer<C> x_buffer(reads_x_directly() || projected ? 0 : tile * m * input_size_);
    // Computed apart from the states, slot s + 1 of the scratch is the tile's step s; slot 0 is the
    // state before it.
    const Buffer<C> scratch(kInPlace ? 0 : (tile + 1) * m * hidden);
    const int64_t slot = m * hidden;
    const auto time = [&](int64_t step) { return cell.reverse ? steps - 1 - step : step; };
    const auto h_row = [&](int64_t step) {
      return cell.h + (time(step) * shape_.batch + b0) * stride_;
    };

    const C* previous = nullptr;
    int64_t previous_stride = hidden;
    if (cell.hx != nullptr) previous = initial_state(cell.hx + b0 * hidden, m, scratch.get());

    for (int64_t begin = 0; begin < steps; begin += tile) {
      const int64_t count = std::min(tile, steps - begin);
      const auto pre = [&](int64_t step) {
        if constexpr (kInPlace) {
          return h_row(step);
        } else {
          return scratch.get() + (step - begin + 1) * slot;
        }
      };
      const int64_t ld = kInPlace ? stride_ : hidden;
      if (!projected) project_tile(cell, b0, m, begin, count, x_buffer.get(), time, pre, ld);
      for (int64_t step = begin; step < begin + count; ++step) {
        advance(cell, m, previous, previous_stride, pre(step), ld);
        if constexpr (!kInPlace) round_states(m, pre(step), h_row(step));
        previous = pre(step);
        previous_stride = ld;
      }
      if constexpr (!kInPlace) {
        std::copy_n(previous, slot, scratch.get());
        previous = scratch.get();
      }
    }
    for (int64_t i = 0; i < m; ++i)
      std::copy_n(h_row(steps - 1) + i * stride_, hidden, cell.h_n + (b0 + i) * hidden);
  }

  const C* initial_state(const S* hx, int64_t m, C* slot) const {
    if constexpr (kInPlace) {
      return hx;
    } else {
      for_panels(shape_.hidden_size, [&](int64_t j, int64_t columns) {
        storage_kernels<S, C>().load(m, columns, columns, {hx + j, shape_.hidden_size}, slot + j,
                                     shape_.hidden_size);
      });
      return slot;
    }
  }

  template <typename Time, typename Pre>
  void project_tile(const ForwardCell<S, C>& cell, int64_t b0, int64_t m, int64_t begin,
                    int64_t count, C* x_buffer, const Time& time, const Pre& pre,
                    int64_t ld) const {
    std::vector<StridedMatrix<C>> x;
    for (int64_t step = begin; step < begin + count; ++step) {
      x.push_back(
          x_rows(time(step) * shape_.batch + b0, m, x_buffer + (step - begin) * m * input_size_));
    }
    for_panels(shape_.hidden_size, [&](int64_t j, int64_t) {
      for (int64_t step = begin; step < begin + count; ++step)
        multiply_panel(m, x[step - begin], cell.weight_ih, j, pre(step) + j, ld, false);
    });
  }

  /// One step: pre = f(pre + previous W_h^T + bias), in place.
  void advance(const ForwardCell<S, C>& cell, int64_t m, const C* previous, int64_t previous_stride,
               C* pre, int64_t ld) const {
    const auto& kernels = math_kernels<C>();
    const auto multiply = shape_.batch == 1 ? kernels.gemv : kernels.gemm;
    for_panels(shape_.hidden_size, [&](int64_t j, int64_t columns) {
      if (previous != nullptr)
        multiply(m, columns, shape_.hidden_size, {previous, previous_stride, 1},
                 cell.weight_hh.panel(j), cell.weight_hh.stride(j), pre + j, ld, true);
      kernels.activate(shape_.activation, m, columns,
                       cell.bias.get() != nullptr ? cell.bias.get() + j : nullptr, pre + j, ld);
    });
  }

  /// Stores a step's states as S and takes them back, so that the next step sees what is stored.
  void round_states(int64_t m, C* state, S* h) const {
    const auto& kernels = storage_kernels<S, C>();
    const int64_t hidden = shape_.hidden_size;
    for_panels(hidden, [&](int64_t j, int64_t columns) {
      kernels.store(m, columns, state + j, hidden, {h + j, stride_});
      kernels.load(m, columns, columns, {h + j, stride_}, state + j, hidden);
    });
  }

  const StackShape& shape_;
  int64_t layer_;
  int64_t input_size_;  ///< I_l
  int64_t stride_;      ///< distance of the states' rows, D * H
  const S* x_;          ///< [T, B, I_l]
  const S* mask_ = nullptr;
  std::vector<ForwardCell<S, C>> cells_;
};

}  // namespace

template <typename S>
void rnn_forward(const StackForward& stack) {
  for (int64_t layer = 0; layer < stack.shape.num_layers; ++layer)
    LayerForward<S, compute_t<S>>(stack, layer).run();
}

template void rnn_forward<double>(const StackForward&);
template void rnn_forward<float>(const StackForward&);
template void rnn_forward<c10::BFloat16>(const StackForward&);
template void rnn_forward<c10::Half>(const StackForward&);

}  // namespace elman::cpu
