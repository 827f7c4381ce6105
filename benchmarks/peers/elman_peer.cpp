// elman::RNN as a peer of the others; with --stepper elman::Stepper (`forward` is its `process`),
// with --torch torch::nn::RNN, a step at a time.

#include <ATen/core/grad_mode.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/zeros.h>
#include <c10/core/InferenceMode.h>
#include <elman/elman.h>
#include <torch/nn/modules/rnn.h>

#include <cmath>
#include <memory>
#include <stdexcept>

#include "peer.h"

namespace {

at::Tensor Tensor(at::IntArrayRef shape, int64_t seed, double scale) {
  std::vector<float> values = peer::Pattern(c10::multiply_integers(shape), seed, scale);
  return at::from_blob(values.data(), shape, at::kFloat).clone();
}

// Sets the parameters of an elman::RNN or torch::nn::RNN.
template <typename Module>
void Fill(Module& module, const peer::Size& size) {
  const at::NoGradGuard no_grad;
  const double scale = 1 / std::sqrt(static_cast<double>(size.H));
  auto parameters = module->named_parameters();
  for (int64_t layer = 0; layer < size.L; ++layer) {
    const std::string suffix = "_l" + std::to_string(layer);
    const int64_t seed = layer * peer::kLayerSeed;
    const auto fill = [&](const char* name, int64_t own_seed) {
      at::Tensor& parameter = parameters[name + suffix];
      parameter.copy_(Tensor(parameter.sizes(), own_seed + seed, scale));
    };
    fill("weight_ih", peer::kWeightIh);
    fill("weight_hh", peer::kWeightHh);
    fill("bias_ih", peer::kBias);
    parameters["bias_hh" + suffix].zero_();  // the others have one bias
  }
}

class ElmanPeer : public peer::Peer {
 public:
  void Prepare(const peer::Size& size, const std::string& mode) override {
    if (mode == "step") throw std::invalid_argument("steps are --stepper's");
    const auto [T, B, I, H, L] = size;
    backward_ = mode == "backward";
    rnn_ = elman::RNN(elman::RNNOptions(I, H).num_layers(L));
    Fill(rnn_, size);
    input_ = Tensor({T, B, I}, peer::kInput, 1).requires_grad_();
    grad_output_ = Tensor({T, B, H}, peer::kGradOutput, 1);
  }

  void Call() override {
    const at::AutoGradMode grad_mode(backward_);
    for (at::Tensor& parameter : rnn_->parameters()) parameter.mutable_grad().reset();
    input_.mutable_grad().reset();
    output_ = std::get<0>(rnn_->forward(input_));
    if (backward_) output_.backward(grad_output_);
  }

  std::vector<double> Checksums() override {
    std::vector<at::Tensor> results = {output_};
    if (backward_) {
      results.push_back(input_.grad());
      for (const char* name : {"weight_ih_l0", "weight_hh_l0", "bias_ih_l0"}) {
        results.push_back(rnn_->named_parameters()[name].grad());
      }
    }
    std::vector<double> checksums;
    for (const at::Tensor& result : results) {
      checksums.push_back(
          peer::Checksum(result.contiguous().const_data_ptr<float>(), result.numel()));
    }
    return checksums;
  }

 private:
  bool backward_ = false;
  elman::RNN rnn_{nullptr};
  at::Tensor input_;        // [T, B, I]
  at::Tensor grad_output_;  // [T, B, H]
  at::Tensor output_;       // [T, B, H]
};

// The stepper: one step, or `process` over all.
class StepperPeer : public peer::Peer {
 public:
  void Prepare(const peer::Size& size, const std::string& mode) override {
    if (mode == "backward") throw std::invalid_argument("a stepper has no backward pass");
    const auto [T, B, I, H, L] = size;
    size_ = size;
    steps_ = mode == "step";
    elman::RNN rnn(elman::RNNOptions(I, H).num_layers(L));
    Fill(rnn, size);
    stepper_ = std::make_unique<elman::Stepper>(rnn, B);
    input_ = peer::Pattern(T * B * I, peer::kInput, 1);
    output_.assign(static_cast<size_t>((steps_ ? 1 : T) * B * H), 0);
    t_ = 0;
  }
  void Call() override {
    if (!steps_) {
      stepper_->reset();
      stepper_->process(input_.data(), output_.data(), size_.T);
      return;
    }
    stepper_->step(input_.data() + t_ * size_.B * size_.I, output_.data());
    t_ = t_ + 1 == size_.T ? 0 : t_ + 1;
  }
  void Restart() override {
    stepper_->reset();
    t_ = 0;
  }
  std::vector<double> Checksums() override {
    return {peer::Checksum(output_.data(), static_cast<int64_t>(output_.size()))};
  }

 private:
  peer::Size size_{};
  bool steps_ = false;
  std::unique_ptr<elman::Stepper> stepper_;
  std::vector<float> input_;   // [T, B, I]
  std::vector<float> output_;  // [B, H] or [T, B, H]
  int64_t t_ = 0;
};

// A call of torch's module for each step.
class TorchPeer : public peer::Peer {
 public:
  void Prepare(const peer::Size& size, const std::string& mode) override {
    if (mode != "step") throw std::invalid_argument("--torch has steps only");
    const auto [T, B, I, H, L] = size;
    rnn_ = torch::nn::RNN(torch::nn::RNNOptions(I, H).num_layers(L));
    Fill(rnn_, size);
    inputs_ = Tensor({T, B, I}, peer::kInput, 1).split(1);
    zeros_ = at::zeros({L, B, H});
    Restart();
  }
  void Call() override {
    const c10::InferenceMode inference;
    std::tie(output_, state_) = rnn_->forward(inputs_[t_], state_);
    t_ = t_ + 1 == inputs_.size() ? 0 : t_ + 1;
  }
  void Restart() override {
    state_ = zeros_;
    t_ = 0;
  }
  std::vector<double> Checksums() override {
    return {peer::Checksum(output_.const_data_ptr<float>(), output_.numel())};
  }

 private:
  torch::nn::RNN rnn_{nullptr};
  std::vector<at::Tensor> inputs_;     // each [1, B, I]
  at::Tensor zeros_, state_, output_;  // [L, B, H], [L, B, H], [1, B, H]
  size_t t_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  const std::string flag = argc > 1 ? argv[1] : "";
  std::unique_ptr<peer::Peer> peer;
  if (flag == "--stepper") {
    peer = std::make_unique<StepperPeer>();
  } else if (flag == "--torch") {
    peer = std::make_unique<TorchPeer>();
  } else {
    peer = std::make_unique<ElmanPeer>();
  }
  return peer::Serve(*peer);
}
