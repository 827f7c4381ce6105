#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "arguments.h"

namespace elman {

/// What a tensor of a call holds, which tells where its rows (the batch) are.
enum class Role {
  kSequence,  ///< input, output: [T, B, C]; [B, T, C] if batch_first; [T, C] unbatched; [N, C]
              ///< packed
  kState,     ///< hx, h_n: [L*D, B, H]; [L*D, H] unbatched
  kPerStep,   ///< reset, carry_scale: as kSequence without C
  kByLayer,   ///< preactivation: as kSequence behind a dimension of layers
  kStored,    ///< Saved's: [layers, T, B, C]; [layers, N, C] packed
  kNoRows,    ///< parameters, and what else is the same for all rows
};

inline const at::Tensor* get_or_null(const at::Tensor& tensor) { return &tensor; }
inline at::Tensor* get_or_null(at::Tensor& tensor) { return &tensor; }
inline const at::Tensor* get_or_null(const std::optional<at::Tensor>& tensor) {
  return tensor ? &*tensor : nullptr;
}
inline at::Tensor* get_or_null(std::optional<at::Tensor>& tensor) {
  return tensor ? &*tensor : nullptr;
}

/// A call's arguments that own what RnnArguments refers to.
struct OwnedArguments {
  at::Tensor input;
  std::optional<at::Tensor> hx;
  std::vector<at::Tensor> params;
  std::optional<at::Tensor> reset, carry_scale, leak, preactivation, batch_sizes, masks;

  /// Those that are no tensors.
  struct Options {
    std::string nonlinearity, leak_form;
    bool has_biases = false, bidirectional = false, batch_first = false;
    int64_t num_layers = 0, k1 = 0, k2 = 0;
    double dropout = 0;
    bool train = false;

    Options() = default;
    explicit Options(const RnnArguments& args)
        : nonlinearity(args.nonlinearity),
          leak_form(args.leak_form),
          has_biases(args.has_biases),
          bidirectional(args.bidirectional),
          batch_first(args.batch_first),
          num_layers(args.num_layers),
          k1(args.k1),
          k2(args.k2),
          dropout(args.dropout),
          train(args.train) {}

    /// Those that a backward pass depends on, which is given the dropout masks.
    template <typename Self, typename Visit>
    static void each(Self& self, const Visit& visit) {
      for (auto* name : {&self.nonlinearity, &self.leak_form}) visit(*name);
      for (auto* flag : {&self.has_biases, &self.bidirectional, &self.batch_first}) visit(*flag);
      for (auto* number : {&self.num_layers, &self.k1, &self.k2}) visit(*number);
    }
  } options;

  OwnedArguments() = default;
  explicit OwnedArguments(const RnnArguments& args)
      : input(args.input),
        hx(args.hx),
        params(args.params.vec()),
        reset(args.reset),
        carry_scale(args.carry_scale),
        leak(args.leak),
        preactivation(args.preactivation),
        batch_sizes(args.batch_sizes),
        masks(args.masks),
        options(args) {}

  /// Refers to this.
  RnnArguments view() const {
    return {input,
            hx,
            params,
            options.has_biases,
            options.num_layers,
            options.dropout,
            options.train,
            options.bidirectional,
            options.batch_first,
            options.nonlinearity,
            options.k1,
            options.k2,
            reset,
            carry_scale,
            leak,
            options.leak_form,
            preactivation,
            batch_sizes,
            masks};
  }

  /// visit(tensor, name, role) with every tensor that has a gradient, an at::Tensor or an optional
  /// one, in the order of RnnArguments::with_gradient; params one by one. `Self` is this class or
  /// RnnArguments, const or not.
  template <typename Self, typename Visit>
  static void each_with_gradient(Self& self, const Visit& visit) {
    // Before anything is visited: a visit may change what it sees, and so the dimensions.
    const bool by_layer = self.preactivation && self.preactivation->dim() > self.input.dim();
    visit(self.input, "input", Role::kSequence);
    visit(self.hx, "hx", Role::kState);
    for (auto& param : self.params) visit(param, kParams, Role::kNoRows);
    visit(self.leak, "leak", Role::kNoRows);
    visit(self.preactivation, "preactivation", by_layer ? Role::kByLayer : Role::kSequence);
  }
  static constexpr const char* kParams = "params";

  /// The same with every tensor.
  template <typename Self, typename Visit>
  static void each_tensor(Self& self, const Visit& visit) {
    each_with_gradient(self, visit);
    visit(self.batch_sizes, "batch_sizes", Role::kNoRows);
    visit(self.reset, "reset", Role::kPerStep);
    visit(self.carry_scale, "carry_scale", Role::kPerStep);
    visit(self.masks, "masks", Role::kStored);
  }

  /// visit(value) with every tensor and with what Options::each visits.
  template <typename Visit>
  void each(const Visit& visit) {
    visit(params);
    each_tensor(*this, [&](auto& tensor, const char* name, Role) {
      if (name != kParams) visit(tensor);
    });
    Options::each(options, visit);
  }
};

/// visit(tensor, role) with each argument whose gradient is made, in the order of the gradients:
/// those that there are and that are asked for.
template <typename Visit>
void each_wanted(const RnnArguments& args, const BackwardArguments& grads, const Visit& visit) {
  size_t i = 0;
  OwnedArguments::each_with_gradient(args, [&](const auto& tensor, const char*, Role role) {
    const at::Tensor* const given = get_or_null(tensor);
    if (grads.output_mask[i++] && given != nullptr) visit(*given, role);
  });
}

}  // namespace elman
