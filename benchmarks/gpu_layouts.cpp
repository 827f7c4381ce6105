// Times every layout that the planner of the persistent CUDA kernels finds for a problem, one line
// of CSV each: the layout, the cycles that step_cost predicts, and the time that a step took. This
// is what the constants of csrc/cuda/persistent/roofline.cpp are fitted to. It needs a GPU and
// nothing of torch.
//
//   gpu_layouts [SECONDS] > layouts.csv
//
// All layouts of a problem compute the same: the column `off` is the largest difference from the
// first one's result.

#include <cuda_runtime_api.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <vector>

#include "cuda/persistent/launch.h"

namespace {

using namespace elman::cuda::persistent;  // NOLINT: a program of one file

void check(int error) {
  if (error == cudaSuccess) return;
  std::fprintf(stderr, "CUDA: %s\n", cudaGetErrorString(static_cast<cudaError_t>(error)));
  std::exit(1);
}

/// Device memory, filled with bytes that are small numbers in every floating-point type.
class Memory {
 public:
  explicit Memory(std::size_t bytes) : bytes_(bytes) { check(cudaMalloc(&data_, bytes)); }
  ~Memory() { cudaFree(data_); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;

  void* get() const { return data_; }
  void zero() const { check(cudaMemsetAsync(data_, 0, bytes_)); }

 private:
  void* data_ = nullptr;
  std::size_t bytes_;
};

struct Type {
  Arithmetic arithmetic;
  const char* name;
  int bytes;          // of what is stored
  int compute_bytes;  // of what is summed
};
constexpr Type kTypes[] = {
    {Arithmetic::kFloat32, "float32", 4, 4},   {Arithmetic::kTf32, "tf32", 4, 4},
    {Arithmetic::kBFloat16, "bfloat16", 2, 4}, {Arithmetic::kFloat16, "float16", 2, 4},
    {Arithmetic::kFloat64, "float64", 8, 8},
};

constexpr std::size_t kMost = std::size_t{1} << 18;  // numbers that are drawn, and compared

/// `count` normal numbers times `scale`, as the type stores them; drawn once and repeated.
void fill(const Memory& memory, const Type& type, std::size_t count, double scale, bool compute) {
  std::mt19937 generator(7);
  std::normal_distribution<double> normal;
  const int bytes = compute ? type.compute_bytes : type.bytes;
  const std::size_t drawn = std::min(count, kMost);
  std::vector<unsigned char> host(drawn * bytes);
  for (std::size_t i = 0; i < drawn; ++i) {
    const double value = scale * normal(generator);
    const float single = static_cast<float>(value);
    unsigned char* const at = host.data() + i * bytes;
    if (bytes == 8) {
      std::memcpy(at, &value, 8);
    } else if (bytes == 4) {
      std::memcpy(at, &single, 4);
    } else {
      std::uint32_t word;
      std::memcpy(&word, &single, 4);
      std::uint16_t half = static_cast<std::uint16_t>(word >> 16);  // bfloat16, cut off
      if (type.arithmetic == Arithmetic::kFloat16) {
        // Normal numbers of float16 only: what is smaller becomes zero.
        const int exponent = static_cast<int>(word >> 23 & 0xff) - 127 + 15;
        half = exponent <= 0 ? 0
                             : static_cast<std::uint16_t>(word >> 16 & 0x8000) |
                                   static_cast<std::uint16_t>(exponent << 10) |
                                   static_cast<std::uint16_t>(word >> 13 & 0x3ff);
      }
      std::memcpy(at, &half, 2);
    }
  }
  unsigned char* const device = static_cast<unsigned char*>(memory.get());
  check(cudaMemcpy(device, host.data(), host.size(), cudaMemcpyHostToDevice));
  for (std::size_t done = host.size(); done < count * bytes;) {
    const std::size_t now = std::min(done, count * bytes - done);
    check(cudaMemcpy(device + done, device, now, cudaMemcpyDeviceToDevice));
    done += now;
  }
}

double as_double(const unsigned char* at, const Type& type, bool compute) {
  const int bytes = compute ? type.compute_bytes : type.bytes;
  if (bytes == 8) {
    double value;
    std::memcpy(&value, at, 8);
    return value;
  }
  if (bytes == 4) {
    float value;
    std::memcpy(&value, at, 4);
    return value;
  }
  std::uint16_t half;
  std::memcpy(&half, at, 2);
  if (type.arithmetic == Arithmetic::kFloat16) {
    const int exponent = half >> 10 & 0x1f;
    const double size = exponent == 0 ? std::ldexp(half & 0x3ff, -24)
                                      : std::ldexp((half & 0x3ff) + 1024, exponent - 25);
    return half >> 15 ? -size : size;
  }
  const std::uint32_t word = static_cast<std::uint32_t>(half) << 16;
  float value;
  std::memcpy(&value, &word, 4);
  return value;
}

/// One recurrence on the device, whatever the layout.
class Recurrence {
 public:
  Recurrence(const Type& type, bool backward, const Problem& problem, int k1)
      : type_(type),
        backward_(backward),
        problem_(problem),
        steps_(backward ? static_cast<int>(k1 * problem.windows) : static_cast<int>(problem.steps)),
        count_(static_cast<std::size_t>(steps_) * problem.batch * problem.hidden),
        weight_(problem.hidden * problem.hidden * type.bytes),
        states_(count_ * type.bytes),
        computed_(count_ * type.compute_bytes),
        last_(problem.batch * problem.hidden * type.bytes),
        k1_(k1) {
    const std::size_t square = problem.hidden * problem.hidden;
    fill(weight_, type, square, 0.7 / std::sqrt(static_cast<double>(problem.hidden)), false);
    fill(states_, type, count_, 0.5, false);
    fill(computed_, type, count_, 0.5, true);
    fill(last_, type, problem.batch * problem.hidden, 0.5, false);
  }

  void launch(const Plan& plan, const Workspace& workspace, const Memory& result) const {
    Sequence sequence{steps_, static_cast<int>(problem_.batch), nullptr, nullptr, false};
    if (backward_) {
      BackwardOperands o{};
      o.sequence = sequence;
      o.hidden = static_cast<int>(problem_.hidden);
      o.window_count = static_cast<int>(problem_.windows);
      o.k1 = k1_;
      o.k2 = static_cast<int>(problem_.steps);
      o.weight_hh = weight_.get();
      o.states = states_.get();
      o.states_stride = o.grad_stride = problem_.hidden;
      o.grad_h = computed_.get();
      o.delta = result.get();
      check(launch_backward(plan, type_.arithmetic, workspace, o, nullptr));
    } else {
      ForwardOperands o{};
      o.sequence = sequence;
      o.hidden = static_cast<int>(problem_.hidden);
      o.weight_hh = weight_.get();
      o.projected = computed_.get();
      o.projected_stride = o.states_stride = problem_.hidden;
      o.states = result.get();
      o.h_n = last_.get();
      check(launch_forward(plan, type_.arithmetic, workspace, o, nullptr));
    }
  }

  int result_bytes() const { return backward_ ? type_.compute_bytes : type_.bytes; }
  std::size_t count() const { return count_; }
  /// The last numbers of the result, which all steps before went into (going back, the first).
  std::vector<double> read(const Memory& result) const {
    const std::size_t count = std::min(count_, kMost);
    const std::size_t first = backward_ ? 0 : count_ - count;
    std::vector<unsigned char> host(count * result_bytes());
    check(cudaMemcpy(host.data(),
                     static_cast<unsigned char*>(result.get()) + first * result_bytes(),
                     host.size(), cudaMemcpyDeviceToHost));
    std::vector<double> values(count);
    for (std::size_t i = 0; i < count; ++i)
      values[i] = as_double(host.data() + i * result_bytes(), type_, backward_);
    return values;
  }

 private:
  const Type& type_;
  bool backward_;
  Problem problem_;
  int steps_;
  std::size_t count_;
  Memory weight_, states_, computed_, last_;
  int k1_;
};

/// The shortest of a few launches, in seconds.
double time_launches(const Recurrence& recurrence, const Plan& plan, const Memory& memory,
                     const Memory& result) {
  cudaEvent_t begin, end;
  check(cudaEventCreate(&begin));
  check(cudaEventCreate(&end));
  unsigned char* const bytes = static_cast<unsigned char*>(memory.get());
  const Workspace workspace{reinterpret_cast<std::uint32_t*>(bytes),
                            reinterpret_cast<std::uint32_t*>(bytes + plan.flags_at),
                            bytes + plan.vectors_at, 1u << 22};
  float best = HUGE_VALF;
  for (int i = 0; i < 4; ++i) {
    memory.zero();
    check(cudaEventRecord(begin));
    recurrence.launch(plan, workspace, result);
    check(cudaEventRecord(end));
    check(cudaEventSynchronize(end));
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, begin, end));
    if (i > 0) best = std::min(best, milliseconds);
  }
  check(cudaEventDestroy(begin));
  check(cudaEventDestroy(end));
  return best / 1e3;
}

double largest_difference(const std::vector<double>& a, const std::vector<double>& b) {
  double largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double difference = std::abs(a[i] - b[i]);
    if (!(difference <= largest)) largest = difference;  // NaN too
  }
  return largest;
}

/// Layouts that are predicted to take no more than `factor` times the best one's cycles.
void measure(const Type& type, bool backward, const Problem& problem, int k1,
             const DeviceLimits& device, double factor) {
  std::vector<Plan> plans = candidates(problem, device);
  std::sort(plans.begin(), plans.end(),
            [](const Plan& a, const Plan& b) { return a.cycles < b.cycles; });
  if (plans.empty()) return;
  const Recurrence recurrence(type, backward, problem, k1);
  const Memory result(recurrence.count() * recurrence.result_bytes());
  std::vector<double> first;
  for (std::size_t i = 0; i < plans.size() && plans[i].cycles <= factor * plans[0].cycles; ++i) {
    const Plan& plan = plans[i];
    bool resident = false;
    check(query_resident(plan, problem, backward, resident));
    if (!resident) continue;
    const Memory memory(plan.workspace_bytes);
    const double seconds = time_launches(recurrence, plan, memory, result);
    double off = 0;
    if (i < 12) {  // to read back and compare takes longer than to compute
      const std::vector<double> values = recurrence.read(result);
      if (first.empty()) first = values;
      off = largest_difference(first, values);
    }
    const Layout& l = plan.layout;
    const char* const exchanges[] = {"block", "cluster", "async", "global"};
    std::printf("%s,%s,%lld,%lld,%lld,%lld,%zu,%s,%d,%d,%d,%d,%d,%d,%d,%d,%d,%d,%d,", type.name,
                backward ? "backward" : "forward", static_cast<long long>(problem.steps),
                static_cast<long long>(problem.batch), static_cast<long long>(problem.windows),
                static_cast<long long>(problem.hidden), i, exchanges[static_cast<int>(l.exchange)],
                l.groups, l.group_blocks, l.features, l.group_rows, l.chunk_rows, l.chunks,
                l.k_warps, l.tiles_per_warp, l.units_per_tile, l.shared_units, l.shared_bytes);
    std::printf("%.0f,%.0f,%.0f,%.0f,%.0f,%.0f,%.4f,%.2e\n", plan.step.arithmetic,
                plan.step.shared_memory, plan.step.exchange, plan.step.overhead, plan.step.latency,
                plan.cycles / static_cast<double>(problem.steps),
                seconds * 1e6 / static_cast<double>(problem.steps), off);
  }
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  const double budget = argc > 1 ? std::atof(argv[1]) : 60;
  const auto start = std::chrono::steady_clock::now();
  DeviceLimits device{};
  check(query_device(device));
  device.async_clusters = true;
  std::printf(
      "arithmetic,pass,T,B,windows,H,rank,exchange,groups,blocks,features,rows,chunk,chunks,k_"
      "warps,"
      "tiles_per_warp,units,shared_units,shared_bytes,arithmetic_cycles,shared_cycles,"
      "exchange_cycles,overhead_cycles,latency_cycles,predicted_cycles,us_a_step,off\n");
  int left_out = 0;
  for (const int hidden : {256, 1024, 64, 512, 2048, 128}) {
    for (const int batch : {1, 16, 64, 256}) {
      for (const Type& type : kTypes) {
        const std::chrono::duration<double> spent = std::chrono::steady_clock::now() - start;
        if (spent.count() > budget) {
          ++left_out;
          continue;
        }
        const int steps = 128;
        measure(type, false, {type.arithmetic, steps, batch, hidden}, 0, device, 3);
        measure(type, true, {type.arithmetic, steps, batch, hidden, 1, false}, steps, device, 3);
        if (batch <= 16)  // TBPTT(20, 20) of 640 steps, side by side
          measure(type, true, {type.arithmetic, 20, batch, hidden, 32, false}, 20, device, 2);
      }
    }
  }
  if (left_out > 0) std::fprintf(stderr, "out of time: %d problems are missing\n", left_out);
  return 0;
}
