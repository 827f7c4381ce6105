#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <set>
#include <stdexcept>
#include <type_traits>

#include "stepper/file.h"
#include "stepper/parameters.h"
#include "stepper/safetensors.h"

namespace elman::stepper {
namespace {

[[noreturn]] void refuse(const std::string& reason) { throw std::runtime_error(reason); }

std::string printed(const std::vector<int64_t>& shape) {
  std::string text = "[";
  for (const int64_t size : shape) text += (text.size() > 1 ? ", " : "") + std::to_string(size);
  return text + "]";
}

void check_metadata(const SafetensorsHeader& header) {
  const auto version = header.metadata.find("elman_stepper");
  if (version == header.metadata.end())
    refuse(
        "it is not the file of a stepper: its metadata has no elman_stepper. "
        "elman.save_stepper(module, path) writes one");
  if (version->second != "1")
    refuse("it has version '" + version->second + "' of the format; this elman reads version '1'");
  static const std::set<std::string> known = {"elman_stepper", "nonlinearity", "leak_form",
                                              "output", "format"};
  for (const auto& [name, value] : header.metadata)
    if (known.count(name) == 0) refuse("its metadata has the unknown option '" + name + "'");
}

/// The tensors of a file, each taken once.
template <typename T>
class Tensors {
 public:
  explicit Tensors(const SafetensorsHeader& header) : header_(header) {}

  const FileTensor* find(const std::string& name) const {
    const auto found = header_.tensors.find(name);
    return found != header_.tensors.end() ? &found->second : nullptr;
  }

  /// The elements of the tensor, which has this shape; null where it is missing and may be.
  const T* take(const std::string& name, const std::vector<int64_t>& shape, bool required) {
    const FileTensor* const tensor = find(name);
    if (tensor == nullptr) {
      if (required) refuse("tensor '" + name + "' is missing");
      return nullptr;
    }
    if (tensor->dtype != kDtype)
      refuse("tensor '" + name + "' has dtype " + tensor->dtype + "; expected " + kDtype +
             (tensor->dtype == "F64"   ? ": elman::DoubleStepper loads this file"
              : tensor->dtype == "F32" ? ": elman::Stepper loads this file"
                                       : ""));
    if (tensor->shape != shape)
      refuse("tensor '" + name + "' has shape " + printed(tensor->shape) + "; expected " +
             printed(shape));
    std::vector<T>& values = result.tensors.emplace_back();
    values.resize(static_cast<std::size_t>(tensor->end - tensor->begin) / sizeof(T));
    std::memcpy(values.data(), header_.data + tensor->begin, values.size() * sizeof(T));
    ++taken_;
    return values.data();
  }

  void check_all_taken(const std::set<std::string>& known) const {
    if (taken_ == header_.tensors.size()) return;
    for (const auto& [name, tensor] : header_.tensors)
      if (known.count(name) == 0) refuse("it has the unknown tensor '" + name + "'");
  }

  OwnedParameters<T> result;

 private:
  static constexpr const char* kDtype = std::is_same_v<T, double> ? "F64" : "F32";
  const SafetensorsHeader& header_;
  std::size_t taken_ = 0;
};

/// The columns of a matrix.
template <typename T>
int64_t columns_of(const Tensors<T>& tensors, const std::string& name) {
  const FileTensor* const tensor = tensors.find(name);
  if (tensor == nullptr) refuse("tensor '" + name + "' is missing");
  if (tensor->shape.size() != 2 || tensor->shape[0] < 1 || tensor->shape[1] < 1)
    refuse("tensor '" + name + "' must be a matrix, got shape " + printed(tensor->shape));
  return tensor->shape[1];
}

}  // namespace

template <typename T>
OwnedParameters<T> parse_file(const void* data, std::size_t size) {
  const SafetensorsHeader header = parse_safetensors(data, size);
  check_metadata(header);
  const auto option = [&](const char* name) -> const std::string* {
    const auto found = header.metadata.find(name);
    return found != header.metadata.end() ? &found->second : nullptr;
  };
  Tensors<T> tensors(header);
  StepperParameters<T>& to = tensors.result.parameters;
  const std::string* const nonlinearity = option("nonlinearity");
  if (nonlinearity == nullptr) refuse("its metadata has no nonlinearity");
  to.nonlinearity = *nonlinearity;
  const int64_t H = to.hidden_size = columns_of(tensors, "weight_hh_l0");
  to.input_size = columns_of(tensors, "weight_ih_l0");
  const std::string* const leak_form = option("leak_form");
  if (leak_form != nullptr) to.leak_form = *leak_form;
  std::set<std::string> known;
  const auto take = [&](const std::string& name, const std::vector<int64_t>& shape, bool required) {
    known.insert(name);
    return tensors.take(name, shape, required);
  };
  for (int64_t l = 0; l == 0 || tensors.find("weight_ih_l" + std::to_string(l)) != nullptr; ++l) {
    const std::string suffix = "_l" + std::to_string(l);
    StepperLayer<T>& layer = to.layers.emplace_back();
    layer.weight_ih = take("weight_ih" + suffix, {H, l == 0 ? to.input_size : H}, true);
    layer.weight_hh = take("weight_hh" + suffix, {H, H}, true);
    layer.bias_ih = take("bias_ih" + suffix, {H}, false);
    layer.bias_hh = take("bias_hh" + suffix, {H}, false);
    if (leak_form != nullptr) layer.alpha = take("alpha" + suffix, {H}, true);
  }
  if (const std::string* const output = option("output")) {
    const FileTensor* const weight = tensors.find("out.weight");
    to.output = *output;
    if (weight == nullptr) refuse("tensor 'out.weight' is missing");
    to.output_size = weight->shape.empty() ? 0 : weight->shape[0];
    to.weight_out = take("out.weight", {to.output_size, H}, true);
    to.bias_out = take("out.bias", {to.output_size}, false);
  }
  tensors.check_all_taken(known);
  try {
    check_parameters(to);
  } catch (const std::invalid_argument& wrong) {
    refuse(wrong.what());
  }
  return std::move(tensors.result);
}

template <typename T>
OwnedParameters<T> read_file(const std::string& path) {
  try {
    std::ifstream file(path, std::ios::binary);
    if (!file) refuse(std::strerror(errno));
    const std::string contents{std::istreambuf_iterator<char>(file), {}};
    if (file.bad()) refuse(std::strerror(errno));
    return parse_file<T>(contents.data(), contents.size());
  } catch (const std::runtime_error& wrong) {
    throw std::runtime_error("Cannot load a stepper from '" + path + "': " + wrong.what());
  }
}

template OwnedParameters<float> parse_file(const void*, std::size_t);
template OwnedParameters<double> parse_file(const void*, std::size_t);
template OwnedParameters<float> read_file(const std::string&);
template OwnedParameters<double> read_file(const std::string&);

}  // namespace elman::stepper
