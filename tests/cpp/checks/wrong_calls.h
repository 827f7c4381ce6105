#pragma once

#include <ATen/record_function.h>
#include <elman/elman.h>
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace elman_test {

using torch::Tensor;

constexpr int64_t kT = 5, kB = 3, kI = 4, kH = 6;

/// The names of the operators that run while an object of this class lives, on this thread.
class Record {
 public:
  Record() {
    names().clear();
    handle_ = at::addThreadLocalCallback(
        at::RecordFunctionCallback([](const at::RecordFunction& function) {
          names().insert(function.name());
          return std::unique_ptr<at::ObserverContext>();
        }).scopes({at::RecordScope::FUNCTION}));
  }
  ~Record() { at::removeCallback(handle_); }

  static std::set<std::string>& names() {
    thread_local std::set<std::string> names;
    return names;
  }

 private:
  at::CallbackHandle handle_;
};

/// The tensors of a call by their names; an operator's own are those that it finds.
struct Call {
  std::map<std::string, Tensor> tensors;
  bool has_biases = true, bidirectional = false;
  int64_t num_layers = 1, k1 = 0, k2 = 0;
  double dropout = 0.0;
  std::string nonlinearity = "tanh";

  Tensor operator[](const std::string& name) const { return tensors.at(name); }
  std::optional<Tensor> optional(const std::string& name) const {
    const auto found = tensors.find(name);
    return found == tensors.end() ? std::nullopt : std::optional<Tensor>(found->second);
  }
  std::vector<Tensor> params() const {
    std::vector<Tensor> result;
    for (const char* name : {"weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0"}) {
      if (tensors.count(name)) result.push_back(tensors.at(name));
    }
    return result;
  }
};

inline Call parameters() {
  return {{{"weight_ih_l0", torch::zeros({kH, kI})},
           {"weight_hh_l0", torch::zeros({kH, kH})},
           {"bias_ih_l0", torch::zeros({kH})},
           {"bias_hh_l0", torch::zeros({kH})}}};
}

/// A kind of call: how a right one is made, and how one is run.
struct Operator {
  const char* name;
  std::function<Call()> make;
  std::function<void(const Call&)> run;
};

inline const Operator kRnn{"rnn",
                           [] {
                             Call call = parameters();
                             call.tensors["input"] = torch::zeros({kT, kB, kI});
                             call.tensors["hx"] = torch::zeros({1, kB, kH});
                             call.tensors["reset"] = torch::zeros({kT, kB}, torch::kBool);
                             call.tensors["carry_scale"] = torch::ones({kT, kB});
                             return call;
                           },
                           [](const Call& call) {
                             elman::rnn(call["input"], call.optional("hx"), call.params(),
                                        call.has_biases, call.num_layers, call.dropout,
                                        /*train=*/false, call.bidirectional,
                                        /*batch_first=*/false, call.nonlinearity, call.k1, call.k2,
                                        call.optional("reset"), call.optional("carry_scale"));
                           }};

inline const Operator kData{
    "data",
    [] {
      Call call = parameters();
      call.tensors["data"] = torch::zeros({6, kI});
      call.tensors["batch_sizes"] = torch::tensor({int64_t{3}, int64_t{2}, int64_t{1}});
      call.tensors["hx"] = torch::zeros({1, kB, kH});
      return call;
    },
    [](const Call& call) {
      elman::rnn(call["data"], call["batch_sizes"], call.optional("hx"), call.params(),
                 call.has_biases, call.num_layers, call.dropout, /*train=*/false,
                 call.bidirectional, call.nonlinearity, call.k1, call.k2);
    }};

inline const Operator kCell{"cell",
                            [] {
                              Call call = parameters();
                              call.tensors["input"] = torch::zeros({kB, kI});
                              call.tensors["hx"] = torch::zeros({kB, kH});
                              return call;
                            },
                            [](const Call& call) {
                              elman::rnn_cell(call["input"], call.optional("hx"),
                                              call["weight_ih_l0"], call["weight_hh_l0"],
                                              call.optional("bias_ih_l0"),
                                              call.optional("bias_hh_l0"), call.nonlinearity);
                            }};

inline Tensor longer(const Tensor& tensor, int64_t dim) {
  auto sizes = tensor.sizes().vec();
  sizes[dim < 0 ? dim + tensor.dim() : dim] += 1;
  return torch::zeros(sizes, tensor.options());
}

inline Tensor spoilt(const Tensor& tensor, const std::string& defect) {
  if (defect == "float64") return tensor.to(torch::kDouble);
  if (defect == "int32") return tensor.to(torch::kInt);
  if (defect == "sparse") return tensor.to_sparse();
  if (defect == "meta") return tensor.to(torch::kMeta);
  if (defect == "unsqueezed") return tensor.unsqueeze(0);
  if (defect == "selected") return tensor[0];
  if (defect == "longer") return longer(tensor, 0);
  if (defect == "wider") return longer(tensor, -1);
  TORCH_INTERNAL_ASSERT(defect == "undefined");
  return {};
}

/// The kind of error that is expected.
enum class Kind { kError, kValueError };

/// Expects `call` to throw an error of `kind` with `message`, and to run no operator but elman's.
inline void expect_refusal(const std::function<void()>& call, Kind kind,
                           const std::string& message) {
  std::set<std::string> run;
  std::string text;
  bool is_value_error = false;
  {
    const Record record;
    try {
      call();
      ADD_FAILURE() << "no error was thrown";
    } catch (const c10::Error& error) {
      text = error.what_without_backtrace();
      is_value_error = dynamic_cast<const c10::ValueError*>(&error) != nullptr;
    }
    run = Record::names();
  }
  EXPECT_PRED_FORMAT2(testing::IsSubstring, message, text);
  EXPECT_EQ(is_value_error, kind == Kind::kValueError) << text;
  for (const auto& name : run) EXPECT_EQ(name.substr(0, 7), "elman::") << name;
}

}  // namespace elman_test
