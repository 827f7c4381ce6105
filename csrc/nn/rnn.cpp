#include <elman/functional.h>
#include <elman/rnn.h>

#include <ostream>

#include "nn/module_parts.h"

namespace elman {

using torch::Tensor;
using torch::nn::utils::rnn::PackedSequence;

RNNOptionsBase::RNNOptionsBase(const RNNOptions& options)
    : options_(std::holds_alternative<torch::enumtype::kReLU>(options.nonlinearity())
                   ? rnn_options_base_mode_t(torch::kRNN_RELU)
                   : rnn_options_base_mode_t(torch::kRNN_TANH),
               options.input_size(), options.hidden_size()),
      nonlinearity_(options.nonlinearity()) {
  options_.num_layers(options.num_layers())
      .bias(options.bias())
      .batch_first(options.batch_first())
      .dropout(options.dropout())
      .bidirectional(options.bidirectional());
}

const RNNOptionsBase::rnn_options_base_mode_t& RNNOptionsBase::mode() const {
  TORCH_CHECK_VALUE(std::holds_alternative<torch::enumtype::kTanh>(nonlinearity_) ||
                        std::holds_alternative<torch::enumtype::kReLU>(nonlinearity_),
                    "options_base.mode: torch has none for the nonlinearity ",
                    detail::schema_name(nonlinearity_), "; read options.nonlinearity()");
  return options_.mode();
}

RNNImpl::RNNImpl(const RNNOptions& options_) : options(options_), options_base(options_) {
  reset();
}

void RNNImpl::reset() {
  detail::check_options(options);
  // A clone arrives here with the original's weights.
  weights_.clear();
  for (const auto& [name, sizes] : detail::weights_of(options)) {
    weights_.push_back(register_parameter(name, torch::empty(sizes)));
  }
  reset_parameters();
}

void RNNImpl::reset_parameters() { detail::init_parameters(parameters(), options.hidden_size()); }

void RNNImpl::pretty_print(std::ostream& stream) const {
  stream << detail::printed_name(*this) << "(";
  detail::print_options(options, stream);
  stream << ")";
}

std::tuple<Tensor, Tensor> RNNImpl::forward(const Tensor& input, const Tensor& hx,
                                            const Tensor& reset, const Tensor& carry_scale) {
  const auto [k1, k2] = options.truncation().value_or(Truncation{0, 0});
  return elman::rnn(input, detail::as_optional(hx), weights_, options.bias(), options.num_layers(),
                    options.dropout(), is_training(), options.bidirectional(),
                    options.batch_first(), detail::schema_name(options.nonlinearity()), k1, k2,
                    detail::as_optional(reset), detail::as_optional(carry_scale));
}

std::tuple<PackedSequence, Tensor> RNNImpl::forward_with_packed_input(
    const PackedSequence& packed_input, const Tensor& hx) {
  const Tensor& data = packed_input.data();
  const Tensor& batch_sizes = packed_input.batch_sizes();
  const Tensor& unsorted_indices = packed_input.unsorted_indices();

  const Tensor state = detail::packed_state(packed_input, hx, options);
  const auto [k1, k2] = options.truncation().value_or(Truncation{0, 0});
  auto [output, h_n] = elman::rnn(
      data, batch_sizes, state, weights_, options.bias(), options.num_layers(), options.dropout(),
      is_training(), options.bidirectional(), detail::schema_name(options.nonlinearity()), k1, k2);
  if (unsorted_indices.defined()) h_n = h_n.index_select(1, unsorted_indices);
  return {PackedSequence(std::move(output), batch_sizes, packed_input.sorted_indices(),
                         unsorted_indices),
          std::move(h_n)};
}

}  // namespace elman
