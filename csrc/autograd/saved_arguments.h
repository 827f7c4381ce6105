#pragma once

#include <torch/csrc/autograd/saved_variable.h>

#include <optional>
#include <string>
#include <vector>

#include "arguments.h"
#include "as_optional.h"

namespace elman {

/// A call's arguments, kept by a node of the graph until it is run.
class SavedArguments {
 public:
  void save(const RnnArguments& args) {
    using torch::autograd::SavedVariable;
    input_ = SavedVariable(args.input, /*is_output=*/false);
    hx_ = SavedVariable(args.hx, false);
    batch_sizes_ = SavedVariable(args.batch_sizes, false);
    reset_ = SavedVariable(args.reset, false);
    carry_scale_ = SavedVariable(args.carry_scale, false);
    params_.reserve(args.params.size());
    for (const at::Tensor& param : args.params) params_.emplace_back(param, false);
    nonlinearity_ = args.nonlinearity;
    has_biases_ = args.has_biases;
    bidirectional_ = args.bidirectional;
    batch_first_ = args.batch_first;
    num_layers_ = args.num_layers;
    k1_ = args.k1;
    k2_ = args.k2;
  }

  void release() {
    for (auto* saved : {&input_, &hx_, &batch_sizes_, &reset_, &carry_scale_}) saved->reset_data();
    for (auto& param : params_) param.reset_data();
  }

  /// Returns use(arguments), with alias(argument, edge) in place of each differentiable one; their
  /// edges are those of input, hx, then params. Dropout is off: whoever needs its masks keeps them.
  template <typename Use, typename Alias>
  auto with(const Alias& alias, const Use& use) const {
    const at::Tensor input = alias(input_.unpack(), 0);
    std::optional<at::Tensor> hx = detail::as_optional(hx_.unpack());
    if (hx) hx = alias(*hx, 1);
    std::vector<at::Tensor> params;
    params.reserve(params_.size());
    for (size_t i = 0; i < params_.size(); ++i) params.push_back(alias(params_[i].unpack(), i + 2));
    return use(RnnArguments{input, hx, params, has_biases_, num_layers_, /*dropout=*/0,
                            /*train=*/false, bidirectional_, batch_first_, nonlinearity_, k1_, k2_,
                            detail::as_optional(batch_sizes_.unpack()),
                            detail::as_optional(reset_.unpack()),
                            detail::as_optional(carry_scale_.unpack())});
  }

 private:
  torch::autograd::SavedVariable input_, hx_, batch_sizes_, reset_, carry_scale_;
  std::vector<torch::autograd::SavedVariable> params_;
  std::string nonlinearity_;
  bool has_biases_ = false, bidirectional_ = false, batch_first_ = false;
  int64_t num_layers_ = 0, k1_ = 0, k2_ = 0;
};

}  // namespace elman
