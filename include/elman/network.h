#pragma once

#include <elman/export.h>
#include <elman/leaky_rnn.h>
#include <elman/network_options.h>
#include <elman/rnn.h>
#include <torch/nn/cloneable.h>
#include <torch/nn/modules/common.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/pimpl.h>
#include <torch/nn/utils/rnn.h>
#include <torch/types.h>

#include <cstdint>
#include <iosfwd>
#include <optional>
#include <tuple>
#include <variant>

namespace elman {

/// The textbook's recurrent network: Elman layers, and an output at each step or at one of them,
///
///     y_t = f_y(W_y h_t + b_y),  with two directions  y_t = f_y(W_y-> h->_t + W_y<- h<-_t + b_y)
///
/// where h_t is the last layer's state (Elman 1990), of leaky cells their output r. Parameters:
/// those of the recurrent part under `rnn.`, and `out.weight` [O, D*H] (with two directions
/// [W_y->, W_y<-] side by side) and `out.bias` [O].
///
/// `options.mapping()` says which steps have inputs and outputs:
///   - kManyToMany: an output for each input.
///   - kManyToOne: one output, from the last valid step; with two directions from both directions'
///     final states h_n.
///   - kOneToMany: an input for the first step, then each output is the next step's input, over
///     `steps` steps. Needs `output_size` = `input_size`, one direction and full BPTT: the error
///     goes back through the outputs fed back too.
///
/// The constructor throws `c10::Error` where `output_size` is not positive, where kOneToMany is
/// asked for without what it needs, and where `elman::RNN`'s does.
///
/// Example:
/// ```
/// elman::Network net(elman::NetworkOptions(8, 32, 5).mapping(elman::Mapping::kManyToOne));
/// auto [logits, h_n] = net->forward(torch::randn({100, 4, 8}));  // [4, 5]; cross_entropy's input
/// net->rnn->options.truncation(20);
/// ```
class ELMAN_API NetworkImpl : public torch::nn::Cloneable<NetworkImpl> {
 public:
  NetworkImpl(int64_t input_size, int64_t hidden_size, int64_t output_size)
      : NetworkImpl(NetworkOptions(input_size, hidden_size, output_size)) {}
  explicit NetworkImpl(const NetworkOptions& options_);

  /// Checks the options and creates the submodules.
  void reset() override;

  /// Prints the mapping and the output function; the submodules follow.
  void pretty_print(std::ostream& stream) const override;

  /// Runs the network.
  ///
  ///   - input: as `elman::RNN` takes it, [T, B, I] ([B, T, I] if `batch_first`; [T, I] unbatched).
  ///     For kOneToMany one step: [B, I] or [1, B, I] ([B, 1, I] if `batch_first`); [I] unbatched.
  ///   - hx: [L*D, B, H], [L*D, H] unbatched, the initial states; undefined means zeros.
  ///   - steps: the number of outputs, >= 1, for kOneToMany only, where it is required.
  ///
  /// Returns y, [T, B, O] laid out as the recurrent part's output ([steps, B, O] for kOneToMany;
  /// [B, O] for kManyToOne; B is absent if unbatched), and h_n, [L*D, B, H] ([L*D, H] unbatched).
  /// Throws `c10::Error` naming the argument that is wrong.
  std::tuple<torch::Tensor, torch::Tensor> forward(const torch::Tensor& input,
                                                   const torch::Tensor& hx = {},
                                                   std::optional<int64_t> steps = std::nullopt);

 protected:
  FORWARD_HAS_DEFAULT_ARGS({1, torch::nn::AnyValue(torch::Tensor())},
                           {2, torch::nn::AnyValue(std::optional<int64_t>())})

 public:
  /// The y of `forward_with_packed_input`: a tensor [B, O], in the order of the sequences before
  /// they were packed, for kManyToOne; a packed sequence for kManyToMany.
  using PackedOutput = std::variant<torch::Tensor, torch::nn::utils::rnn::PackedSequence>;

  /// Runs the network over sequences of different lengths; see `elman::RNN`. Not defined for
  /// kOneToMany.
  ///
  /// Example:
  /// ```
  /// auto [y, h_n] = net->forward_with_packed_input(packed);
  /// const auto& tags = std::get<torch::nn::utils::rnn::PackedSequence>(y);  // many to many
  /// ```
  std::tuple<PackedOutput, torch::Tensor> forward_with_packed_input(
      const torch::nn::utils::rnn::PackedSequence& packed_input, const torch::Tensor& hx = {});

  /// The options with which this module was constructed; the truncation in force is
  /// `rnn->options.truncation()`, of leaky cells `leaky_rnn->options.rnn().truncation()`.
  NetworkOptions options;

  /// The recurrent part: one of the two, the other one is null.
  RNN rnn{nullptr};
  LeakyRNN leaky_rnn{nullptr};
  torch::nn::Linear out{nullptr};

 private:
  /// The options of the recurrent part that are in force.
  const RNNOptions& recurrent_options() const;

  /// The recurrent part's outputs and final states.
  std::tuple<torch::Tensor, torch::Tensor> recur(const torch::Tensor& input,
                                                 const torch::Tensor& hx);

  /// y = f_y(W_y h + b_y). h: [..., D*H]; returns [..., O]
  torch::Tensor output_of(const torch::Tensor& h);

  /// The last layer's final outputs. h_n: [L*D, ..., H]; returns [..., D*H]
  torch::Tensor last_layer(const torch::Tensor& h_n) const;

  std::tuple<torch::Tensor, torch::Tensor> generate(const torch::Tensor& input, torch::Tensor hx,
                                                    int64_t steps);
};

/// A `ModuleHolder` subclass for `NetworkImpl`. See the documentation for `NetworkImpl` class to
/// learn what methods it provides, and examples of how to use `Network` with
/// `elman::NetworkOptions`.
TORCH_MODULE(Network);

}  // namespace elman
