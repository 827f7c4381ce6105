// Files of steppers: what is written is read, and anything else is refused with the reason.
#include <elman/stepper.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

#include "reference.h"

namespace {

using reference::Network;
using reference::Options;

std::string temporary(const std::string& name) {
  return testing::TempDir() + "stepper_file_test_" + std::to_string(getpid()) + "_" + name;
}

template <typename T>
std::string contents_of(const Network<T>& network) {
  const std::string path = temporary("contents");
  elman::save_stepper(network.parameters, path);
  std::ifstream file(path, std::ios::binary);
  std::string contents{std::istreambuf_iterator<char>(file), {}};
  file.close();
  std::remove(path.c_str());
  return contents;
}

std::string refusal(const std::string& contents) {
  try {
    elman::Stepper::from_memory(contents.data(), contents.size());
  } catch (const std::runtime_error& wrong) {
    return wrong.what();
  }
  return "";
}

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

/// A file with this header and so many bytes of tensors.
std::string file_with(const std::string& header, size_t bytes) {
  std::string file(8, '\0');
  for (size_t i = 0; i < 8; ++i) file[i] = static_cast<char>(header.size() >> (8 * i) & 0xFF);
  return file + header + std::string(bytes, '\0');
}

TEST(StepperFile, WhatIsWrittenIsRead) {
  for (const char* form : {"", "rate", "current"})
    for (const int64_t O : {0, 2})
      for (const bool bias : {true, false}) {
        Options options;
        options.form = form;
        options.O = O;
        options.output = "softmax";
        options.bias = bias;
        options.L = 2;
        options.nonlinearity = "softplus";
        options.rows = 2;
        const Network<double> network(options);
        const std::string path = temporary("round_trip");
        elman::save_stepper(network.parameters, path);
        elman::DoubleStepper from_file = elman::DoubleStepper::load(path, 2);
        std::remove(path.c_str());
        elman::DoubleStepper from_memory(network.parameters, 2);
        ASSERT_EQ(from_file.output_size(), from_memory.output_size());
        const auto x = reference::make_input<double>(options, 30);
        std::vector<double> a(static_cast<size_t>(60 * from_file.output_size())), b(a.size());
        from_file.process(x.data(), a.data(), 30);
        from_memory.process(x.data(), b.data(), 30);
        EXPECT_EQ(a, b);
      }
}

TEST(StepperFile, WhatIsWrongIsSaid) {
  Options options;
  options.form = "rate";
  options.O = 2;
  const std::string good = contents_of(Network<float>(options));
  ASSERT_EQ(refusal(good), "");
  EXPECT_EQ(refusal(""), "it is cut short, or no safetensors file: it has 0 bytes");
  EXPECT_EQ(refusal(std::string(100, 'x')).substr(0, 52),
            "it is no safetensors file: its header would have 868");
  EXPECT_EQ(refusal(good.substr(0, 50)).find("it is cut short: its header has "), 0U);
  EXPECT_EQ(refusal(good.substr(0, good.size() - 1)).find("it is cut short: tensor 'out."), 0U);
  EXPECT_EQ(refusal(good + "x"), "1 bytes after its tensors belong to none");
  EXPECT_EQ(refusal(replaced(good, "elman_stepper\":\"1\"", "elman_stepper\":\"2\"")),
            "it has version '2' of the format; this elman reads version '1'");
  EXPECT_EQ(refusal(replaced(good, "elman_stepper", "other_program")),
            "it is not the file of a stepper: its metadata has no elman_stepper. "
            "elman.save_stepper(module, path) writes one");
  EXPECT_EQ(refusal(replaced(good, "\"output\"", "\"outpux\"")),
            "its metadata has the unknown option 'outpux'");
  EXPECT_EQ(refusal(replaced(good, "\"tanh\"", "\"tanx\"")).find("Unknown nonlinearity 'tanx'"),
            0U);
  EXPECT_EQ(refusal(replaced(good, "\"rate\"", "\"ratx\"")).find("Unknown leak_form 'ratx'"), 0U);
  EXPECT_EQ(refusal(replaced(good, "bias_hh_l0", "bias_xx_l0")),
            "it has the unknown tensor 'bias_xx_l0'");
  EXPECT_EQ(refusal(replaced(good, "weight_hh_l0", "weight_xx_l0")),
            "tensor 'weight_hh_l0' is missing");
  EXPECT_EQ(refusal(replaced(good, "alpha_l0", "alpha_l1")), "tensor 'alpha_l0' is missing");
  EXPECT_EQ(refusal(replaced(good, "\"shape\":[5,3]", "\"shape\":[3,5]")),
            "tensor 'weight_ih_l0' has shape [3, 5]; expected [5, 5]");
  EXPECT_EQ(refusal(replaced(good, "\"shape\":[5,3]", "\"shape\":[5,4]")),
            "tensor 'weight_ih_l0' has 60 bytes, which is not what its shape and dtype F32 take");
  EXPECT_EQ(refusal(replaced(good, "\"F32\"", "\"I32\"")),
            "tensor 'weight_ih_l0' has dtype I32; expected F32");
  EXPECT_EQ(refusal(replaced(good, "\"F32\"", "\"F3x\"")),
            "tensor 'weight_ih_l0' has the unknown dtype 'F3x'");
  EXPECT_EQ(refusal(contents_of(Network<double>(options))),
            "tensor 'weight_ih_l0' has dtype F64; expected F32: elman::DoubleStepper loads this "
            "file");
  EXPECT_EQ(refusal(replaced(good, "[0,60]", "[4,64]")),
            "its tensors overlap or leave a gap at byte 0");
  EXPECT_EQ(refusal(replaced(good, "{\"__meta", "[\"__meta")),
            "its header is no valid JSON: expected '{' before byte 0");
}

TEST(StepperFile, HeadersOfOthersAreRefused) {
  EXPECT_EQ(refusal(file_with("{}", 0)).find("it is not the file of a stepper"), 0U);
  EXPECT_NE(refusal(file_with("", 0)), "");
  EXPECT_NE(refusal(file_with("{\"__metadata__\":{\"a\":\"1\",\"a\":\"2\"}}", 0)), "");
  EXPECT_NE(refusal(file_with("{\"a\":{\"dtype\":\"F32\",\"shape\":[9007199254740993],"
                              "\"data_offsets\":[0,4]}}",
                              4)),
            "");
  EXPECT_NE(refusal(file_with("{\"a\":{\"dtype\":\"F32\",\"shape\":[4294967296,4294967296,4],"
                              "\"data_offsets\":[0,0]}}",
                              0)),
            "");
  EXPECT_NE(refusal(file_with("{\"a\":{\"dtype\":\"F32\",\"shape\":[[1]]}}", 4)), "");
  EXPECT_NE(refusal(file_with("{\"\\ud800\":", 0)), "");
  EXPECT_NE(refusal(file_with("{\"a\":" + std::string(100'000, '['), 0)), "");
}

TEST(StepperFile, APathIsNamed) {
  try {
    elman::Stepper::load("/nowhere/at all");
    FAIL();
  } catch (const std::runtime_error& wrong) {
    EXPECT_STREQ(wrong.what(),
                 "Cannot load a stepper from '/nowhere/at all': No such file or directory");
  }
  EXPECT_THROW(elman::save_stepper(Network<float>(Options()).parameters, "/nowhere/at all"),
               std::runtime_error);
  EXPECT_THROW(elman::Stepper::load(testing::TempDir()), std::runtime_error);
}

}  // namespace
