#pragma once

#include <elman/elman.h>
#include <torch/nn/modules/rnn.h>
#include <torch/optim/adam.h>
#include <torch/serialize/archive.h>

#include <memory>
#include <string>
#include <vector>

#include "model.h"
#include "options.h"
#include "text.h"

namespace char_lm {

// A model in training: its optimizer, its place in the text, the hidden state that it carries from
// chunk to chunk, and its history.
class Trainer {
 public:
  virtual ~Trainer() = default;

  // One update from the next chunk of the text.
  void Update();

  // Loss of every update so far, in nats per character, and the seconds that it took.
  const std::vector<double>& losses() const { return losses_; }
  const std::vector<double>& seconds() const { return seconds_; }
  int64_t updates() const { return static_cast<int64_t>(losses_.size()); }
  int64_t characters_per_update() const { return settings_.chunk * settings_.batch; }

  virtual std::vector<at::Tensor> parameters() const = 0;

  // Everything that the further course depends on.
  void Save(torch::serialize::OutputArchive& archive) const;
  void Load(torch::serialize::InputArchive& archive);

 protected:
  Trainer(const Text& text, const Settings& settings, torch::nn::Module& model,
          at::ScalarType dtype);

  // Gradients of the chunk's mean loss, truncated to k steps, into the parameters' .grad. Moves
  // `hidden`, [L, B, H], to the end of the chunk. Returns the loss.
  virtual at::Tensor Backward(const Chunk& chunk, at::Tensor& hidden) = 0;

  const Settings settings_;

 private:
  torch::nn::Module& model_;
  torch::optim::Adam optimizer_;
  Reader reader_;
  at::Tensor hidden_;  // [L, B, H]
  std::vector<double> losses_;
  std::vector<double> seconds_;
};

// Truncation is an option of the module: one call for the whole chunk, one backward.
class ElmanTrainer : public Trainer {
 public:
  ElmanTrainer(const Text& text, const Settings& settings, at::ScalarType dtype = at::kFloat);

  std::vector<at::Tensor> parameters() const override { return model->parameters(); }

  const CharModel<elman::RNN> model;

 private:
  ElmanTrainer(const Text& text, const Settings& settings, at::ScalarType dtype,
               CharModel<elman::RNN> model);
  at::Tensor Backward(const Chunk& chunk, at::Tensor& hidden) override;
};

// Truncation by hand: a call, a loss and a backward for every k steps, the state detached between.
class DetachLoopTrainer : public Trainer {
 public:
  DetachLoopTrainer(const Text& text, const Settings& settings, at::ScalarType dtype = at::kFloat);

  std::vector<at::Tensor> parameters() const override { return model->parameters(); }

  const CharModel<torch::nn::RNN> model;

 private:
  DetachLoopTrainer(const Text& text, const Settings& settings, at::ScalarType dtype,
                    CharModel<torch::nn::RNN> model);
  at::Tensor Backward(const Chunk& chunk, at::Tensor& hidden) override;
};

}  // namespace char_lm
