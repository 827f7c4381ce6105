#pragma once

// Nodes of autograd's graph that compiled autograd takes, too.

#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/saved_variable.h>
#include <torch/csrc/dynamo/compiled_autograd.h>

#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "autograd/node.h"

namespace elman {

/// A node whose backward pass is a function of plain values: `Derived::unpack()` makes them, a
/// `Derived::Values`, of what the node has saved, and `Values::run(gradients, wanted)` is the
/// backward pass; wanted[i] says whether the gradient of edge i is asked for.
///
/// Compiled autograd writes that function into its graph as a call, with the values as arguments.
/// It does not trace the node at once: what stands for the incoming gradients has no true shape
/// then. For this the values and what the node has saved can be listed: `Values::each(visit)`
/// visits every value, `Derived::each_saved(node, visit)` every saved tensor or SavedVariable (with
/// whether it is the node's own output), `Derived::each_constant(visit)` everything else that the
/// node depends on. With `Derived::traceable` compilers look into the function; without it they run
/// it as it is.
template <typename Derived>
class CompilableNode : public torch::autograd::Node {
 public:
  using variable_list = torch::autograd::variable_list;

  variable_list apply(variable_list&& gradients) override {
    check_count(*this, gradients);
    return self().unpack().run(gradients, wanted());
  }

  void compiled_args(torch::dynamo::autograd::CompiledNodeArgs& args) const override {
    Derived::each_saved(self(), [&](const auto& saved, bool is_output) {
      if constexpr (std::is_same_v<decltype(saved), const torch::autograd::SavedVariable&>) {
        args.collect(saved, is_output);
      } else {
        args.collect(saved);
      }
    });
    self().each_constant([&](const auto& constant) { args.collect(constant); });
  }

  variable_list apply_with_saved(const variable_list& gradients,
                                 torch::dynamo::autograd::SwapSavedVariables& saved) override {
    using namespace torch::dynamo::autograd;
    const Swapped swapped(self(), saved);
    PackedArgs packed;
    self().unpack().each([&](const auto& value) { packed.pack(value); });
    packed.pack(wanted());
    const std::vector<at::IValue> arguments = std::move(packed).vec();
    std::vector<at::TypePtr> types;
    types.reserve(arguments.size());
    for (const at::IValue& argument : arguments) {
      // The type of the value itself would be that of one tensor's shape.
      types.push_back(argument.isTensor() ? at::TypePtr(at::TensorType::get()) : argument.type());
    }
    const auto& compiler = getPyCompilerInterface();
    const std::string function =
        compiler->bind_function(saved.get_py_compiler(), name(), run_packed, types,
                                /*is_custom_function=*/true, Derived::traceable);
    return compiler->call_function(
        saved.get_py_compiler(), "apply_functional", function, gradients, arguments,
        IValuePacker<std::vector<std::optional<torch::autograd::InputMetadata>>>::pack(
            get_input_metadata(next_edges())));
  }

 private:
  /// Puts a compiler's stand-ins in the places of what the node has saved, and puts it back.
  class Swapped {
   public:
    Swapped(Derived& node, torch::dynamo::autograd::SwapSavedVariables& saved)
        : node_(node), saved_(saved) {
      Derived::each_saved(node_, [&](auto& tensor, bool /*is_output*/) { saved_.before(tensor); });
    }
    ~Swapped() {
      Derived::each_saved(node_, [&](auto& tensor, bool /*is_output*/) { saved_.after(tensor); });
    }
    Swapped(const Swapped&) = delete;
    Swapped& operator=(const Swapped&) = delete;

   private:
    Derived& node_;
    torch::dynamo::autograd::SwapSavedVariables& saved_;
  };

  static variable_list run_packed(const variable_list& gradients,
                                  const std::vector<at::IValue>& arguments) {
    torch::dynamo::autograd::PackedArgs packed(arguments);
    typename Derived::Values values;
    values.each(
        [&](auto& value) { value = packed.template unpack<std::decay_t<decltype(value)>>(); });
    return values.run(gradients, packed.template unpack<std::vector<bool>>());
  }

  std::vector<bool> wanted() const {
    std::vector<bool> result(num_outputs());
    for (size_t i = 0; i < result.size(); ++i) result[i] = task_should_compute_output(i);
    return result;
  }

  Derived& self() { return static_cast<Derived&>(*this); }
  const Derived& self() const { return static_cast<const Derived&>(*this); }
};

}  // namespace elman
