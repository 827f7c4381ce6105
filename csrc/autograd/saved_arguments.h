#pragma once

#include <torch/csrc/autograd/saved_variable.h>

#include <optional>
#include <vector>

#include "as_optional.h"
#include "owned_arguments.h"

namespace elman {

/// A call's arguments, kept by a node of the graph until it is run. Dropout is off: whoever needs
/// its masks keeps them.
class SavedArguments {
 public:
  void save(const RnnArguments& args) {
    options_ = OwnedArguments::Options(args);
    options_.dropout = 0;
    options_.train = false;
    params_ = args.params.size();
    RnnArguments kept = args;
    // A copy: an edit of the caller's that no version tells of (through NumPy) would change
    // windows.
    if (kept.batch_sizes) kept.batch_sizes = kept.batch_sizes->clone();
    kept.masks.reset();
    tensors_.reserve(params_ + 8);
    OwnedArguments::each_tensor(kept, [&](const auto& tensor, Role) {
      tensors_.emplace_back(tensor, /*is_output=*/false);
    });
  }

  OwnedArguments unpack() const {
    OwnedArguments result;
    result.options = options_;
    result.params.resize(params_);
    auto next = tensors_.begin();
    OwnedArguments::each_tensor(result, [&](auto& tensor, Role) {
      at::Tensor value = (next++)->unpack();
      if constexpr (std::is_same_v<std::decay_t<decltype(tensor)>, at::Tensor>) {
        tensor = std::move(value);
      } else {
        tensor = detail::as_optional(std::move(value));
      }
    });
    return result;
  }

  /// Visits the SavedVariables of `self`, const or not.
  template <typename Self, typename Visit>
  static void each_saved(Self& self, const Visit& visit) {
    for (auto& tensor : self.tensors_) visit(tensor, /*is_output=*/false);
  }

  template <typename Visit>
  void each_constant(const Visit& visit) const {
    // How many there are decides what the graph is given.
    visit(params_);
    OwnedArguments::Options::each(options_, visit);
  }

 private:
  std::vector<torch::autograd::SavedVariable> tensors_;  // in the order of each_tensor
  size_t params_ = 0;
  OwnedArguments::Options options_;
};

}  // namespace elman
