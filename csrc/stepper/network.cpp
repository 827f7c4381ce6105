#include "stepper/network.h"

#include <algorithm>
#include <cstring>

#include "stepper/flush_denormals.h"

namespace elman::stepper {
namespace {

/// Rows of the product with W_x that `process` makes at a time: enough to be a product of its own,
/// few enough for the first-level cache.
constexpr int64_t kTileRows = 24;

/// The library's vectors are quicker than blocks of a known size, for short rows too.
template <typename T>
void copy(const T* from, int64_t count, T* to) {
  std::memcpy(to, from, static_cast<std::size_t>(count) * sizeof(T));
}

/// to[m, n], one row after another.
template <typename T>
void copy_rows(int64_t m, int64_t n, const T* from, int64_t stride, T* to) {
  for (int64_t row = 0; row < m; ++row) copy(from + row * stride, n, to + row * n);
}

}  // namespace

template <typename T>
Network<T>::Network(std::shared_ptr<const Weights<T>> weights, int64_t rows)
    : weights_(std::move(weights)),
      rows_(rows),
      tile_(std::max<int64_t>(1, kTileRows / rows)),
      row_stride_(padded(weights_->hidden_size) + kPadding),
      sums_(tile_ * rows * padded(std::max(weights_->hidden_size, weights_->output_size))),
      tile_rows_(tile_ * rows * row_stride_) {
  const int64_t H = weights_->hidden_size, L = static_cast<int64_t>(weights_->layers.size());
  const auto stride_of = [&](int64_t layer) {
    return padded(weights_->layers[layer].k) + padded(H) + kPadding;  // finish() writes beyond
  };
  const int64_t last_stride = writes_output() ? H : row_stride_;
  for (int64_t l = 0; l < L; ++l) {
    const bool is_current = weights_->layers[l].epilogue.form == Form::kCurrent,
               is_last = l + 1 == L;
    const int64_t stride = stride_of(l), carried_stride = is_current ? padded(H) : stride;
    const FinishedRows finished{rows, padded(H), carried_stride, stride, last_stride};
    layers_.push_back({Buffer<T>(rows * stride), stride,
                       Buffer<T>(is_current ? rows * padded(H) : 0), finished, finished});
    if (is_last) continue;
    layers_[l].of_step.copy = stride_of(l + 1);
    layers_[l].of_process.copy = row_stride_;
  }
  for (int64_t row = 0; row < rows; ++row) reset(row);
}

template <typename T>
T* Network<T>::carried_row(int64_t layer, int64_t row) {
  if (!is_current(layer)) return h_row(layer, row);
  return layers_[layer].carried.get() + row * padded(weights_->hidden_size);
}

template <typename T>
void Network<T>::reset(int64_t row) noexcept {
  const int64_t H = weights_->hidden_size;
  for (int64_t l = 0; l < num_layers(); ++l) {
    std::fill_n(carried_row(l, row), H, T(0));
    if (is_current(l))
      weights_->kernels.activate(packed(l).epilogue.activation, H, carried_row(l, row),
                                 h_row(l, row));
  }
}

/// c[m, n] = or += a[m, k] times the rows first_k ... first_k + k of the layer's panels. A single
/// row goes through the panels forwards and backwards in turn, so that it begins with those that it
/// has left in the first-level cache; no sum depends on that.
template <typename T>
void Network<T>::multiply(const PackedLayer<T>& layer, int64_t m, int64_t first_k, int64_t k,
                          const T* a, int64_t a_stride, T* c, bool accumulate,
                          bool one_by_one) const {
  const Kernels<T>& kernels = weights_->kernels;
  const int64_t width = padded(layer.n), panel = kernels.panel_columns;
  const auto run = one_by_one ? kernels.multiply_row : kernels.multiply_rows;
  const auto multiply_panel = [&](int64_t j) {
    const int64_t columns = std::min(panel, width - j);
    const T* const b = layer.panels.get() + j * layer.k + first_k * columns;
    run({m, columns, k, {a, a_stride, 1}, b, columns, c + j, width, accumulate, nullptr});
  };
  if (one_by_one && backwards_) {
    for (int64_t j = (width - 1) / panel * panel; j >= 0; j -= panel) multiply_panel(j);
  } else {
    for (int64_t j = 0; j < width; j += panel) multiply_panel(j);
  }
}

template <typename T>
void Network<T>::finish_layer(int64_t layer, const FinishedRows& rows, T* sums, T* next) {
  weights_->kernels.finish(packed(layer).epilogue, rows, sums, carried_row(layer, 0),
                           h_row(layer, 0), next);
}

/// y[m, O] = f_y of m rows of h, row_stride_ apart.
template <typename T>
void Network<T>::apply_head(int64_t m, const T* h, T* y) {
  const PackedLayer<T>& head = weights_->head.front();
  const int64_t O = weights_->output_size;
  T* const sums = sums_.get();
  multiply(head, m, 0, head.k, h, row_stride_, sums, false, m == 1);
  weights_->kernels.finish(head.epilogue, {m, padded(O), 0, padded(O), 0}, sums, nullptr, sums,
                           nullptr);
  copy_rows(m, O, sums, padded(O), y);
}

template <typename T>
bool Network<T>::writes_output() const {
  return weights_->head.empty() && padded(weights_->hidden_size) == weights_->hidden_size;
}

template <typename T>
void Network<T>::step(const T* x, T* y) noexcept {
  const FlushDenormals flush;
  const int64_t H = weights_->hidden_size, I = weights_->input_size, L = num_layers();
  const bool has_head = !weights_->head.empty();
  for (int64_t row = 0; row < rows_; ++row) copy(x + row * I, I, h_row(0, row) + H);
  T* const last = has_head ? tile_rows_.get() : writes_output() ? y : nullptr;
  for (int64_t l = 0; l < L; ++l) {
    multiply(packed(l), rows_, 0, packed(l).k, h_row(l, 0), layers_[l].stride, sums_.get(), false,
             rows_ == 1);
    finish_layer(l, layers_[l].of_step, sums_.get(), l + 1 < L ? h_row(l + 1, 0) + H : last);
  }
  if (has_head) {
    apply_head(rows_, last, y);
  } else if (last == nullptr) {
    copy_rows(rows_, H, h_row(L - 1, 0), layers_[L - 1].stride, y);
  }
  backwards_ = !backwards_;
}

template <typename T>
void Network<T>::process(const T* x, T* y, int64_t steps) noexcept {
  const FlushDenormals flush;
  for (int64_t t = 0; t < steps; t += tile_)
    process_tile(x + t * rows_ * weights_->input_size, y + t * rows_ * weights_->output_size,
                 std::min(tile_, steps - t));
}

/// Layer after layer: its products with W_x for all steps of the tile, then step after step.
template <typename T>
void Network<T>::process_tile(const T* x, T* y, int64_t steps) {
  const int64_t H = weights_->hidden_size, L = num_layers();
  const int64_t all_rows = steps * rows_;
  const T* input = x;
  int64_t input_stride = weights_->input_size;
  for (int64_t l = 0; l < L; ++l) {
    const PackedLayer<T>& layer = packed(l);
    multiply(layer, all_rows, H, layer.k - H, input, input_stride, sums_.get(), false, false);
    T* const next = l + 1 == L && writes_output() ? y : tile_rows_.get();
    for (int64_t t = 0; t < steps; ++t, backwards_ = !backwards_) {
      T* const sums = sums_.get() + t * rows_ * padded(H);
      multiply(layer, rows_, 0, H, h_row(l, 0), layers_[l].stride, sums, true, rows_ == 1);
      finish_layer(l, layers_[l].of_process, sums, next + t * rows_ * layers_[l].of_process.copy);
    }
    input = tile_rows_.get();
    input_stride = row_stride_;
  }
  if (!weights_->head.empty()) {
    apply_head(all_rows, tile_rows_.get(), y);
  } else if (!writes_output()) {
    copy_rows(all_rows, H, tile_rows_.get(), row_stride_, y);
  }
}

template <typename T>
void Network<T>::get_state(T* to) const noexcept {
  const int64_t H = weights_->hidden_size;
  for (int64_t l = 0; l < num_layers(); ++l)
    for (int64_t row = 0; row < rows_; ++row)
      copy<T>(const_cast<Network*>(this)->carried_row(l, row), H, to + (l * rows_ + row) * H);
}

template <typename T>
void Network<T>::set_state(const T* from) noexcept {
  const int64_t H = weights_->hidden_size;
  for (int64_t l = 0; l < num_layers(); ++l)
    for (int64_t row = 0; row < rows_; ++row) {
      copy(from + (l * rows_ + row) * H, H, carried_row(l, row));
      if (is_current(l))
        weights_->kernels.activate(packed(l).epilogue.activation, H, carried_row(l, row),
                                   h_row(l, row));
    }
}

template class Network<float>;
template class Network<double>;

}  // namespace elman::stepper
