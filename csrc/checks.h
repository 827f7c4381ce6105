#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "activation.h"
#include "arguments.h"
#include "leak.h"

namespace elman {

/// Checks every argument of `elman::rnn` / `elman::rnn.data` and throws an error that names the
/// argument, what was expected and what came (torch's own wording where torch has one). Called
/// first in every registered kernel, so that no path skips it. O(number of parameters); looks at no
/// tensor's values, so that it serves meta tensors too.
void check_arguments(const RnnArguments& args);

/// The same for `elman::_rnn_backward`, its `args` included.
void check_backward_arguments(const RnnArguments& args, const BackwardArguments& grads);

/// The same without what the forward pass made (output, states), for a gradient that makes the
/// states again.
void check_gradients(const RnnArguments& args, const BackwardArguments& grads);

/// Checks the values of `batch_sizes` (packed input only). Called by the kernels that have the
/// values.
void check_batch_sizes(const RnnArguments& args);

/// Checks that the tensors' storages hold what they say. Called before anything is read.
void check_storage(const RnnArguments& args);
void check_storage(const RnnArguments& args, const BackwardArguments& grads);

/// Checks what only kernels that read the tensors can: check_storage, check_batch_sizes and, on the
/// CPU, the values of leak. Called after the other checks.
void check_data(const RnnArguments& args);
void check_data(const RnnArguments& args, const BackwardArguments& grads);

/// The same for `elman::rnn_cell`.
void check_cell_arguments(const CellArguments& args);

/// "weight_ih_l1_reverse" and the like, as torch.nn.RNN names its parameters.
std::string param_name(const RnnArguments& args, int64_t index);

/// The activation that `nonlinearity` names (csrc/activation.h); throws for any other name.
Activation parse_nonlinearity(std::string_view nonlinearity);

/// The form that `leak_form` ("rate", "current") names; throws for any other name.
LeakForm parse_leak_form(std::string_view leak_form);

}  // namespace elman
