#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "stepper/weights.h"

namespace elman::stepper {

/// A network's states and the room for its steps. Nothing is allocated after the constructor.
template <typename T>
class Network {
 public:
  Network(std::shared_ptr<const Weights<T>> weights, int64_t rows);

  const Weights<T>& weights() const { return *weights_; }
  int64_t rows() const { return rows_; }
  int64_t num_layers() const { return static_cast<int64_t>(layers_.size()); }

  void reset(int64_t row) noexcept;
  void step(const T* x, T* y) noexcept;
  void process(const T* x, T* y, int64_t steps) noexcept;
  /// [L, rows, H]
  void get_state(T* to) const noexcept;
  void set_state(const T* from) noexcept;

 private:
  /// What a layer knows between two steps: rows of [h_t, room for its input], so that both are one
  /// left factor.
  struct LayerState {
    Buffer<T> rows;  ///< [rows, stride], h first
    int64_t stride;
    Buffer<T> carried;  ///< v: [rows, padded(H)], in the current form
    /// The layer's finish in a step and in `process`. Once for all, since a step of a small network
    /// takes little longer than its arguments would.
    FinishedRows of_step, of_process;
  };

  const PackedLayer<T>& packed(int64_t layer) const { return weights_->layers[layer]; }
  bool is_current(int64_t layer) const { return packed(layer).epilogue.form == Form::kCurrent; }
  T* h_row(int64_t layer, int64_t row) {
    return layers_[layer].rows.get() + row * layers_[layer].stride;
  }
  /// Where the state that is carried on stands: v, or h itself.
  T* carried_row(int64_t layer, int64_t row);
  void multiply(const PackedLayer<T>& layer, int64_t m, int64_t first_k, int64_t k, const T* a,
                int64_t a_stride, T* c, bool accumulate, bool one_by_one) const;
  void finish_layer(int64_t layer, const FinishedRows& rows, T* sums, T* next);
  void apply_head(int64_t m, const T* h, T* y);
  /// Whether the last layer writes its rows where the caller wants them: they are whole vectors,
  /// and there is no head.
  bool writes_output() const;
  void process_tile(const T* x, T* y, int64_t steps);

  std::shared_ptr<const Weights<T>> weights_;
  int64_t rows_;
  int64_t tile_;            ///< steps that `process` takes at a time
  int64_t row_stride_;      ///< of tile_rows_
  bool backwards_ = false;  ///< the way that a single row goes through the panels; see multiply
  std::vector<LayerState> layers_;
  Buffer<T> sums_;  ///< [tile * rows, padded(max(H, O))]
  Buffer<T>
      tile_rows_;  ///< [tile * rows, row_stride]: what a layer hands on; also the head's input
};

}  // namespace elman::stepper
