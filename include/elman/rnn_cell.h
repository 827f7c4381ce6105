#pragma once

#include <elman/export.h>
#include <elman/options.h>
#include <torch/nn/cloneable.h>
#include <torch/nn/modules/common.h>
#include <torch/nn/pimpl.h>
#include <torch/types.h>

#include <cstdint>
#include <iosfwd>

namespace elman {

/// One Elman layer, one step at a time, the same as `torch::nn::RNNCell`:
///
///     h' = f(W_x x + b_x + W_h h + b_h)
///
/// Parameters (names, order, and, for the same seed, values) and archives are those of
/// `torch::nn::RNNCell`. See `elman::RNNCellOptions` for the constructor's arguments; it throws
/// `c10::Error` where a size is not positive.
///
/// Example:
/// ```
/// elman::RNNCell cell(elman::RNNCellOptions(16, 32).nonlinearity(torch::kSigmoid));
/// torch::Tensor h;  // undefined: starts from zeros
/// for (const auto& x : torch::randn({100, 8, 16}).unbind()) h = cell->forward(x, h);
/// ```
class ELMAN_API RNNCellImpl : public torch::nn::Cloneable<RNNCellImpl> {
 public:
  RNNCellImpl(int64_t input_size, int64_t hidden_size)
      : RNNCellImpl(RNNCellOptions(input_size, hidden_size)) {}
  explicit RNNCellImpl(const RNNCellOptions& options_);

  /// Checks the options, creates the parameters and initialises them.
  void reset() override;

  /// Draws all parameters anew from U(-1/sqrt(H), 1/sqrt(H)).
  void reset_parameters();

  /// Prints as `torch::nn::RNNCell` does.
  void pretty_print(std::ostream& stream) const override;

  /// One step.
  ///
  ///   - input: [B, I] or [I]
  ///   - hx: [B, H] or [H], as `input`; undefined means zeros
  ///
  /// Returns h', [B, H] or [H]. Dtypes: float64, float32, bfloat16, float16; complex128 and
  /// complex64 (not with ReLU or softplus); the same for all. Throws `c10::Error` naming the
  /// argument that is wrong.
  torch::Tensor forward(const torch::Tensor& input, const torch::Tensor& hx = {});

 protected:
  FORWARD_HAS_DEFAULT_ARGS({1, torch::nn::AnyValue(torch::Tensor())})

 public:
  /// The options with which this module was constructed.
  RNNCellOptions options;

  torch::Tensor weight_ih;  ///< [H, I]
  torch::Tensor weight_hh;  ///< [H, H]
  torch::Tensor bias_ih;    ///< [H]; undefined without `bias`
  torch::Tensor bias_hh;    ///< [H]; undefined without `bias`
};

/// A `ModuleHolder` subclass for `RNNCellImpl`. See the documentation for `RNNCellImpl` class to
/// learn what methods it provides, and examples of how to use `RNNCell` with
/// `elman::RNNCellOptions`.
TORCH_MODULE(RNNCell);

}  // namespace elman
