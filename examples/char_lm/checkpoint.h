#pragma once

#include <filesystem>

#include "options.h"
#include "text.h"
#include "trainer.h"

namespace char_lm {

// Both runs in one file, <output>/checkpoint.pt.
std::filesystem::path CheckpointPath(const std::filesystem::path& output);

// Atomic: written beside its place, flushed to the disk and renamed, so that whatever stops the
// program, the file is either the old one or the new one.
void SaveCheckpoint(const Options& options, const Text& text, const Trainer& elman,
                    const Trainer& detach_loop);

// The options of the run that left the checkpoint in `output`, as defaults for the one that goes
// on.
Options LoadOptions(const std::filesystem::path& output);

// Throws std::runtime_error where the text is not the one that the checkpoint was made with.
void LoadCheckpoint(const std::filesystem::path& output, const Text& text, Trainer& elman,
                    Trainer& detach_loop);

}  // namespace char_lm
