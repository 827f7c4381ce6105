#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "arguments.h"
#include "composite/padded_layout.h"

namespace elman::composite {

/// The dtype that the engine computes in: float32 for bfloat16 and float16, else the dtype itself.
at::ScalarType compute_type(const RnnArguments& args);

/// h_0: [L*D, B, H] in the compute dtype; zeros without hx.
at::Tensor initial_states(const RnnArguments& args, const PaddedLayout& layout);

/// Where the recurrence of one direction is cut by `reset`: [T, B, 1] bool, true where the state
/// that enters step t counts as zero; undefined without reset. In reverse the state that enters
/// step t comes from step t+1, so the border (t | t+1) is that of reset at t+1, and the state that
/// enters step T is never cut.
at::Tensor cuts(const RnnArguments& args, const PaddedLayout& layout, bool reverse);

/// The leak of one cell: [H] alpha in the (real) type that is computed in; undefined without leak.
at::Tensor leak_of(const RnnArguments& args, int64_t layer, int64_t direction);

/// f of states that are given before f, as hx is in the current form; in other forms those states.
at::Tensor read_state(const RnnArguments& args, const at::Tensor& state);

struct States {
  /// Per layer [T, B, D*H] the outputs, before dropout, in the compute dtype.
  std::vector<at::Tensor> layers;
  /// Per layer [T, B, D*H] what Saved::drives says, in the compute dtype; empty without leak.
  std::vector<at::Tensor> drives;
  /// [L*D, B, H] in the compute dtype.
  at::Tensor h_n;
};

/// Runs the whole stack. `masks` are the dropout masks to use, [L-1, ...] as in Saved; numel 0
/// means no dropout. Every state of a plain cell is rounded to the input's dtype, so that the
/// recurrence sees what is stored. A leaky one is not: rounded at each step it would not move.
States compute_states(const RnnArguments& args, const PaddedLayout& layout,
                      const at::Tensor& masks);

}  // namespace elman::composite
