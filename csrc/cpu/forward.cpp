#include <vector>

#include "cpu/common.h"
#include "cpu/forward_layer.h"
#include "cpu/packed.h"
#include "cpu/rnn.h"
#include "cpu/row_block.h"

namespace elman::cpu {
namespace {

/// Some rows of the batch on their way through the steps of one cell, a tile of steps at a time:
/// first the tile's product with W_x, then step after step the recurrent product with bias and
/// activation in its epilogue. Steps are counted as they are made, in reverse from the last one on.
template <typename S>
class ForwardRows {
 public:
  using C = compute_t<S>;

  /// `projected`: the pre-activations hold the products with W_x already.
  ForwardRows(const ForwardLayer<S>& layer, const ForwardCell<S>& cell, BatchRange range,
              bool projected)
      : layer_(layer),
        shape_(layer.shape()),
        cell_(cell),
        range_(range),
        hidden_(shape_.hidden_size),
        stride_(shape_.features()),
        ld_(kInPlace ? stride_ : hidden_),
        whole_(range.size() == shape_.batch),
        projected_(projected),
        tile_(std::clamp<int64_t>(
            kTileBytes / std::max<int64_t>(1, range.size() * hidden_ * sizeof(C)), 1,
            shape_.steps)),
        x_buffer_(
            layer.reads_x_directly() || projected ? 0 : tile_ * range.size() * layer.input_size()),
        scratch_(kInPlace ? 0 : tile_ * range.size() * hidden_),
        last_of_tile_(kInPlace ? 0 : range.size() * hidden_),
        hx_buffer_(kInPlace || cell.hx == nullptr ? 0 : range.size() * hidden_),
        entering_(layer.reset() != nullptr ? range.size() * hidden_ : 0),
        hx_(cell.hx != nullptr ? initial_states() : nullptr) {}

  void run() {
    if (range_.size() == 0) return;
    for (int64_t begin = 0; begin < shape_.steps; begin += tile_)
      run_tile(begin, std::min(begin + tile_, shape_.steps));
  }

 private:
  static constexpr bool kInPlace = ForwardLayer<S>::kInPlace;
  /// Bytes of pre-activations that are made at a time, to stay in the second-level cache.
  static constexpr int64_t kTileBytes = 128 * 1024;

  int64_t time(int64_t step) const { return cell_.reverse ? shape_.steps - 1 - step : step; }
  int64_t alive(int64_t t) const { return range_.alive(shape_, t); }

  S* h_row(int64_t t) const { return cell_.h + range_.row(shape_, t) * stride_; }

  /// Where step t is computed: where h_t goes, or in the scratch of the tile that begins at t0.
  C* pre(int64_t t, int64_t t0) const {
    if constexpr (kInPlace) {
      return h_row(t);
    } else {
      const int64_t rows = whole_ ? shape_.offset(t) - shape_.offset(t0) : (t - t0) * range_.size();
      return scratch_.get() + rows * hidden_;
    }
  }

  void run_tile(int64_t begin, int64_t end) {
    const int64_t t0 = std::min(time(begin), time(end - 1));
    if (!projected_) project_tile(t0, t0 + end - begin);
    for (int64_t step = begin; step < end; ++step) {
      const int64_t t = time(step), count = alive(t);
      if (count == 0) continue;  // the sequences have ended or, in reverse, not begun
      C* const state = pre(t, t0);
      advance(t, count, state);
      if constexpr (!kInPlace) round_states(count, state, h_row(t));
      keep_final(t, count);
      previous_ = state;
      previous_count_ = count;
    }
    if constexpr (!kInPlace) {
      if (previous_ != nullptr)
        std::copy_n(previous_, previous_count_ * hidden_, last_of_tile_.get());
      previous_ = last_of_tile_.get();
    }
  }

  /// hx: [rows, H] as C.
  const C* initial_states() const {
    const S* const hx = cell_.hx + range_.first * hidden_;
    if constexpr (kInPlace) {
      return hx;
    } else {
      for_panels(hidden_, [&](int64_t j, int64_t columns) {
        storage_kernels<S, C>().load(range_.size(), columns, columns, {hx + j, hidden_},
                                     hx_buffer_.get() + j, hidden_);
      });
      return hx_buffer_.get();
    }
  }

  /// The product with W_x for the steps [t0, t1).
  void project_tile(int64_t t0, int64_t t1) const {
    if (whole_) {  // the steps' rows follow each other
      const int64_t row = shape_.offset(t0), count = shape_.offset(t1) - row;
      const StridedMatrix<C> x = layer_.x_rows(row, count, x_buffer_.get());
      for_panels(hidden_, [&](int64_t j, int64_t columns) {
        multiply_columns(math_kernels<C>().gemm, count, x, cell_.weight_ih, j, columns,
                         pre(t0, t0) + j, ld_, false);
      });
      return;
    }
    std::vector<StridedMatrix<C>> x;
    for (int64_t t = t0; t < t1; ++t) {
      x.push_back(layer_.x_rows(range_.row(shape_, t), alive(t),
                                x_buffer_.get() + (t - t0) * range_.size() * layer_.input_size()));
    }
    for_panels(hidden_, [&](int64_t j, int64_t columns) {
      for (int64_t t = t0; t < t1; ++t)
        multiply_columns(math_kernels<C>().gemm, alive(t), x[t - t0], cell_.weight_ih, j, columns,
                         pre(t, t0) + j, ld_, false);
    });
  }

  /// The states that enter a step: rows [first, first + count) of it.
  struct Entering {
    const C* data;
    int64_t stride;
    int64_t first, count;
  };

  /// One step: pre = f(pre + previous W_h^T + bias), in place.
  void advance(int64_t t, int64_t count, C* state) const {
    // Sequences that begin with this step, in reverse after the first one, start from hx.
    const int64_t carried = std::min(previous_count_, count);
    Entering parts[] = {{previous_, ld_, 0, carried}, {nullptr, hidden_, carried, 0}};
    if (hx_ != nullptr) parts[1] = {hx_ + carried * hidden_, hidden_, carried, count - carried};
    if (layer_.reset() != nullptr) apply_reset(t, parts);

    const auto& kernels = math_kernels<C>();
    // The rows of the step decide, not those of a thread, so that threads do not show in the
    // result.
    const auto multiply = shape_.batch_at(t) == 1 ? kernels.gemv : kernels.gemm;
    for_panels(hidden_, [&](int64_t j, int64_t columns) {
      for (const Entering& part : parts) {
        if (part.count > 0)
          multiply_columns(multiply, part.count, {part.data, part.stride, 1}, cell_.weight_hh, j,
                           columns, state + part.first * ld_ + j, ld_, true);
      }
      kernels.activate(shape_.activation, count, columns,
                       cell_.bias.get() != nullptr ? cell_.bias.get() + j : nullptr, state + j,
                       ld_);
    });
  }

  /// Where a row is reset before step t, its state is replaced by zeros, so that NaN ends there
  /// too. A step without resets goes on as it came.
  void apply_reset(int64_t t, Entering (&parts)[2]) const {
    const int64_t border = cell_.reverse ? t + 1 : t;
    const int64_t known = alive(border);
    if (known == 0) return;
    const bool* const reset = layer_.reset() + range_.row(shape_, border);
    for (Entering& part : parts) {
      const int64_t end = std::min(known, part.first + part.count);
      if (part.first >= end) continue;
      if (std::find(reset + part.first, reset + end, true) == reset + end) continue;
      C* const copy = entering_.get() + part.first * hidden_;
      for (int64_t i = 0; i < part.count; ++i) {
        C* const to = copy + i * hidden_;
        if (part.first + i < known && reset[part.first + i]) {
          std::fill_n(to, hidden_, C(0));
        } else {
          std::copy_n(part.data + i * part.stride, hidden_, to);
        }
      }
      part.data = copy;
      part.stride = hidden_;
    }
  }

  /// Stores a step's states as S and takes them back, so that the next step sees what is stored.
  void round_states(int64_t count, C* state, S* h) const {
    const auto& kernels = storage_kernels<S, C>();
    for_panels(hidden_, [&](int64_t j, int64_t columns) {
      kernels.store(count, columns, state + j, hidden_, {h + j, stride_});
      kernels.load(count, columns, columns, {h + j, stride_}, state + j, hidden_);
    });
  }

  void keep_final(int64_t t, int64_t count) const {
    const S* const h = h_row(t);
    for (int64_t i = range_.first_final(shape_, t, cell_.reverse); i < count; ++i)
      std::copy_n(h + i * stride_, hidden_, cell_.h_n + (range_.first + i) * hidden_);
  }

  const ForwardLayer<S>& layer_;
  const StackShape& shape_;
  const ForwardCell<S>& cell_;
  const BatchRange range_;
  const int64_t hidden_;
  const int64_t stride_;  ///< distance of the states' rows, D * H
  const int64_t ld_;      ///< distance of the rows computed in
  const bool whole_;      ///< all rows of the batch
  const bool projected_;
  const int64_t tile_;            ///< steps
  const Buffer<C> x_buffer_;      ///< the tile's input as C, if it cannot be read directly
  const Buffer<C> scratch_;       ///< the tile's states as C, if they are not computed in place;
  const Buffer<C> last_of_tile_;  ///< [rows, H], and the last of them
  const Buffer<C> hx_buffer_;     ///< [rows, H]
  const Buffer<C> entering_;      ///< [rows, H], the states after resets
  const C* const hx_;             ///< [rows, H] or null
  const C* previous_ = nullptr;   ///< the states of the step before
  int64_t previous_count_ = 0;
};

/// The product of all inputs of a layer with W_x, rows of it shared by the threads.
template <typename S>
void project_all(const ForwardLayer<S>& layer) {
  using C = compute_t<S>;
  constexpr int64_t kRows = 96;
  const StackShape& shape = layer.shape();
  const int64_t rows = shape.rows(), blocks = ceil_div(rows, kRows), stride = shape.features();
  const double flops = 2.0 * rows * shape.hidden_size * layer.input_size();
  for (const ForwardCell<S>& cell : layer.cells()) {
    parallel_tasks(blocks, flops, [&](int64_t block) {
      const int64_t row = block * kRows, count = std::min(kRows, rows - row);
      const Buffer<C> buffer(layer.reads_x_directly() ? 0 : count * layer.input_size());
      const StridedMatrix<C> x = layer.x_rows(row, count, buffer.get());
      for_panels(shape.hidden_size, [&](int64_t j, int64_t columns) {
        multiply_columns(math_kernels<C>().gemm, count, x, cell.weight_ih, j, columns,
                         cell.h + row * stride + j, stride, false);
      });
    });
  }
}

/// Runs one layer, in its one or two directions. Rows of the batch are independent, so each thread
/// takes some rows (of one direction) through the whole sequence, without a barrier.
template <typename S>
void run_layer(const ForwardLayer<S>& layer) {
  const StackShape& shape = layer.shape();
  const int64_t directions = layer.cells().size();
  const double flops = 2.0 * shape.rows() * shape.hidden_size *
                       (layer.input_size() + shape.hidden_size) * directions;
  const int64_t threads = threads_for(flops);
  // At least two rows to a task: a single row does not fill the product's kernel.
  const int64_t splits =
      std::max<int64_t>(1, std::min(ceil_div(threads, directions), shape.batch / 2));
  // With too few rows for the threads, they share the steps of the input's product first.
  bool project_first = false;
  if constexpr (ForwardLayer<S>::kInPlace) {
    project_first = splits * directions < threads;
    if (project_first) project_all(layer);
  }
  const std::vector<BatchRange> ranges = split_batch(shape, splits);
  parallel_tasks(splits * directions, flops, [&](int64_t task) {
    ForwardRows<S>(layer, layer.cells()[task / splits], ranges[task % splits], project_first).run();
  });
}

}  // namespace

template <typename S>
void rnn_forward(const StackForward& stack) {
  for (int64_t layer = 0; layer < stack.shape.num_layers; ++layer)
    run_layer(ForwardLayer<S>(stack, layer));
}

template void rnn_forward<double>(const StackForward&);
template void rnn_forward<float>(const StackForward&);
template void rnn_forward<c10::BFloat16>(const StackForward&);
template void rnn_forward<c10::Half>(const StackForward&);

}  // namespace elman::cpu
