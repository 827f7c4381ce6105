#include <elman/functional.h>
#include <elman/rnn.h>

#include <ostream>

#include "common.h"

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

Tensor RNNImpl::register_weight(const std::string& name, torch::IntArrayRef sizes) {
  return weights_.emplace_back(register_parameter(name, torch::empty(sizes)));
}

void RNNImpl::reset() {
  const auto& truncation = options.truncation();
  const int64_t num_directions = options.bidirectional() ? 2 : 1;
  const int64_t hidden_size = options.hidden_size();

  TORCH_CHECK_VALUE(0 <= options.dropout() && options.dropout() <= 1,
                    "dropout should be a number in range [0, 1] representing the probability of "
                    "an element being zeroed, got ",
                    options.dropout());
  if (options.dropout() > 0 && options.num_layers() == 1) {
    TORCH_WARN(
        "dropout option adds dropout after all but last recurrent layer, so non-zero dropout "
        "expects num_layers greater than 1, but got dropout=",
        options.dropout(), " and num_layers=", options.num_layers());
  }
  detail::check_sizes(options.input_size(), hidden_size);
  TORCH_CHECK_VALUE(options.num_layers() > 0, "num_layers must be greater than zero, got ",
                    options.num_layers());
  TORCH_CHECK_VALUE(!truncation || truncation->k1 == truncation->k2 || !options.bidirectional(),
                    "truncation: k1 < k2 is not defined for a bidirectional network, which has no "
                    "online order; expected k1 = k2, got k1 = ",
                    truncation->k1, ", k2 = ", truncation->k2);

  // A clone arrives here with the original's weights.
  weights_.clear();
  for (int64_t layer = 0; layer < options.num_layers(); ++layer) {
    const int64_t width = layer == 0 ? options.input_size() : hidden_size * num_directions;
    for (int64_t direction = 0; direction < num_directions; ++direction) {
      const std::string suffix = "_l" + std::to_string(layer) + (direction == 1 ? "_reverse" : "");
      register_weight("weight_ih" + suffix, {hidden_size, width});
      register_weight("weight_hh" + suffix, {hidden_size, hidden_size});
      if (options.bias()) {
        register_weight("bias_ih" + suffix, {hidden_size});
        register_weight("bias_hh" + suffix, {hidden_size});
      }
    }
  }
  reset_parameters();
}

void RNNImpl::reset_parameters() { detail::init_parameters(*this, options.hidden_size()); }

void RNNImpl::pretty_print(std::ostream& stream) const {
  stream << std::boolalpha << detail::printed_name(*this) << "(input_size=" << options.input_size()
         << ", hidden_size=" << options.hidden_size() << ", num_layers=" << options.num_layers()
         << ", bias=" << options.bias() << ", batch_first=" << options.batch_first()
         << ", dropout=" << options.dropout() << ", bidirectional=" << options.bidirectional();
  if (!std::holds_alternative<torch::enumtype::kTanh>(options.nonlinearity())) {
    stream << ", nonlinearity=" << detail::schema_name(options.nonlinearity());
  }
  if (const auto& truncation = options.truncation()) {
    stream << ", truncation=(" << truncation->k1 << ", " << truncation->k2 << ")";
  }
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
  const Tensor& sorted_indices = packed_input.sorted_indices();
  const Tensor& unsorted_indices = packed_input.unsorted_indices();

  Tensor state = hx;  // [L*D, B, H], its rows in the order of the packed ones
  if (!state.defined()) {
    const int64_t batch_size = batch_sizes.numel() > 0 ? batch_sizes[0].item<int64_t>() : 0;
    const int64_t num_directions = options.bidirectional() ? 2 : 1;
    state = torch::zeros({options.num_layers() * num_directions, batch_size, options.hidden_size()},
                         data.options());
  } else if (sorted_indices.defined() && state.dim() == 3 &&
             state.size(1) == sorted_indices.size(0)) {
    // A state of another shape goes on as it is: the operator's checks say best what is wrong with
    // it.
    state = state.index_select(1, sorted_indices);
  }

  const auto [k1, k2] = options.truncation().value_or(Truncation{0, 0});
  auto [output, h_n] = elman::rnn(
      data, batch_sizes, state, weights_, options.bias(), options.num_layers(), options.dropout(),
      is_training(), options.bidirectional(), detail::schema_name(options.nonlinearity()), k1, k2);
  if (unsorted_indices.defined()) h_n = h_n.index_select(1, unsorted_indices);
  return {PackedSequence(std::move(output), batch_sizes, sorted_indices, unsorted_indices),
          std::move(h_n)};
}

}  // namespace elman
