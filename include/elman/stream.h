#pragma once

#include <elman/export.h>
#include <elman/leaky_rnn.h>
#include <elman/rnn.h>
#include <torch/serialize/archive.h>
#include <torch/types.h>

#include <cstdint>
#include <memory>
#include <variant>

namespace elman {

class StreamEngine;

/// TBPTT(k1, k2) over an endless sequence, with an optimizer step after every k1 steps (Williams &
/// Peng 1990; Sutskever 2013): the losses of each chunk of k1 outputs go back through at most k2
/// steps, into chunks that were run before the weights changed.
///
/// A stream keeps the last k2 - k1 inputs and states of its module, O(k2 B (I + L H)) memory
/// however long the sequence, and recomputes nothing: old states stay as older weights made them,
/// as in `V(t+1) = V(t) + eta sum_z ...`, and the Jacobians use the weights as they are at the
/// backward pass. A chunk's backward pass costs that of one call over k2 steps. It works with every
/// optimizer.
///
/// A call during a backward pass, as activation checkpointing would make it, is refused. A
/// `forward` of a class that derives from `RNNImpl` plays no part: in C++ it is not virtual.
///
/// It owns no parameters and is no Module: `parameters()`, devices and `train()` are the module's,
/// whose own truncation plays no part here. One direction only.
///
/// Example:
/// ```
/// elman::Stream stream(rnn, /*k1=*/5, /*k2=*/50);
/// for (const auto& [x, target] : chunks) {  // [5, B, I]
///   optimizer.zero_grad();
///   loss(stream(x), target).backward();
///   optimizer.step();
/// }
/// ```
class ELMAN_API Stream {
 public:
  /// 1 <= k1 <= k2. Throws `c10::Error` otherwise, and for a bidirectional module.
  Stream(RNN rnn, int64_t k1, int64_t k2);
  Stream(LeakyRNN rnn, int64_t k1, int64_t k2);

  /// Takes the next chunk. c <= k1 steps, B rows.
  ///
  ///   - input: [c, B, I]; [B, c, I] if the module is `batch_first`; [c, I] unbatched. c < k1 only
  ///     at the stream's end. B is fixed by the first chunk.
  ///   - reset: bool, `input`'s shape without its last dimension: where true, a new sequence begins
  ///   - carry_scale: floating, as `reset` or [c]: scales the gradient that flows from a step to
  ///     the state before it, the border between chunks included
  ///   - preactivation: [c, B, H], [L, c, B, H] as `LeakyRNN::forward`, and only for one: added to
  ///     a_t, differentiable
  ///
  /// Returns the top layer's outputs, laid out as `input`. A gradient of `input` is that of this
  /// chunk's losses; later ones do not reach it. Chunks that are run without a backward pass belong
  /// to the past of those after them. A second chunk may be run before the first one's backward
  /// pass. Double backward is an error.
  torch::Tensor operator()(const torch::Tensor& input, const torch::Tensor& reset = {},
                           const torch::Tensor& carry_scale = {},
                           const torch::Tensor& preactivation = {});

  /// Takes steps whose outputs carry no loss: they warm the states up, and belong to the past of
  /// the chunks after them.
  ///
  ///   - input, reset, carry_scale, preactivation: as for a call, but of a multiple of k1 steps
  void burn_in(const torch::Tensor& input, const torch::Tensor& reset = {},
               const torch::Tensor& carry_scale = {}, const torch::Tensor& preactivation = {});

  /// Back to the beginning: zero states, no past; the batch size may change.
  void reset();

  /// Keeps the states and forgets the rest: no gradient crosses this point.
  void detach();

  /// A copy of the states after the last chunk, [L, B, H] ([L, H] unbatched); undefined before the
  /// first.
  torch::Tensor state() const;

  /// Begins a new sequence from the given states in some rows; no gradient crosses there.
  ///
  ///   - state: [L, B, H], [L, H] unbatched
  ///   - rows: [B] bool, which rows; undefined: those whose state is not what it was
  ///
  /// Before the first chunk it gives the states to begin with.
  void set_state(const torch::Tensor& state, const torch::Tensor& rows = {});

  /// With `torch::save(stream, file)` and `torch::load(stream, file)`: everything but the module,
  /// so that a stream with the same k1 and k2 goes on to the bit. The keys are those of Python's
  /// `Stream.state_dict`.
  void save(torch::serialize::OutputArchive& archive) const;
  void load(torch::serialize::InputArchive& archive);

  int64_t k1() const;
  int64_t k2() const;

  Stream(Stream&&) noexcept;
  Stream& operator=(Stream&&) noexcept;
  ~Stream();

 private:
  using Rnn = std::variant<RNN, LeakyRNN>;

  Stream(Rnn rnn, int64_t k1, int64_t k2);
  const RNNOptions& rnn_options() const;

  Rnn rnn_;
  std::unique_ptr<StreamEngine> engine_;
};

ELMAN_API torch::serialize::OutputArchive& operator<<(torch::serialize::OutputArchive& archive,
                                                      const Stream& stream);
ELMAN_API torch::serialize::InputArchive& operator>>(torch::serialize::InputArchive& archive,
                                                     Stream& stream);

}  // namespace elman
