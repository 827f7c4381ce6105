#include <elman/functional.h>
#include <elman/leaky_rnn.h>

#include <ostream>

#include "nn/leak.h"
#include "nn/module_parts.h"

namespace elman {

using torch::Tensor;
using torch::nn::utils::rnn::PackedSequence;

LeakyRNNImpl::LeakyRNNImpl(const LeakyRNNOptions& options_) : options(options_) { reset(); }

void LeakyRNNImpl::reset() {
  const RNNOptions& rnn = options.rnn();
  detail::check_options(rnn);
  detail::check_leak(options.alpha(), options.learn_alpha(), options.noise(),
                     rnn.num_layers() * num_directions(), rnn.hidden_size());
  // A clone arrives here with the original's weights.
  weights_.clear();
  for (const auto& [name, sizes] : detail::weights_of(rnn)) {
    weights_.push_back(register_parameter(name, torch::empty(sizes)));
  }
  detail::register_leak(*this, options.alpha(), options.learn_alpha(), options.form());
  reset_parameters();
}

void LeakyRNNImpl::reset_parameters() {
  detail::init_parameters(weights_, options.rnn().hidden_size());
  detail::reset_leak(*this, options.alpha());
}

Tensor LeakyRNNImpl::alpha() const { return detail::current_alpha(*this); }

Tensor LeakyRNNImpl::output(const Tensor& state) const {
  return detail::output_of(state, options.form(), options.rnn().nonlinearity());
}

void LeakyRNNImpl::pretty_print(std::ostream& stream) const {
  stream << detail::printed_name(*this) << "(";
  detail::print_options(options.rnn(), stream);
  detail::print_leak(options, stream);
  stream << ")";
}

std::tuple<Tensor, Tensor> LeakyRNNImpl::forward(const Tensor& input, const Tensor& hx,
                                                 const Tensor& reset, const Tensor& carry_scale,
                                                 const Tensor& preactivation) {
  const RNNOptions& rnn = options.rnn();
  const auto [k1, k2] = rnn.truncation().value_or(Truncation{0, 0});
  const auto [leak, added] = detail::leak_and_noise(
      *this, options, input, preactivation, rnn.num_layers(), num_directions(), rnn.hidden_size());
  return elman::rnn(input, detail::as_optional(hx), weights_, rnn.bias(), rnn.num_layers(),
                    rnn.dropout(), is_training(), rnn.bidirectional(), rnn.batch_first(),
                    detail::schema_name(rnn.nonlinearity()), k1, k2, detail::as_optional(reset),
                    detail::as_optional(carry_scale), leak, detail::schema_name(options.form()),
                    added);
}

std::tuple<PackedSequence, Tensor> LeakyRNNImpl::forward_with_packed_input(
    const PackedSequence& packed_input, const Tensor& hx, const Tensor& preactivation) {
  const RNNOptions& rnn = options.rnn();
  const Tensor& data = packed_input.data();
  const Tensor& unsorted_indices = packed_input.unsorted_indices();
  const Tensor state = detail::packed_state(packed_input, hx, rnn);
  const auto [k1, k2] = rnn.truncation().value_or(Truncation{0, 0});
  const auto [leak, added] = detail::leak_and_noise(
      *this, options, data, preactivation, rnn.num_layers(), num_directions(), rnn.hidden_size());
  auto [output, h_n] = elman::rnn(data, packed_input.batch_sizes(), state, weights_, rnn.bias(),
                                  rnn.num_layers(), rnn.dropout(), is_training(),
                                  rnn.bidirectional(), detail::schema_name(rnn.nonlinearity()), k1,
                                  k2, leak, detail::schema_name(options.form()), added);
  if (unsorted_indices.defined()) h_n = h_n.index_select(1, unsorted_indices);
  return {PackedSequence(std::move(output), packed_input.batch_sizes(),
                         packed_input.sorted_indices(), unsorted_indices),
          std::move(h_n)};
}

}  // namespace elman
