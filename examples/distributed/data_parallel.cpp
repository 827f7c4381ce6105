// Data-parallel training in C++: each process takes its rows of every batch, and c10d's gloo adds
// up the gradients while the backward pass goes on.
//
//   data_parallel --processes 2
//   torchrun --standalone --nproc_per_node 2 --no-python data_parallel
//
// The task is the adding problem (Hochreiter & Schmidhuber 1997): of T random numbers two are
// marked, and the network has to say their sum at the end.

#include <ATen/Parallel.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <elman/elman.h>
#include <torch/csrc/autograd/variable.h>
#include <torch/nn/functional/loss.h>
#include <torch/nn/modules/linear.h>
#include <torch/optim/adam.h>
#include <torch/utils.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "common/flags.h"
#include "distributed/processes.h"

namespace data_parallel {
namespace {

struct Options {
  int64_t processes = 2;
  int64_t steps = 3000;
  int64_t batch = 64;  // of all processes together
  int64_t length = 10;
  int64_t hidden_size = 32;
  double learning_rate = 5e-3;
  int64_t seed = 0;
  bool verify = false;
};

std::vector<examples::Flag> Flags(Options& o) {
  return {
      {"--processes", "N", "processes to start; torchrun starts them itself", &o.processes},
      {"--steps", "N", "steps of the optimizer", &o.steps},
      {"--batch", "B", "sequences per step, of all processes together", &o.batch},
      {"--length", "T", "numbers in a sequence", &o.length, 2},
      {"--hidden", "H", "hidden size", &o.hidden_size},
      {"--learning-rate", "R", "step size of Adam", &o.learning_rate, 0},
      {"--seed", "N", "seed of weights and sequences", &o.seed, 0},
      {"--verify", "", "compare three steps with those of one process instead", &o.verify},
  };
}

class AddingModelImpl : public torch::nn::Module {
 public:
  explicit AddingModelImpl(int64_t hidden_size)
      : rnn(register_module("rnn", elman::RNN(elman::RNNOptions(2, hidden_size)))),
        head(register_module("head", torch::nn::Linear(hidden_size, 1))) {}

  // input: [T, B, 2]; returns [B]
  at::Tensor forward(const at::Tensor& input) {
    return head->forward(std::get<0>(rnn->forward(input))[-1]).squeeze(-1);
  }

  elman::RNN rnn;
  torch::nn::Linear head;
};
TORCH_MODULE(AddingModel);

struct Batch {
  at::Tensor input;   // [T, B, 2] numbers and marks
  at::Tensor target;  // [B]
};

Batch MakeBatch(const Options& options) {
  const int64_t T = options.length;
  const int64_t B = options.batch;
  const at::Tensor numbers = at::rand({T, B}, at::kDouble);
  at::Tensor marks = at::zeros({T, B}, at::kDouble);
  for (int64_t half = 0; half < 2; ++half) {  // one mark in each half
    const at::Tensor at_step =
        (at::rand({1, B}, at::kDouble) * (T / 2)).to(at::kLong) + half * (T / 2);
    marks.scatter_(0, at_step, 1);
  }
  return {at::stack({numbers, marks}, -1), (numbers * marks).sum(0)};
}

// Rows of process `rank`.
Batch Part(const Batch& batch, int rank, int processes) {
  const int64_t rows = batch.target.size(0) / processes;
  return {batch.input.narrow(1, rank * rows, rows), batch.target.narrow(0, rank * rows, rows)};
}

// Starts to add up a gradient as soon as the backward pass has it.
class GradientSum : public torch::autograd::PostAccumulateGradHook {
 public:
  GradientSum(Group group, Works& works) : group_(std::move(group)), works_(works) {}

  void operator()(const at::Tensor& parameter) override {
    std::vector<at::Tensor> gradient = {parameter.grad()};
    works_.push_back(group_->allreduce(gradient));
  }

 private:
  Group group_;
  Works& works_;
};

// A model in training. Without a group it is trained alone.
class Trainer {
 public:
  Trainer(const Options& options, Group group)
      : group_(std::move(group)),
        model_(Make(options)),
        optimizer_(model_->parameters(), torch::optim::AdamOptions(options.learning_rate)) {
    if (!group_) return;
    for (const at::Tensor& parameter : model_->parameters()) {
      torch::autograd::impl::set_post_acc_grad_hooks(parameter,
                                                     std::make_unique<GradientSum>(group_, works_));
    }
  }

  // One step on this process's part of the batch. Returns the loss over the whole batch.
  double Step(const Batch& batch) {
    const int processes = group_ ? group_->getSize() : 1;
    const Batch part = group_ ? Part(batch, group_->getRank(), processes) : batch;
    optimizer_.zero_grad();
    // The gradients are added up, so each process's mean loss counts for its share.
    at::Tensor loss =
        torch::nn::functional::mse_loss(model_->forward(part.input), part.target) / processes;
    loss.backward();
    std::vector<at::Tensor> total = {loss.detach()};
    if (group_) works_.push_back(group_->allreduce(total));
    for (const auto& work : works_) work->wait();
    works_.clear();
    optimizer_.step();
    return total[0].item<double>();
  }

  std::vector<at::Tensor> parameters() const { return model_->parameters(); }

 private:
  // The same weights in every process.
  static AddingModel Make(const Options& options) {
    torch::manual_seed(static_cast<uint64_t>(options.seed));
    AddingModel model(options.hidden_size);
    model->to(at::kDouble);
    return model;
  }

  Group group_;
  Works works_;  // all-reduces under way
  AddingModel model_;
  torch::optim::Adam optimizer_;
};

// Whether three steps together leave the parameters that they leave in one process that has the
// whole batch.
bool Verify(const Options& options, const Group& group) {
  Trainer together(options, group);
  Trainer alone(options, nullptr);
  for (int step = 0; step < 3; ++step) {
    const Batch batch = MakeBatch(options);
    together.Step(batch);
    alone.Step(batch);
  }
  double difference = 0;
  for (size_t i = 0; i < together.parameters().size(); ++i) {
    const at::Tensor parameter = together.parameters()[i] - alone.parameters()[i];
    difference = std::max(difference, parameter.abs().max().item<double>());
  }
  std::printf(
      "process %d of %d: after 3 steps parameters differ by at most %.1e from one process "
      "with the whole batch\n",
      group->getRank(), group->getSize(), difference);
  return difference < 1e-10;
}

void Train(const Options& options, const Group& group) {
  Trainer trainer(options, group);
  const int64_t tenth = std::max<int64_t>(1, options.steps / 10);
  double sum = 0;
  for (int64_t step = 1; step <= options.steps; ++step) {
    sum += trainer.Step(MakeBatch(options));
    if (step % tenth != 0) continue;
    if (group->getRank() == 0) {
      std::printf("step %6lld   mean squared error %.4f (0.1667 is what no memory gives)\n",
                  static_cast<long long>(step), sum / static_cast<double>(tenth));
      std::fflush(stdout);
    }
    sum = 0;
  }
}

int Work(const Options& options, const Group& group) {
  at::set_num_threads(1);
  if (options.verify) return Verify(options, group) ? 0 : 1;
  Train(options, group);
  return 0;
}

}  // namespace

int Run(int argc, char** argv) {
  Options options;
  if (!examples::ReadCommandLineOrHelp(argc, argv, Flags(options),
                                       "Trains on the adding problem with several processes."))
    return 0;
  return RunProcesses(static_cast<int>(options.processes), [&](const Group& group) {
    if (options.batch % group->getSize() != 0) {
      throw examples::UsageError("--batch " + std::to_string(options.batch) +
                                 " cannot be shared out evenly among " +
                                 std::to_string(group->getSize()) + " processes");
    }
    return Work(options, group);
  });
}

}  // namespace data_parallel

int main(int argc, char** argv) { return examples::RunMain(argc, argv, data_parallel::Run); }
