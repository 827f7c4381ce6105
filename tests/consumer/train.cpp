// Trains an elman::RNN for a few steps, then writes a TorchScript file that calls
// torch.ops.elman.rnn with its weights, without Python. Usage: train FILE
#include <elman/elman.h>
#include <torch/csrc/jit/frontend/resolver.h>
#include <torch/csrc/jit/frontend/sugared_value.h>
#include <torch/nn/modules/rnn.h>
#include <torch/optim/sgd.h>
#include <torch/script.h>

#include <iostream>
#include <memory>
#include <string>

namespace {

// `torch.ops.<namespace>` in TorchScript source. Python's frontend knows the name; the C++ one has
// to be told.
struct Ops : torch::jit::SugaredValue {
  std::string kind() const override { return "torch.ops"; }
  std::shared_ptr<SugaredValue> attr(const torch::jit::SourceRange&, torch::jit::GraphFunction&,
                                     const std::string& field) override {
    return std::make_shared<torch::jit::BuiltinModule>(field);
  }
};

struct Torch : torch::jit::BuiltinModule {
  Torch() : BuiltinModule("aten") {}
  std::shared_ptr<SugaredValue> attr(const torch::jit::SourceRange& range,
                                     torch::jit::GraphFunction& function,
                                     const std::string& field) override {
    if (field == "ops") return std::make_shared<Ops>();
    return BuiltinModule::attr(range, function, field);
  }
};

struct TorchResolver : torch::jit::Resolver {
  std::shared_ptr<torch::jit::SugaredValue> resolveValue(const std::string& name,
                                                         torch::jit::GraphFunction&,
                                                         const torch::jit::SourceRange&) override {
    return name == "torch" ? std::make_shared<Torch>() : nullptr;
  }
};

constexpr auto kSource = R"(
def forward(self, input, hx):
    params = [self.weight_ih_l0, self.weight_hh_l0, self.bias_ih_l0, self.bias_hh_l0]
    return torch.ops.elman.rnn(
        input, hx, params, True, 1, 0.0, True, False, False, nonlinearity="tanh", k1=5, k2=5)
)";

void check(bool condition, const char* what) {
  if (!condition) {
    std::cerr << "FAILED: " << what << "\n";
    std::exit(1);
  }
}

}  // namespace

int main(int argc, char** argv) {
  check(argc == 2, "usage: train FILE");
  torch::manual_seed(1);
  elman::RNN rnn(elman::RNNOptions(3, 8).truncation(5));
  torch::manual_seed(1);
  torch::nn::RNN reference(torch::nn::RNNOptions(3, 8));

  // input: [T, B, I]
  const auto input = torch::randn({20, 4, 3});
  const auto hx = torch::zeros({1, 4, 8});
  check(torch::allclose(std::get<0>(rnn->forward(input, hx)),
                        std::get<0>(reference->forward(input, hx)), /*rtol=*/1e-5, /*atol=*/1e-6),
        "elman::RNN equals torch::nn::RNN for the same seed");

  torch::optim::SGD optimizer(rnn->parameters(), 0.1);
  double first = 0;
  double last = 0;
  for (int step = 0; step < 20; ++step) {
    optimizer.zero_grad();
    const auto loss = (std::get<0>(rnn->forward(input, hx)) - 0.5).square().mean();
    loss.backward();
    optimizer.step();
    last = loss.item<double>();
    if (step == 0) first = last;
  }
  check(last < 0.9 * first, "training lowers the loss");

  torch::jit::Module module("Scripted");
  for (const auto& parameter : rnn->named_parameters()) {
    module.register_parameter(parameter.key(), parameter.value(), /*is_buffer=*/false);
  }
  module.register_parameter("input", input, /*is_buffer=*/true);
  module.register_parameter("hx", hx, /*is_buffer=*/true);
  module.register_parameter("expected", std::get<0>(rnn->forward(input, hx)).detach(),
                            /*is_buffer=*/true);
  module.define(kSource, std::make_shared<TorchResolver>());
  module.save(argv[1]);
  std::cout << "loss " << first << " -> " << last << ", wrote " << argv[1] << "\n";
}
