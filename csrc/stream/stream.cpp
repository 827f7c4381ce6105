#include <elman/stream.h>
#include <torch/utils.h>

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "nn/leak.h"
#include "nn/module_parts.h"
#include "stream/stream_engine.h"

namespace elman {

using torch::Tensor;

Stream::Stream(RNN rnn, int64_t k1, int64_t k2) : Stream(Rnn(std::move(rnn)), k1, k2) {}
Stream::Stream(LeakyRNN rnn, int64_t k1, int64_t k2) : Stream(Rnn(std::move(rnn)), k1, k2) {}

Stream::Stream(Rnn rnn, int64_t k1, int64_t k2)
    : rnn_(std::move(rnn)), engine_(std::make_unique<StreamEngine>(k1, k2)) {
  TORCH_CHECK_VALUE(!rnn_options().bidirectional(),
                    "rnn: a stream is not defined for a bidirectional network, which has no online "
                    "order; expected one direction");
}

const RNNOptions& Stream::rnn_options() const {
  if (const auto* leaky = std::get_if<LeakyRNN>(&rnn_)) return (*leaky)->options.rnn();
  return std::get<RNN>(rnn_)->options;
}

Stream::Stream(Stream&&) noexcept = default;
Stream& Stream::operator=(Stream&&) noexcept = default;
Stream::~Stream() = default;

Tensor Stream::operator()(const Tensor& input, const Tensor& reset, const Tensor& carry_scale,
                          const Tensor& preactivation) {
  const RNNOptions& options = rnn_options();
  const auto run = [&](const auto& rnn, const std::optional<Tensor>& leak, std::string_view form,
                       const std::optional<Tensor>& added) {
    const auto weights = rnn->all_weights();
    return engine_->forward(
        {input, detail::as_optional(reset), detail::as_optional(carry_scale), added},
        {weights, options.bias(), options.num_layers(), options.dropout(), rnn->is_training(),
         options.batch_first(), detail::schema_name(options.nonlinearity()), leak, form});
  };
  if (const auto* plain = std::get_if<RNN>(&rnn_)) {
    TORCH_CHECK_TYPE(!preactivation.defined(),
                     "preactivation is for an elman::LeakyRNN only, but the stream's is an "
                     "elman::RNN");
    return run(*plain, std::nullopt, "rate", std::nullopt);
  }
  const LeakyRNN& leaky = std::get<LeakyRNN>(rnn_);
  const auto [leak, added] =
      detail::leak_and_noise(*leaky, leaky->options, input, preactivation, options.num_layers(),
                             /*directions=*/1, options.hidden_size());
  return run(leaky, leak, detail::schema_name(leaky->options.form()), added);
}

void Stream::burn_in(const Tensor& input, const Tensor& reset, const Tensor& carry_scale,
                     const Tensor& preactivation) {
  const torch::NoGradGuard no_grad;
  TORCH_CHECK(input.defined() && input.dim() >= 2, "input must have 2 or 3 dimensions");
  const int64_t dim = rnn_options().batch_first() && input.dim() == 3 ? 1 : 0;
  const int64_t steps = input.size(dim);
  TORCH_CHECK_VALUE(steps % k1() == 0, "input: burn_in takes a multiple of k1 = ", k1(),
                    " steps, got ", steps);
  const auto part = [&](const char* name, const Tensor& tensor, int64_t along, int64_t first) {
    if (!tensor.defined()) return tensor;
    TORCH_CHECK(tensor.dim() > along && tensor.size(along) == steps, name, " must have ", steps,
                " steps as input has, got a tensor of shape ", tensor.sizes());
    return tensor.narrow(along, first, k1());
  };
  // A carry_scale of one dimension is a number for each step, whatever the input's layout.
  const int64_t scale_dim = carry_scale.defined() && carry_scale.dim() == 1 ? 0 : dim;
  // A pre-activation of a stack has the layers first.
  const int64_t preactivation_dim =
      preactivation.defined() ? dim + std::max<int64_t>(0, preactivation.dim() - input.dim()) : dim;
  for (int64_t first = 0; first < steps; first += k1())
    (*this)(part("input", input, dim, first), part("reset", reset, dim, first),
            part("carry_scale", carry_scale, scale_dim, first),
            part("preactivation", preactivation, preactivation_dim, first));
}

void Stream::reset() { engine_->reset(); }
void Stream::detach() { engine_->detach(); }
Tensor Stream::state() const { return engine_->state(); }
void Stream::set_state(const Tensor& state, const Tensor& rows) {
  engine_->set_state(state, detail::as_optional(rows));
}

int64_t Stream::k1() const { return engine_->k1(); }
int64_t Stream::k2() const { return engine_->k2(); }

void Stream::save(torch::serialize::OutputArchive& archive) const {
  for (const auto& [name, tensor] : engine_->save()) {
    archive.write(name, tensor, /*is_buffer=*/true);
  }
}

void Stream::load(torch::serialize::InputArchive& archive) {
  std::map<std::string, Tensor> dict;
  for (const auto& name : archive.keys()) archive.read(name, dict[name], /*is_buffer=*/true);
  engine_->load(dict);
}

torch::serialize::OutputArchive& operator<<(torch::serialize::OutputArchive& archive,
                                            const Stream& stream) {
  stream.save(archive);
  return archive;
}

torch::serialize::InputArchive& operator>>(torch::serialize::InputArchive& archive,
                                           Stream& stream) {
  stream.load(archive);
  return archive;
}

}  // namespace elman
