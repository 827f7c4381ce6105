#pragma once

#include <string>

#include "model.h"
#include "text.h"
#include "trainer.h"

namespace char_lm {

// Characters drawn one by one from what the model expects next, after it has read `prime`.
std::string Sample(CharModelImpl<elman::RNN>& model, const Text& text, const std::string& prime,
                   int64_t length, double temperature, int64_t seed);

}  // namespace char_lm
