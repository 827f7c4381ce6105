#include "trainer.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <torch/nn/functional/loss.h>
#include <torch/nn/utils/clip_grad.h>
#include <torch/utils.h>

#include <algorithm>
#include <chrono>

namespace char_lm {
namespace {

namespace F = torch::nn::functional;

// The same seed makes the same weights in both models: elman::RNN draws them as torch::nn::RNN
// does.
template <typename Rnn, typename RnnOptions>
CharModel<Rnn> MakeModel(const Text& text, const Settings& settings, RnnOptions options,
                         at::ScalarType dtype) {
  torch::manual_seed(static_cast<uint64_t>(settings.seed));
  auto model = std::make_shared<CharModelImpl<Rnn>>(text.vocabulary_size(),
                                                    options.num_layers(settings.num_layers));
  model->to(dtype);
  return model;
}

// logits [T, B, V], target [T, B]
at::Tensor SumOfLosses(const at::Tensor& logits, const at::Tensor& target) {
  return F::cross_entropy(logits.flatten(0, 1), target.flatten(),
                          F::CrossEntropyFuncOptions().reduction(torch::kSum));
}

at::Tensor ToTensor(const std::vector<double>& values) {
  at::Tensor tensor = at::empty({static_cast<int64_t>(values.size())}, at::kDouble);
  std::copy(values.begin(), values.end(), tensor.mutable_data_ptr<double>());
  return tensor;
}

std::vector<double> ToVector(const at::Tensor& tensor) {
  const double* values = tensor.const_data_ptr<double>();
  return {values, values + tensor.numel()};
}

}  // namespace

at::Tensor ElmanTrainer::Backward(const Chunk& chunk, at::Tensor& hidden) {
  auto [logits, last] = model->forward(chunk.input, hidden);
  at::Tensor loss = SumOfLosses(logits, chunk.target) / chunk.target.numel();
  loss.backward();
  hidden = last.detach();
  return loss;
}

at::Tensor DetachLoopTrainer::Backward(const Chunk& chunk, at::Tensor& hidden) {
  const int64_t length = chunk.input.size(0);
  at::Tensor total = at::zeros({}, hidden.options());
  for (int64_t start = 0; start < length; start += settings_.truncation) {
    const int64_t stop = std::min(start + settings_.truncation, length);
    auto [logits, last] = model->forward(chunk.input.slice(0, start, stop), hidden);
    at::Tensor loss =
        SumOfLosses(logits, chunk.target.slice(0, start, stop)) / chunk.target.numel();
    loss.backward();
    hidden = last.detach();
    total += loss.detach();
  }
  return total;
}

ElmanTrainer::ElmanTrainer(const Text& text, const Settings& settings, at::ScalarType dtype)
    : ElmanTrainer(
          text, settings, dtype,
          MakeModel<elman::RNN>(text, settings,
                                elman::RNNOptions(settings.embedding_size, settings.hidden_size)
                                    .truncation(settings.truncation),
                                dtype)) {}

ElmanTrainer::ElmanTrainer(const Text& text, const Settings& settings, at::ScalarType dtype,
                           CharModel<elman::RNN> model)
    : Trainer(text, settings, *model, dtype), model(std::move(model)) {}

DetachLoopTrainer::DetachLoopTrainer(const Text& text, const Settings& settings,
                                     at::ScalarType dtype)
    : DetachLoopTrainer(
          text, settings, dtype,
          MakeModel<torch::nn::RNN>(
              text, settings, torch::nn::RNNOptions(settings.embedding_size, settings.hidden_size),
              dtype)) {}

DetachLoopTrainer::DetachLoopTrainer(const Text& text, const Settings& settings,
                                     at::ScalarType dtype, CharModel<torch::nn::RNN> model)
    : Trainer(text, settings, *model, dtype), model(std::move(model)) {}

Trainer::Trainer(const Text& text, const Settings& settings, torch::nn::Module& model,
                 at::ScalarType dtype)
    : settings_(settings),
      model_(model),
      optimizer_(model.parameters(), torch::optim::AdamOptions(settings.learning_rate)),
      reader_(text, settings.batch, settings.chunk, settings.seed),
      hidden_(at::zeros({settings.num_layers, settings.batch, settings.hidden_size}, dtype)) {}

void Trainer::Update() {
  const auto start = std::chrono::steady_clock::now();
  const Chunk chunk = reader_.Next();
  if (chunk.first) hidden_ = at::zeros_like(hidden_);
  optimizer_.zero_grad();
  const at::Tensor loss = Backward(chunk, hidden_);
  torch::nn::utils::clip_grad_norm_(model_.parameters(), settings_.max_gradient_norm);
  optimizer_.step();
  losses_.push_back(loss.item<double>());
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
  seconds_.push_back(taken.count());
}

void Trainer::Save(torch::serialize::OutputArchive& archive) const {
  const auto part = [&](const std::string& name, const auto& object) {
    torch::serialize::OutputArchive sub(archive.compilation_unit());
    object.save(sub);
    archive.write(name, sub);
  };
  part("model", model_);
  part("optimizer", optimizer_);
  torch::serialize::OutputArchive reader(archive.compilation_unit());
  reader_.Save(reader);
  archive.write("reader", reader);
  archive.write("hidden", hidden_, /*is_buffer=*/true);
  archive.write("losses", ToTensor(losses_), /*is_buffer=*/true);
  archive.write("seconds", ToTensor(seconds_), /*is_buffer=*/true);
}

void Trainer::Load(torch::serialize::InputArchive& archive) {
  const auto part = [&](const std::string& name, auto& object) {
    torch::serialize::InputArchive sub;
    archive.read(name, sub);
    object.load(sub);
  };
  part("model", model_);
  part("optimizer", optimizer_);
  torch::serialize::InputArchive reader;
  archive.read("reader", reader);
  reader_.Load(reader);
  at::Tensor losses;
  at::Tensor seconds;
  archive.read("hidden", hidden_, /*is_buffer=*/true);
  archive.read("losses", losses, /*is_buffer=*/true);
  archive.read("seconds", seconds, /*is_buffer=*/true);
  losses_ = ToVector(losses);
  seconds_ = ToVector(seconds);
}

}  // namespace char_lm
