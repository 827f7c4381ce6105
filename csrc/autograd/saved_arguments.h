#pragma once

#include <torch/csrc/autograd/saved_variable.h>

#include <optional>
#include <string>
#include <vector>

#include "arguments.h"
#include "as_optional.h"

namespace elman {

/// Those of a call's arguments that are no tensors, as its backward pass wants them.
struct OwnedOptions {
  std::string nonlinearity;
  bool has_biases = false, bidirectional = false, batch_first = false;
  int64_t num_layers = 0, k1 = 0, k2 = 0;

  template <typename Self, typename Visit>
  static void each(Self& self, const Visit& visit) {
    visit(self.nonlinearity);
    visit(self.has_biases);
    visit(self.bidirectional);
    visit(self.batch_first);
    visit(self.num_layers);
    visit(self.k1);
    visit(self.k2);
  }
};

/// A call's arguments that own what RnnArguments refers to. Dropout is off: whoever needs its masks
/// keeps them.
struct OwnedArguments {
  at::Tensor input;
  std::optional<at::Tensor> hx, batch_sizes, reset, carry_scale;
  std::vector<at::Tensor> params;
  OwnedOptions options;

  RnnArguments view() const {
    return {input,
            hx,
            params,
            options.has_biases,
            options.num_layers,
            /*dropout=*/0,
            /*train=*/false,
            options.bidirectional,
            options.batch_first,
            options.nonlinearity,
            options.k1,
            options.k2,
            batch_sizes,
            reset,
            carry_scale};
  }

  template <typename Visit>
  void each(const Visit& visit) {
    visit(input);
    for (auto* tensor : {&hx, &batch_sizes, &reset, &carry_scale}) visit(*tensor);
    visit(params);
    OwnedOptions::each(options, visit);
  }
};

/// A call's arguments, kept by a node of the graph until it is run.
class SavedArguments {
 public:
  void save(const RnnArguments& args) {
    using torch::autograd::SavedVariable;
    input_ = SavedVariable(args.input, /*is_output=*/false);
    hx_ = SavedVariable(args.hx, false);
    // A copy: an edit of the caller's that no version tells of (through NumPy) would change
    // windows.
    if (args.batch_sizes) batch_sizes_ = SavedVariable(args.batch_sizes->clone(), false);
    reset_ = SavedVariable(args.reset, false);
    carry_scale_ = SavedVariable(args.carry_scale, false);
    params_.reserve(args.params.size());
    for (const at::Tensor& param : args.params) params_.emplace_back(param, false);
    options_ = {std::string(args.nonlinearity),
                args.has_biases,
                args.bidirectional,
                args.batch_first,
                args.num_layers,
                args.k1,
                args.k2};
  }

  OwnedArguments unpack() const {
    OwnedArguments result{input_.unpack(),
                          detail::as_optional(hx_.unpack()),
                          detail::as_optional(batch_sizes_.unpack()),
                          detail::as_optional(reset_.unpack()),
                          detail::as_optional(carry_scale_.unpack()),
                          {},
                          options_};
    result.params.reserve(params_.size());
    for (const auto& param : params_) result.params.push_back(param.unpack());
    return result;
  }

  /// Visits the SavedVariables of `self`, const or not.
  template <typename Self, typename Visit>
  static void each_saved(Self& self, const Visit& visit) {
    for (auto* saved :
         {&self.input_, &self.hx_, &self.batch_sizes_, &self.reset_, &self.carry_scale_})
      visit(*saved, /*is_output=*/false);
    for (auto& param : self.params_) visit(param, /*is_output=*/false);
  }

  template <typename Visit>
  void each_constant(const Visit& visit) const {
    // How many there are decides what the graph is given.
    visit(params_.size());
    OwnedOptions::each(options_, visit);
  }

 private:
  torch::autograd::SavedVariable input_, hx_, batch_sizes_, reset_, carry_scale_;
  std::vector<torch::autograd::SavedVariable> params_;
  OwnedOptions options_;
};

}  // namespace elman
