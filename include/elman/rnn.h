#pragma once

#include <elman/export.h>
#include <elman/options.h>
#include <torch/nn/cloneable.h>
#include <torch/nn/modules/common.h>
#include <torch/nn/pimpl.h>
#include <torch/nn/utils/rnn.h>
#include <torch/types.h>

#include <cstdint>
#include <iosfwd>
#include <string>
#include <tuple>
#include <vector>

namespace elman {

/// A stack of Elman layers (Elman 1990), the same network as `torch::nn::RNN`, with explicit
/// truncated back-propagation through time (Williams & Peng 1990; Sutskever 2013). For each layer
/// and step
///
///     h_t = f(W_x x_t + b_x + W_h h_{t-1} + b_h)
///
/// The whole stack is one fused operator and one autograd node. Parameters (names, order, and, for
/// the same seed, values), archives of `torch::save`/`torch::load` and default arguments are those
/// of `torch::nn::RNN`: either loads what the other saved.
///
/// Parameters, U(-1/sqrt(H), 1/sqrt(H)) at first, of layer k (with the suffix `_reverse` for the
/// reverse direction):
///   - weight_ih_lk: [H, I], [H, D*H] for k > 0
///   - weight_hh_lk: [H, H]
///   - bias_ih_lk, bias_hh_lk: [H], if `bias`
///
/// See `elman::RNNOptions` for the constructor's arguments. The constructor throws `c10::Error`
/// where `input_size`, `hidden_size` or `num_layers` is not positive, `dropout` lies outside
/// [0, 1], or `truncation` has k1 < k2 with two directions; it warns where `dropout` is set for a
/// single layer, which has no use for it.
///
/// Example:
/// ```
/// elman::RNN rnn(elman::RNNOptions(16, 32).num_layers(2).truncation(20));
/// auto [output, h_n] = rnn->forward(torch::randn({100, 8, 16}));  // [100, 8, 32], [2, 8, 32]
/// // No error goes back over a border between chunks of 20 steps.
/// output.square().mean().backward();
/// // From now on each output's error goes back through 20 steps.
/// rnn->options.truncation(1, 20);
/// ```
class ELMAN_API RNNImpl : public torch::nn::Cloneable<RNNImpl> {
 public:
  RNNImpl(int64_t input_size, int64_t hidden_size) : RNNImpl(RNNOptions(input_size, hidden_size)) {}
  explicit RNNImpl(const RNNOptions& options_);

  /// Checks the options, creates the parameters and initialises them.
  void reset() override;

  /// Draws all parameters anew from U(-1/sqrt(H), 1/sqrt(H)).
  void reset_parameters();

  /// Does nothing: elman's kernels need no particular storage of the weights. It is there so that
  /// programs written for `torch::nn::RNN` compile.
  void flatten_parameters() {}

  /// All parameters, layer by layer, direction by direction, as the operator takes them.
  std::vector<torch::Tensor> all_weights() const { return weights_; }

  /// Prints as `torch::nn::RNN` does, and `nonlinearity` and `truncation` where they are not the
  /// default.
  void pretty_print(std::ostream& stream) const override;

  /// Runs the stack over a sequence. T steps, B rows of the batch, L layers, D directions.
  ///
  ///   - input: [T, B, I]; [B, T, I] if `batch_first`; [T, I] unbatched
  ///   - hx: [L*D, B, H], [L*D, H] unbatched, the initial states; undefined means zeros
  ///   - reset: bool, `input`'s shape without its last dimension: where true, h_{t-1} counts as
  ///     zero for step t (a new sequence begins) and no gradient crosses; undefined means nowhere
  ///   - carry_scale: floating, as `reset` or [T], scales the gradient that flows from step t to
  ///     the state of step t-1; one direction only, never differentiated itself; undefined means 1
  ///
  /// Returns output, [T, B, D*H] laid out as `input`, the last layer's states, and h_n, [L*D, B, H]
  /// ([L*D, H] unbatched), the final states.
  ///
  /// Dtypes: float64, float32, bfloat16, float16; complex128 and complex64 (not with ReLU or
  /// softplus); the same for `input`, `hx` and the parameters. Throws `c10::Error` naming the
  /// argument that is wrong.
  std::tuple<torch::Tensor, torch::Tensor> forward(const torch::Tensor& input,
                                                   const torch::Tensor& hx = {},
                                                   const torch::Tensor& reset = {},
                                                   const torch::Tensor& carry_scale = {});

 protected:
  FORWARD_HAS_DEFAULT_ARGS({1, torch::nn::AnyValue(torch::Tensor())},
                           {2, torch::nn::AnyValue(torch::Tensor())},
                           {3, torch::nn::AnyValue(torch::Tensor())})

 public:
  /// Runs the stack over sequences of different lengths. `hx`, [L*D, B, H], and h_n are in the
  /// order of the sequences before they were packed; h_n holds each sequence's state at its own
  /// last step (at its first for the reverse direction). Truncation counts each sequence's own
  /// steps.
  std::tuple<torch::nn::utils::rnn::PackedSequence, torch::Tensor> forward_with_packed_input(
      const torch::nn::utils::rnn::PackedSequence& packed_input, const torch::Tensor& hx = {});

  /// The options with which this module was constructed; only `truncation` may be changed
  /// afterwards.
  RNNOptions options;

  /// The same under the names that torch's recurrent modules share, to be read.
  RNNOptionsBase options_base;

 private:
  /// The registered parameters in the operator's order, so that `forward` need not look them up by
  /// name.
  std::vector<torch::Tensor> weights_;
};

/// A `ModuleHolder` subclass for `RNNImpl`. See the documentation for `RNNImpl` class to learn what
/// methods it provides, and examples of how to use `RNN` with `elman::RNNOptions`.
TORCH_MODULE(RNN);

}  // namespace elman
