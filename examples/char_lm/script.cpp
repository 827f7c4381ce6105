#include "script.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/serialization/import.h>

#include <algorithm>
#include <sstream>

#include "torch_ops_resolver.h"

namespace char_lm {
namespace {

// Registers a copy of the parameter, and returns how the script calls it.
std::string Register(torch::jit::Module& module, std::string name, const at::Tensor& parameter) {
  std::replace(name.begin(), name.end(), '.', '_');
  module.register_parameter(name, parameter.detach().clone(), /*is_buffer=*/false);
  return "self." + name;
}

}  // namespace

void ExportScript(const std::filesystem::path& path, const CharModelImpl<elman::RNN>& model,
                  const Text& text) {
  torch::jit::Module module("CharModel");
  const std::string embedding = Register(module, "embedding_weight", model.embedding->weight);
  std::string weights;
  for (const auto& parameter : model.rnn->named_parameters()) {
    weights += Register(module, parameter.key(), parameter.value()) + ", ";
  }
  const std::string head_weight = Register(module, "head_weight", model.head->weight);
  const std::string head_bias = Register(module, "head_bias", model.head->bias);

  at::Tensor vocabulary = at::empty({text.vocabulary_size()}, at::kByte);
  std::copy(text.vocabulary.begin(), text.vocabulary.end(), vocabulary.mutable_data_ptr<uint8_t>());
  module.register_buffer("vocabulary", vocabulary);

  std::ostringstream source;
  source << "def forward(self, characters: Tensor, hidden: Tensor) -> Tuple[Tensor, Tensor]:\n"
         << "    x = torch.embedding(" << embedding << ", characters)\n"
         << "    y, last = torch.ops.elman.rnn(\n"
         << "        x, hidden, [" << weights << "], has_biases=True,\n"
         << "        num_layers=" << model.rnn->options.num_layers()
         << ", dropout=0.0, train=False, bidirectional=False, batch_first=False)\n"
         << "    return torch.linear(y, " << head_weight << ", " << head_bias << "), last\n";
  module.define(source.str(), std::make_shared<TorchOpsResolver>());
  module.save(path.string());
}

double CheckScript(const std::filesystem::path& path, CharModelImpl<elman::RNN>& model,
                   const Text& text, int64_t steps, int64_t batch) {
  const at::NoGradGuard no_grad;
  const auto& options = model.rnn->options;
  const at::Tensor characters = at::randint(text.vocabulary_size(), {steps, batch}, at::kLong);
  const at::Tensor hidden = at::randn({options.num_layers(), batch, options.hidden_size()}).tanh();
  const auto [logits, last] = model.forward(characters, hidden);

  torch::jit::Module script = torch::jit::load(path.string());
  const auto results = script.forward({characters, hidden}).toTuple();
  const auto difference = [](const at::Tensor& a, const at::Tensor& b) {
    return (a - b).abs().max().item<double>();
  };
  return std::max(difference(results->elements()[0].toTensor(), logits),
                  difference(results->elements()[1].toTensor(), last));
}

}  // namespace char_lm
