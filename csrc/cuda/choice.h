#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "cuda/persistent/plan.h"

// Which path a recurrence takes: plain C++, without a GPU.

namespace elman::cuda {

/// kAuto: the faster one as far as is known. The others are for measuring and for tests: the
/// persistent path then is taken wherever it can run; kAsync lets its clusters exchange
/// asynchronously, which no GPU has run yet.
enum class Preference : std::int8_t { kAuto, kGeneral, kPersistent, kAsync };

/// "auto", "general", "persistent" or "async"; null and everything else is kAuto.
Preference parse_preference(const char* text);

struct Choice {
  std::optional<persistent::Plan> plan;  ///< of the persistent path; the general one has none
  std::string reason;
};

/// The clock cycles that the general path is expected to take for one step (lag) of the recurrence:
/// two launches, and the product at a part of the chip's rate.
double general_cycles(const persistent::Problem& problem, const persistent::DeviceLimits& device);

/// The path of one recurrence, a layer in one direction.
Choice choose(const persistent::Problem& problem, const persistent::DeviceLimits& device,
              Preference preference);

}  // namespace elman::cuda
