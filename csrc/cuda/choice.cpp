#include "cuda/choice.h"

#include <cstring>

#include "cuda/persistent/roofline.h"

namespace elman::cuda {
namespace {

using persistent::Arithmetic;

/// Of a step's product and kernel, called one after the other: 22 to 28 us on an H200 and its host,
/// nearly all of it the host's. In a CUDA graph, which has no host, it is less.
constexpr double kLaunchCycles = 45000;

/// Part of the chip's rate that a product is assumed to reach. Not measured.
double assumed_efficiency(Arithmetic arithmetic) {
  switch (arithmetic) {
    case Arithmetic::kFloat64:
    case Arithmetic::kFloat32:
      return 0.8;
    case Arithmetic::kTf32:
    case Arithmetic::kBFloat16:
    case Arithmetic::kFloat16:
      return 0.6;
  }
  return 1;
}

std::string cycles_text(double cycles) { return std::to_string(static_cast<std::int64_t>(cycles)); }

}  // namespace

Preference parse_preference(const char* text) {
  if (text != nullptr && std::strcmp(text, "general") == 0) return Preference::kGeneral;
  if (text != nullptr && std::strcmp(text, "persistent") == 0) return Preference::kPersistent;
  if (text != nullptr && std::strcmp(text, "async") == 0) return Preference::kAsync;
  return Preference::kAuto;
}

double general_cycles(const persistent::Problem& problem, const persistent::DeviceLimits& device) {
  const auto rates = persistent::device_rates(problem.arithmetic, device.compute_capability);
  const double multiply_adds =
      static_cast<double>(problem.batch) * problem.windows * problem.hidden * problem.hidden;
  return kLaunchCycles + multiply_adds / (device.multiprocessors * rates.multiply_adds *
                                          assumed_efficiency(problem.arithmetic));
}

Choice choose(const persistent::Problem& problem, const persistent::DeviceLimits& device,
              Preference preference) {
  if (preference == Preference::kGeneral) return {{}, "general path: ELMAN_CUDA_PATH asks for it"};
  persistent::DeviceLimits limits = device;
  limits.async_clusters = preference == Preference::kAsync;
  persistent::Decision decision = persistent::plan(problem, limits);
  if (!decision.plan) return {{}, "general path: no persistent one, " + decision.reason};
  const double predicted = decision.plan->cycles / static_cast<double>(problem.steps);
  const double general = general_cycles(problem, device);
  const std::string compared = cycles_text(predicted) + " cycles a step predicted, " +
                               cycles_text(general) + " on the other path";
  if (preference != Preference::kAuto)
    return {std::move(decision.plan),
            "persistent path: ELMAN_CUDA_PATH asks for it; " + decision.reason + "; " + compared};
  if (predicted < general)
    return {std::move(decision.plan),
            "persistent path: " + decision.reason + "; " + compared + " (both estimated)"};
  return {{},
          "general path: the persistent one would be slower, " + cycles_text(predicted) +
              " cycles a step predicted against " + cycles_text(general) + " (both estimated)"};
}

}  // namespace elman::cuda
