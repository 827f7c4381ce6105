#include "stepper/network.h"

#include <algorithm>
#include <cstring>

#include "stepper/flush_denormals.h"

namespace elman::stepper {
namespace {

/// Rows of the product with W_x that `process` makes at a time: enough to be a product of its own,
/// few enough for the first-level cache.
constexpr int64_t kTileRows = 24;

template <typename T>
void copy(const T* from, int64_t count, T* to) {
  std::memcpy(to, from, static_cast<std::size_t>(count) * sizeof(T));
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
  const int64_t H = weights_->hidden_size;
  for (const PackedLayer<T>& layer : weights_->layers) {
    const int64_t stride = padded(layer.k) + padded(H) + kPadding;  // finish() writes beyond
    const bool current = layer.epilogue.form == Form::kCurrent;
    layers_.push_back(
        {Buffer<T>(rows * stride), stride, Buffer<T>(current ? rows * padded(H) : 0)});
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

/// c[m, n] = or += a[m, k] times the rows first_k ... first_k + k of the layer's panels.
template <typename T>
void Network<T>::multiply(const PackedLayer<T>& layer, int64_t m, int64_t first_k, int64_t k,
                          const T* a, int64_t a_stride, T* c, bool accumulate,
                          bool one_by_one) const {
  const Kernels<T>& kernels = weights_->kernels;
  const int64_t width = padded(layer.n);
  const auto run = one_by_one ? kernels.multiply_row : kernels.multiply_rows;
  for (int64_t j = 0; j < width; j += kernels.panel_columns) {
    const int64_t columns = std::min(kernels.panel_columns, width - j);
    const T* const panel = layer.panels.get() + j * layer.k + first_k * columns;
    run({m, columns, k, {a, a_stride, 1}, panel, columns, c + j, width, accumulate, nullptr});
  }
}

template <typename T>
void Network<T>::step(const T* x, T* y) noexcept {
  const FlushDenormals flush;
  const Kernels<T>& kernels = weights_->kernels;
  const int64_t H = weights_->hidden_size, I = weights_->input_size, L = num_layers();
  const int64_t O = weights_->output_size;
  const bool has_head = !weights_->head.empty();
  for (int64_t row = 0; row < rows_; ++row) copy(x + row * I, I, h_row(0, row) + H);
  for (int64_t l = 0; l < L; ++l) {
    const PackedLayer<T>& layer = packed(l);
    multiply(layer, rows_, 0, layer.k, h_row(l, 0), layers_[l].stride, sums_.get(), false,
             rows_ == 1);
    for (int64_t row = 0; row < rows_; ++row) {
      T* const next = l + 1 < L  ? h_row(l + 1, row) + H
                      : has_head ? tile_rows_.get() + row * row_stride_
                                 : nullptr;
      kernels.finish(layer.epilogue, sums_.get() + row * padded(H), carried_row(l, row),
                     h_row(l, row), next);
    }
  }
  if (!has_head) {
    for (int64_t row = 0; row < rows_; ++row) copy(h_row(L - 1, row), H, y + row * O);
    return;
  }
  const PackedLayer<T>& head = weights_->head.front();
  multiply(head, rows_, 0, H, tile_rows_.get(), row_stride_, sums_.get(), false, rows_ == 1);
  for (int64_t row = 0; row < rows_; ++row) {
    T* const sums = sums_.get() + row * padded(O);
    kernels.finish(head.epilogue, sums, nullptr, sums, nullptr);
    copy(sums, O, y + row * O);
  }
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
  const Kernels<T>& kernels = weights_->kernels;
  const int64_t H = weights_->hidden_size, O = weights_->output_size;
  const int64_t all_rows = steps * rows_;
  const T* input = x;
  int64_t input_stride = weights_->input_size;
  for (int64_t l = 0; l < num_layers(); ++l) {
    const PackedLayer<T>& layer = packed(l);
    multiply(layer, all_rows, H, layer.k - H, input, input_stride, sums_.get(), false, false);
    for (int64_t t = 0; t < steps; ++t) {
      T* const sums = sums_.get() + t * rows_ * padded(H);
      multiply(layer, rows_, 0, H, h_row(l, 0), layers_[l].stride, sums, true, rows_ == 1);
      for (int64_t row = 0; row < rows_; ++row)
        kernels.finish(layer.epilogue, sums + row * padded(H), carried_row(l, row), h_row(l, row),
                       tile_rows_.get() + (t * rows_ + row) * row_stride_);
    }
    input = tile_rows_.get();
    input_stride = row_stride_;
  }
  if (weights_->head.empty()) {
    for (int64_t row = 0; row < all_rows; ++row) copy(input + row * row_stride_, H, y + row * O);
    return;
  }
  const PackedLayer<T>& head = weights_->head.front();
  multiply(head, all_rows, 0, H, input, input_stride, sums_.get(), false, false);
  for (int64_t row = 0; row < all_rows; ++row) {
    T* const sums = sums_.get() + row * padded(O);
    kernels.finish(head.epilogue, sums, nullptr, sums, nullptr);
    copy(sums, O, y + row * O);
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
