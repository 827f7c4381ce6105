// The list of wrong calls (tests/wrong_calls.txt), and what only C++ can get wrong: each is
// refused, by an error of the right kind that names the argument, before anything is allocated or
// computed.

#include "checks/wrong_calls.h"

#include <elman/elman.h>
#include <gtest/gtest.h>
#include <torch/nn/utils/rnn.h>

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "checks/refusal.h"

namespace {

using elman_test::Call;
using elman_test::expect_refusal;
using elman_test::kB;
using elman_test::kH;
using elman_test::kI;
using elman_test::kT;
using elman_test::larger;
using elman_test::make;
using elman_test::Record;
using elman_test::WrongCall;
using torch::Tensor;

const std::vector<WrongCall>& the_list() {
  static const auto& calls =
      *new std::vector<WrongCall>(elman_test::read_wrong_calls(ELMAN_WRONG_CALLS));
  return calls;
}

/// Expects a refusal with parameters that require gradients, and with some that do not.
void expect_refusal_with_and_without_gradients(const WrongCall& wrong) {
  for (const bool differentiated : {false, true}) {
    SCOPED_TRACE(wrong.base + ": " + wrong.change + (differentiated ? ", differentiated" : ""));
    const auto [call, run] = make(wrong);
    for (Tensor& param : call.params()) {
      if (differentiated && param.defined() && param.is_floating_point()) param.requires_grad_();
    }
    expect_refusal([&, &call = call, run = run] { run(call); }, wrong.kind, wrong.words);
  }
}

TEST(WrongCalls, TheRecordSeesWhatAKernelDoes) {
  std::set<std::string> bases;
  for (const WrongCall& wrong : the_list()) bases.insert(wrong.base);
  for (const std::string& base : bases) {
    const auto [call, run] = elman_test::right_call(base);
    const Record record;
    run(call);
    const bool is_meta = base == "rnn on the meta device";
    EXPECT_TRUE(Record::names().count(is_meta ? "elman::_rnn_forward" : "aten::empty")) << base;
  }
}

TEST(WrongCalls, OfTheList) {
  EXPECT_GT(the_list().size(), 290);
  for (const WrongCall& wrong : the_list()) expect_refusal_with_and_without_gradients(wrong);
}

/// From Python no tensor comes undefined: None is refused by the dispatcher, or means none.
TEST(WrongCalls, UndefinedTensors) {
  const std::pair<const char*, const char*> arguments[] = {{"rnn", "input"},
                                                           {"rnn", "hx"},
                                                           {"rnn", "weight_ih_l0"},
                                                           {"rnn", "weight_hh_l0"},
                                                           {"rnn", "reset"},
                                                           {"rnn", "leak"},
                                                           {"rnn", "preactivation"},
                                                           {"rnn.data", "data"},
                                                           {"rnn.data", "batch_sizes"},
                                                           {"rnn_cell", "input"},
                                                           {"rnn_cell", "w_ih"},
                                                           {"rnn_cell", "leak"},
                                                           {"rnn_cell", "preactivation"}};
  for (const auto& [base, name] : arguments) {
    // Of packed rows the message says "input" too.
    const std::string said = name == std::string("data") ? "input" : name;
    expect_refusal_with_and_without_gradients({base,
                                               name + std::string("=undefined"),
                                               "RuntimeError",
                                               {said + " must be a tensor, got an undefined one"}});
  }
}

TEST(WrongCalls, OfModules) {
  elman::RNN rnn(elman::RNNOptions(kI, kH).num_layers(2));
  elman::RNNCell cell(kI, kH);
  const Tensor x = torch::zeros({kT, kB, kI}), last = x[0][0], wider = larger(x, -1);
  const Tensor no_steps = x.slice(0, 0, 0), wide = x.to(torch::kDouble);
  const Tensor hx = torch::zeros({1, kB, kH}), state = torch::zeros({2, 1, kH});
  using torch::nn::utils::rnn::PackedSequence;
  const PackedSequence packed(torch::zeros({3, kI + 1}), torch::ones({3}, torch::kLong));
  expect_refusal([&] { rnn->forward({}); }, "RuntimeError", {"input must be a tensor"});
  expect_refusal([&] { rnn->forward(last); }, "ValueError", {"to be 2D or 3D, got 1D"});
  expect_refusal([&] { rnn->forward(wider); }, "RuntimeError", {"Expected 4, got 5"});
  expect_refusal([&] { rnn->forward(no_steps); }, "RuntimeError", {"length to be larger than 0"});
  expect_refusal([&] { rnn->forward(wide); }, "ValueError", {"RNN input dtype (Double)"});
  expect_refusal([&] { rnn->forward(x, hx); }, "RuntimeError", {"Expected hidden size (2, 3, 6)"});
  expect_refusal([&] { cell->forward(x); }, "ValueError", {"to be 1D or 2D, got 3D"});
  expect_refusal([&] { rnn->forward_with_packed_input(packed, state); }, "RuntimeError",
                 {"Expected 4, got 5"});
}

}  // namespace
