#pragma once

#include <filesystem>
#include <string>

#include "curves.h"

namespace char_lm {

// A self-contained SVG with two panels, loss by update and loss by seconds of training.
void WritePlot(const std::filesystem::path& path, const std::string& title, const Curve& ours,
               const Curve& theirs, size_t block);

}  // namespace char_lm
