// Every operator x every argument x every defect, made from the schemas: calls that are typed as
// they should be, with anything in them. Each is refused by an error or, where the defect is none,
// gives the right result; under the sanitizers, without a read or a write out of bounds.

#include "checks/hostile_calls.h"

#include <elman/elman.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <set>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "checks/hostile_runs.h"
#include "testing.h"

namespace {

using elman_test::Arguments;
using elman_test::Defect;
using elman_test::find_operator;
using elman_test::Operator;
using elman_test::Outcome;
using elman_test::outcome;
using elman_test::right_arguments;
using elman_test::run;
using elman_test::run_mapped;
using elman_test::Shape;
using elman_test::tensor_defects;
using elman_test::Way;
using torch::IValue;
using torch::Tensor;

const Shape kShapes[] = {
    {"one layer"},
    {"three layers", 3, false, false, false, true, /*dropout=*/true},
    {"both directions", 2, /*bidirectional=*/true},
    {"batch first", 2, false, /*batch_first=*/true},
    {"packed", 2, false, false, /*packed=*/true, true, /*dropout=*/true},
    {"packed, both directions", 1, true, false, /*packed=*/true},
    {"unbatched", 2, false, false, false, /*batched=*/false, /*dropout=*/true},
    {"complex", 2, false, false, false, true, true, torch::kComplexFloat},
    {"complex, packed", 2, false, false, true, true, true, torch::kComplexFloat},
    {"leaky", 2, false, false, false, true, false, torch::kFloat, "rate"},
    {"leaky, packed", 2, true, false, true, true, false, torch::kFloat, "current"},
};

const Operator kOperators[] = {
    {"rnn", "", Operator::kPadded},
    {"rnn", "data", Operator::kPacked},
    {"_rnn_forward", "", Operator::kBoth},
    {"_rnn_backward", "", Operator::kBoth},
    {"kernel_info", "", Operator::kPadded, false},
    {"kernel_info", "data", Operator::kPacked, false},
    {"gradient_by_lag", "", Operator::kPadded, false},
};

/// How many of them there are that vmap has rules for; they come first.
constexpr size_t kMapped = 4;

void expect_refused(const Outcome& outcome, const std::string& name) {
  EXPECT_FALSE(outcome.error.empty()) << "accepted";
  EXPECT_EQ(outcome.error.find("INTERNAL ASSERT"), std::string::npos) << outcome.error;
  EXPECT_PRED_FORMAT2(testing::IsSubstring, name, outcome.error);
}

void expect_results(const Outcome& outcome, const std::vector<Tensor>& expected) {
  EXPECT_EQ(outcome.error, "");
  ASSERT_EQ(outcome.results.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i)
    EXPECT_TRUE(elman_test::close(outcome.results[i], expected[i], 1e-5)) << "result " << i;
}

/// A defect of one argument that leaves the call as right as it was.
bool is_harmless(const Operator& op, const Shape& shape, const std::string& argument,
                 const Defect& defect) {
  const std::string name = defect.name;
  // Only batch_sizes is read there.
  if (op.is("kernel_info") && argument != "batch_sizes" && name.find("freed") != std::string::npos)
    return true;
  // Ones of any floating dtype, and one value for each step.
  if (argument == "carry_scale" && name == "another floating dtype") return true;
  if (argument == "carry_scale" && shape.batch_first && name == "selected") return true;
  return defect.harmless;
}

/// Whether the defect leaves a right call with other results: no masks instead of some.
bool is_another_call(const Operator& op, const std::string& argument, const Defect& defect) {
  return op.is("_rnn_backward") && argument == "saved_masks" &&
         defect.name == std::string("of no elements");
}

/// What the error must name. Where one of the other arguments is wrong, that which it does not fit
/// may be found first.
std::string name_in_error(const std::string& argument) {
  static const std::set<std::string> named{"grad_output", "grad_h_n",    "output", "states",
                                           "masks",       "saved_masks", "drives", "reset",
                                           "carry_scale", "batch_sizes", "leak",   "preactivation",
                                           "output_mask"};
  return named.count(argument) ? argument : "";
}

class HostileCalls : public testing::TestWithParam<Operator> {
 protected:
  /// try_shape(shape, right arguments) for each shape that the operator takes.
  template <typename Try>
  void for_shapes(const Try& try_shape) const {
    for (const Shape& shape : kShapes) {
      if (!GetParam().takes_shape(shape)) continue;
      SCOPED_TRACE(shape.name);
      Arguments arguments = right_arguments(shape);
      if (!shape.dropout) arguments.erase("masks");
      arguments["dropout"] = 0.0;  // or results could not be compared
      try_shape(shape, arguments);
    }
  }
};

TEST_P(HostileCalls, Tensors) {
  const Operator& op = GetParam();
  const auto schema = find_operator(op.name, op.overload).schema();
  torch::manual_seed(0);
  for_shapes([&](const Shape& shape, const Arguments& right) {
    for (const Way way : {Way::kPlain, Way::kDifferentiated, Way::kVmap}) {
      if (way == Way::kVmap && !op.maps) continue;
      const std::vector<Tensor> expected = run(op, right, way);
      const auto try_defect = [&](const std::string& argument, const Tensor& tensor,
                                  const Defect& defect, const auto& replace) {
        if (defect.of_elements && tensor.numel() == 0) return;
        SCOPED_TRACE(argument + " " + defect.name + ", way " +
                     std::to_string(static_cast<int>(way)));
        Arguments arguments = right;
        replace(arguments, defect.spoil(tensor));
        const Outcome made = outcome(op, arguments, way);
        if (is_another_call(op, argument, defect)) {
          EXPECT_EQ(made.error, "");
        } else if (is_harmless(op, shape, argument, defect)) {
          expect_results(made, expected);
        } else {
          expect_refused(made, name_in_error(argument));
        }
      };
      for (const auto& argument : schema.arguments()) {
        const auto found = right.find(argument.name());
        if (found == right.end()) continue;
        for (const Defect& defect : tensor_defects()) {
          if (found->second.isTensor()) {
            try_defect(argument.name(), found->second.toTensor(), defect,
                       [&](Arguments& arguments, const Tensor& spoilt) {
                         arguments[argument.name()] = spoilt;
                       });
          } else if (found->second.isTensorList()) {
            std::vector<Tensor> tensors = found->second.toTensorVector();
            for (const size_t i : {size_t{0}, size_t{1}, tensors.size() - 1}) {
              try_defect(argument.name() + "[" + std::to_string(i) + "]", tensors[i], defect,
                         [&](Arguments& arguments, const Tensor& spoilt) {
                           std::vector<Tensor> changed = tensors;
                           changed[i] = spoilt;
                           arguments[argument.name()] = changed;
                         });
            }
          }
        }
      }
    }
  });
}

/// Values that no call takes, by the type of the argument or by its name.
std::vector<std::pair<std::string, IValue>> wrong_values(const Arguments& right) {
  constexpr int64_t kMin = INT64_MIN, kMax = INT64_MAX;
  std::vector<std::pair<std::string, IValue>> wrong;
  const int64_t layers = right.at("num_layers").toInt();
  // Some wrap around to the right number of parameters.
  for (const int64_t value : {kMin, int64_t{-1}, int64_t{0}, layers + 1, int64_t{1} << 62,
                              (int64_t{1} << 62) + layers, (int64_t{1} << 61) + layers, kMax})
    wrong.emplace_back("num_layers", value);
  for (const int64_t value : {kMin, int64_t{-1}, int64_t{0}, kMax}) wrong.emplace_back("k1", value);
  for (const int64_t value : {kMin, int64_t{-1}, int64_t{0}, int64_t{1}})
    wrong.emplace_back("k2", value);
  for (const int64_t value : {kMin, int64_t{-1}, int64_t{0}}) wrong.emplace_back("max_lag", value);
  for (const double value : {-0.1, 1.1, std::nan(""), static_cast<double>(INFINITY)})
    wrong.emplace_back("dropout", value);
  for (const char* name : {"has_biases", "bidirectional"})
    wrong.emplace_back(name, !right.at(name).toBool());
  for (const char* name : {"", "elu", "tanh "}) wrong.emplace_back("nonlinearity", name);
  for (const char* name : {"", "Rate", "currents"}) wrong.emplace_back("leak_form", name);
  const std::vector<Tensor> params = right.at("params").toTensorVector();
  wrong.emplace_back("params", std::vector<Tensor>{});
  wrong.emplace_back("params", std::vector<Tensor>(params.begin(), params.end() - 1));
  std::vector<Tensor> more = params;
  more.push_back(params.back());
  wrong.emplace_back("params", more);
  for (const size_t count : {size_t{0}, size_t{1}, params.size() + 1, params.size() + 3}) {
    c10::List<bool> mask;
    for (size_t i = 0; i < count; ++i) mask.push_back(true);
    wrong.emplace_back("output_mask", mask);
  }
  const int64_t half = int64_t{1} << 62;
  for (const std::vector<int64_t>& sizes : std::vector<std::vector<int64_t>>{
           {half, half, half, half, 9}, {kMax, kMax, 11}, {3, -1, 7}, {3, 4, 2}, {9, 0}, {10}, {8}})
    wrong.emplace_back("batch_sizes", torch::tensor(sizes, torch::kLong));
  return wrong;
}

TEST_P(HostileCalls, Values) {
  const Operator& op = GetParam();
  const auto schema = find_operator(op.name, op.overload).schema();
  for_shapes([&](const Shape& shape, const Arguments& right) {
    std::vector<std::pair<std::string, IValue>> wrong = wrong_values(right);
    if (shape.batched) wrong.emplace_back("batch_first", !shape.batch_first);
    for (const auto& [name, value] : wrong) {
      if (!schema.argumentIndexWithName(name) || !right.count(name)) continue;
      for (const Way way : {Way::kPlain, Way::kDifferentiated, Way::kVmap}) {
        if (way == Way::kVmap && !op.maps) continue;
        std::ostringstream what;
        what << name << " " << value << ", way " << static_cast<int>(way);
        SCOPED_TRACE(what.str());
        Arguments arguments = right;
        arguments[name] = value;
        expect_refused(outcome(op, arguments, way), name_in_error(name));
      }
    }
  });
}

class MappedCalls : public HostileCalls {};

/// torch's operators return empty results.
TEST_P(MappedCalls, OverNoSlices) {
  const Operator& op = GetParam();
  for_shapes([&](const Shape&, const Arguments& right) {
    for (const bool all : {false, true}) {
      const std::vector<Tensor> one = run_mapped(op, right, 1, all);
      const std::vector<Tensor> none = run_mapped(op, right, 0, all);
      ASSERT_EQ(none.size(), one.size());
      for (size_t i = 0; i < one.size(); ++i) {
        auto sizes = one[i].sizes().vec();
        sizes[0] = 0;
        EXPECT_EQ(none[i].sizes(), torch::IntArrayRef(sizes)) << "result " << i;
        EXPECT_EQ(none[i].dtype(), one[i].dtype());
      }
    }
  });
}

std::string test_name(const testing::TestParamInfo<Operator>& info) {
  std::string name = info.param.name;
  if (name[0] == '_') name = "internal" + name;
  return name + (*info.param.overload ? "_data" : "");
}

INSTANTIATE_TEST_SUITE_P(Operators, HostileCalls, testing::ValuesIn(kOperators), test_name);
INSTANTIATE_TEST_SUITE_P(Operators, MappedCalls,
                         testing::ValuesIn(std::begin(kOperators),
                                           std::begin(kOperators) + kMapped),
                         test_name);

/// A byte that is neither 0 nor 1 is a true one, as to torch.
TEST(HostileData, BytesOfABool) {
  for (const auto dtype : {torch::kFloat, torch::kComplexFloat}) {
    Arguments arguments = right_arguments({"bool", 2, false, false, false, true, false, dtype});
    const Tensor ones = torch::rand({5, 3}).lt(0.5);
    const Operator& op = kOperators[0];
    arguments["reset"] = ones;
    const std::vector<Tensor> expected = run(op, arguments, Way::kDifferentiated);
    arguments["reset"] = ones.to(torch::kByte).mul(6).view(torch::kBool);
    expect_results(outcome(op, arguments, Way::kDifferentiated), expected);
  }
}

}  // namespace
