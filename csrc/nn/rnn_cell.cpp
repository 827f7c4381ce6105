#include <elman/functional.h>
#include <elman/rnn_cell.h>

#include <ostream>

#include "nn/module_parts.h"

namespace elman {

using torch::Tensor;

RNNCellImpl::RNNCellImpl(const RNNCellOptions& options_) : options(options_) { reset(); }

void RNNCellImpl::reset() {
  const int64_t hidden_size = options.hidden_size();
  detail::check_sizes(options.input_size(), hidden_size);

  detail::register_weights(*this, options.input_size(), hidden_size, options.bias());
  reset_parameters();
}

void RNNCellImpl::reset_parameters() {
  detail::init_parameters(parameters(), options.hidden_size());
}

void RNNCellImpl::pretty_print(std::ostream& stream) const {
  stream << detail::printed_name(*this) << "(" << options.input_size() << ", "
         << options.hidden_size();
  if (!options.bias()) stream << ", bias=" << std::boolalpha << false;
  if (std::holds_alternative<torch::enumtype::kReLU>(options.nonlinearity())) {
    stream << ", nonlinearity=kReLU";  // as torch's cell prints it
  } else if (!std::holds_alternative<torch::enumtype::kTanh>(options.nonlinearity())) {
    stream << ", nonlinearity=" << detail::schema_name(options.nonlinearity());
  }
  stream << ")";
}

Tensor RNNCellImpl::forward(const Tensor& input, const Tensor& hx) {
  return elman::rnn_cell(input, detail::as_optional(hx), weight_ih, weight_hh,
                         detail::as_optional(bias_ih), detail::as_optional(bias_hh),
                         detail::schema_name(options.nonlinearity()));
}

}  // namespace elman
