// oneDNN's vanilla_rnn primitive as a peer. Its weights are packed once, beforehand: a training
// program would have to pack them after each update. With --inference, which knows no backward
// pass, its other forward kernel; steps always take that one.

#include <cmath>
#include <cstring>
#include <oneapi/dnnl/dnnl.hpp>
#include <unordered_map>

#include "peer.h"

namespace {

using dnnl::memory;
using Dims = memory::dims;
using Tag = memory::format_tag;
using Arguments = std::unordered_map<int, memory>;

class OneDnnPeer : public peer::Peer {
 public:
  explicit OneDnnPeer(bool inference) : inference_(inference) {}

  void Prepare(const peer::Size& size, const std::string& mode) override {
    steps_ = mode == "step";
    const int64_t T = steps_ ? 1 : size.T;
    const auto [all_steps, B, I, H, L] = size;
    const double scale = 1 / std::sqrt(static_cast<double>(H));
    backward_ = mode == "backward";
    const bool inference = inference_ || steps_;
    const memory::desc input = Desc({T, B, I}, Tag::tnc);
    const memory::desc output = Desc({T, B, H}, Tag::tnc);
    const memory::desc bias = Desc({L, 1, 1, H}, Tag::ldgo);
    const memory::desc weight_ih = Desc({L, 1, I, 1, H}, Tag::any);
    const memory::desc weight_hh = Desc({L, 1, H, 1, H}, Tag::any);
    // Zeros given in full: without a first state, oneDNN 3.2 and 3.13 compute the gradient of
    // weight_hh as the sum of error[t] output[t] over the steps, where output[t - 1] belongs.
    const memory::desc state = Desc({L, 1, B, H}, Tag::ldnc);
    const memory first(state, engine_);
    std::memset(first.get_data_handle(), 0, state.get_size());
    const memory::desc none;
    const memory::desc last = steps_ ? state : none;

    using dnnl::algorithm;
    using dnnl::prop_kind;
    constexpr auto kDirection = dnnl::rnn_direction::unidirectional_left2right;
    const dnnl::vanilla_rnn_forward::primitive_desc forward(
        engine_, inference ? prop_kind::forward_inference : prop_kind::forward_training,
        algorithm::eltwise_tanh, kDirection, input, state, weight_ih, weight_hh, bias, output,
        last);
    forward_ = dnnl::vanilla_rnn_forward(forward);
    // oneDNN's logical order is [layer, direction, input, gate, output]; ldgoi in memory is [H, I],
    // as the other peers have it.
    const memory ih = Filled({L, 1, I, 1, H}, Tag::ldgoi, peer::kWeightIh, scale, L);
    const memory hh = Filled({L, 1, H, 1, H}, Tag::ldgoi, peer::kWeightHh, scale, L);
    const memory biases = Filled({L, 1, 1, H}, Tag::ldgo, peer::kBias, scale, L);
    const memory x = Filled({T, B, I}, Tag::tnc, peer::kInput, 1);
    output_ = memory(output, engine_);
    forward_arguments_ = {{DNNL_ARG_SRC_LAYER, x},
                          {DNNL_ARG_SRC_ITER, first},
                          {DNNL_ARG_WEIGHTS_LAYER, Packed(ih, forward.weights_layer_desc())},
                          {DNNL_ARG_WEIGHTS_ITER, Packed(hh, forward.weights_iter_desc())},
                          {DNNL_ARG_BIAS, biases},
                          {DNNL_ARG_DST_LAYER, output_}};
    if (steps_) {
      inputs_ = peer::Pattern(all_steps * B * I, peer::kInput, 1);
      step_input_ = x;
      states_[0] = first;
      states_[1] = memory(state, engine_);
      forward_arguments_.emplace(DNNL_ARG_DST_ITER, states_[1]);
      t_ = 0;
    }
    if (inference) return;
    const memory workspace(forward.workspace_desc(), engine_);
    forward_arguments_.emplace(DNNL_ARG_WORKSPACE, workspace);
    if (!backward_) return;

    const dnnl::vanilla_rnn_backward::primitive_desc back(
        engine_, prop_kind::backward, algorithm::eltwise_tanh, kDirection, input, state, weight_ih,
        weight_hh, bias, output, none, input, state, weight_ih, weight_hh, bias, output, none,
        forward);
    back_ = dnnl::vanilla_rnn_backward(back);
    grad_input_ = memory(input, engine_);
    grad_ih_ = memory(back.diff_weights_layer_desc(), engine_);
    grad_hh_ = memory(back.diff_weights_iter_desc(), engine_);
    grad_bias_ = memory(bias, engine_);
    back_arguments_ = {
        {DNNL_ARG_SRC_LAYER, x},
        {DNNL_ARG_SRC_ITER, first},
        {DNNL_ARG_WEIGHTS_LAYER, Packed(ih, back.weights_layer_desc())},
        {DNNL_ARG_WEIGHTS_ITER, Packed(hh, back.weights_iter_desc())},
        {DNNL_ARG_BIAS, biases},
        {DNNL_ARG_DST_LAYER, output_},
        {DNNL_ARG_WORKSPACE, workspace},
        {DNNL_ARG_DIFF_SRC_LAYER, grad_input_},
        {DNNL_ARG_DIFF_SRC_ITER, memory(state, engine_)},
        {DNNL_ARG_DIFF_WEIGHTS_LAYER, grad_ih_},
        {DNNL_ARG_DIFF_WEIGHTS_ITER, grad_hh_},
        {DNNL_ARG_DIFF_BIAS, grad_bias_},
        {DNNL_ARG_DIFF_DST_LAYER, Filled({T, B, H}, Tag::tnc, peer::kGradOutput, 1)}};
  }

  void Call() override {
    if (steps_) {
      // The state goes back and forth between two places.
      const size_t count = step_input_.get_desc().get_size() / sizeof(float);
      std::memcpy(step_input_.get_data_handle(), inputs_.data() + t_ * count,
                  count * sizeof(float));
      forward_arguments_[DNNL_ARG_SRC_ITER] = states_[t_ % 2];
      forward_arguments_[DNNL_ARG_DST_ITER] = states_[(t_ + 1) % 2];
      t_ = (t_ + 1) * count == inputs_.size() ? 0 : t_ + 1;
    }
    forward_.execute(stream_, forward_arguments_);
    if (backward_) {
      // oneDNN adds to these.
      for (const memory& gradient : {grad_ih_, grad_hh_, grad_bias_}) {
        std::memset(gradient.get_data_handle(), 0, gradient.get_desc().get_size());
      }
      back_.execute(stream_, back_arguments_);
    }
    stream_.wait();
  }

  void Restart() override {
    t_ = 0;
    std::memset(states_[0].get_data_handle(), 0, states_[0].get_desc().get_size());
  }

  std::vector<double> Checksums() override {
    std::vector<double> checksums;
    std::vector<memory> results = {output_};
    if (backward_) results.insert(results.end(), {grad_input_, grad_ih_, grad_hh_, grad_bias_});
    for (const memory& result : results) {
      // Without the gaps that a format of oneDNN's own may have.
      const Dims dims = result.get_desc().get_dims();
      const Tag tags[] = {Tag::abc, Tag::abcd, Tag::abcde};
      const memory plain = Packed(result, Desc(dims, tags[dims.size() - 3]));
      int64_t count = 1;
      for (const int64_t dim : dims) count *= dim;
      checksums.push_back(peer::Checksum(static_cast<float*>(plain.get_data_handle()), count));
    }
    return checksums;
  }

 private:
  static memory::desc Desc(const Dims& dims, Tag tag) {
    return {dims, memory::data_type::f32, tag};
  }

  // Of a parameter of several layers each has a pattern of its own.
  memory Filled(const Dims& dims, Tag tag, int64_t seed, double scale, int64_t layers = 1) {
    memory result(Desc(dims, tag), engine_);
    int64_t count = 1;
    for (const int64_t dim : dims) count *= dim;
    const std::vector<float> values = peer::LayerPatterns(layers, count / layers, seed, scale);
    std::memcpy(result.get_data_handle(), values.data(), values.size() * sizeof(float));
    return result;
  }

  memory Packed(memory source, const memory::desc& desc) {
    memory result(desc, engine_);
    dnnl::reorder(source, result).execute(stream_, source, result);
    stream_.wait();
    return result;
  }

  const bool inference_;
  bool backward_ = false;
  bool steps_ = false;
  dnnl::engine engine_{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream_{engine_};
  dnnl::primitive forward_;
  dnnl::primitive back_;
  Arguments forward_arguments_;
  Arguments back_arguments_;
  memory output_;
  memory grad_input_;
  memory grad_ih_;
  memory grad_hh_;
  memory grad_bias_;
  // In mode `step`.
  std::vector<float> inputs_;  // [T, B, I]
  memory step_input_;
  memory states_[2];
  size_t t_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  OneDnnPeer onednn(argc > 1 && std::string(argv[1]) == "--inference");
  return peer::Serve(onednn);
}
