#pragma once

#include "arguments.h"

namespace elman {

/// Checks what a step takes beside its weights and states, after everything else.
void check_leaky_arguments(const RnnArguments& args);
void check_leaky_arguments(const CellArguments& args);

/// Checks that the values of leak lie in (0, 1], where they are on the CPU: elsewhere the host
/// would wait for them.
void check_leak_values(const RnnArguments& args);

}  // namespace elman
