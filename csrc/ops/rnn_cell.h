#pragma once

#include <ATen/core/Tensor.h>

#include "arguments.h"

namespace elman {

/// `elman::rnn_cell` as a call of `elman::rnn`: one step of a one-layer network.
at::Tensor rnn_cell(const CellArguments& args);

}  // namespace elman
