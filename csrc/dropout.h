#pragma once

#include <ATen/core/Tensor.h>

#include "arguments.h"

namespace elman {

/// Dropout masks as torch draws them: from the same generator, in the same order, layer by layer.
/// Returns what Saved::masks says, in the input's dtype.
at::Tensor draw_masks(const RnnArguments& args);

}  // namespace elman
