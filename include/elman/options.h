#pragma once

#include <c10/util/Exception.h>
#include <elman/export.h>
#include <torch/arg.h>
#include <torch/enum.h>
#include <torch/nn/options/rnn.h>

#include <cstdint>
#include <optional>
#include <variant>

namespace elman {

namespace enumtype {
struct kSoftplus {};
struct kIdentity {};
}  // namespace enumtype

/// log(1 + e^a), as a `Nonlinearity`.
inline constexpr enumtype::kSoftplus kSoftplus;
/// a itself (a linear network), as a `Nonlinearity`.
inline constexpr enumtype::kIdentity kIdentity;

/// The activation f of the recurrence: `torch::kTanh`, `torch::kReLU`, `torch::kSigmoid`,
/// `elman::kSoftplus` or `elman::kIdentity`.
using Nonlinearity =
    std::variant<torch::enumtype::kTanh, torch::enumtype::kReLU, torch::enumtype::kSigmoid,
                 enumtype::kSoftplus, enumtype::kIdentity>;

/// Truncated back-propagation through time, TBPTT(k1, k2): the losses of each k1 outputs are
/// propagated back through at most k2 steps, 1 <= k1 <= k2 (Williams & Peng 1990; Sutskever 2013).
/// k1 = k2 = k is the loop that detaches the state every k steps; k1 = 1 is the sliding window.
struct Truncation {
  int64_t k1;
  int64_t k2;
};

/// Options for the `RNN` module: those of `torch::nn::RNNOptions`, and `truncation`.
///
/// Example:
/// ```
/// RNN model(RNNOptions(128, 64)
///               .num_layers(3)
///               .dropout(0.2)
///               .nonlinearity(torch::kReLU)
///               .truncation(10, 50));
/// ```
struct RNNOptions {
  RNNOptions(int64_t input_size, int64_t hidden_size)
      : input_size_(input_size), hidden_size_(hidden_size) {}

  /// Takes over `torch::nn::RNN`'s options, so that they can be handed to `elman::RNN` as they are.
  /* implicit */ RNNOptions(const torch::nn::RNNOptions& options)
      : input_size_(options.input_size()),
        hidden_size_(options.hidden_size()),
        num_layers_(options.num_layers()),
        nonlinearity_(
            std::visit([](auto value) { return Nonlinearity(value); }, options.nonlinearity())),
        bias_(options.bias()),
        batch_first_(options.batch_first()),
        dropout_(options.dropout()),
        bidirectional_(options.bidirectional()) {}

  /// The number of features I of the input `x`.
  TORCH_ARG(int64_t, input_size);
  /// The number of features H of the hidden state `h`.
  TORCH_ARG(int64_t, hidden_size);
  /// The number of recurrent layers L; each takes the outputs of the one below. Default: 1
  TORCH_ARG(int64_t, num_layers) = 1;
  /// The activation f: ``torch::kTanh``, ``torch::kReLU``, ``torch::kSigmoid``,
  /// ``elman::kSoftplus`` or ``elman::kIdentity``. Default: ``torch::kTanh``
  TORCH_ARG(Nonlinearity, nonlinearity) = torch::kTanh;
  /// If ``false``, the layers have no biases `bias_ih` and `bias_hh`. Default: ``true``
  TORCH_ARG(bool, bias) = true;
  /// If ``true``, input and output are `[B, T, features]`, else `[T, B, features]`.
  /// Default: ``false``
  TORCH_ARG(bool, batch_first) = false;
  /// The probability with which, in training, an element of a layer's output is zeroed on its way
  /// to the layer above. Default: 0
  TORCH_ARG(double, dropout) = 0.0;
  /// If ``true``, each layer also runs from the last step to the first. Default: ``false``
  TORCH_ARG(bool, bidirectional) = false;

 public:
  /// TBPTT(k, k): no gradient crosses a border between two chunks of k steps.
  RNNOptions& truncation(int64_t k) { return truncation(k, k); }
  /// TBPTT(k1, k2). k1 < k2 is not defined for two directions.
  RNNOptions& truncation(int64_t k1, int64_t k2) { return truncation(Truncation{k1, k2}); }
  /// The same; `std::nullopt` is full BPTT. May be set at any time, also on a module's own options,
  /// and holds from the next `forward` on. Default: ``std::nullopt``
  RNNOptions& truncation(std::optional<Truncation> truncation) {
    if (truncation) {
      TORCH_CHECK_VALUE(truncation->k1 >= 1,
                        "truncation: k1 must be at least 1, got k1 = ", truncation->k1,
                        ", k2 = ", truncation->k2);
      TORCH_CHECK_VALUE(truncation->k2 >= truncation->k1,
                        "truncation: k2 must be at least k1, got k1 = ", truncation->k1,
                        ", k2 = ", truncation->k2);
    }
    truncation_ = truncation;
    return *this;
  }
  const std::optional<Truncation>& truncation() const noexcept { return truncation_; }

 private:
  std::optional<Truncation> truncation_;
};

/// What programs read of `torch::nn::RNN` as `rnn->options_base`. It has no setters: a module reads
/// its own options.
class ELMAN_API RNNOptionsBase {
 public:
  using rnn_options_base_mode_t = torch::nn::detail::RNNOptionsBase::rnn_options_base_mode_t;

  explicit RNNOptionsBase(const RNNOptions& options);

  /// `torch::kRNN_TANH` or `torch::kRNN_RELU`. Throws `c10::Error` for the other activations, for
  /// which torch has no mode.
  const rnn_options_base_mode_t& mode() const;

  const int64_t& input_size() const noexcept { return options_.input_size(); }
  const int64_t& hidden_size() const noexcept { return options_.hidden_size(); }
  const int64_t& num_layers() const noexcept { return options_.num_layers(); }
  const bool& bias() const noexcept { return options_.bias(); }
  const bool& batch_first() const noexcept { return options_.batch_first(); }
  const double& dropout() const noexcept { return options_.dropout(); }
  const bool& bidirectional() const noexcept { return options_.bidirectional(); }
  /// 0: there are no projections.
  const int64_t& proj_size() const noexcept { return options_.proj_size(); }

 private:
  torch::nn::detail::RNNOptionsBase options_;
  Nonlinearity nonlinearity_;
};

/// Options for the `RNNCell` module.
///
/// Example:
/// ```
/// RNNCell model(RNNCellOptions(20, 10).bias(false).nonlinearity(torch::kReLU));
/// ```
struct RNNCellOptions {
  RNNCellOptions(int64_t input_size, int64_t hidden_size)
      : input_size_(input_size), hidden_size_(hidden_size) {}

  /// Takes over `torch::nn::RNNCell`'s options, so that they can be handed to `elman::RNNCell` as
  /// they are.
  /* implicit */ RNNCellOptions(const torch::nn::RNNCellOptions& options)
      : input_size_(options.input_size()),
        hidden_size_(options.hidden_size()),
        bias_(options.bias()),
        nonlinearity_(
            std::visit([](auto value) { return Nonlinearity(value); }, options.nonlinearity())) {}

  /// The number of features I of the input `x`.
  TORCH_ARG(int64_t, input_size);
  /// The number of features H of the hidden state `h`.
  TORCH_ARG(int64_t, hidden_size);
  /// If ``false``, the cell has no biases `bias_ih` and `bias_hh`. Default: ``true``
  TORCH_ARG(bool, bias) = true;
  /// The activation f: ``torch::kTanh``, ``torch::kReLU``, ``torch::kSigmoid``,
  /// ``elman::kSoftplus`` or ``elman::kIdentity``. Default: ``torch::kTanh``
  TORCH_ARG(Nonlinearity, nonlinearity) = torch::kTanh;
};

}  // namespace elman
