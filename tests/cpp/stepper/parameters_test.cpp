// What a stepper takes as its parameters, and what it says of those that it does not.
#include <elman/stepper.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <stdexcept>
#include <string>

#include "reference.h"

namespace {

using reference::Network;
using reference::Options;

TEST(StepperArguments, WrongOnesAreRefusedByName) {
  const auto message = [](const auto& change, int64_t rows = 1) -> std::string {
    Options options;
    options.form = "rate";
    options.O = 2;
    Network<float> network(options);
    change(network);
    try {
      const elman::Stepper stepper(network.parameters, rows);
    } catch (const std::invalid_argument& wrong) {
      return wrong.what();
    }
    return "";
  };
  EXPECT_EQ(message([](auto&) {}), "");
  EXPECT_EQ(message([](auto&) {}, 0), "rows must be between 1 and 16777216, got 0");
  EXPECT_EQ(message([](auto& n) { n.parameters.input_size = 0; }),
            "input_size must be between 1 and 16777216, got 0");
  EXPECT_EQ(message([](auto& n) { n.parameters.hidden_size = -3; }),
            "hidden_size must be between 1 and 16777216, got -3");
  EXPECT_EQ(message([](auto& n) { n.parameters.layers.clear(); }), "layers must not be empty");
  EXPECT_EQ(message([](auto& n) { n.parameters.layers[0].weight_hh = nullptr; }),
            "weight_hh_l0 is missing");
  EXPECT_EQ(message([](auto& n) { n.parameters.nonlinearity = "gelu"; }),
            "Unknown nonlinearity 'gelu'. Select from 'tanh', 'relu', 'sigmoid', 'softplus', "
            "'identity'");
  EXPECT_EQ(message([](auto& n) { n.parameters.leak_form = "both"; }),
            "Unknown leak_form 'both'. Select from 'rate', 'current'");
  EXPECT_EQ(message([](auto& n) { n.parameters.output = "argmax"; }),
            "Unknown output 'argmax'. Select from 'tanh', 'relu', 'sigmoid', 'softplus', "
            "'identity', 'softmax'");
  EXPECT_EQ(message([](auto& n) { n.storage[4][2] = 1.5; }),
            "alpha_l0 must be in (0, 1], got 1.500000 for unit 2");
  EXPECT_EQ(message([](auto& n) { n.parameters.weight_out = nullptr; }),
            "weight_out is missing: output_size is 2");
}

}  // namespace
