#pragma once

#include <elman/export.h>
#include <elman/leaky_options.h>
#include <torch/nn/cloneable.h>
#include <torch/nn/modules/common.h>
#include <torch/nn/pimpl.h>
#include <torch/nn/utils/rnn.h>
#include <torch/types.h>

#include <cstdint>
#include <iosfwd>
#include <tuple>
#include <vector>

namespace elman {

/// A stack of Elman layers whose units leak: the continuous-time RNN (CTRNN) of neuroscience,
/// integrated by Euler's method. See `elman::LeakyForm` for the equations; p_t is the noise, and
/// what else is added to the pre-activation. The rate form with alpha = 1 is `elman::RNN`.
///
/// Parameters: those of `elman::RNN`, with the same values for the same seed, and `raw_alpha` if
/// `learn_alpha`. A fixed alpha is the buffer `alpha`, which is not there where it is 1 in the rate
/// form. The constructor throws `c10::Error` where `elman::RNN`'s does, without alpha, and where
/// alpha lies outside of (0, 1], noise is negative or not finite, or an alpha of 1 is to be learnt.
///
/// Example:
/// ```
/// elman::LeakyRNN rnn(elman::LeakyRNNOptions(3, 50).tau(/*tau=*/100, /*dt=*/20).noise(0.05));
/// auto [output, h_n] = rnn->forward(torch::randn({75, 8, 3}));  // [75, 8, 50], [1, 8, 50]
/// ```
class ELMAN_API LeakyRNNImpl : public torch::nn::Cloneable<LeakyRNNImpl> {
 public:
  explicit LeakyRNNImpl(const LeakyRNNOptions& options_);

  /// Checks the options, creates the parameters and initialises them.
  void reset() override;

  /// Draws all weights anew from U(-1/sqrt(H), 1/sqrt(H)); alpha is what the options say.
  void reset_parameters();

  /// All weights, layer by layer, direction by direction, as the operator takes them.
  std::vector<torch::Tensor> all_weights() const { return weights_; }

  /// [], [H] or [L*D, H], as it was given; undefined for 1 in the rate form.
  torch::Tensor alpha() const;

  /// The output r of states, `hx` or h_n: they themselves in the rate form, f of them in the
  /// current form.
  torch::Tensor output(const torch::Tensor& state) const;

  void pretty_print(std::ostream& stream) const override;

  /// Runs the stack over a sequence: as `elman::RNN`, and
  ///
  ///   - preactivation: [T, B, D*H] laid out as `input`, added to a_t, differentiable; with several
  ///     layers [L, T, B, D*H]; undefined means nothing
  std::tuple<torch::Tensor, torch::Tensor> forward(const torch::Tensor& input,
                                                   const torch::Tensor& hx = {},
                                                   const torch::Tensor& reset = {},
                                                   const torch::Tensor& carry_scale = {},
                                                   const torch::Tensor& preactivation = {});

 protected:
  FORWARD_HAS_DEFAULT_ARGS({1, torch::nn::AnyValue(torch::Tensor())},
                           {2, torch::nn::AnyValue(torch::Tensor())},
                           {3, torch::nn::AnyValue(torch::Tensor())},
                           {4, torch::nn::AnyValue(torch::Tensor())})

 public:
  /// Runs the stack over sequences of different lengths: as `elman::RNN`, and
  ///
  ///   - preactivation: [rows, D*H], [L, rows, D*H], in the order of the packed rows
  std::tuple<torch::nn::utils::rnn::PackedSequence, torch::Tensor> forward_with_packed_input(
      const torch::nn::utils::rnn::PackedSequence& packed_input, const torch::Tensor& hx = {},
      const torch::Tensor& preactivation = {});

  /// The options with which this module was constructed; the truncation and the noise may be
  /// changed afterwards.
  LeakyRNNOptions options;

 private:
  int64_t num_directions() const { return options.rnn().bidirectional() ? 2 : 1; }

  std::vector<torch::Tensor> weights_;
};

/// A `ModuleHolder` subclass for `LeakyRNNImpl`. See the documentation for `LeakyRNNImpl` class to
/// learn what methods it provides, and examples of how to use `LeakyRNN` with
/// `elman::LeakyRNNOptions`.
TORCH_MODULE(LeakyRNN);

}  // namespace elman
