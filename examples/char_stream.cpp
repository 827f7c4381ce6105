// Stateful language modelling in C++: a text read in B streams, with an optimizer step every k1
// characters whose errors go back k2 of them (elman::Stream), beside the loop that detaches the
// state after every chunk. examples/training/language_model.py is its counterpart in Python.

#include <ATen/Parallel.h>
#include <elman/elman.h>
#include <torch/nn/functional/loss.h>
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/utils/clip_grad.h>
#include <torch/optim/adam.h>
#include <torch/utils.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include "char_lm/curves.h"
#include "char_lm/plot.h"
#include "char_lm/text.h"
#include "common/flags.h"
#include "common/interrupt.h"
#include "common/progress.h"

namespace char_stream {
namespace {

namespace F = torch::nn::functional;
using char_lm::Chunk;
using char_lm::Curve;
using char_lm::Text;

struct Options {
  std::string text;
  int64_t k1 = 5;
  int64_t k2 = 40;
  int64_t batch = 32;
  int64_t embedding_size = 32;
  int64_t hidden_size = 128;
  int64_t updates = 5000;
  double learning_rate = 2e-3;
  int64_t seed = 1;
  int64_t threads = 0;
  std::filesystem::path picture = "char_stream.svg";
};

std::vector<examples::Flag> Flags(Options& o) {
  return {
      {"--text", "FILE", "text to learn from (default: the texts of Python's help)", &o.text},
      {"--k1", "k1", "characters of each stream between two updates", &o.k1},
      {"--k2", "k2", "characters that errors go back", &o.k2},
      {"--batch", "B", "streams that are read side by side", &o.batch},
      {"--embedding", "I", "size of a character's embedding", &o.embedding_size},
      {"--hidden", "H", "hidden size", &o.hidden_size},
      {"--updates", "N", "updates of each model", &o.updates},
      {"--learning-rate", "R", "step size of Adam", &o.learning_rate, 0},
      {"--seed", "N", "seed of weights and of reading", &o.seed, 0},
      {"--threads", "N", "threads (0: LibTorch's default)", &o.threads, 0},
      {"--picture", "FILE", "the SVG file to draw into", &o.picture},
  };
}

struct ModelImpl : torch::nn::Module {
  ModelImpl(int64_t vocabulary_size, const Options& options)
      : embedding(register_module("embedding",
                                  torch::nn::Embedding(vocabulary_size, options.embedding_size))),
        rnn(register_module(
            "rnn", elman::RNN(elman::RNNOptions(options.embedding_size, options.hidden_size)))),
        head(register_module("head", torch::nn::Linear(options.hidden_size, vocabulary_size))) {}

  torch::nn::Embedding embedding;
  elman::RNN rnn;
  torch::nn::Linear head;
};
TORCH_MODULE(Model);

// Makes states [k1, B, H] of embedded characters [k1, B, I]; `first`: they begin an epoch.
using Run = std::function<at::Tensor(const at::Tensor& embedded, bool first)>;

// Errors go back k2 steps, whatever the chunks.
Run Streaming(const Model& model, const Options& options) {
  auto stream = std::make_shared<elman::Stream>(model->rnn, options.k1, options.k2);
  return [stream](const at::Tensor& embedded, bool first) {
    if (first) stream->reset();
    return (*stream)(embedded);
  };
}

// Errors go back to the beginning of their chunk.
Run Detaching(const Model& model) {
  auto hidden = std::make_shared<at::Tensor>();
  return [rnn = model->rnn, hidden](const at::Tensor& embedded, bool first) mutable {
    auto [states, last] = rnn->forward(embedded, first ? at::Tensor() : *hidden);
    *hidden = last.detach();
    return states;
  };
}

Curve Train(const std::string& name, const Text& text, const Options& options, bool streaming) {
  torch::manual_seed(static_cast<uint64_t>(options.seed));  // the same weights both times
  Model model(text.vocabulary_size(), options);
  const Run run = streaming ? Streaming(model, options) : Detaching(model);
  torch::optim::Adam optimizer(model->parameters(),
                               torch::optim::AdamOptions(options.learning_rate));
  char_lm::Reader reader(text, options.batch, options.k1, options.seed);
  Curve curve{name, {}, {}, static_cast<double>(options.k1 * options.batch)};
  examples::ProgressBar bar(0, options.updates, HUGE_VAL);
  for (int64_t update = 1; update <= options.updates && !examples::Interrupted(); ++update) {
    const auto start = std::chrono::steady_clock::now();
    const Chunk chunk = reader.Next();
    const at::Tensor states = run(model->embedding(chunk.input), chunk.first);
    const at::Tensor loss =
        F::cross_entropy(model->head(states).flatten(0, 1), chunk.target.flatten());
    optimizer.zero_grad();
    loss.backward();
    torch::nn::utils::clip_grad_norm_(model->parameters(), 1.0);
    optimizer.step();
    curve.losses.push_back(loss.item<double>());
    const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
    curve.seconds.push_back(taken.count());
    bar.Show(update, [&] {
      char status[64];
      std::snprintf(status, sizeof status, "%s %.3f", name.c_str(),
                    char_lm::Smoothed(curve.losses, 200).back());
      return std::string(status);
    });
  }
  bar.Close();
  return curve;
}

// Updates to a block, of which the plot's legend takes the median speed.
constexpr size_t kBlock = 50;

void Report(const Curve& curve) {
  const size_t window = std::max<size_t>(1, curve.losses.size() / 10);
  std::printf("%-16s %.3f bits per character at the end, %.0f characters/s\n", curve.name.c_str(),
              char_lm::Smoothed(curve.losses, window).back() / std::log(2.0),
              char_lm::MedianSpeed(curve, kBlock));
}

}  // namespace

int Main(int argc, char** argv) {
  Options options;
  if (!examples::ReadCommandLineOrHelp(argc, argv, Flags(options),
                                       "A character model trained with TBPTT(k1, k2) in streams."))
    return 0;
  examples::CatchInterrupts();
  if (options.threads > 0) at::set_num_threads(static_cast<int>(options.threads));
  const Text text = Text::Load(options.text.empty() ? char_lm::FindDefaultText() : options.text);
  const std::string lengths = std::to_string(options.k1) + ", " + std::to_string(options.k2);
  const Curve streaming = Train("Stream(" + lengths + ")", text, options, true);
  const Curve detaching = Train("detached", text, options, false);
  if (examples::Interrupted()) return examples::kInterruptedExit;
  Report(streaming);
  Report(detaching);
  char_lm::WritePlot(
      options.picture,
      "Character model, an update every " + std::to_string(options.k1) + " characters", streaming,
      detaching, kBlock);
  std::printf("picture: %s\n", std::filesystem::absolute(options.picture).c_str());
  return 0;
}

}  // namespace char_stream

int main(int argc, char** argv) { return examples::RunMain(argc, argv, char_stream::Main); }
