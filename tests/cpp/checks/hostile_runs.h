#pragma once

#include <ATen/functorch/BatchedTensorImpl.h>
#include <ATen/functorch/DynamicLayer.h>
#include <ATen/functorch/PlumbingHelper.h>
#include <torch/csrc/autograd/autograd.h>

#include <string>
#include <utility>
#include <vector>

#include "checks/hostile_calls.h"

namespace elman_test {

/// One of the operators, and how it can be called.
struct Operator {
  const char* name;
  const char* overload;
  enum Takes { kPadded, kPacked, kBoth } takes;
  bool maps = true;  ///< under vmap, too

  bool is(const char* other) const { return std::string(name) == other; }
  bool takes_shape(const Shape& shape) const {
    if (is("gradient_by_lag") && shape.bidirectional) return false;
    return takes == kBoth || (takes == kPacked) == shape.packed;
  }
};

/// The ways into an operator.
enum class Way { kPlain, kDifferentiated, kVmap };

/// A level of vmap over `size` slices, while it lives.
class VmapLevel {
 public:
  explicit VmapLevel(int64_t size)
      : level_(at::functorch::initAndPushDynamicLayer(at::functorch::TransformType::Vmap,
                                                      c10::SymInt(size),
                                                      at::functorch::RandomnessType::Error)),
        size_(size) {}
  VmapLevel(const VmapLevel&) = delete;
  ~VmapLevel() { at::functorch::popDynamicLayerAndDeleteMetadata(); }

  /// x, the same for each slice.
  Tensor repeated(const Tensor& x) const {
    auto sizes = x.sizes().vec();
    sizes.insert(sizes.begin(), size_);
    return at::functorch::makeBatched(x.expand(sizes), 0, level_);
  }
  /// y: [size, ...], whether it differs from slice to slice or not.
  Tensor unwrap(const Tensor& y) const {
    const auto [value, dim] = at::functorch::unwrapTensorAtLevel(y, level_);
    if (dim) return value.movedim(*dim, 0);
    auto sizes = value.sizes().vec();
    sizes.insert(sizes.begin(), size_);
    return value.expand(sizes);
  }

 private:
  int64_t level_;
  int64_t size_;
};

/// Calls the operator under vmap over `size` slices of the gradient or, without one, of the input;
/// of the parameters too if `all`.
inline std::vector<Tensor> run_mapped(const Operator& op, Arguments arguments, int64_t size,
                                      bool all = false) {
  const auto handle = find_operator(op.name, op.overload);
  const VmapLevel level(size);
  const auto map = [&](const char* name) {
    const auto found = arguments.find(name);
    if (!handle.schema().argumentIndexWithName(name) || !found->second.isTensor()) return false;
    const Tensor tensor = found->second.toTensor();
    // Torch itself makes no view where the storage is too small.
    if (!tensor.defined() || tensor.is_sparse() || tensor.nbytes() > tensor.storage().nbytes())
      return false;
    found->second = level.repeated(tensor);
    return true;
  };
  map("grad_output") || map("input") || map("data");
  if (all) {
    std::vector<Tensor> params = arguments["params"].toTensorVector();
    for (Tensor& param : params) param = level.repeated(param);
    arguments["params"] = params;
  }
  std::vector<Tensor> results = call(handle, arguments);
  for (Tensor& result : results) result = level.unwrap(result);
  return results;
}

/// The floating tensors of a call as leaves of a graph.
inline std::vector<Tensor> make_leaves(Arguments& arguments) {
  std::vector<Tensor> leaves;
  const auto leaf = [&](const Tensor& tensor) {
    const bool differentiable = tensor.defined() &&
                                (tensor.is_floating_point() || tensor.is_complex()) &&
                                !tensor.is_sparse();
    if (!differentiable) return tensor;
    return leaves.emplace_back(tensor.detach().requires_grad_());
  };
  for (const char* name : {"input", "data", "hx", "grad_output", "grad_h_n"}) {
    const auto found = arguments.find(name);
    if (found != arguments.end() && found->second.isTensor())
      found->second = leaf(found->second.toTensor());
  }
  std::vector<Tensor> params = arguments["params"].toTensorVector();
  for (Tensor& param : params) param = leaf(param);
  arguments["params"] = params;
  return leaves;
}

inline std::vector<Tensor> run(const Operator& op, Arguments arguments, Way way) {
  if (way == Way::kVmap) return run_mapped(op, std::move(arguments), 2);
  const auto handle = find_operator(op.name, op.overload);
  if (way == Way::kPlain) return call(handle, arguments);
  const std::vector<Tensor> leaves = make_leaves(arguments);
  std::vector<Tensor> results = call(handle, arguments);
  Tensor loss;
  for (const Tensor& result : results) {
    if (!result.requires_grad()) continue;
    const Tensor sum = torch::real(result.sum());
    loss = loss.defined() ? loss + sum : sum;
  }
  if (!loss.defined()) return results;
  for (const Tensor& gradient : torch::autograd::grad({loss}, leaves, {}, false, false, true))
    results.push_back(gradient);
  return results;
}

/// What a call with a defect comes to: an error's text, or results.
struct Outcome {
  std::string error;
  std::vector<Tensor> results;
};

inline Outcome outcome(const Operator& op, const Arguments& arguments, Way way) {
  try {
    return {"", run(op, arguments, way)};
  } catch (const c10::Error& error) {
    return {error.what_without_backtrace(), {}};
  }
}

}  // namespace elman_test
