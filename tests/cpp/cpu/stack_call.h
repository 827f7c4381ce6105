#pragma once

#include <cmath>
#include <utility>
#include <vector>

#include "checks.h"
#include "composite/composite_call.h"
#include "cpu/rnn.h"
#include "dense.h"

namespace elman_test {

/// A call's tensors, in float64, behind the plain structs.
class Stack {
 public:
  explicit Stack(Call call) : call_(std::move(call)) {
    call_.prepare();
    const Problem& p = call_.problem;
    shape_ = {p.steps(),
              p.batch(),
              p.input.size(2),
              p.hidden_size(),
              p.num_layers,
              p.num_directions,
              elman::parse_nonlinearity(p.nonlinearity)};
    if (call_.form == Form::kPacked) {
      batch_sizes_ = *call_.batch_sizes;
      offsets_ = torch::cat({torch::zeros({1}, torch::kLong), batch_sizes_.cumsum(0)});
      shape_.batch_sizes = batch_sizes_.const_data_ptr<int64_t>();
      shape_.offsets = offsets_.const_data_ptr<int64_t>();
    }
    for (int64_t cell = 0; cell < p.cells(); ++cell) {
      const auto* param = &p.params[cell * (p.has_biases ? 4 : 2)];
      cells_.push_back({data(param[0]), data(param[1]), p.has_biases ? data(param[2]) : nullptr,
                        p.has_biases ? data(param[3]) : nullptr,
                        call_.hx ? data((*call_.hx)[cell]) : nullptr,
                        p.leak.defined() ? data(p.leak[cell]) : nullptr});
    }
    if (p.leak_form == "current") shape_.leak_form = elman::LeakForm::kCurrent;
    for (int64_t layer = 0; p.preactivation.defined() && layer < p.num_layers; ++layer)
      preactivation_.push_back(call_.stored(p.preactivation[layer]).contiguous());
    if (p.masks.defined()) {
      for (int64_t layer = 0; layer + 1 < p.num_layers; ++layer)
        masks_.push_back(call_.stored(p.masks[layer]).contiguous());
    }
    if (call_.carry_scale) carry_scale_ = call_.carry_scale->contiguous();
  }

  const Call& call() const { return call_; }

  /// Returns output and h_n.
  std::vector<torch::Tensor> forward() {
    const Problem& p = call_.problem;
    states_.clear();
    drives_.clear();
    const auto make = [&] {
      return torch::full({shape_.rows(), shape_.features()}, NAN, torch::kDouble);
    };
    for (int64_t layer = 0; layer < p.num_layers; ++layer) {
      states_.push_back(make());
      if (p.leak.defined()) drives_.push_back(make());
    }
    const auto h_n = torch::full({p.cells(), p.batch(), p.hidden_size()}, NAN, torch::kDouble);
    elman::StackForward stack{shape_,  cells_, data(call_.input),     pointers(masks_),
                              reset(), {},     h_n.mutable_data_ptr()};
    for (const auto& states : states_) stack.states.push_back(states.mutable_data_ptr());
    for (const auto& drives : drives_) stack.drives.push_back(drives.mutable_data_ptr());
    stack.preactivation = pointers(preactivation_);
    elman::cpu::rnn_forward<double>(stack);
    return {states_.back(), h_n};
  }

  /// All gradients, as brute_force_tbptt orders them; none where not `wanted`.
  std::vector<torch::Tensor> backward(const torch::Tensor& grad_output,
                                      const torch::Tensor& grad_h_n, const elman::Windows& windows,
                                      bool wanted = true, double* lag_norms = nullptr) const {
    const Problem& p = call_.problem;
    std::vector<torch::Tensor> results;
    const auto like = [&](const torch::Tensor& tensor) -> void* {
      if (!wanted) return nullptr;
      results.push_back(torch::full(tensor.sizes(), NAN, torch::kDouble));
      return results.back().mutable_data_ptr();
    };
    elman::StackBackward stack{shape_,
                               windows,
                               cells_,
                               data(call_.input),
                               pointers(masks_),
                               reset(),
                               call_.carry_scale ? data(carry_scale_) : nullptr,
                               pointers(states_),
                               data(grad_output),
                               data(grad_h_n),
                               like(call_.input),
                               call_.hx ? like(*call_.hx) : nullptr,
                               {},
                               lag_norms,
                               pointers(drives_)};
    for (size_t i = 0; i < p.params.size(); i += p.has_biases ? 4 : 2) {
      elman::CellGradients grads{like(p.params[i]), like(p.params[i + 1]), nullptr, nullptr};
      if (p.has_biases) {
        grads.bias_ih = like(p.params[i + 2]);
        grads.bias_hh = like(p.params[i + 3]);
      }
      stack.grads.push_back(grads);
    }
    if (wanted && p.leak.defined()) {
      auto* const leak = static_cast<double*>(like(p.leak));
      for (int64_t cell = 0; cell < p.cells(); ++cell)
        stack.grads[cell].leak = leak + cell * p.hidden_size();
    }
    if (wanted && p.preactivation.defined()) {
      const auto gradient =
          torch::full({p.num_layers, shape_.rows(), shape_.features()}, NAN, torch::kDouble);
      results.push_back(gradient);
      for (int64_t layer = 0; layer < p.num_layers; ++layer)
        stack.grad_preactivation.push_back(gradient[layer].mutable_data_ptr());
    }
    elman::cpu::rnn_backward<double>(stack);
    return results;
  }

 private:
  static const void* data(const torch::Tensor& tensor) {
    TORCH_CHECK(tensor.is_contiguous());
    return tensor.const_data_ptr();
  }
  static std::vector<const void*> pointers(const std::vector<torch::Tensor>& tensors) {
    std::vector<const void*> result;
    for (const auto& tensor : tensors) result.push_back(data(tensor));
    return result;
  }
  const uint8_t* reset() const { return call_.reset ? elman::flags(*call_.reset) : nullptr; }

  Call call_;
  elman::StackShape shape_;
  torch::Tensor batch_sizes_, offsets_, carry_scale_;
  std::vector<elman::CellParameters> cells_;
  std::vector<torch::Tensor> masks_, states_, preactivation_, drives_;
};

}  // namespace elman_test
