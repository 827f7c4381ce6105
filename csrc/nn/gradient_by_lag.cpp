#include <elman/gradient_by_lag.h>

#include "nn/common.h"

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

}  // namespace elman
