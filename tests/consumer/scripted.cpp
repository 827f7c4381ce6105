// Loads the TorchScript file that train.cpp wrote and runs it forward and backward. It is linked
// with elman, of which it names nothing: the operators are registered by loading the library.
// Usage: scripted FILE
#include <torch/script.h>

#include <iostream>

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  auto module = torch::jit::load(argv[1]);
  const auto result = module.forward({module.attr("input"), module.attr("hx")}).toTuple();
  const auto output = result->elements()[0].toTensor();
  const auto difference = (output - module.attr("expected").toTensor()).abs().max().item<double>();

  output.sum().backward();
  const auto weight = module.attr("weight_hh_l0").toTensor();
  const auto gradient = weight.grad().defined() ? weight.grad().abs().sum().item<double>() : 0.0;
  std::cout << "largest difference " << difference << ", gradient " << gradient << "\n";
  return difference < 1e-6 && gradient > 0 ? 0 : 1;
}
