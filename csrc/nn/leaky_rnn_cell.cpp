#include <elman/functional.h>
#include <elman/leaky_rnn_cell.h>

#include <ostream>

#include "nn/leak.h"
#include "nn/module_parts.h"

namespace elman {

using torch::Tensor;

LeakyRNNCellImpl::LeakyRNNCellImpl(const LeakyRNNCellOptions& options_) : options(options_) {
  reset();
}

void LeakyRNNCellImpl::reset() {
  const int64_t hidden_size = options.cell().hidden_size();
  const int64_t input_size = options.cell().input_size();
  detail::check_sizes(input_size, hidden_size);
  detail::check_leak(options.alpha(), options.learn_alpha(), options.noise(), /*cells=*/1,
                     hidden_size);
  detail::register_weights(*this, input_size, hidden_size, options.cell().bias());
  detail::register_leak(*this, options.alpha(), options.learn_alpha(), options.form());
  reset_parameters();
}

void LeakyRNNCellImpl::reset_parameters() {
  std::vector<Tensor> weights{weight_ih, weight_hh};
  if (options.cell().bias()) weights.insert(weights.end(), {bias_ih, bias_hh});
  detail::init_parameters(weights, options.cell().hidden_size());
  detail::reset_leak(*this, options.alpha());
}

Tensor LeakyRNNCellImpl::alpha() const { return detail::current_alpha(*this); }

Tensor LeakyRNNCellImpl::output(const Tensor& state) const {
  return detail::output_of(state, options.form(), options.cell().nonlinearity());
}

void LeakyRNNCellImpl::pretty_print(std::ostream& stream) const {
  const RNNCellOptions& cell = options.cell();
  stream << detail::printed_name(*this) << "(" << cell.input_size() << ", " << cell.hidden_size();
  if (!cell.bias()) stream << ", bias=false";
  if (!std::holds_alternative<torch::enumtype::kTanh>(cell.nonlinearity())) {
    stream << ", nonlinearity=" << detail::schema_name(cell.nonlinearity());
  }
  detail::print_leak(options, stream);
  stream << ")";
}

Tensor LeakyRNNCellImpl::forward(const Tensor& input, const Tensor& hx,
                                 const Tensor& preactivation) {
  auto [leak, added] =
      detail::leak_and_noise(*this, options, input, preactivation,
                             /*num_layers=*/1, /*directions=*/1, options.cell().hidden_size());
  if (leak) leak = leak->select(0, 0);
  return elman::rnn_cell(input, detail::as_optional(hx), weight_ih, weight_hh,
                         detail::as_optional(bias_ih), detail::as_optional(bias_hh),
                         detail::schema_name(options.cell().nonlinearity()), leak,
                         detail::schema_name(options.form()), added);
}

}  // namespace elman
