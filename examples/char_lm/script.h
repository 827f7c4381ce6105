#pragma once

#include <filesystem>

#include "text.h"
#include "trainer.h"

namespace char_lm {

// Writes the model as a TorchScript file that calls torch.ops.elman.rnn:
//   forward(characters: [T, B] int64, hidden: [L, B, H]) -> (logits: [T, B, V], hidden: [L, B, H])
// Its buffer `vocabulary`, [V] uint8, holds the character of each code. Any program that has loaded
// libelman.so can load it.
void ExportScript(const std::filesystem::path& path, const CharModelImpl<elman::RNN>& model,
                  const Text& text);

// Loads the file and returns the largest difference between its results and the model's for
// T = steps and B = batch, which need not be what the model was trained with.
double CheckScript(const std::filesystem::path& path, CharModelImpl<elman::RNN>& model,
                   const Text& text, int64_t steps, int64_t batch);

}  // namespace char_lm
