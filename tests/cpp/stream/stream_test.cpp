// elman::Stream against brute force, the textbook and itself.

#include <c10/core/Allocator.h>
#include <elman/elman.h>
#include <gtest/gtest.h>
#include <torch/optim/adam.h>
#include <torch/optim/sgd.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <tuple>
#include <vector>

#include "oracle.h"
#include "stream/small_stream.h"
#include "testing.h"

namespace {

using elman::RNNOptions;
using elman_test::close;
using elman_test::gradients;
using elman_test::kBatch;
using elman_test::kHidden;
using elman_test::kInput;
using elman_test::make_rnn;
using elman_test::random;
using elman_test::random_leaf;
using torch::Tensor;

// k1, k2, whether there are resets and scales
class StreamWindows : public testing::TestWithParam<std::tuple<int, int, bool>> {};

TEST_P(StreamWindows, WithConstantWeightsTheSumIsThatOfTheWindows) {
  const auto [k1, k2, borders] = GetParam();
  constexpr int64_t kSteps = 11, kLayers = 2;
  torch::manual_seed(3);
  elman::RNN rnn = make_rnn(RNNOptions(kInput, kHidden).num_layers(kLayers));
  elman_test::Problem problem;
  problem.input = random({kSteps, kBatch, kInput});
  problem.params = rnn->all_weights();
  problem.num_layers = kLayers;
  problem.k1 = k1;
  problem.k2 = k2;
  if (borders) {
    problem.reset = torch::rand({kSteps, kBatch}) < 0.3;
    problem.carry_scale = torch::rand({kSteps, kBatch}, torch::kDouble);
  }
  const Tensor grad = random({kSteps, kBatch, kHidden});
  const auto expected = elman_test::brute_force_tbptt(
      problem, grad, torch::zeros({kLayers, kBatch, kHidden}, torch::kDouble));

  elman::Stream stream(rnn, k1, k2);
  for (int64_t t = 0; t < kSteps; t += k1) {
    const auto chunk = [&](const Tensor& x) { return x.defined() ? x.slice(0, t, t + k1) : x; };
    const Tensor y = stream(chunk(problem.input), chunk(problem.reset), chunk(problem.carry_scale));
    EXPECT_TRUE(close(y, chunk(expected.output)));
    y.backward(chunk(grad));
  }
  EXPECT_TRUE(close(stream.state(), expected.h_n));
  const auto found = gradients(rnn);
  for (size_t i = 0; i < found.size(); ++i) {
    EXPECT_TRUE(close(found[i], expected.gradients[2 + i])) << "parameter " << i;
  }
}

INSTANTIATE_TEST_SUITE_P(K1K2, StreamWindows,
                         testing::Combine(testing::Values(1, 3), testing::Values(3, 5, 30),
                                          testing::Bool()));

/// The gradient of one layer over a window by the textbook: states as they were made, W_h as it is.
struct Textbook {
  std::vector<Tensor> x, entering, made;  // per step of the stream

  void forward(const elman::RNN& rnn, const Tensor& chunk) {
    torch::NoGradGuard no_grad;
    const auto w = rnn->all_weights();
    for (const Tensor& input : chunk.unbind(0)) {
      entering.push_back(made.empty() ? torch::zeros({kBatch, kHidden}, torch::kDouble)
                                      : made.back());
      x.push_back(input);
      made.push_back(torch::tanh(input.mm(w[0].t()) + entering.back().mm(w[1].t()) + w[2] + w[3]));
    }
  }

  std::vector<Tensor> gradient(const elman::RNN& rnn, const Tensor& grad, int64_t k2) const {
    torch::NoGradGuard no_grad;
    const auto w = rnn->all_weights();
    std::vector<Tensor> result;
    for (const Tensor& weight : w) result.push_back(torch::zeros_like(weight));
    const int64_t steps = made.size(), k1 = grad.size(0);
    Tensor later = torch::zeros({kBatch, kHidden}, torch::kDouble);
    for (int64_t t = steps - 1; t >= std::max<int64_t>(0, steps - k2); --t) {
      if (t >= steps - k1) later = later + grad[t - (steps - k1)];
      const Tensor delta = (1 - made[t] * made[t]) * later;
      result[0] += delta.t().mm(x[t]);
      result[1] += delta.t().mm(entering[t]);
      result[2] += delta.sum(0);
      result[3] += delta.sum(0);
      later = delta.mm(w[1]);
    }
    return result;
  }
};

TEST(Stream, AnOptimizerStepsBetweenChunks) {
  constexpr int64_t k1 = 2, k2 = 7;
  elman::RNN rnn = make_rnn(RNNOptions(kInput, kHidden));
  elman::Stream stream(rnn, k1, k2);
  EXPECT_EQ(stream.k1(), k1);
  EXPECT_EQ(stream.k2(), k2);
  torch::optim::Adam optimizer(rnn->parameters(), 0.05);
  Textbook textbook;
  for (int update = 0; update < 12; ++update) {
    const Tensor x = random_leaf({k1, kBatch, kInput}), grad = random({k1, kBatch, kHidden});
    optimizer.zero_grad();
    stream(x).backward(grad);
    textbook.forward(rnn, x.detach());
    const auto expected = textbook.gradient(rnn, grad, k2);
    const auto found = gradients(rnn);
    for (size_t i = 0; i < found.size(); ++i) EXPECT_TRUE(close(found[i], expected[i])) << i;
    EXPECT_EQ(x.grad().sizes(), x.sizes());
    optimizer.step();
  }
}

TEST(Stream, NewSequencesInSomeRows) {
  elman::RNN rnn = make_rnn(RNNOptions(kInput, kHidden));
  elman::Stream stream(rnn, 2, 8);
  EXPECT_FALSE(stream.state().defined());
  stream(random({2, kBatch, kInput}));
  const Tensor start = random({1, kBatch, kHidden}), rows = torch::tensor({false, true});
  stream.set_state(start, rows);
  const Tensor x = random({2, kBatch, kInput});
  stream(x).select(1, 1).sum().backward();
  const auto found = gradients(rnn);
  rnn->zero_grad();
  std::get<0>(rnn->forward(x.slice(1, 1), start.slice(1, 1))).sum().backward();
  const auto expected = gradients(rnn);
  for (size_t i = 0; i < found.size(); ++i) EXPECT_TRUE(close(found[i], expected[i])) << i;

  stream.detach();
  const Tensor state = stream.state();
  rnn->zero_grad();
  stream(x).sum().backward();
  const auto cut = gradients(rnn);
  rnn->zero_grad();
  std::get<0>(rnn->forward(x, state)).sum().backward();
  for (size_t i = 0; i < cut.size(); ++i) EXPECT_TRUE(close(cut[i], gradients(rnn)[i])) << i;
  stream.reset();
  EXPECT_FALSE(stream.state().defined());
}

TEST(Stream, NamesWhatIsWrong) {
  elman::RNN rnn = make_rnn(RNNOptions(kInput, kHidden));
  EXPECT_ERROR(elman::Stream(rnn, 0, 1), "k1 must be at least 1");
  EXPECT_ERROR(elman::Stream(rnn, 3, 2), "k2 must be at least k1");
  EXPECT_ERROR(elman::Stream(rnn, 1, INT64_MIN), "k2 must be at least k1");
  EXPECT_ERROR(elman::Stream(rnn, INT64_MIN, 1), "k1 must be at least 1");
  EXPECT_ERROR(elman::Stream(elman::RNN(RNNOptions(kInput, kHidden).bidirectional(true)), 1, 1),
               "rnn: a stream is not defined for a bidirectional network");
  elman::Stream stream(rnn, 2, 3);
  EXPECT_ERROR(stream(random({3, kBatch, kInput})), "at most k1 = 2 steps, got 3");
  stream(random({2, kBatch, kInput}));
  EXPECT_ERROR(stream(random({2, 5, kInput})), "expected 2, got 5");
}

TEST(Stream, RefusesACallDuringABackwardPass) {
  elman::Stream stream(make_rnn(RNNOptions(kInput, kHidden)), 2, 3);
  const Tensor x = random({2, kBatch, kInput}).requires_grad_();
  x.register_hook([&](const Tensor&) { stream(random({2, kBatch, kInput})); });
  const Tensor output = stream(x);
  const Tensor state = stream.state();
  EXPECT_ERROR(output.sum().backward(), "cannot be called during a backward pass");
  EXPECT_TRUE(torch::equal(stream.state(), state));
  stream(random({2, kBatch, kInput})).sum().backward();
}

/// Counts the bytes in use, on top of the allocator that was there.
class CountingAllocator final : public c10::Allocator {
 public:
  explicit CountingAllocator(c10::Allocator* inner) : inner_(inner) {}
  c10::DataPtr allocate(size_t bytes) override {
    auto* const block = new Block{inner_->allocate(bytes), bytes, this};
    used_ += bytes;
    return {block->data.get(), block, &CountingAllocator::release, block->data.device()};
  }
  void copy_data(void* to, const void* from, size_t bytes) const override {
    default_copy_data(to, from, bytes);
  }
  size_t used() const { return used_; }

 private:
  struct Block {
    c10::DataPtr data;
    size_t bytes;
    CountingAllocator* owner;
  };
  static void release(void* context) {
    auto* const block = static_cast<Block*>(context);
    block->owner->used_ -= block->bytes;
    delete block;
  }

  c10::Allocator* inner_;
  std::atomic<size_t> used_{0};
};

TEST(Stream, MemoryIsFlatOver100000Steps) {
  constexpr int64_t kSteps = 100000, k1 = 10, k2 = 40;
  // Lives as long as the last block that it gave out, so it is never destroyed.
  static auto& allocator = *new CountingAllocator(c10::GetAllocator(c10::DeviceType::CPU));
  c10::SetAllocator(c10::DeviceType::CPU, &allocator, /*priority=*/200);
  elman::RNN rnn(RNNOptions(kInput, kHidden).num_layers(2));
  elman::Stream stream(rnn, k1, k2);
  torch::optim::SGD optimizer(rnn->parameters(), 1e-3);
  const Tensor x = torch::randn({k1, kBatch, kInput});
  size_t first = 0, later = 0;  // the most in use in the first hundredth, and after it
  for (int64_t step = 0; step < kSteps; step += k1) {
    optimizer.zero_grad();
    const Tensor y = stream(x);
    size_t& most = step < kSteps / 100 ? first : later;
    most = std::max(most, allocator.used());
    y.square().mean().backward();
    optimizer.step();
  }
  EXPECT_GT(first, 0u);
  EXPECT_LE(later, first);
}

TEST(Stream, BurnInIsChunksWithoutALoss) {
  for (const bool batch_first : {false, true}) {
    elman::RNN rnn(elman::RNNOptions(3, 5).batch_first(batch_first));
    rnn->to(torch::kDouble);
    const int64_t dim = batch_first ? 1 : 0;
    const Tensor steps = torch::randn({24, 2, 3}, torch::kDouble);
    const Tensor x = batch_first ? steps.transpose(0, 1) : steps;
    elman::Stream stream(rnn, 4, 8);
    stream.burn_in(x.narrow(dim, 0, 20), {}, torch::ones({20}, torch::kDouble));
    const Tensor expected = std::get<0>(rnn->forward(x)).narrow(dim, 20, 4);
    EXPECT_TRUE(torch::allclose(stream(x.narrow(dim, 20, 4)), expected));
    EXPECT_ERROR(stream.burn_in(x.narrow(dim, 0, 6)),
                 "input: burn_in takes a multiple of k1 = 4 steps, got 6");
  }
}

}  // namespace
