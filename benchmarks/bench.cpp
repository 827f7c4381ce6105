// elman::RNN against torch::nn::RNN over the cases of cases.def, on Google Benchmark, in random
// order. First every case is run on both sides and the results are compared; a side that computed
// something else would make its times worthless.
//
//   elman_bench [options] [--benchmark_...]
//     --only TEXT        cases whose name contains TEXT
//     --repetitions N    measurements of each [7]
//     --seconds S        length of a measurement, unless one call takes longer [0.06]
//     --dtype float32 | bfloat16   one of them only
//     --quiet            no table, for use with --benchmark_out and report.py
//     --verify           compare the results, measure nothing

#include <ATen/Parallel.h>
#include <benchmark/benchmark.h>
#include <torch/version.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "peak.h"
#include "workload.h"

namespace elman::bench {
namespace {

struct Dtype {
  at::ScalarType type;
  const char* name;
  const char* suffix;  // of the sides' names
  // Sums of a few thousand terms, in different orders on the two sides; in bfloat16 torch rounds
  // each step's sums before it adds them up.
  double tolerance;
};
constexpr Dtype kDtypes[] = {{at::kFloat, "float32", "", 1e-3},
                             {at::kBFloat16, "bfloat16", "_bfloat16", 0.05}};

double Seconds(const std::function<void()>& call) {
  const auto start = std::chrono::steady_clock::now();
  call();
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
  return taken.count();
}

// Counts the measurements on stderr, so that stdout keeps to Google Benchmark's table.
class Progress {
 public:
  void Expect(int64_t measurements) { total_ += measurements; }
  void Step() {
    ++done_;
    const bool terminal = isatty(STDERR_FILENO) != 0;
    const int64_t steps = terminal ? 100 : 10;
    if (steps * done_ / total_ == steps * (done_ - 1) / total_) return;
    const std::chrono::duration<double> passed = std::chrono::steady_clock::now() - start_;
    std::fprintf(stderr, "%s%3lld %% of %lld measurements, %.0f s%s", terminal ? "\r" : "",
                 static_cast<long long>(100 * done_ / total_), static_cast<long long>(total_),
                 passed.count(), !terminal || done_ == total_ ? "\n" : "");
  }

 private:
  int64_t total_ = 0;
  int64_t done_ = 0;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

// Enough calls in one measurement to last `seconds`.
int64_t Iterations(double seconds, const std::function<void()>& call) {
  const double once = Seconds(call);
  return std::clamp<int64_t>(static_cast<int64_t>(std::ceil(seconds / once)), 1, 100000);
}

struct Settings {
  bool verify_only = false;
  bool quiet = false;
  double seconds = 0.06;
  int64_t repetitions = 7;
  std::vector<Dtype> dtypes;
  std::vector<Case> cases;
};

// Shows nothing; the results go to the file that --benchmark_out names.
class QuietReporter : public benchmark::BenchmarkReporter {
 public:
  bool ReportContext(const Context& /*context*/) override { return true; }
  void ReportRuns(const std::vector<Run>& /*runs*/) override {}
};

using Workloads = std::map<std::string, std::shared_ptr<Workload>>;

// `call` returns the operations it did. The number of calls in a measurement is fixed beforehand,
// so that each measurement of the random order is one and the whole takes a known time.
void Register(const std::string& name, const Settings& settings,
              const std::shared_ptr<Progress>& progress, const std::function<double()>& call) {
  const int64_t iterations = Iterations(settings.seconds, [&] { call(); });
  progress->Expect(settings.repetitions);
  benchmark::RegisterBenchmark(name.c_str(),
                               [=](benchmark::State& state) {
                                 if (iterations > 1) call();  // what others left in the caches
                                 double flops = 0;
                                 for (auto _ : state) flops += call();
                                 state.counters["FLOP/s"] =
                                     benchmark::Counter(flops, benchmark::Counter::kIsRate);
                                 progress->Step();
                               })
      ->Iterations(iterations)
      ->Repetitions(static_cast<int>(settings.repetitions))
      ->UseRealTime()
      ->Unit(benchmark::kMillisecond);
}

// Returns whether both sides computed the same in every mode of every case.
bool Verify(const std::vector<Case>& cases, const Dtype& dtype, Workloads* workloads) {
  bool equal = true;
  for (const Case& c : cases) {
    auto workload = std::make_shared<Workload>(c, dtype.type);
    for (const Mode& mode : Modes(c)) {
      const double difference = workload->Compare(mode);
      if (!(difference <= dtype.tolerance)) {
        std::printf("%s/%s in %s: elman and torch differ by %.1e, expected at most %.0e\n",
                    c.Name().c_str(), mode.name, dtype.name, difference, dtype.tolerance);
        equal = false;
      }
    }
    (*workloads)[c.Name() + dtype.suffix] = workload;
  }
  std::printf("%zu cases computed in %s on both sides: %s\n", cases.size(), dtype.name,
              equal ? "the same results" : "DIFFERENT results");
  std::fflush(stdout);
  return equal;
}

void RegisterAll(const Settings& settings, const Workloads& workloads) {
  auto progress = std::make_shared<Progress>();
  Register("peak", settings, progress, RunPeak);
  for (const Case& c : settings.cases) {
    for (const Dtype& dtype : settings.dtypes) {
      const std::shared_ptr<Workload> workload = workloads.at(c.Name() + dtype.suffix);
      for (const Mode& mode : Modes(c)) {
        const std::string name = c.Name() + "/" + mode.name;
        const double flops = mode.Flops(c);
        Register(name + "/elman" + dtype.suffix, settings, progress, [=] {
          workload->RunElman(mode);
          return flops;
        });
        Register(name + "/torch" + dtype.suffix, settings, progress, [=] {
          workload->RunTorch(mode);
          return flops;
        });
      }
    }
  }
}

// Takes our flags out of the command line and leaves Google Benchmark's.
Settings ParseSettings(int* argc, char** argv) {
  Settings settings;
  std::string only, dtype;
  int kept = 1;
  for (int i = 1; i < *argc; ++i) {
    const std::string flag = argv[i];
    const bool has_value = i + 1 < *argc;
    if (flag == "--verify") {
      settings.verify_only = true;
    } else if (flag == "--quiet") {
      settings.quiet = true;
    } else if (flag == "--seconds" && has_value) {
      settings.seconds = std::atof(argv[++i]);
    } else if (flag == "--repetitions" && has_value) {
      settings.repetitions = std::max(1, std::atoi(argv[++i]));
    } else if (flag == "--dtype" && has_value) {
      dtype = argv[++i];
    } else if (flag == "--only" && has_value) {
      only = argv[++i];
    } else {
      argv[kept++] = argv[i];
    }
  }
  *argc = kept;
  for (const Case& c : Cases()) {
    if (c.Name().find(only) != std::string::npos) settings.cases.push_back(c);
  }
  for (const Dtype& known : kDtypes) {
    if (dtype.empty() || dtype == known.name) settings.dtypes.push_back(known);
  }
  return settings;
}

int Main(int argc, char** argv) {
  const Settings settings = ParseSettings(&argc, argv);
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  if (settings.cases.empty()) {
    std::fprintf(stderr, "--only matches no case of cases.def\n");
    return 2;
  }
  if (settings.dtypes.empty()) {
    std::fprintf(stderr, "--dtype expects float32 or bfloat16\n");
    return 2;
  }
  benchmark::AddCustomContext("torch", TORCH_VERSION);
  benchmark::AddCustomContext("threads", std::to_string(at::get_num_threads()));
  benchmark::AddCustomContext("vectors", PeakVectors());
  Workloads workloads;
  for (const Dtype& dtype : settings.dtypes) {
    if (!Verify(settings.cases, dtype, &workloads)) return 1;
  }
  if (settings.verify_only) return 0;
  RegisterAll(settings, workloads);
  QuietReporter quiet;
  if (settings.quiet) {
    benchmark::RunSpecifiedBenchmarks(&quiet);
  } else {
    benchmark::RunSpecifiedBenchmarks();
  }
  benchmark::Shutdown();
  return 0;
}

}  // namespace
}  // namespace elman::bench

int main(int argc, char** argv) { return elman::bench::Main(argc, argv); }
