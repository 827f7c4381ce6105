#pragma once

#include "options.h"
#include "text.h"

namespace char_lm {

// Trains both models in float64 side by side for `updates` updates, and prints how far losses and
// weights are apart. Returns whether both stayed equal to 1e-10.
bool RunLockstep(const Text& text, const Settings& settings, int64_t updates);

}  // namespace char_lm
