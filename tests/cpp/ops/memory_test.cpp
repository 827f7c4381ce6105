// What a forward and a backward pass take beyond their results, by the allocator's own count, for
// elman::RNN and for torch::nn::RNN.

#include <ATen/Parallel.h>
#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <elman/elman.h>
#include <gtest/gtest.h>
#include <torch/nn/modules/rnn.h>

#include <atomic>
#include <cstdio>
#include <tuple>

namespace {

/// Passes everything on to the allocator before it and counts the bytes, of all threads.
class CountingAllocator final : public c10::Allocator {
 public:
  explicit CountingAllocator(c10::Allocator* base) : base_(base) {}

  c10::DataPtr allocate(size_t bytes) override {
    c10::DataPtr data = base_->allocate(bytes);
    const int64_t now = live += static_cast<int64_t>(bytes);
    for (int64_t seen = peak; now > seen && !peak.compare_exchange_weak(seen, now);) {
    }
    void* const pointer = data.get();
    const c10::Device device = data.device();
    return {pointer, new Block{std::move(data), bytes}, &CountingAllocator::free, device};
  }
  void copy_data(void* to, const void* from, size_t bytes) const override {
    base_->copy_data(to, from, bytes);
  }

  inline static std::atomic<int64_t> live{0}, peak{0};

 private:
  struct Block {
    c10::DataPtr data;
    size_t bytes;
  };
  static void free(void* context) {
    const auto* block = static_cast<Block*>(context);
    live -= static_cast<int64_t>(block->bytes);
    delete block;
  }

  c10::Allocator* base_;
};

struct Case {
  int64_t steps, batch, input, hidden, layers, directions, k;
};

/// Bytes at the peak of a forward and a backward pass, less what is left of them: output, h_n and
/// all gradients.
template <typename Module>
int64_t extra_bytes(Module& module, const Case& c) {
  const auto x = torch::randn({c.steps, c.batch, c.input}).requires_grad_();
  const auto gradient = torch::randn({c.steps, c.batch, c.directions * c.hidden});
  const auto run = [&] {
    module->zero_grad();
    x.mutable_grad().reset();
    const int64_t before = CountingAllocator::live;
    CountingAllocator::peak = before;
    torch::Tensor output, h_n;
    std::tie(output, h_n) = module->forward(x);
    output.backward(gradient);
    const int64_t left = CountingAllocator::live - before;
    return CountingAllocator::peak - before - left;
  };
  run();
  return run();
}

TEST(Memory, OneStateForEachStepAndLayerIsTakenBeyondTheResults) {
  static CountingAllocator allocator(c10::GetCPUAllocator());
  c10::SetCPUAllocator(&allocator, /*priority=*/100);
  const int before = at::get_num_threads();
  at::set_num_threads(2);
  std::printf("%28s %5s | [T, B, D*H] x layers | %8s %8s MiB\n", "T B I H L D", "k", "elman",
              "torch");
  for (const Case& c : {Case{200, 32, 64, 128, 1, 1, 0},
                        {200, 32, 64, 128, 1, 1, 5},
                        {200, 32, 64, 128, 2, 1, 0},
                        {200, 32, 64, 128, 3, 1, 5},
                        {200, 32, 64, 128, 2, 2, 0},
                        {1000, 1, 64, 128, 2, 1, 20}}) {
    torch::nn::RNN theirs(torch::nn::RNNOptions(c.input, c.hidden)
                              .num_layers(c.layers)
                              .bidirectional(c.directions == 2));
    elman::RNN ours(elman::RNNOptions(theirs->options));
    if (c.k > 0) ours->options.truncation(c.k);
    const int64_t elman = extra_bytes(ours, c), torch = extra_bytes(theirs, c);
    const int64_t states = c.steps * c.batch * c.directions * c.hidden * c.layers * 4;
    constexpr double kMiB = 1 << 20;
    std::printf("%4ld %4ld %4ld %4ld %3ld %3ld %5ld | %20.1f | %8.1f %8.1f\n", c.steps, c.batch,
                c.input, c.hidden, c.layers, c.directions, c.k, states / kMiB, elman / kMiB,
                torch / kMiB);
    const int64_t cell = c.hidden * (c.hidden + std::max(c.input, c.directions * c.hidden));
    const int64_t weights = 4 * c.layers * c.directions * cell;
    constexpr int64_t kScratch = 2 << 20;  // tiles and blocks of two threads, whatever T and B are
    EXPECT_LE(elman, states + weights + kScratch);
    EXPECT_LT(elman, torch);
  }
  at::set_num_threads(before);
}

}  // namespace
