#include <cerrno>
#include <cstring>
#include <fstream>
#include <stdexcept>
#include <type_traits>

#include "stepper/file.h"
#include "stepper/parameters.h"

namespace elman::stepper {
namespace {

/// The parts of a file as they grow.
template <typename T>
struct Parts {
  std::string header, data;

  /// A tensor that is there. Names and options need no escapes: check_parameters knows them all.
  void add(const std::string& name, const T* values, const std::vector<int64_t>& shape) {
    if (values == nullptr) return;
    int64_t count = 1;
    std::string sizes;
    for (const int64_t size : shape) {
      count *= size;
      sizes += (sizes.empty() ? "" : ",") + std::to_string(size);
    }
    const std::size_t begin = data.size();
    data.append(reinterpret_cast<const char*>(values), static_cast<std::size_t>(count) * sizeof(T));
    header += ",\"" + name + "\":{\"dtype\":\"" + (std::is_same_v<T, double> ? "F64" : "F32") +
              "\",\"shape\":[" + sizes + "],\"data_offsets\":[" + std::to_string(begin) + "," +
              std::to_string(data.size()) + "]}";
  }
};

}  // namespace

template <typename T>
std::string write_file(const StepperParameters<T>& parameters) {
  check_parameters(parameters);
  const int64_t H = parameters.hidden_size;
  bool leaky = false;
  for (const StepperLayer<T>& layer : parameters.layers) leaky = leaky || layer.alpha != nullptr;
  Parts<T> parts;
  parts.header =
      R"({"__metadata__":{"elman_stepper":"1","nonlinearity":")" + parameters.nonlinearity + "\"";
  if (leaky) parts.header += ",\"leak_form\":\"" + parameters.leak_form + "\"";
  if (parameters.output_size > 0) parts.header += ",\"output\":\"" + parameters.output + "\"";
  parts.header += "}";
  const std::vector<T> ones(leaky ? static_cast<std::size_t>(H) : 0, T(1));
  for (std::size_t l = 0; l < parameters.layers.size(); ++l) {
    const StepperLayer<T>& layer = parameters.layers[l];
    const std::string suffix = "_l" + std::to_string(l);
    parts.add("weight_ih" + suffix, layer.weight_ih, {H, l == 0 ? parameters.input_size : H});
    parts.add("weight_hh" + suffix, layer.weight_hh, {H, H});
    parts.add("bias_ih" + suffix, layer.bias_ih, {H});
    parts.add("bias_hh" + suffix, layer.bias_hh, {H});
    if (leaky && layer.alpha == nullptr && parameters.leak_form == "current")
      throw std::invalid_argument("alpha" + suffix +
                                  " is missing: the other layers have one, of the current form");
    if (leaky) parts.add("alpha" + suffix, layer.alpha != nullptr ? layer.alpha : ones.data(), {H});
  }
  parts.add("out.weight", parameters.weight_out, {parameters.output_size, H});
  parts.add("out.bias", parameters.output_size > 0 ? parameters.bias_out : nullptr,
            {parameters.output_size});
  parts.header += "}";
  parts.header.resize((parts.header.size() + 7) / 8 * 8, ' ');  // the tensors begin on a border
  std::string file;
  for (int i = 0; i < 8; ++i) file += static_cast<char>(parts.header.size() >> (8 * i) & 0xFF);
  return file + parts.header + parts.data;
}

template std::string write_file(const StepperParameters<float>&);
template std::string write_file(const StepperParameters<double>&);

}  // namespace elman::stepper

namespace elman {

template <typename T>
void save_stepper(const StepperParameters<T>& parameters, const std::string& path) {
  const std::string contents = stepper::write_file(parameters);
  std::ofstream file(path, std::ios::binary);
  if (file) file.write(contents.data(), static_cast<std::streamsize>(contents.size()));
  if (file) file.close();
  if (!file)
    throw std::runtime_error("Cannot write a stepper to '" + path + "': " + std::strerror(errno));
}

template void save_stepper(const StepperParameters<float>&, const std::string&);
template void save_stepper(const StepperParameters<double>&, const std::string&);

}  // namespace elman
