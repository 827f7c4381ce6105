// Runs an AOTInductor package and a TorchScript file without Python.
// Usage: deployed PACKAGE.pt2 SCRIPT.pt EXPECTED.pt
#include <torch/csrc/inductor/aoti_package/model_package_loader.h>
#include <torch/script.h>

#include <algorithm>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>
#include <vector>

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  std::ifstream file(argv[3], std::ios::binary);
  const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
  const c10::IValue saved = torch::jit::pickle_load(bytes);
  // x: [T, B, 8], hx: [2, B, 32]; the tags [T, B, 5] and the final state [2, B, 32] to be found
  std::vector<at::Tensor> expected;
  for (const c10::IValue& value : saved.toListRef()) expected.push_back(value.toTensor());

  c10::InferenceMode guard;
  torch::inductor::AOTIModelPackageLoader package(argv[1]);
  const std::vector<at::Tensor> compiled = package.run({expected[0], expected[1]});
  auto module = torch::jit::load(argv[2]);
  const auto scripted = module.forward({expected[0], expected[1]}).toTuple();

  double difference = 0;
  for (int i = 0; i < 2; ++i) {
    for (const at::Tensor& actual : {compiled.at(i), scripted->elements()[i].toTensor()}) {
      difference = std::max(difference, (actual - expected[2 + i]).abs().max().item<double>());
    }
  }
  std::cout << "largest difference " << difference << "\n";
  return difference < 1e-5 ? 0 : 1;
}
