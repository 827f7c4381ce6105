#pragma once

#include <elman/elman.h>
#include <torch/types.h>

#include <algorithm>
#include <cstdint>
#include <fstream>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

// tests/wrong_calls.txt, and the calls that it describes.

namespace elman_test {

using torch::Tensor;

constexpr int64_t kT = 5, kB = 3, kI = 4, kH = 6;

/// A line of the list.
struct WrongCall {
  std::string base, change, kind;
  std::vector<std::string> words;
};

/// `text` cut at each `separator`, without the spaces that stand around.
inline std::vector<std::string> split(const std::string& text, const std::string& separator) {
  std::vector<std::string> parts;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(separator, begin), text.size());
    const std::string part = text.substr(begin, end - begin);
    const size_t first = part.find_first_not_of(' ');
    parts.push_back(first == std::string::npos
                        ? ""
                        : part.substr(first, part.find_last_not_of(' ') - first + 1));
    begin = end + separator.size();
  }
  return parts;
}

inline std::vector<WrongCall> read_wrong_calls(const std::string& path) {
  std::ifstream file(path);
  TORCH_CHECK(file, "cannot read ", path);
  std::vector<WrongCall> calls;
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line[0] == '#') continue;
    const auto columns = split(line, " | ");
    TORCH_CHECK(columns.size() == 4, "expected four columns, got: ", line);
    std::string words = columns[3];
    for (size_t at; (at = words.find("\\n")) != std::string::npos;) words.replace(at, 2, "\n");
    calls.push_back({columns[0], columns[1], columns[2], split(words, " ... ")});
  }
  return calls;
}

/// A call of one of the operators, that names all but `train`, which is false.
struct Call {
  std::map<std::string, Tensor> tensors;  // those that are not parameters
  std::vector<std::pair<std::string, Tensor>> named_params;
  bool has_biases = true, bidirectional = false, batch_first = false;
  int64_t num_layers = 1, k1 = 0, k2 = 0;
  double dropout = 0.0;
  std::string nonlinearity = "tanh", leak_form = "rate";

  Tensor operator[](const std::string& name) const { return tensors.at(name); }
  std::optional<Tensor> optional(const std::string& name) const {
    const auto found = tensors.find(name);
    return found == tensors.end() ? std::nullopt : std::optional<Tensor>(found->second);
  }
  std::vector<Tensor> params() const {
    std::vector<Tensor> result;
    for (const auto& param : named_params) result.push_back(param.second);
    return result;
  }
};

inline void run_rnn(const Call& call) {
  elman::rnn(call["input"], call.optional("hx"), call.params(), call.has_biases, call.num_layers,
             call.dropout, /*train=*/false, call.bidirectional, call.batch_first, call.nonlinearity,
             call.k1, call.k2, call.optional("reset"), call.optional("carry_scale"),
             call.optional("leak"), call.leak_form, call.optional("preactivation"));
}

inline void run_rnn_data(const Call& call) {
  elman::rnn(call["data"], call["batch_sizes"], call.optional("hx"), call.params(), call.has_biases,
             call.num_layers, call.dropout, /*train=*/false, call.bidirectional, call.nonlinearity,
             call.k1, call.k2, call.optional("leak"), call.leak_form,
             call.optional("preactivation"));
}

inline void run_rnn_cell(const Call& call) {
  const auto params = call.params();
  elman::rnn_cell(call["input"], call.optional("hx"), params[0], params[1], params[2], params[3],
                  call.nonlinearity, call.optional("leak"), call.leak_form,
                  call.optional("preactivation"));
}

/// A call of elman::rnn without its tensors but the parameters.
inline Call stack(int64_t layers, int64_t directions, const torch::TensorOptions& options) {
  Call call;
  call.num_layers = layers;
  call.bidirectional = directions == 2;
  for (int64_t layer = 0; layer < layers; ++layer) {
    for (int64_t direction = 0; direction < directions; ++direction) {
      const std::string suffix = "_l" + std::to_string(layer) + (direction ? "_reverse" : "");
      const int64_t columns = layer ? directions * kH : kI;
      call.named_params.emplace_back("weight_ih" + suffix, torch::zeros({kH, columns}, options));
      call.named_params.emplace_back("weight_hh" + suffix, torch::zeros({kH, kH}, options));
      call.named_params.emplace_back("bias_ih" + suffix, torch::zeros({kH}, options));
      call.named_params.emplace_back("bias_hh" + suffix, torch::zeros({kH}, options));
    }
  }
  return call;
}

/// A right call, by its name in the list, and how it is run.
inline std::pair<Call, void (*)(const Call&)> right_call(const std::string& base) {
  const auto contains = [&](const char* word) { return base.find(word) != std::string::npos; };
  auto options = torch::TensorOptions(contains("complex") ? torch::kComplexFloat : torch::kFloat);
  if (contains("meta")) options = options.device(torch::kMeta);
  Call call = stack(contains("layers") ? 2 : 1, contains("directions") ? 2 : 1, options);
  if (base == "rnn.data") {
    call.tensors = {{"data", torch::zeros({6, kI})},
                    {"batch_sizes", torch::tensor({int64_t{3}, int64_t{2}, int64_t{1}})},
                    {"hx", torch::zeros({1, kB, kH})}};
    return {call, run_rnn_data};
  }
  if (base == "rnn_cell") {
    call.tensors = {{"input", torch::zeros({kB, kI})}, {"hx", torch::zeros({kB, kH})}};
    const char* const names[] = {"w_ih", "w_hh", "b_ih", "b_hh"};
    for (size_t i = 0; i < 4; ++i) call.named_params[i].first = names[i];
    return {call, run_rnn_cell};
  }
  call.tensors = {{"input", torch::zeros({kT, kB, kI}, options)}};
  if (!contains(" of two ") && !contains("complex")) {
    call.tensors["hx"] = torch::zeros({1, kB, kH}, options);
  }
  return {call, run_rnn};
}

inline std::vector<int64_t> integers(const std::string& text) {
  std::vector<int64_t> result;
  for (const auto& number : split(text, ",")) result.push_back(std::stoll(number));
  return result;
}

inline Tensor larger(const Tensor& tensor, int64_t dim) {
  auto sizes = tensor.sizes().vec();
  sizes[dim < 0 ? dim + tensor.dim() : dim] += 1;
  return torch::zeros(sizes, tensor.options());
}

inline Tensor spoilt(const Tensor& tensor, const std::string& defect) {
  if (defect.empty()) return tensor;
  if (defect == "undefined") return {};
  if (defect == "float64") return tensor.to(torch::kDouble);
  if (defect == "float32") return tensor.to(torch::kFloat);
  if (defect == "int32") return tensor.to(torch::kInt);
  if (defect == "int64") return tensor.to(torch::kLong);
  if (defect == "sparse") return tensor.to_sparse();
  if (defect == "meta") return tensor.to(torch::kMeta);
  if (defect == "unsqueezed") return tensor.unsqueeze(0);
  if (defect == "selected") return tensor[0];
  if (defect == "longer") return larger(tensor, 0);
  if (defect == "wider") return larger(tensor, -1);
  TORCH_CHECK(defect == "differentiated", "unknown in the list of wrong calls: ", defect);
  return tensor.detach().requires_grad_();
}

/// `tensor` as the list's `text` wants it.
inline Tensor changed(const Tensor& tensor, const std::string& text) {
  if (text[0] == '{') return torch::tensor(integers(text.substr(1, text.size() - 2)));
  const size_t bracket = text.find('[');
  if (bracket == std::string::npos) return spoilt(tensor, text);
  const auto sizes = integers(text.substr(bracket + 1, text.size() - bracket - 2));
  return spoilt(torch::zeros(sizes, tensor.options()), text.substr(0, bracket));
}

/// Whether `name` is an option, which is then set.
inline bool set_option(Call& call, const std::string& name, const std::string& text) {
  const std::map<std::string, bool*> flags{{"has_biases", &call.has_biases},
                                           {"bidirectional", &call.bidirectional},
                                           {"batch_first", &call.batch_first}};
  const std::map<std::string, int64_t*> numbers{
      {"num_layers", &call.num_layers}, {"k1", &call.k1}, {"k2", &call.k2}};
  if (const auto flag = flags.find(name); flag != flags.end()) {
    *flag->second = text == "true";
  } else if (const auto number = numbers.find(name); number != numbers.end()) {
    *number->second = std::stoll(text);
  } else if (name == "dropout") {
    call.dropout = std::stod(text);
  } else if (name == "nonlinearity") {
    call.nonlinearity = text;
  } else if (name == "leak_form") {
    call.leak_form = text;
  } else {
    return false;
  }
  return true;
}

/// What is changed where the right call has none.
inline Tensor optional_argument(const Call& call, const std::string& name) {
  const bool is_cell = call.named_params[0].first == "w_ih";
  if (name == "reset") return torch::zeros({kT, kB}, torch::kBool);
  if (name == "carry_scale") return torch::ones({kT, kB});
  if (name == "leak") return is_cell ? torch::full({kH}, 0.5) : torch::full({1, kH}, 0.5);
  TORCH_CHECK(name == "preactivation", "unknown in the list of wrong calls: ", name);
  auto sizes = call[call.tensors.count("data") > 0 ? "data" : "input"].sizes().vec();
  sizes.back() = kH;
  return torch::zeros(sizes);
}

/// Changes an argument as the list wants it.
inline void change(Call& call, const std::string& name, const std::string& text) {
  if (set_option(call, name, text)) return;
  if (name == "params") return call.named_params.clear();
  for (auto param = call.named_params.begin(); param != call.named_params.end(); ++param) {
    if (param->first != name) continue;
    if (text == "absent") {
      call.named_params.erase(param);
    } else {
      param->second = changed(param->second, text);
    }
    return;
  }
  if (text == "absent") {
    call.tensors.erase(name);
    return;
  }
  const auto found = call.tensors.find(name);
  call.tensors[name] =
      changed(found != call.tensors.end() ? found->second : optional_argument(call, name), text);
}

/// The call of a line, and how it is run.
inline std::pair<Call, void (*)(const Call&)> make(const WrongCall& wrong) {
  auto made = right_call(wrong.base);
  for (const auto& one : split(wrong.change, " ")) {
    const size_t equals = one.find('=');
    if (!one.empty()) change(made.first, one.substr(0, equals), one.substr(equals + 1));
  }
  return made;
}

}  // namespace elman_test
