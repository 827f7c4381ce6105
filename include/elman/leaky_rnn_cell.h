#pragma once

#include <elman/export.h>
#include <elman/leaky_options.h>
#include <torch/nn/cloneable.h>
#include <torch/nn/modules/common.h>
#include <torch/nn/pimpl.h>
#include <torch/types.h>

#include <iosfwd>
#include <vector>

namespace elman {

/// One step of `elman::LeakyRNN`. What is given and returned is the state that is carried, h or v;
/// `output` makes r of it. Parameters: those of `elman::RNNCell`, and alpha's as of `LeakyRNN`.
///
/// Example:
/// ```
/// elman::LeakyRNNCell cell(elman::LeakyRNNCellOptions(16, 32).alpha(0.2));
/// torch::Tensor h;  // undefined: starts from zeros
/// for (const auto& x : torch::randn({100, 8, 16}).unbind()) h = cell->forward(x, h);
/// ```
class ELMAN_API LeakyRNNCellImpl : public torch::nn::Cloneable<LeakyRNNCellImpl> {
 public:
  explicit LeakyRNNCellImpl(const LeakyRNNCellOptions& options_);

  /// Checks the options, creates the parameters and initialises them.
  void reset() override;

  /// Draws all weights anew from U(-1/sqrt(H), 1/sqrt(H)); alpha is what the options say.
  void reset_parameters();

  /// [] or [H], as it was given; undefined for 1 in the rate form.
  torch::Tensor alpha() const;

  /// The output r of a state: itself in the rate form, f of it in the current form.
  torch::Tensor output(const torch::Tensor& state) const;

  void pretty_print(std::ostream& stream) const override;

  /// One step: as `elman::RNNCell`, and
  ///
  ///   - preactivation: [B, H] or [H], added to a_t, differentiable; undefined means nothing
  torch::Tensor forward(const torch::Tensor& input, const torch::Tensor& hx = {},
                        const torch::Tensor& preactivation = {});

 protected:
  FORWARD_HAS_DEFAULT_ARGS({1, torch::nn::AnyValue(torch::Tensor())},
                           {2, torch::nn::AnyValue(torch::Tensor())})

 public:
  /// The options with which this module was constructed; the noise may be changed afterwards.
  LeakyRNNCellOptions options;

  torch::Tensor weight_ih;  ///< [H, I]
  torch::Tensor weight_hh;  ///< [H, H]
  torch::Tensor bias_ih;    ///< [H]; undefined without `bias`
  torch::Tensor bias_hh;    ///< [H]; undefined without `bias`
};

/// A `ModuleHolder` subclass for `LeakyRNNCellImpl`. See the documentation for `LeakyRNNCellImpl`
/// class to learn what methods it provides, and examples of how to use `LeakyRNNCell` with
/// `elman::LeakyRNNCellOptions`.
TORCH_MODULE(LeakyRNNCell);

}  // namespace elman
