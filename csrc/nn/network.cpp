#include <elman/network.h>

#include <ostream>
#include <string_view>
#include <vector>

#include "nn/module_parts.h"

namespace elman {

using torch::Tensor;
using torch::nn::utils::rnn::PackedSequence;

namespace {

std::string_view name_of(Mapping mapping) {
  switch (mapping) {
    case Mapping::kManyToMany:
      return "many_to_many";
    case Mapping::kManyToOne:
      return "many_to_one";
    case Mapping::kOneToMany:
      return "one_to_many";
  }
  TORCH_CHECK_VALUE(false, "mapping: unknown value ", static_cast<int>(mapping));
}

}  // namespace

NetworkImpl::NetworkImpl(const NetworkOptions& options_) : options(options_) { reset(); }

void NetworkImpl::reset() {
  const RNNOptions& rnn_options = options.rnn();
  const int64_t num_directions = rnn_options.bidirectional() ? 2 : 1;
  TORCH_CHECK_VALUE(options.output_size() > 0, "output_size must be greater than zero, got ",
                    options.output_size());
  if (options.mapping() == Mapping::kOneToMany) {
    TORCH_CHECK_VALUE(options.output_size() == rnn_options.input_size(),
                      "output_size: with mapping one_to_many outputs are fed back as inputs, so "
                      "output_size must equal input_size, got output_size=",
                      options.output_size(), " and input_size=", rnn_options.input_size());
    TORCH_CHECK_VALUE(num_directions == 1,
                      "bidirectional: mapping one_to_many makes its inputs step by step, so only "
                      "one direction is possible");
    TORCH_CHECK_VALUE(!rnn_options.truncation(),
                      "truncation: mapping one_to_many runs step by step with full BPTT only");
  }
  if (const auto leaky_options = options.leaky_rnn()) {
    leaky_rnn = register_module("rnn", LeakyRNN(*leaky_options));
  } else {
    rnn = register_module("rnn", RNN(rnn_options));
  }
  out = register_module(
      "out", torch::nn::Linear(rnn_options.hidden_size() * num_directions, options.output_size()));
}

void NetworkImpl::pretty_print(std::ostream& stream) const {
  stream << detail::printed_name(*this) << "(mapping=" << name_of(options.mapping())
         << ", output=" << detail::name_of(options.output()) << ")";
}

const RNNOptions& NetworkImpl::recurrent_options() const {
  return leaky_rnn ? leaky_rnn->options.rnn() : rnn->options;
}

std::tuple<Tensor, Tensor> NetworkImpl::recur(const Tensor& input, const Tensor& hx) {
  return leaky_rnn ? leaky_rnn->forward(input, hx) : rnn->forward(input, hx);
}

Tensor NetworkImpl::output_of(const Tensor& h) {
  const Tensor a = out->forward(h);
  switch (options.output()) {
    case OutputFunction::kIdentity:
      return a;
    case OutputFunction::kSoftmax:
      return a.softmax(-1);
    case OutputFunction::kSigmoid:
      return a.sigmoid();
    case OutputFunction::kTanh:
      return a.tanh();
  }
  TORCH_CHECK_VALUE(false, "output: unknown value ", static_cast<int>(options.output()));
}

Tensor NetworkImpl::last_layer(const Tensor& h_n) const {
  const Tensor outputs = leaky_rnn ? leaky_rnn->output(h_n) : h_n;
  if (!options.rnn().bidirectional()) return outputs[-1];
  return torch::cat({outputs[-2], outputs[-1]}, -1);
}

std::tuple<Tensor, Tensor> NetworkImpl::forward(const Tensor& input, const Tensor& hx,
                                                std::optional<int64_t> steps) {
  if (options.mapping() == Mapping::kOneToMany) {
    TORCH_CHECK_VALUE(steps.has_value(), "steps: mapping one_to_many needs the number of outputs");
    TORCH_CHECK_VALUE(*steps >= 1, "steps must be greater than zero, got ", *steps);
    return generate(input, hx, *steps);
  }
  TORCH_CHECK_VALUE(!steps.has_value(), "steps: only mapping one_to_many takes it, not ",
                    name_of(options.mapping()));
  auto [h, h_n] = recur(input, hx);
  const bool many = options.mapping() == Mapping::kManyToMany;
  return {output_of(many ? h : last_layer(h_n)), h_n};
}

std::tuple<Tensor, Tensor> NetworkImpl::generate(const Tensor& input, Tensor hx, int64_t steps) {
  TORCH_CHECK_VALUE(!recurrent_options().truncation(),
                    "truncation: mapping one_to_many runs step by step with full BPTT only");
  TORCH_CHECK(input.dim() >= 1 && input.dim() <= 3,
              "input must have 1 (unbatched), 2 or 3 dimensions with mapping one_to_many, got ",
              input.dim());
  const int64_t time = input.dim() > 1 && recurrent_options().batch_first() ? 1 : 0;
  TORCH_CHECK(input.dim() < 3 || input.size(time) == 1,
              "input: mapping one_to_many takes one step, got ", input.size(time), " steps");

  Tensor x = input.dim() == 3 ? input : input.unsqueeze(time);  // [1, B, I], as batch_first has it
  std::vector<Tensor> y;
  y.reserve(steps);
  for (int64_t t = 0; t < steps; ++t) {
    Tensor h;
    std::tie(h, hx) = recur(x, hx);
    x = y.emplace_back(output_of(h));
  }
  return {torch::cat(y, time), std::move(hx)};
}

std::tuple<NetworkImpl::PackedOutput, Tensor> NetworkImpl::forward_with_packed_input(
    const PackedSequence& packed_input, const Tensor& hx) {
  TORCH_CHECK_VALUE(options.mapping() != Mapping::kOneToMany,
                    "packed_input: mapping one_to_many takes one step, not packed sequences");
  auto [h, h_n] = leaky_rnn ? leaky_rnn->forward_with_packed_input(packed_input, hx)
                            : rnn->forward_with_packed_input(packed_input, hx);
  if (options.mapping() == Mapping::kManyToOne) return {output_of(last_layer(h_n)), h_n};
  return {PackedSequence(output_of(h.data()), h.batch_sizes(), h.sorted_indices(),
                         h.unsorted_indices()),
          h_n};
}

}  // namespace elman
