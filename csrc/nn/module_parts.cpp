#include "nn/module_parts.h"

#include <torch/nn/init.h>

#include <cmath>
#include <ostream>

namespace elman::detail {

using torch::Tensor;

void init_parameters(const std::vector<Tensor>& parameters, int64_t hidden_size) {
  const double bound = 1.0 / std::sqrt(static_cast<double>(hidden_size));
  for (const Tensor& parameter : parameters) torch::nn::init::uniform_(parameter, -bound, bound);
}

void check_options(const RNNOptions& options) {
  const auto& truncation = options.truncation();
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
  check_sizes(options.input_size(), options.hidden_size());
  TORCH_CHECK_VALUE(options.num_layers() > 0, "num_layers must be greater than zero, got ",
                    options.num_layers());
  TORCH_CHECK_VALUE(!truncation || truncation->k1 == truncation->k2 || !options.bidirectional(),
                    "truncation: k1 < k2 is not defined for a bidirectional network, which has no "
                    "online order; expected k1 = k2, got k1 = ",
                    truncation->k1, ", k2 = ", truncation->k2);
}

std::vector<std::pair<std::string, std::vector<int64_t>>> weights_of(const RNNOptions& options) {
  const int64_t num_directions = options.bidirectional() ? 2 : 1;
  const int64_t hidden_size = options.hidden_size();
  std::vector<std::pair<std::string, std::vector<int64_t>>> weights;
  for (int64_t layer = 0; layer < options.num_layers(); ++layer) {
    const int64_t width = layer == 0 ? options.input_size() : hidden_size * num_directions;
    for (int64_t direction = 0; direction < num_directions; ++direction) {
      const std::string suffix = "_l" + std::to_string(layer) + (direction == 1 ? "_reverse" : "");
      weights.push_back({"weight_ih" + suffix, {hidden_size, width}});
      weights.push_back({"weight_hh" + suffix, {hidden_size, hidden_size}});
      if (options.bias()) {
        weights.push_back({"bias_ih" + suffix, {hidden_size}});
        weights.push_back({"bias_hh" + suffix, {hidden_size}});
      }
    }
  }
  return weights;
}

std::string_view name_of(OutputFunction output) {
  switch (output) {
    case OutputFunction::kIdentity:
      return "identity";
    case OutputFunction::kSoftmax:
      return "softmax";
    case OutputFunction::kSigmoid:
      return "sigmoid";
    case OutputFunction::kTanh:
      return "tanh";
  }
  TORCH_CHECK_VALUE(false, "output: unknown value ", static_cast<int>(output));
}

void print_options(const RNNOptions& options, std::ostream& stream) {
  stream << std::boolalpha << "input_size=" << options.input_size()
         << ", hidden_size=" << options.hidden_size() << ", num_layers=" << options.num_layers()
         << ", bias=" << options.bias() << ", batch_first=" << options.batch_first()
         << ", dropout=" << options.dropout() << ", bidirectional=" << options.bidirectional();
  if (!std::holds_alternative<torch::enumtype::kTanh>(options.nonlinearity())) {
    stream << ", nonlinearity=" << schema_name(options.nonlinearity());
  }
  if (const auto& truncation = options.truncation()) {
    stream << ", truncation=(" << truncation->k1 << ", " << truncation->k2 << ")";
  }
}

Tensor packed_state(const torch::nn::utils::rnn::PackedSequence& input, const Tensor& hx,
                    const RNNOptions& options) {
  const Tensor& sorted_indices = input.sorted_indices();
  if (!hx.defined()) {
    const Tensor& batch_sizes = input.batch_sizes();
    const int64_t batch_size = batch_sizes.numel() > 0 ? batch_sizes[0].item<int64_t>() : 0;
    const int64_t num_directions = options.bidirectional() ? 2 : 1;
    return torch::zeros({options.num_layers() * num_directions, batch_size, options.hidden_size()},
                        input.data().options());
  }
  if (sorted_indices.defined() && hx.dim() == 3 && hx.size(1) == sorted_indices.size(0)) {
    return hx.index_select(1, sorted_indices);
  }
  return hx;
}

}  // namespace elman::detail
