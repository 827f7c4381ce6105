#pragma once

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/native/Resize.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace elman_test {

using torch::IValue;
using torch::Tensor;

/// The arguments of a call by their schema's names.
using Arguments = std::map<std::string, IValue>;

inline c10::OperatorHandle find_operator(const std::string& name, const std::string& overload) {
  return c10::Dispatcher::singleton().findSchemaOrThrow(("elman::" + name).c_str(),
                                                        overload.c_str());
}

/// Calls an operator with those of `arguments` that its schema has. Returns its tensors.
inline std::vector<Tensor> call(const c10::OperatorHandle& op, const Arguments& arguments) {
  torch::jit::Stack stack;
  for (const auto& argument : op.schema().arguments()) {
    const auto found = arguments.find(argument.name());
    stack.push_back(found != arguments.end() ? found->second
                                             : argument.default_value().value_or(IValue()));
  }
  op.callBoxed(&stack);
  std::vector<Tensor> results;
  for (const IValue& result : stack) {
    if (result.isTensor()) results.push_back(result.toTensor());
    if (!result.isTensorList()) continue;
    for (const Tensor& tensor : result.toTensorVector()) results.push_back(tensor);
  }
  return results;
}

/// The options of a call; the operators' tensors follow from them.
struct Shape {
  const char* name;
  int64_t num_layers = 1;
  bool bidirectional = false, batch_first = false, packed = false, batched = true;
  bool dropout = false;
  torch::Dtype dtype = torch::kFloat;
  const char* leak_form = nullptr;  ///< of a leaky network

  int64_t directions() const { return bidirectional ? 2 : 1; }
};

/// The arguments of a right call of every operator of a network; T, B, I and H differ, so that no
/// two dimensions can stand for each other. Those of the backward pass are of a forward pass run.
inline Arguments right_arguments(const Shape& shape) {
  constexpr int64_t kSteps = 5, kRows = 3, kInput = 4, kHidden = 6, kPacked = 9;
  const int64_t directions = shape.directions(), cells = shape.num_layers * directions;
  const auto draw = [&](torch::IntArrayRef sizes) {
    return torch::randn(sizes, torch::dtype(shape.dtype));
  };
  std::vector<Tensor> params;
  for (int64_t cell = 0; cell < cells; ++cell) {
    params.push_back(draw({kHidden, cell < directions ? kInput : directions * kHidden}));
    params.push_back(draw({kHidden, kHidden}));
    for (int i = 0; i < 2; ++i) params.push_back(draw({kHidden}));
  }
  std::vector<int64_t> rows{kSteps, kRows};
  if (shape.batch_first) rows = {kRows, kSteps};
  if (!shape.batched) rows = {kSteps};
  if (shape.packed) rows = {kPacked};
  const auto in_rows = [&](int64_t columns) {
    std::vector<int64_t> sizes = rows;
    sizes.push_back(columns);
    return draw(sizes);
  };
  Arguments result{
      {"input", in_rows(kInput)},
      {"hx", shape.batched ? draw({cells, kRows, kHidden}) : draw({cells, kHidden})},
      {"params", params},
      {"has_biases", true},
      {"num_layers", shape.num_layers},
      {"dropout", shape.dropout ? 0.5 : 0.0},
      {"train", true},
      {"bidirectional", shape.bidirectional},
      {"batch_first", shape.batch_first},
      {"nonlinearity", "tanh"},
      {"k1", 2},
      {"k2", shape.bidirectional ? 2 : 3},
      {"save_states", true},
      {"save_drives", true},
      {"max_lag", 3},
  };
  if (shape.packed) {
    result["batch_sizes"] = torch::tensor({3, 3, 1, 1, 1}, torch::kLong);
    result["data"] = result["input"];
  } else {
    result["reset"] = torch::zeros(rows, torch::kBool);
    if (!shape.bidirectional)
      result["carry_scale"] = torch::ones(rows, torch::dtype(c10::toRealValueType(shape.dtype)));
  }
  if (shape.leak_form != nullptr) {
    result["leak"] =
        torch::rand({cells, kHidden}, torch::dtype(c10::toRealValueType(shape.dtype))) * 0.8 + 0.1;
    result["leak_form"] = shape.leak_form;
    std::vector<int64_t> sizes = rows;
    sizes.insert(sizes.begin(), shape.num_layers);
    sizes.push_back(directions * kHidden);
    result["preactivation"] = draw(sizes);
  }
  const std::vector<Tensor> made = call(find_operator("_rnn_forward", ""), result);
  result["output"] = made[0];
  result["states"] = made[2];
  // Those that this pass has drawn, now given: so results can be compared.
  result["masks"] = result["saved_masks"] = made[3];
  result["drives"] = made[4];
  result["grad_output"] = torch::randn_like(made[0]);
  result["grad_h_n"] = torch::randn_like(made[1]);
  result["output_mask"] = c10::List<bool>();
  for (size_t i = 0; i < 4 + params.size(); ++i) result["output_mask"].toBoolList().push_back(true);
  return result;
}

/// A copy of `tensor` at an address that is no multiple of its elements' size.
inline Tensor misaligned(const Tensor& tensor) {
  const Tensor bytes = torch::empty({static_cast<int64_t>(tensor.nbytes()) + 1}, torch::kByte);
  void* const data = bytes.mutable_data_ptr<uint8_t>() + 1;
  std::memcpy(data, tensor.contiguous().const_data_ptr(), tensor.nbytes());
  return torch::from_blob(
      data, tensor.sizes(), [bytes](void*) {}, tensor.options());
}

/// A copy of `tensor` whose storage has been resized to `bytes`.
inline Tensor resized(const Tensor& tensor, size_t bytes) {
  Tensor copy = tensor.clone();
  at::native::resize_bytes_cpu(copy.storage().unsafeGetStorageImpl(), bytes);
  return copy;
}

/// `tensor` with one more in a dimension.
inline Tensor extended(const Tensor& tensor, int64_t dim) {
  auto sizes = tensor.sizes().vec();
  sizes[dim < 0 ? dim + tensor.dim() : dim] += 1;
  return torch::zeros(sizes, tensor.options());
}

struct Defect {
  const char* name;
  std::function<Tensor(const Tensor&)> spoil;
  /// Whether the call is a right one all the same, with the same results.
  bool harmless = false;
  /// Whether it is made of the tensor's elements, of which there must be one.
  bool of_elements = true;
};

inline const std::vector<Defect>& tensor_defects() {
  static const std::vector<Defect> defects{
      {"another dtype", [](const Tensor& x) { return x.to(torch::kShort); }, false, false},
      {"another floating dtype", [](const Tensor& x) { return x.to(torch::kBFloat16); }, false,
       false},
      {"sparse", [](const Tensor& x) { return x.to_sparse(); }, false, false},
      {"on meta", [](const Tensor& x) { return x.to(torch::kMeta); }, false, false},
      {"undefined", [](const Tensor&) { return Tensor(); }, false, false},
      {"unsqueezed", [](const Tensor& x) { return x.unsqueeze(0); }, false, false},
      {"selected", [](const Tensor& x) { return x.select(0, 0); }},
      {"longer", [](const Tensor& x) { return extended(x, 0); }},
      {"wider", [](const Tensor& x) { return extended(x, -1); }},
      {"shorter", [](const Tensor& x) { return x.narrow(0, 0, x.size(0) - 1); }},
      {"narrower", [](const Tensor& x) { return x.narrow(-1, 0, x.size(-1) - 1); }},
      {"flat", [](const Tensor& x) { return x.flatten().unsqueeze(0); }},
      {"of no elements", [](const Tensor& x) { return torch::empty({0}, x.options()); }},
      {"of one number", [](const Tensor& x) { return torch::zeros({}, x.options()); }, false,
       false},
      {"of no rows", [](const Tensor& x) { return x.narrow(0, 0, 0); }},
      {"freed", [](const Tensor& x) { return resized(x, 0); }},
      {"half freed", [](const Tensor& x) { return resized(x, x.nbytes() - x.element_size()); }},
      {"not aligned", misaligned, /*harmless=*/true},
      {"strided",
       [](const Tensor& x) {
         return torch::stack({x, x}, -1).select(-1, 1);
       },
       /*harmless=*/true},
  };
  return defects;
}

}  // namespace elman_test
