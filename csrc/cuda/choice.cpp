#include "cuda/choice.h"

#include <cstring>

#include "cuda/persistent/roofline.h"

namespace elman::cuda {
namespace {

using persistent::Arithmetic;

/// What is assumed of the general path. These are not measurements: benchmarks/gpu.sh with
/// ELMAN_CUDA_PATH set to either path makes those that belong here.
struct GeneralRates {
  Arithmetic arithmetic;
  double launch_cycles;  ///< of a step's two launches, one after the other: about 5 us
  double efficiency;     ///< part of the chip's rate that a product of this arithmetic reaches
};
constexpr GeneralRates kGeneralRates[] = {
    {Arithmetic::kFloat64, 8000, 0.8}, {Arithmetic::kFloat32, 8000, 0.8},
    {Arithmetic::kTf32, 8000, 0.6},    {Arithmetic::kBFloat16, 8000, 0.6},
    {Arithmetic::kFloat16, 8000, 0.6},
};

std::string cycles_text(double cycles) { return std::to_string(static_cast<std::int64_t>(cycles)); }

}  // namespace

Preference parse_preference(const char* text) {
  if (text != nullptr && std::strcmp(text, "general") == 0) return Preference::kGeneral;
  if (text != nullptr && std::strcmp(text, "persistent") == 0) return Preference::kPersistent;
  return Preference::kAuto;
}

double general_cycles(const persistent::Problem& problem, const persistent::DeviceLimits& device) {
  const auto rates = persistent::device_rates(problem.arithmetic, device.compute_capability);
  for (const GeneralRates& general : kGeneralRates) {
    if (general.arithmetic != problem.arithmetic) continue;
    const double multiply_adds =
        static_cast<double>(problem.batch) * problem.windows * problem.hidden * problem.hidden;
    return general.launch_cycles +
           multiply_adds / (device.multiprocessors * rates.multiply_adds * general.efficiency);
  }
  return 0;
}

Choice choose(const persistent::Problem& problem, const persistent::DeviceLimits& device,
              Preference preference) {
  if (preference == Preference::kGeneral) return {{}, "general path: ELMAN_CUDA_PATH asks for it"};
  persistent::Decision decision = persistent::plan(problem, device);
  if (!decision.plan) return {{}, "general path: no persistent one, " + decision.reason};
  const double predicted = decision.plan->cycles / static_cast<double>(problem.steps);
  const double general = general_cycles(problem, device);
  const std::string compared = cycles_text(predicted) + " cycles a step predicted, " +
                               cycles_text(general) + " on the other path";
  if (preference == Preference::kPersistent)
    return {std::move(decision.plan),
            "persistent path: ELMAN_CUDA_PATH asks for it; " + decision.reason + "; " + compared};
  if (predicted < general)
    return {std::move(decision.plan),
            "persistent path: " + decision.reason + "; " + compared + " (neither is measured)"};
  return {{},
          "general path: the persistent one would be slower, " + cycles_text(predicted) +
              " cycles a step predicted against " + cycles_text(general) +
              " (neither is measured)"};
}

}  // namespace elman::cuda
