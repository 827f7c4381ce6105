#pragma once

#include <ATen/core/Tensor.h>

#include <tuple>
#include <vector>

#include "arguments.h"
#include "composite/engine.h"

namespace elman {

/// Calls of the internal operators through the dispatcher, below whatever keys the caller has
/// excluded. The four results are output, h_n and the two tensors of `Saved`.
std::tuple<at::Tensor, at::Tensor, Saved> call_rnn_forward(const RnnArguments& args,
                                                           bool save_states);
std::vector<at::Tensor> call_rnn_backward(const RnnArguments& args, const BackwardArguments& grads);

/// Calls of the public operators through the dispatcher: rnn, or rnn.data if the arguments are
/// packed.
std::tuple<at::Tensor, at::Tensor> call_rnn(const RnnArguments& args);

}  // namespace elman
