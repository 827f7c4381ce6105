#pragma once

#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/linear.h>

#include <tuple>

namespace char_lm {

// Embedding, recurrent layers, output layer. The same model for elman::RNN and torch::nn::RNN,
// which take the same options and calls.
template <typename Rnn>
class CharModelImpl : public torch::nn::Module {
 public:
  template <typename RnnOptions>
  CharModelImpl(int64_t vocabulary_size, const RnnOptions& options)
      : embedding(register_module("embedding",
                                  torch::nn::Embedding(vocabulary_size, options.input_size()))),
        rnn(register_module("rnn", Rnn(options))),
        head(register_module("head", torch::nn::Linear(options.hidden_size(), vocabulary_size))) {}

  // characters: [T, B]        codes
  // hidden:     [L, B, H]     state before the first of them
  // returns logits [T, B, V] of each next character, and the state after the last [L, B, H]
  std::tuple<at::Tensor, at::Tensor> forward(const at::Tensor& characters,
                                             const at::Tensor& hidden) {
    auto [output, last] = rnn->forward(embedding->forward(characters), hidden);
    return {head->forward(output), last};
  }

  torch::nn::Embedding embedding;
  Rnn rnn;
  torch::nn::Linear head;
};

template <typename Rnn>
using CharModel = std::shared_ptr<CharModelImpl<Rnn>>;

}  // namespace char_lm
