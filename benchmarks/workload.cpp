#include "workload.h"

#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/randn.h>
#include <torch/utils.h>

#include <algorithm>

namespace elman::bench {

std::vector<Mode> Modes(const Case& c) {
  std::vector<Mode> modes = {{"forward", false, 0}, {"backward", true, 0}};
  if (c.directions == 1 && c.T > 20) {
    modes.push_back({"k5", true, 5});
    modes.push_back({"k20", true, 20});
  }
  return modes;
}

Workload::Workload(const Case& c, at::ScalarType dtype)
    : torch_(torch::nn::RNNOptions(c.I, c.H).num_layers(c.layers).bidirectional(c.directions == 2)),
      elman_(elman::RNNOptions(torch_->options)),
      compares_gradients_(dtype == at::kFloat) {
  const at::NoGradGuard no_grad;
  torch_->to(dtype);
  elman_->to(dtype);
  const std::vector<at::Tensor> theirs = torch_->parameters();
  const std::vector<at::Tensor> ours = elman_->parameters();
  for (size_t i = 0; i < ours.size(); ++i) ours[i].copy_(theirs[i]);
  input_ = at::randn({c.T, c.B, c.I}).to(dtype).requires_grad_();
  grad_output_ = at::randn({c.T, c.B, c.directions * c.H}).to(dtype);
}

void Workload::RunElman(const Mode& mode) {
  if (!mode.backward) {
    const at::NoGradGuard no_grad;
    output_ = std::get<0>(elman_->forward(input_));
    return;
  }
  Clear();
  if (mode.k > 0) {
    elman_->options.truncation(mode.k);
  } else {
    elman_->options.truncation(std::nullopt);
  }
  output_ = std::get<0>(elman_->forward(input_));
  output_.backward(grad_output_);
}

void Workload::RunTorch(const Mode& mode) {
  if (!mode.backward) {
    const at::NoGradGuard no_grad;
    output_ = std::get<0>(torch_->forward(input_));
    return;
  }
  Clear();
  if (mode.k == 0) {
    output_ = std::get<0>(torch_->forward(input_));
    output_.backward(grad_output_);
    return;
  }
  if (pieces_.empty() || pieces_[0].size(0) != mode.k) {
    pieces_.clear();
    for (const at::Tensor& piece : input_.detach().split(mode.k)) {
      pieces_.push_back(piece.clone().requires_grad_());
    }
  }
  at::Tensor hidden;
  int64_t start = 0;
  piece_outputs_.clear();
  for (const at::Tensor& piece : pieces_) {
    auto [output, last] = torch_->forward(piece, hidden);
    output.backward(grad_output_.narrow(0, start, piece.size(0)));
    piece_outputs_.push_back(output);
    hidden = last.detach();
    start += piece.size(0);
  }
}

double Workload::Compare(const Mode& mode) {
  const bool backward = mode.backward && compares_gradients_;
  const auto gradients = [&](torch::nn::Module& module) {
    std::vector<at::Tensor> results;
    if (!backward) return results;
    for (const at::Tensor& parameter : module.parameters()) results.push_back(parameter.grad());
    return results;
  };
  RunElman(mode);
  std::vector<at::Tensor> ours = gradients(*elman_);
  ours.push_back(output_);
  if (backward) ours.push_back(input_.grad());
  RunTorch(mode);
  std::vector<at::Tensor> theirs = gradients(*torch_);
  theirs.push_back(mode.k > 0 ? at::cat(piece_outputs_) : output_);
  if (backward && mode.k > 0) {
    std::vector<at::Tensor> grads;
    for (const at::Tensor& piece : pieces_) grads.push_back(piece.grad());
    theirs.push_back(at::cat(grads));
  } else if (backward) {
    theirs.push_back(input_.grad());
  }
  double largest = 0;
  for (size_t i = 0; i < ours.size(); ++i) {
    const double difference =
        ((ours[i] - theirs[i]).abs().max() / theirs[i].abs().max()).item<double>();
    // A comparison that NaN passes, so that it counts as a difference.
    if (!(difference <= largest)) largest = difference;
  }
  return largest;
}

void Workload::Clear() {
  for (const at::Tensor& parameter : elman_->parameters()) parameter.mutable_grad().reset();
  for (const at::Tensor& parameter : torch_->parameters()) parameter.mutable_grad().reset();
  for (const at::Tensor& piece : pieces_) piece.mutable_grad().reset();
  input_.mutable_grad().reset();
}

}  // namespace elman::bench
