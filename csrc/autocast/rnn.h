#pragma once

#include <ATen/core/Tensor.h>

#include <tuple>

#include "arguments.h"

namespace elman {

// Autocast for keys above autocast's own, which would otherwise look at arguments that are still to
// be cast: torch.func.vmap comes before autocast.

/// Whether autocast will cast the arguments of a call with this input.
bool autocast_is_on(const at::Tensor& input);

/// The operators as autocast calls them: on cast arguments, with autocast off.
std::tuple<at::Tensor, at::Tensor> autocast_rnn(const RnnArguments& args);
at::Tensor autocast_rnn_cell(const CellArguments& args);

}  // namespace elman
