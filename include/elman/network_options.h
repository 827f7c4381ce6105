#pragma once

#include <elman/leaky_options.h>
#include <elman/options.h>
#include <torch/arg.h>

#include <cstdint>
#include <optional>
#include <type_traits>
#include <utility>

namespace elman {

/// Which steps of a `Network` have inputs and which have outputs.
enum class Mapping {
  kManyToMany,  ///< an output for each input: tagging, language models
  kManyToOne,   ///< one output, from the last valid step: classifying a sequence
  kOneToMany,   ///< one input, then the network's own outputs fed back: generating a sequence
};

/// The output function f_y of a `Network`.
enum class OutputFunction {
  kIdentity,
  kSoftmax,  ///< over the features
  kSigmoid,
  kTanh,
};

/// Options for the `Network` module: those of its recurrent part, and what comes after it.
///
/// Example:
/// ```
/// Network model(NetworkOptions(RNNOptions(28, 64).num_layers(2).truncation(20), 10)
///                   .mapping(Mapping::kManyToOne)
///                   .output(OutputFunction::kSoftmax));
/// Network leaky(NetworkOptions(LeakyRNNOptions(3, 50).tau(/*tau=*/100, /*dt=*/20), 2));
/// ```
struct NetworkOptions {
  NetworkOptions(RNNOptions rnn, int64_t output_size)
      : rnn_(std::move(rnn)), output_size_(output_size) {}
  NetworkOptions(int64_t input_size, int64_t hidden_size, int64_t output_size)
      : NetworkOptions(RNNOptions(input_size, hidden_size), output_size) {}
  /// A network of leaky cells. A template, so that braces mean `RNNOptions`.
  template <typename Leaky,
            std::enable_if_t<std::is_same_v<std::decay_t<Leaky>, LeakyRNNOptions>, int> = 0>
  NetworkOptions(Leaky&& leaky_rnn, int64_t output_size)
      : NetworkOptions(leaky_rnn.rnn(), output_size) {
    leaky_rnn_ = std::forward<Leaky>(leaky_rnn);
  }

  /// The recurrent part; of leaky cells, what they have in common with others.
  TORCH_ARG(RNNOptions, rnn);
  /// The number of features O of the output `y`.
  TORCH_ARG(int64_t, output_size);
  /// Which steps have inputs and outputs. Default: ``Mapping::kManyToMany``
  TORCH_ARG(Mapping, mapping) = Mapping::kManyToMany;
  /// The output function f_y. Default: ``OutputFunction::kIdentity``
  TORCH_ARG(OutputFunction, output) = OutputFunction::kIdentity;

 public:
  /// The recurrent part if its cells are leaky, with `rnn()` in it.
  std::optional<LeakyRNNOptions> leaky_rnn() const {
    if (!leaky_rnn_) return std::nullopt;
    return LeakyRNNOptions(*leaky_rnn_).rnn(rnn_);
  }

 private:
  std::optional<LeakyRNNOptions> leaky_rnn_;
};

}  // namespace elman
