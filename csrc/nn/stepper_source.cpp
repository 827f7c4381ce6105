#include <c10/util/Exception.h>
#include <elman/stepper_source.h>

#include <string>
#include <type_traits>

#include "nn/module_parts.h"

namespace elman {
namespace {

using torch::Tensor;

/// Takes tensors into a ModuleParameters and hands out where they are.
template <typename T>
class Reader {
 public:
  /// Null for an undefined tensor, which is an absent bias.
  const T* take(const std::string& name, const Tensor& tensor) {
    if (!tensor.defined()) return nullptr;
    TORCH_CHECK_TYPE(tensor.is_floating_point(), name,
                     " must be of a real floating point dtype for a stepper, got ",
                     tensor.scalar_type());
    constexpr auto kDtype = std::is_same_v<T, double> ? torch::kDouble : torch::kFloat;
    // A copy in any case, since the module may go on learning.
    Tensor& copy = result.tensors.emplace_back(
        tensor.detach()
            .to(torch::kCPU, kDtype, /*non_blocking=*/false, /*copy=*/true)
            .contiguous());
    return copy.template const_data_ptr<T>();
  }

  void take_layer(const torch::nn::Module& module, const std::string& suffix) {
    const auto parameters = module.named_parameters(/*recurse=*/false);
    const auto find = [&](const std::string& name) {
      const Tensor* const found = parameters.find(name + suffix);
      return take(name + suffix, found != nullptr ? *found : Tensor());
    };
    StepperLayer<T> layer;
    layer.weight_ih = find("weight_ih");
    layer.weight_hh = find("weight_hh");
    layer.bias_ih = find("bias_ih");
    layer.bias_hh = find("bias_hh");
    result.parameters.layers.push_back(layer);
  }

  void take_rnn(const torch::nn::Module& module, const RNNOptions& options) {
    TORCH_CHECK_VALUE(!options.bidirectional(),
                      "module: a stepper goes forward in time, so the network must have one "
                      "direction; got bidirectional = true");
    result.parameters.input_size = options.input_size();
    result.parameters.hidden_size = options.hidden_size();
    result.parameters.nonlinearity = detail::schema_name(options.nonlinearity());
    for (int64_t layer = 0; layer < options.num_layers(); ++layer)
      take_layer(module, "_l" + std::to_string(layer));
  }

  void take_cell(const torch::nn::Module& module, const RNNCellOptions& options) {
    result.parameters.input_size = options.input_size();
    result.parameters.hidden_size = options.hidden_size();
    result.parameters.nonlinearity = detail::schema_name(options.nonlinearity());
    take_layer(module, "");
  }

  /// After the layers. alpha: [], [H] or [L, H]; undefined for 1 in the rate form.
  template <typename Options>
  void take_leak(const Tensor& alpha, const Options& options) {
    TORCH_CHECK_VALUE(options.noise() == 0 || !options.noise_in_eval(),
                      "module: a stepper adds no noise, but the module has noise = ",
                      options.noise(), ", in evaluation too; set it to 0 first");
    StepperParameters<T>& parameters = result.parameters;
    parameters.leak_form = options.form() == LeakyForm::kRate ? "rate" : "current";
    if (!alpha.defined()) return;
    const auto layers = static_cast<int64_t>(parameters.layers.size());
    const Tensor by_layer = alpha.detach().expand({layers, parameters.hidden_size});
    for (int64_t layer = 0; layer < layers; ++layer)
      parameters.layers[static_cast<size_t>(layer)].alpha = take("alpha", by_layer[layer]);
  }

  ModuleParameters<T> result;
};

}  // namespace

template <typename T>
ModuleParameters<T> stepper_parameters(const RNN& module) {
  Reader<T> reader;
  reader.take_rnn(*module, module->options);
  return std::move(reader.result);
}

template <typename T>
ModuleParameters<T> stepper_parameters(const RNNCell& module) {
  Reader<T> reader;
  reader.take_cell(*module, module->options);
  return std::move(reader.result);
}

template <typename T>
ModuleParameters<T> stepper_parameters(const LeakyRNN& module) {
  Reader<T> reader;
  reader.take_rnn(*module, module->options.rnn());
  reader.take_leak(module->alpha(), module->options);
  return std::move(reader.result);
}

template <typename T>
ModuleParameters<T> stepper_parameters(const LeakyRNNCell& module) {
  Reader<T> reader;
  reader.take_cell(*module, module->options.cell());
  reader.take_leak(module->alpha(), module->options);
  return std::move(reader.result);
}

template <typename T>
ModuleParameters<T> stepper_parameters(const Network& module) {
  Reader<T> reader;
  if (const LeakyRNN& leaky = module->leaky_rnn) {
    reader.take_rnn(*leaky, leaky->options.rnn());
    reader.take_leak(leaky->alpha(), leaky->options);
  } else {
    reader.take_rnn(*module->rnn, module->rnn->options);
  }
  StepperParameters<T>& parameters = reader.result.parameters;
  parameters.output_size = module->options.output_size();
  parameters.output = detail::name_of(module->options.output());
  parameters.weight_out = reader.take("out.weight", module->out->weight);
  parameters.bias_out = reader.take("out.bias", module->out->bias);
  return std::move(reader.result);
}

template <typename T>
ModuleParameters<T> stepper_parameters(const torch::nn::RNN& module) {
  Reader<T> reader;
  reader.take_rnn(*module, module->options);
  return std::move(reader.result);
}

template <typename T>
ModuleParameters<T> stepper_parameters(const torch::nn::RNNCell& module) {
  Reader<T> reader;
  reader.take_cell(*module, module->options);
  return std::move(reader.result);
}

#define ELMAN_INSTANTIATE(Module)                                     \
  template ModuleParameters<float> stepper_parameters(const Module&); \
  template ModuleParameters<double> stepper_parameters(const Module&);
ELMAN_INSTANTIATE(RNN)
ELMAN_INSTANTIATE(RNNCell)
ELMAN_INSTANTIATE(LeakyRNN)
ELMAN_INSTANTIATE(LeakyRNNCell)
ELMAN_INSTANTIATE(Network)
ELMAN_INSTANTIATE(torch::nn::RNN)
ELMAN_INSTANTIATE(torch::nn::RNNCell)
#undef ELMAN_INSTANTIATE

}  // namespace elman
