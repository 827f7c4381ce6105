#pragma once

#include <ATen/core/Tensor.h>
#include <c10/util/ArrayRef.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "stream/history.h"

namespace elman {

/// What a stream is told about its module at each call: it owns no parameters.
struct StreamModule {
  at::TensorList params;  ///< as RnnArguments
  bool has_biases;
  int64_t num_layers;
  double dropout;
  bool train;
  bool batch_first;
  std::string_view nonlinearity;
  std::optional<at::Tensor> leak = std::nullopt;  ///< as RnnArguments, this and the next
  std::string_view leak_form = "rate";
};

/// A chunk as the caller gives it.
struct StreamChunk {
  const at::Tensor& input;  ///< [c, B, I], c <= k1; [B, c, I] if batch_first; [c, I] unbatched
  std::optional<at::Tensor> reset;  ///< as RnnArguments, this and the next two
  std::optional<at::Tensor> carry_scale;
  std::optional<at::Tensor> preactivation = std::nullopt;
};

/// TBPTT(k1, k2) over an endless sequence with an optimizer step after every chunk of k1 steps: the
/// engine behind `elman::Stream` in C++ and in Python.
///
/// A chunk's forward pass is one call of `_rnn_forward`. Its backward pass is one call of
/// `_rnn_backward`, full BPTT over the stretch [the k2 - k1 steps before it; the chunk], with the
/// states as they were made and the weights as they are: nothing is recomputed.
class StreamEngine {
 public:
  StreamEngine(int64_t k1, int64_t k2);

  /// Returns the top layer's outputs in the input's layout, under one autograd node whose edges are
  /// input, params, leak and preactivation.
  at::Tensor forward(const StreamChunk& chunk, const StreamModule& module);

  /// Back to the beginning: zeros, and no past.
  void reset();
  /// Keeps the states; gradients end there, and a new grid of chunks begins.
  void detach();

  /// [L, B, H], [L, H] unbatched, a copy; undefined before the first chunk.
  at::Tensor state() const;
  /// Begins a new sequence, from `state` ([L, B, H] or [L, H]), in the rows where rows, [B] bool,
  /// is true; without `rows`, where `state` differs from the one there is.
  void set_state(const at::Tensor& state, const std::optional<at::Tensor>& rows);

  /// Everything that the future depends on. A stream that loads it goes on to the bit.
  std::map<std::string, at::Tensor> save() const;
  void load(const std::map<std::string, at::Tensor>& from);

  int64_t k1() const { return k1_; }
  int64_t k2() const { return k2_; }

 private:
  void check_chunk(const at::Tensor& input, const StreamModule& module) const;
  std::optional<at::Tensor> border_scale(const at::Tensor& input,
                                         const std::optional<at::Tensor>& carry_scale) const;

  int64_t k1_;
  int64_t k2_;
  bool batched_ = true;
  bool ended_ = false;  // by a chunk of less than k1 steps
  at::Tensor state_;    // [L, B, H]; undefined means zeros
  at::Tensor
      fresh_;  // [B] bool, the rows where a new sequence begins at the next step, or undefined
  History history_;
};

}  // namespace elman
