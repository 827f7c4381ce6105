// elman::RNN as a peer of the others.

#include <ATen/core/grad_mode.h>
#include <ATen/ops/from_blob.h>
#include <elman/elman.h>

#include <cmath>
#include <memory>

#include "peer.h"

namespace {

at::Tensor Tensor(at::IntArrayRef shape, int64_t seed, double scale) {
  std::vector<float> values = peer::Pattern(c10::multiply_integers(shape), seed, scale);
  return at::from_blob(values.data(), shape, at::kFloat).clone();
}

class ElmanPeer : public peer::Peer {
 public:
  void Prepare(const peer::Size& size, bool backward) override {
    const auto [T, B, I, H] = size;
    const double scale = 1 / std::sqrt(static_cast<double>(H));
    backward_ = backward;
    rnn_ = elman::RNN(I, H);
    const at::NoGradGuard no_grad;
    auto parameters = rnn_->named_parameters();
    parameters["weight_ih_l0"].copy_(Tensor({H, I}, peer::kWeightIh, scale));
    parameters["weight_hh_l0"].copy_(Tensor({H, H}, peer::kWeightHh, scale));
    parameters["bias_ih_l0"].copy_(Tensor({H}, peer::kBias, scale));
    parameters["bias_hh_l0"].zero_();  // the others have one bias
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

}  // namespace

int main() {
  ElmanPeer elman;
  return peer::Serve(elman);
}
