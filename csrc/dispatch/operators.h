#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <tuple>
#include <vector>

#include "arguments.h"

namespace elman {

/// Calls of the internal operators through the dispatcher, below whatever keys the caller has
/// excluded. The results are output, h_n and what is saved.
std::tuple<at::Tensor, at::Tensor, Saved> call_rnn_forward(const RnnArguments& args, Keep keep);
std::vector<at::Tensor> call_rnn_backward(const RnnArguments& args, const BackwardArguments& grads);

/// Calls of the public operators through the dispatcher, of rnn.data and kernel_info.data if the
/// arguments are packed.
std::tuple<at::Tensor, at::Tensor> call_rnn(const RnnArguments& args);
std::string call_kernel_info(const RnnArguments& args);
at::Tensor call_rnn_cell(const CellArguments& args);

}  // namespace elman
