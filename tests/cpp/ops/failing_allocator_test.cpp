// Memory that is not there: whichever allocation of a call fails, on whichever thread, the call
// ends with that error, and the next one is right.

#include <ATen/Parallel.h>
#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <elman/elman.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <atomic>
#include <vector>

#include "testing.h"

namespace {

using elman::RNN;
using elman::RNNOptions;
using torch::Tensor;

/// Passes everything on to the allocator before it, but for one allocation.
class FailingAllocator final : public c10::Allocator {
 public:
  explicit FailingAllocator(c10::Allocator* base) : base_(base) {}

  c10::DataPtr allocate(size_t bytes) override {
    if (left-- == 0) TORCH_CHECK_WITH(OutOfMemoryError, false, "no memory, says the test");
    return base_->allocate(bytes);
  }
  void copy_data(void* to, const void* from, size_t bytes) const override {
    base_->copy_data(to, from, bytes);
  }

  /// Allocations before the one that fails; negative: none does.
  inline static std::atomic<int64_t> left{-1};

 private:
  c10::Allocator* base_;
};

struct Case {
  const char* name;
  int64_t steps, batch, hidden, layers;
  int64_t k1 = 0, k2 = 0;
  bool bidirectional = false;
  torch::Dtype dtype = torch::kFloat;
};

// What threads share: stages of layers, steps, rows, windows, directions.
const Case kCases[] = {
    {"stages", 400, 1, 48, 3},
    {"stages, bfloat16", 400, 1, 48, 3, 0, 0, false, torch::kBFloat16},
    {"steps", 20, 1, 256, 1},
    {"rows", 40, 16, 48, 2},
    {"rows, bfloat16", 40, 16, 48, 2, 0, 0, false, torch::kBFloat16},
    {"disjoint windows", 60, 8, 48, 2, 10, 10},
    {"overlapping windows", 240, 1, 48, 2, 5, 20},
    {"directions", 60, 2, 64, 2, 0, 0, true},
};

std::vector<Tensor> run(RNN& rnn, const Tensor& x, bool with_gradient) {
  if (!with_gradient) {
    const torch::NoGradGuard guard;
    return {std::get<0>(rnn->forward(x))};
  }
  const Tensor output = std::get<0>(rnn->forward(x));
  std::vector<Tensor> results = torch::autograd::grad({output.sum()}, rnn->parameters());
  results.push_back(output.detach());
  return results;
}

TEST(FailingAllocator, EndsTheCallWithItsError) {
  static FailingAllocator allocator(c10::GetCPUAllocator());
  c10::SetCPUAllocator(&allocator, /*priority=*/100);
  const int threads = at::get_num_threads();
  at::set_num_threads(4);
  torch::manual_seed(0);
  for (const Case& c : kCases) {
    SCOPED_TRACE(c.name);
    RNNOptions options = RNNOptions(c.hidden, c.hidden).num_layers(c.layers);
    options.bidirectional(c.bidirectional);
    if (c.k1 > 0) options.truncation(c.k1, c.k2);
    RNN rnn(options);
    rnn->to(c.dtype);
    const Tensor x = torch::randn({c.steps, c.batch, c.hidden}).to(c.dtype);
    for (const bool with_gradient : {false, true}) {
      const std::vector<Tensor> expected = run(rnn, x, with_gradient);
      int64_t failed = 0;
      for (;; ++failed) {
        FailingAllocator::left = failed;
        std::vector<Tensor> results;
        try {
          results = run(rnn, x, with_gradient);
        } catch (const c10::OutOfMemoryError&) {
          FailingAllocator::left = -1;
          continue;
        }
        // The call has fewer allocations than that, and is right after all those that failed.
        EXPECT_GE(FailingAllocator::left.exchange(-1), 0) << failed << " failed without an error";
        for (size_t i = 0; i < expected.size(); ++i)
          EXPECT_TRUE(elman_test::close(results[i], expected[i])) << i;
        break;
      }
      // Beside the two results, memory of the kernels; what is little is not the allocator's.
      EXPECT_GT(failed, with_gradient ? 4 : 2);
    }
  }
  at::set_num_threads(threads);
}

}  // namespace
