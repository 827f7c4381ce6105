#include <elman/gradient_by_lag.h>

#include "nn/leak.h"
#include "nn/module_parts.h"

namespace elman {

at::Tensor gradient_by_lag(const RNN& rnn, const at::Tensor& input, int64_t max_lag,
                           const at::Tensor& hx, const at::Tensor& grad_output,
                           const at::Tensor& reset) {
  const RNNOptions& options = rnn->options;
  return gradient_by_lag(input, detail::as_optional(hx), rnn->all_weights(), options.bias(),
                         options.num_layers(), options.dropout(), rnn->is_training(),
                         options.bidirectional(), options.batch_first(), max_lag,
                         detail::schema_name(options.nonlinearity()),
                         detail::as_optional(grad_output), detail::as_optional(reset));
}

at::Tensor gradient_by_lag(const LeakyRNN& rnn, const at::Tensor& input, int64_t max_lag,
                           const at::Tensor& hx, const at::Tensor& grad_output,
                           const at::Tensor& reset, const at::Tensor& preactivation) {
  const RNNOptions& options = rnn->options.rnn();
  const auto [leak, added] =
      detail::leak_and_noise(*rnn, rnn->options, input, preactivation, options.num_layers(),
                             options.bidirectional() ? 2 : 1, options.hidden_size());
  return gradient_by_lag(
      input, detail::as_optional(hx), rnn->all_weights(), options.bias(), options.num_layers(),
      options.dropout(), rnn->is_training(), options.bidirectional(), options.batch_first(),
      max_lag, detail::schema_name(options.nonlinearity()), detail::as_optional(grad_output),
      detail::as_optional(reset), leak, detail::schema_name(rnn->options.form()), added);
}

}  // namespace elman
