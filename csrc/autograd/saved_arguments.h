#pragma once

#include <torch/csrc/autograd/saved_variable.h>

#include <optional>
#include <vector>

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
    // Room for what most calls have. With room for all arguments (a SavedVariable is large) the
    // vector would outgrow malloc's quick sizes, which costs more than a step of a small network.
    tensors_.reserve(params_ + 2);
    given_.clear();
    OwnedArguments::each_tensor(kept, [&](const auto& tensor, const char*, Role) {
      const at::Tensor* const value = get_or_null(tensor);
      given_.push_back(value != nullptr);
      if (value) tensors_.emplace_back(*value, /*is_output=*/false);
    });
  }

  OwnedArguments unpack() const {
    OwnedArguments result;
    result.options = options_;
    result.params.resize(params_);
    auto given = given_.begin();
    auto next = tensors_.begin();
    OwnedArguments::each_tensor(result, [&](auto& tensor, const char*, Role) {
      if (*given++) tensor = (next++)->unpack();
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
    visit(given_);
    OwnedArguments::Options::each(options_, visit);
  }

 private:
  std::vector<bool> given_;                              // which of each_tensor there are
  std::vector<torch::autograd::SavedVariable> tensors_;  // these
  size_t params_ = 0;
  OwnedArguments::Options options_;
};

}  // namespace elman
