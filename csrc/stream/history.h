#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>

namespace elman {

/// One stretch of a stream, as a call of `_rnn_forward` or `_rnn_backward` takes it: time major. w
/// steps, B rows, L layers.
struct Stretch {
  at::Tensor input;                       ///< [w, B, I]
  at::Tensor before;                      ///< [L, B, H] the states before its first step
  at::Tensor output;                      ///< [w, B, H] the top layer's outputs
  at::Tensor states;                      ///< [L-1, w, B, H] the lower layers'; [0] if L == 1
  at::Tensor masks;                       ///< as states, the dropout masks; [0] without dropout
  at::Tensor drives;                      ///< [L, w, B, H] as Saved::drives; [0] without leak
  at::Tensor carried;                     ///< [L, w, B, H] the states after each step, where the
                                          ///< outputs are not; else [0]
  std::optional<at::Tensor> reset;        ///< [w, B] bool
  std::optional<at::Tensor> carry_scale;  ///< [w, B] floating
};

/// One quantity of every step of a stream, in a buffer that is only appended to: a view of steps
/// once written stays as it is. Where the buffer is full, a new one takes its place, with the steps
/// still needed copied to its start. A quantity that most chunks lack (a reset, say) has no buffer
/// while the steps still needed lack it.
class Track {
 public:
  /// fill: what the quantity is at steps whose chunk lacks it.
  explicit Track(double fill) : fill_(fill) {}

  /// Writes a chunk, [N, c, B, ...] or undefined (lacking), of `count` steps at position `end`.
  void write(const at::Tensor& chunk, int64_t count, int64_t end, int64_t capacity);
  /// Moves the steps [first, end) to the start of a new buffer.
  void renew(int64_t first, int64_t end, int64_t capacity);
  /// [N, end - first, B, ...]; undefined if all these steps lack the quantity.
  at::Tensor view(int64_t first, int64_t end) const;

 private:
  double fill_;
  at::Tensor buffer_;     // [N, capacity, B, ...] or undefined
  int64_t last_end_ = 0;  // behind the last step that had the quantity
};

/// The past of a stream that its gradients still reach: the last `kept` steps (k2 - k1) with
/// everything that a backward pass over them needs, O(kept * B * (I + L * H)) memory. Views that
/// were handed out stay as they are, so each call keeps its own history.
class History {
 public:
  explicit History(int64_t kept) : kept_(kept) {}

  /// Takes in a chunk and returns it with the steps kept before it: what its backward pass needs.
  /// `chunk.before` counts only for the first chunk, or with `replace_states`, in place of the
  /// states that were after the last step.
  Stretch append(const Stretch& chunk, bool replace_states);

  /// Whether no chunk has been taken in.
  bool empty() const { return end_ == 0; }
  /// The steps kept: appended to an empty history they make it this one again.
  Stretch kept() const { return stretch(first(), end_); }

 private:
  int64_t first() const { return end_ > kept_ ? end_ - kept_ : 0; }
  void renew(int64_t count);
  Stretch stretch(int64_t first, int64_t end) const;

  int64_t kept_;
  int64_t end_ = 0;  // steps in the buffers
  int64_t capacity_ = 0;
  Track input_{0};
  // Of all layers; position p is the output, or the state that is carried, after p steps of the
  // buffer. The latter only where it is not the output.
  Track states_{0};
  Track carried_{0};
  Track masks_{1};
  Track drives_{0};
  Track reset_{0};
  Track carry_scale_{1};
};

}  // namespace elman
