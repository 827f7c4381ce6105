// TorchScript that calls torch.ops.elman: compiled, run, differentiated, saved and loaded, without
// Python.

#include <elman/elman.h>
#include <gtest/gtest.h>
#include <torch/csrc/jit/api/compilation_unit.h>
#include <torch/csrc/jit/api/module.h>
#include <torch/csrc/jit/serialization/import.h>

#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "../../../examples/char_lm/torch_ops_resolver.h"
#include "testing.h"

namespace {

using elman_test::close;
using elman_test::copy_leaf;
using elman_test::random;
using elman_test::random_leaf;
using torch::Tensor;

constexpr int64_t kSteps = 9, kBatch = 3, kInput = 4, kHidden = 5;

// Two layers, TBPTT(2, 5).
constexpr const char* kSource = R"(
def run(x: Tensor, hx: Optional[Tensor], weights: List[Tensor]) -> Tuple[Tensor, Tensor]:
    return torch.ops.elman.rnn(x, hx, weights, True, 2, 0.0, True, False, False,
                               nonlinearity="sigmoid", k1=2, k2=5)

def cell(x: Tensor, weights: List[Tensor]) -> Tensor:
    return torch.ops.elman.rnn_cell(x, None, weights[0], weights[1], weights[2], weights[3])
)";

std::shared_ptr<torch::jit::CompilationUnit> compile() {
  auto unit = std::make_shared<torch::jit::CompilationUnit>();
  unit->define(/*prefix=*/std::nullopt, kSource, std::make_shared<char_lm::TorchOpsResolver>(),
               /*self=*/nullptr);
  return unit;
}

elman::RNN make_rnn() {
  elman::RNN rnn(elman::RNNOptions(kInput, kHidden)
                     .num_layers(2)
                     .nonlinearity(torch::kSigmoid)
                     .truncation(2, 5));
  rnn->to(torch::kDouble);
  return rnn;
}

/// A scripted module with `rnn`'s parameters that calls the operator.
torch::jit::Module make_script(const elman::RNN& rnn) {
  torch::jit::Module script("Script");
  std::string weights;
  for (const auto& item : rnn->named_parameters()) {
    script.register_parameter(item.key(), copy_leaf(item.value()), /*is_buffer=*/false);
    weights += "self." + item.key() + ", ";
  }
  script.define(
      "def forward(self, x: Tensor) -> Tensor:\n"
      "    return torch.ops.elman.rnn(x, None, [" +
          weights +
          "], True, 2, 0.0,\n"
          "                               False, False, False,\n"
          "                               nonlinearity='sigmoid', k1=2, k2=5)[0]\n",
      std::make_shared<char_lm::TorchOpsResolver>());
  return script;
}

TEST(TorchScript, CompiledFunctionRunsAndDifferentiates) {
  auto rnn = make_rnn();
  const auto unit = compile();
  const Tensor x = random_leaf({kSteps, kBatch, kInput}), x_eager = copy_leaf(x);
  const Tensor hx = random_leaf({2, kBatch, kHidden}), hx_eager = copy_leaf(hx);
  std::vector<Tensor> weights;
  for (const Tensor& weight : rnn->all_weights()) weights.push_back(copy_leaf(weight));

  const auto [output_eager, h_n_eager] = rnn->forward(x_eager, hx_eager);
  (output_eager.square().sum() + h_n_eager.square().sum()).backward();
  // The profiling executor specialises itself over the first calls; all of them must give the same.
  for (int call = 0; call < 3; ++call) {
    x.mutable_grad() = Tensor();
    hx.mutable_grad() = Tensor();
    for (Tensor& weight : weights) weight.mutable_grad() = Tensor();
    const auto result = unit->run_method("run", x, hx, c10::List<Tensor>(weights)).toTuple();
    const Tensor output = result->elements()[0].toTensor();
    const Tensor h_n = result->elements()[1].toTensor();
    EXPECT_TRUE(close(output, output_eager));
    EXPECT_TRUE(close(h_n, h_n_eager));
    (output.square().sum() + h_n.square().sum()).backward();
    EXPECT_TRUE(close(x.grad(), x_eager.grad()));
    EXPECT_TRUE(close(hx.grad(), hx_eager.grad()));
    for (size_t i = 0; i < weights.size(); ++i) {
      EXPECT_TRUE(close(weights[i].grad(), rnn->all_weights()[i].grad()));
    }
  }
}

TEST(TorchScript, CompiledCellRuns) {
  elman::RNNCell cell(kInput, kHidden);
  const auto unit = compile();
  const Tensor x = torch::randn({kBatch, kInput});
  EXPECT_TRUE(
      torch::equal(unit->run_method("cell", x, c10::List<Tensor>(cell->parameters())).toTensor(),
                   cell->forward(x)));
}

TEST(TorchScript, ModuleIsSavedAndLoaded) {
  auto rnn = make_rnn();
  std::stringstream file;
  make_script(rnn).save(file);
  auto loaded = torch::jit::load(file);
  // Also with other T and B than it was made with.
  for (const int64_t steps : {kSteps, int64_t{1}, int64_t{20}}) {
    const Tensor x = random_leaf({steps, steps + 1, kInput}), x_eager = copy_leaf(x);
    const Tensor output = loaded.forward({x}).toTensor();
    const Tensor output_eager = std::get<0>(rnn->forward(x_eager));
    EXPECT_TRUE(close(output, output_eager));
    output.square().sum().backward();
    output_eager.square().sum().backward();
    EXPECT_TRUE(close(x.grad(), x_eager.grad()));
    for (const auto& item : loaded.named_parameters()) {
      EXPECT_TRUE(close(item.value.grad(), rnn->named_parameters()[item.name].grad())) << item.name;
    }
  }
}

TEST(TorchScript, ErrorsComeThrough) {
  const auto unit = compile();
  const std::vector<Tensor> weights = make_rnn()->all_weights();
  std::string message;
  try {
    unit->run_method("run", random({kSteps, kBatch, kInput + 1}), torch::IValue(),
                     c10::List<Tensor>(weights));
    FAIL() << "no error was thrown";
  } catch (const std::exception& error) {
    message = error.what();
  }
  EXPECT_PRED_FORMAT2(testing::IsSubstring, "Expected 4, got 5", message);
}

}  // namespace
