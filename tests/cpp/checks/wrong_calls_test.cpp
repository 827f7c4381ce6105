// Wrong calls as argument x defect: each is refused, by an error of the right kind that names the
// argument, before anything is allocated or computed.

#include "checks/wrong_calls.h"

#include <elman/elman.h>
#include <gtest/gtest.h>
#include <torch/nn/utils/rnn.h>

#include <cmath>
#include <functional>
#include <string>

namespace {

using elman_test::Call;
using elman_test::expect_refusal;
using elman_test::kB;
using elman_test::kCell;
using elman_test::kData;
using elman_test::kH;
using elman_test::kI;
using elman_test::Kind;
using elman_test::kRnn;
using elman_test::kT;
using elman_test::longer;
using elman_test::Operator;
using elman_test::Record;
using elman_test::spoilt;
using torch::Tensor;

struct WrongTensor {
  const Operator* op;
  const char* argument;
  const char* defect;
  const char* message;
  Kind kind = Kind::kError;
};

const WrongTensor kWrongTensors[] = {
    {&kRnn, "input", "float64", "RNN input dtype (Double) does not match weight_ih_l0",
     Kind::kValueError},
    {&kRnn, "input", "int32", "input must be a float64, float32, bfloat16, float16"},
    {&kRnn, "input", "sparse", "input must be a dense (strided) tensor, got layout Sparse"},
    {&kRnn, "input", "meta", "found input tensor at meta and parameter tensor at cpu"},
    {&kRnn, "input", "unsqueezed", "Expected input to be 2D or 3D, got 4D", Kind::kValueError},
    {&kRnn, "input", "selected", "For unbatched 2-D input, hx should also be 2-D but got 3-D"},
    {&kRnn, "input", "wider", "input.size(-1) must be equal to input_size. Expected 4, got 5"},
    {&kRnn, "input", "undefined", "input must be a tensor, got an undefined one"},
    {&kRnn, "hx", "float64", "same dtype, but got Double and Float\nhx must have"},
    {&kRnn, "hx", "int32", "same dtype, but got Int and Float\nhx must have"},
    {&kRnn, "hx", "sparse", "hx must be a dense (strided) tensor, got layout Sparse"},
    {&kRnn, "hx", "meta", "found input tensor at cpu and hidden tensor at meta"},
    {&kRnn, "hx", "unsqueezed", "For batched 3-D input, hx should also be 3-D but got 4-D"},
    {&kRnn, "hx", "selected", "For batched 3-D input, hx should also be 3-D but got 2-D"},
    {&kRnn, "hx", "longer", "Expected hidden size (1, 3, 6), got [2, 3, 6]"},
    {&kRnn, "hx", "wider", "Expected hidden size (1, 3, 6), got [1, 3, 7]"},
    {&kRnn, "hx", "undefined", "hx must be a tensor, got an undefined one"},
    {&kRnn, "weight_ih_l0", "float64", "does not match weight_ih_l0 dtype (Double)",
     Kind::kValueError},
    {&kRnn, "weight_ih_l0", "sparse", "weight_ih_l0 must be a dense (strided) tensor"},
    {&kRnn, "weight_ih_l0", "meta", "weight_ih_l0 must be on the input's device cpu"},
    {&kRnn, "weight_ih_l0", "unsqueezed", "weight_ih_l0 and weight_hh_l0 must have 2 dimensions"},
    {&kRnn, "weight_ih_l0", "selected", "weight_ih_l0 and weight_hh_l0 must have 2 dimensions"},
    {&kRnn, "weight_ih_l0", "longer", "weight_ih_l0 must have shape [6, 4], got [7, 4]"},
    {&kRnn, "weight_ih_l0", "wider", "input.size(-1) must be equal to input_size. Expected 5"},
    {&kRnn, "weight_ih_l0", "undefined", "weight_ih_l0 must be a tensor, got an undefined one"},
    {&kRnn, "weight_hh_l0", "float64", "does not match weight_hh_l0 dtype (Double)"},
    {&kRnn, "weight_hh_l0", "sparse", "weight_hh_l0 must be a dense (strided) tensor"},
    {&kRnn, "weight_hh_l0", "meta", "weight_hh_l0 must be on the input's device cpu"},
    {&kRnn, "weight_hh_l0", "longer", "weight_hh_l0 must have shape [hidden_size, hidden_size]"},
    {&kRnn, "weight_hh_l0", "wider", "weight_hh_l0 must have shape [hidden_size, hidden_size]"},
    {&kRnn, "weight_hh_l0", "undefined", "weight_hh_l0 must be a tensor, got an undefined one"},
    {&kRnn, "bias_ih_l0", "float64", "does not match bias_ih_l0 dtype (Double)"},
    {&kRnn, "bias_ih_l0", "sparse", "bias_ih_l0 must be a dense (strided) tensor"},
    {&kRnn, "bias_ih_l0", "meta", "bias_ih_l0 must be on the input's device cpu"},
    {&kRnn, "bias_ih_l0", "unsqueezed", "bias_ih_l0 must have shape [6], got [1, 6]"},
    {&kRnn, "bias_ih_l0", "longer", "bias_ih_l0 must have shape [6], got [7]"},
    {&kRnn, "bias_hh_l0", "float64", "does not match bias_hh_l0 dtype (Double)"},
    {&kRnn, "bias_hh_l0", "selected", "bias_hh_l0 must have shape [6], got []"},
    {&kRnn, "bias_hh_l0", "longer", "bias_hh_l0 must have shape [6], got [7]"},
    {&kRnn, "reset", "float64", "reset must be a bool tensor, got Double"},
    {&kRnn, "reset", "int32", "reset must be a bool tensor, got Int"},
    {&kRnn, "reset", "sparse", "reset must be a dense (strided) tensor, got layout Sparse"},
    {&kRnn, "reset", "meta", "reset must be on the input's device cpu, got meta"},
    {&kRnn, "reset", "unsqueezed", "reset must have the input's shape [5, 3, 4]"},
    {&kRnn, "reset", "selected", "reset must have the input's shape [5, 3, 4]"},
    {&kRnn, "reset", "longer", "reset must have the input's shape [5, 3, 4]"},
    {&kRnn, "reset", "wider", "reset must have the input's shape [5, 3, 4]"},
    {&kRnn, "reset", "undefined", "reset must be a tensor, got an undefined one"},
    {&kRnn, "carry_scale", "int32", "carry_scale must be a floating point tensor, got Int"},
    {&kRnn, "carry_scale", "sparse", "carry_scale must be a dense (strided) tensor"},
    {&kRnn, "carry_scale", "meta", "carry_scale must be on the input's device cpu, got meta"},
    {&kRnn, "carry_scale", "unsqueezed", "carry_scale must have the input's shape [5, 3, 4]"},
    {&kRnn, "carry_scale", "selected", "carry_scale must have the input's shape [5, 3, 4]"},
    {&kRnn, "carry_scale", "longer", "carry_scale must have the input's shape [5, 3, 4]"},
    {&kRnn, "carry_scale", "wider", "carry_scale must have the input's shape [5, 3, 4]"},
    {&kData, "data", "float64", "RNN input dtype (Double) does not match", Kind::kValueError},
    {&kData, "data", "int32", "input must be a float64, float32, bfloat16, float16"},
    {&kData, "data", "unsqueezed", "input must have 2 dimensions, got 3"},
    {&kData, "data", "selected", "input must have 2 dimensions, got 1"},
    {&kData, "data", "longer", "batch_sizes must sum to input.size(0), expected 7, got 6"},
    {&kData, "data", "wider", "input.size(-1) must be equal to input_size. Expected 4, got 5"},
    {&kData, "data", "undefined", "input must be a tensor, got an undefined one"},
    {&kData, "batch_sizes", "float64", "batch_sizes must be a 1-D int64 tensor on the CPU"},
    {&kData, "batch_sizes", "int32", "batch_sizes must be a 1-D int64 tensor on the CPU"},
    {&kData, "batch_sizes", "sparse", "batch_sizes must be a dense (strided) tensor"},
    {&kData, "batch_sizes", "meta", "batch_sizes must be a 1-D int64 tensor on the CPU"},
    {&kData, "batch_sizes", "unsqueezed", "batch_sizes must be a 1-D int64 tensor on the CPU"},
    {&kData, "batch_sizes", "selected", "batch_sizes must be a 1-D int64 tensor on the CPU"},
    {&kData, "batch_sizes", "longer", "batch_sizes must be positive and must not increase"},
    {&kData, "batch_sizes", "undefined", "batch_sizes must be a tensor, got an undefined one"},
    {&kData, "hx", "longer", "Expected hidden size (1, 3, 6), got [2, 3, 6]"},
    {&kData, "hx", "selected", "hx should also be 3-D but got 2-D"},
    {&kData, "hx", "float64", "same dtype, but got Double and Float\nhx must have"},
    {&kCell, "input", "float64", "same dtype, but got Double and Float"},
    {&kCell, "input", "int32", "same dtype, but got Int and Float"},
    {&kCell, "input", "sparse", "input must be a dense (strided) tensor, got layout Sparse"},
    {&kCell, "input", "unsqueezed", "Expected input to be 1D or 2D, got 3D", Kind::kValueError},
    {&kCell, "input", "longer", "Input batch size 4 doesn't match hidden0 batch size 3"},
    {&kCell, "input", "wider", "input has inconsistent input_size: got 5 expected 4"},
    {&kCell, "input", "undefined", "input must be a tensor, got an undefined one"},
    {&kCell, "hx", "float64", "same dtype, but got Double and Float\nhx must have"},
    {&kCell, "hx", "meta", "found input tensor at cpu and hidden tensor at meta"},
    {&kCell, "hx", "unsqueezed", "Expected hidden to be 1D or 2D, got 3D", Kind::kValueError},
    {&kCell, "hx", "selected", "hx must have as many dimensions as input, expected 2, got 1"},
    {&kCell, "hx", "longer", "Input batch size 3 doesn't match hidden0 batch size 4"},
    {&kCell, "hx", "wider", "hidden0 has inconsistent hidden_size: got 7, expected 6"},
    {&kCell, "weight_ih_l0", "float64", "got Float and Double\nw_ih must have the input's dtype"},
    {&kCell, "weight_ih_l0", "longer", "w_ih must have shape [6, 4], got [7, 4]"},
    {&kCell, "weight_ih_l0", "undefined", "w_ih must be a tensor, got an undefined one"},
    {&kCell, "weight_hh_l0", "meta", "w_hh must be on the input's device cpu"},
    {&kCell, "weight_hh_l0", "longer", "w_hh must have shape [6, 6], got [7, 6]"},
    {&kCell, "bias_ih_l0", "wider", "b_ih must have shape [6], got [7]"},
    {&kCell, "bias_hh_l0", "sparse", "b_hh must be a dense (strided) tensor"},
};

TEST(WrongCalls, TheRecordSeesWhatAKernelDoes) {
  for (const Operator* op : {&kRnn, &kData, &kCell}) {
    const Call call = op->make();
    const Record record;
    op->run(call);
    EXPECT_TRUE(Record::names().count("elman::_rnn_forward")) << op->name;
    EXPECT_TRUE(Record::names().count("aten::empty")) << op->name;
  }
}

TEST(WrongCalls, Tensors) {
  for (const WrongTensor& wrong : kWrongTensors) {
    for (const bool differentiated : {false, true}) {
      SCOPED_TRACE(std::string(wrong.op->name) + ", " + wrong.argument + ", " + wrong.defect +
                   (differentiated ? ", differentiated" : ""));
      Call call = wrong.op->make();
      call.tensors[wrong.argument] = spoilt(call[wrong.argument], wrong.defect);
      for (auto& [name, tensor] : call.tensors) {
        if (differentiated && tensor.defined() && tensor.is_floating_point() &&
            name.find("l0") != std::string::npos) {
          tensor.requires_grad_();
        }
      }
      expect_refusal([&] { wrong.op->run(call); }, wrong.kind, wrong.message);
    }
  }
}

struct WrongOption {
  const Operator* op;
  std::function<void(Call&)> spoil;
  const char* message;
  Kind kind = Kind::kValueError;
};

TEST(WrongCalls, Options) {
  const WrongOption wrong_options[] = {
      {&kRnn, [](Call& c) { c.num_layers = 0; }, "num_layers must be greater than zero, got 0"},
      {&kRnn, [](Call& c) { c.num_layers = 2; }, "params must hold 8 tensors", Kind::kError},
      {&kRnn, [](Call& c) { c.bidirectional = true; }, "params must hold 8", Kind::kError},
      {&kRnn, [](Call& c) { c.has_biases = false; }, "params must hold 2", Kind::kError},
      {&kRnn, [](Call& c) { c.tensors.erase("bias_hh_l0"); }, "got 3", Kind::kError},
      {&kRnn, [](Call& c) { c.dropout = -0.1; }, "dropout should be a number in range [0, 1]"},
      {&kRnn, [](Call& c) { c.dropout = 1.1; }, "dropout should be a number in range [0, 1]"},
      {&kRnn, [](Call& c) { c.dropout = NAN; }, "dropout should be a number in range [0, 1]"},
      {&kRnn, [](Call& c) { c.nonlinearity = "elu"; }, "Unknown nonlinearity 'elu'"},
      {&kRnn, [](Call& c) { c.k2 = 3; }, "k1 must be at least 1"},
      {&kRnn, [](Call& c) { c.k1 = -1; }, "k1 must be at least 1"},
      {&kRnn, [](Call& c) { c.k1 = 3, c.k2 = 2; }, "k2 must be at least k1"},
      {&kRnn, [](Call& c) { c["carry_scale"].requires_grad_(); }, "never differentiated",
       Kind::kError},
      {&kRnn,
       [](Call& c) {
         for (auto& [name, tensor] : c.tensors) {
           if (name != "reset" && name != "carry_scale") tensor = tensor.to(torch::kComplexFloat);
         }
         c.nonlinearity = "relu";
       },
       "nonlinearity 'relu' is not defined for complex input (complex numbers have no order)",
       Kind::kError},
      {&kData, [](Call& c) { c.nonlinearity = ""; }, "Unknown nonlinearity ''"},
      {&kData, [](Call& c) { c.k1 = 2, c.k2 = 1; }, "k2 must be at least k1"},
      {&kData,
       [](Call& c) {
         c.tensors["batch_sizes"] = torch::tensor({int64_t{2}, int64_t{4}});
       },
       "batch_sizes must be positive and must not increase, got 2 then 4", Kind::kError},
      {&kData,
       [](Call& c) {
         c.tensors["batch_sizes"] = torch::tensor({int64_t{6}, int64_t{0}});
       },
       "batch_sizes must be positive and must not increase, got 6 then 0", Kind::kError},
      {&kData, [](Call& c) { c.tensors["batch_sizes"] = torch::empty({0}, torch::kLong); },
       "batch_sizes must not be empty", Kind::kError},
      {&kCell, [](Call& c) { c.nonlinearity = "Tanh"; }, "Unknown nonlinearity 'Tanh'"},
  };
  for (const WrongOption& wrong : wrong_options) {
    SCOPED_TRACE(wrong.message);
    Call call = wrong.op->make();
    wrong.spoil(call);
    expect_refusal([&] { wrong.op->run(call); }, wrong.kind, wrong.message);
  }
}

TEST(WrongCalls, OfModules) {
  elman::RNN rnn(elman::RNNOptions(kI, kH).num_layers(2));
  elman::RNNCell cell(kI, kH);
  const Tensor x = torch::zeros({kT, kB, kI}), last = x[0][0], wider = longer(x, -1);
  const Tensor no_steps = x.slice(0, 0, 0), wide = x.to(torch::kDouble);
  const Tensor hx = torch::zeros({1, kB, kH}), state = torch::zeros({2, 1, kH});
  using torch::nn::utils::rnn::PackedSequence;
  const PackedSequence packed(torch::zeros({3, kI + 1}), torch::ones({3}, torch::kLong));
  expect_refusal([&] { rnn->forward({}); }, Kind::kError, "input must be a tensor");
  expect_refusal([&] { rnn->forward(last); }, Kind::kValueError, "to be 2D or 3D, got 1D");
  expect_refusal([&] { rnn->forward(wider); }, Kind::kError, "Expected 4, got 5");
  expect_refusal([&] { rnn->forward(no_steps); }, Kind::kError, "length to be larger than 0");
  expect_refusal([&] { rnn->forward(wide); }, Kind::kValueError, "RNN input dtype (Double)");
  expect_refusal([&] { rnn->forward(x, hx); }, Kind::kError, "Expected hidden size (2, 3, 6)");
  expect_refusal([&] { cell->forward(x); }, Kind::kValueError, "to be 1D or 2D, got 3D");
  expect_refusal([&] { rnn->forward_with_packed_input(packed, state); }, Kind::kError,
                 "Expected 4, got 5");
}

}  // namespace
