#include "stream/stream_engine.h"

#include <ATen/OpMathType.h>
#include <ATen/TensorOperators.h>
#include <ATen/autocast_mode.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <c10/core/ScalarType.h>
#include <torch/csrc/autograd/graph_task.h>

#include <utility>
#include <vector>

#include "caller_layout.h"
#include "checks.h"
#include "dispatch/operators.h"
#include "owned_arguments.h"
#include "requires_grad.h"
#include "stream/gradient.h"

namespace elman {
namespace {

/// Autocast's lower precision, where it is on for this device: the casts are recorded like any
/// other operation.
struct Cast {
  at::Tensor input;
  std::optional<at::Tensor> preactivation;
  std::vector<at::Tensor> params;

  Cast(const StreamChunk& chunk, at::TensorList params_)
      : input(chunk.input), preactivation(chunk.preactivation), params(params_.vec()) {
    const auto device = input.device().type();
    if (!at::autocast::is_autocast_enabled(device)) return;
    const auto dtype = at::autocast::get_autocast_dtype(device);
    input = at::autocast::cached_cast(dtype, input, device);
    preactivation = at::autocast::cached_cast(dtype, preactivation, device);
    for (auto& param : params) param = at::autocast::cached_cast(dtype, param, device);
  }
};

/// How many steps before its chunk a gradient reaches.
int64_t steps_before_chunk(int64_t k1, int64_t k2) {
  TORCH_CHECK_VALUE(k1 >= 1, "k1 must be at least 1, got k1 = ", k1, ", k2 = ", k2);
  TORCH_CHECK_VALUE(k2 >= k1, "k2 must be at least k1, got k1 = ", k1, ", k2 = ", k2);
  return k2 - k1;
}

/// [L, c, B, H] the states after each step of a chunk in the current form, [0] in others, where
/// they are the outputs. before, after: [L, B, H] those around it; drives: Saved::drives.
at::Tensor carried_states(const StreamModule& module, const at::Tensor& before,
                          const at::Tensor& after, const at::Tensor& drives,
                          const std::optional<at::Tensor>& reset) {
  if (parse_leak_form(module.leak_form) != LeakForm::kCurrent)
    return at::empty({0}, before.options());
  const auto alpha = module.leak->detach().to(before.scalar_type()).unsqueeze(1);
  std::vector<at::Tensor> states;
  const int64_t steps = drives.size(1);
  at::Tensor state = before;
  for (int64_t t = 0; t + 1 < steps; ++t) {
    if (reset) state = at::where(reset->select(0, t).unsqueeze(1), 0, state);
    state = state + alpha * drives.select(1, t);
    states.push_back(state);
  }
  states.push_back(after);
  return at::stack(states, 1);
}

}  // namespace

StreamEngine::StreamEngine(int64_t k1, int64_t k2)
    : k1_(k1), k2_(k2), history_(steps_before_chunk(k1, k2)) {}

void StreamEngine::check_chunk(const at::Tensor& input, const StreamModule& module) const {
  const bool batched = input.dim() == 3;
  const int64_t steps = input.size(batched && module.batch_first ? 1 : 0);
  TORCH_CHECK_VALUE(steps <= k1_, "input: a chunk of this stream has at most k1 = ", k1_,
                    " steps, got ", steps);
  TORCH_CHECK_VALUE(!ended_, "input: the stream ended with a chunk of fewer than k1 = ", k1_,
                    " steps; expected no chunk after it until reset() or detach() begins a new "
                    "stretch, got ",
                    steps, " steps");
  if (!state_.defined()) return;
  TORCH_CHECK(batched == batched_, "input: the stream is ", batched_ ? "batched" : "unbatched",
              ", expected a ", batched_ ? 3 : 2, "-D tensor until reset(), got ", input.dim(),
              "-D");
  const int64_t batch = batched ? input.size(module.batch_first ? 0 : 1) : 1;
  TORCH_CHECK(batch == state_.size(1),
              "input: the batch size of a stream is fixed until reset(), "
              "expected ",
              state_.size(1), ", got ", batch);
  TORCH_CHECK_VALUE(input.scalar_type() == state_.scalar_type(),
                    "input: the dtype of a stream is fixed until reset(), expected ",
                    state_.scalar_type(), ", got ", input.scalar_type());
  TORCH_CHECK(input.device() == state_.device(),
              "input: the device of a stream is fixed until reset(), expected ", state_.device(),
              ", got ", input.device());
  const int64_t hidden_size = module.params[1].size(1);
  TORCH_CHECK(state_.size(0) == module.num_layers && state_.size(2) == hidden_size,
              "Expected hidden size (", module.num_layers, ", ", batch, ", ", hidden_size,
              "), got ", state_.sizes());
}

std::optional<at::Tensor> StreamEngine::border_scale(
    const at::Tensor& input, const std::optional<at::Tensor>& carry_scale) const {
  if (!carry_scale && !fresh_.defined()) return std::nullopt;
  const int64_t steps = input.size(0);
  const int64_t batch = input.size(1);
  const auto dtype = c10::toRealValueType(at::toOpMathType(input.scalar_type()));
  const auto scale = carry_scale ? carry_scale->to(dtype).expand({steps, batch})
                                 : at::ones({steps, batch}, input.options().dtype(dtype));
  if (!fresh_.defined()) return scale;
  // A new sequence begins in these rows: no gradient crosses.
  return at::cat({at::where(fresh_, 0, scale.narrow(0, 0, 1)), scale.narrow(0, 1, steps - 1)});
}

at::Tensor StreamEngine::forward(const StreamChunk& chunk, const StreamModule& module) {
  // Where activation checkpointing runs a region a second time, the chunk would be taken twice.
  TORCH_CHECK(torch::autograd::get_current_graph_task_id() == -1,
              "A stream takes each chunk once and cannot be called during a backward pass, where "
              "activation checkpointing (torch.utils.checkpoint) runs its region again; call the "
              "stream outside of the region");
  const Cast cast(chunk, module.params);
  StreamModule now = module;
  now.params = cast.params;
  if (!now.leak && parse_leak_form(now.leak_form) == LeakForm::kCurrent)
    now.leak = at::ones({now.num_layers, now.params[1].size(1)}, cast.input.options());
  const std::optional<at::Tensor> no_hx;
  const RnnArguments args{cast.input,
                          no_hx,
                          now.params,
                          now.has_biases,
                          now.num_layers,
                          now.dropout,
                          now.train,
                          /*bidirectional=*/false,
                          now.batch_first,
                          now.nonlinearity,
                          /*k1=*/0,
                          /*k2=*/0,
                          chunk.reset,
                          chunk.carry_scale,
                          now.leak,
                          now.leak_form,
                          cast.preactivation};
  check_arguments(args);
  check_storage(args);
  check_chunk(cast.input, now);

  const bool batched = cast.input.dim() == 3;
  const CallerLayout layout(args);
  // carry_scale may be [c] for all rows.
  const auto per_step = [&](const std::optional<at::Tensor>& x) -> std::optional<at::Tensor> {
    if (!x) return std::nullopt;
    return x->dim() == 1 ? x->unsqueeze(1) : layout.to_time_major(*x);
  };
  at::Tensor output;
  Stretch stretch;
  int64_t count = 0;
  {
    const at::AutoDispatchBelowADInplaceOrView guard;
    const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
    const auto chunk_input = layout.to_time_major(cast.input);
    count = chunk_input.size(0);
    const auto before =
        state_.defined() ? state_
                         : at::zeros({now.num_layers, chunk_input.size(1), now.params[1].size(1)},
                                     chunk_input.options());
    const auto chunk_reset = per_step(chunk.reset);
    OwnedArguments call(args);  // time major, from the states before it
    call.input = chunk_input;
    call.hx = before;
    call.reset = chunk_reset;
    call.carry_scale.reset();
    if (args.preactivation) {
      const at::Tensor& given = *args.preactivation;
      const at::Tensor layers = args.preactivation_by_layer() ? given : given.unsqueeze(0);
      call.preactivation = layout.layers_to_time_major(layers);
    }
    call.options.batch_first = false;
    auto [made, h_n, saved] = call_rnn_forward(call.view(), kKeepAll);
    stretch = history_.append({chunk_input, before, made, saved.states, saved.masks, saved.drives,
                               carried_states(now, before, h_n, saved.drives, chunk_reset),
                               chunk_reset, border_scale(chunk_input, per_step(chunk.carry_scale))},
                              /*replace_states=*/fresh_.defined());
    state_ = std::move(h_n);
    output = layout.from_time_major(made);
  }
  fresh_.reset();
  batched_ = batched;
  ended_ = count < k1_;
  if (any_requires_grad(args)) record_gradient(output, args, stretch, count);
  return output;
}

void StreamEngine::reset() {
  state_.reset();
  batched_ = true;
  detach();
}

void StreamEngine::detach() {
  history_ = History(k2_ - k1_);
  fresh_.reset();
  ended_ = false;
}

at::Tensor StreamEngine::state() const {
  if (!state_.defined()) return {};
  return (batched_ ? state_ : state_.squeeze(1)).clone();
}

void StreamEngine::set_state(const at::Tensor& state, const std::optional<at::Tensor>& rows) {
  TORCH_CHECK(state.defined() && (state.dim() == 2 || state.dim() == 3),
              "state must have shape [num_layers, batch, hidden_size], or [num_layers, "
              "hidden_size] unbatched, got ",
              state.defined() ? state.dim() : 0, " dimensions");
  const bool batched = state.dim() == 3;
  const auto given = (batched ? state : state.unsqueeze(1)).detach();
  if (!state_.defined()) {
    TORCH_CHECK(!rows,
                "rows: expected none before the first chunk, since all rows begin there, "
                "got a tensor of shape ",
                rows->sizes());
    state_ = given.clone();
    batched_ = batched;
    return;
  }
  TORCH_CHECK(batched == batched_ && given.sizes() == state_.sizes(), "state must have shape ",
              (batched_ ? state_ : state_.squeeze(1)).sizes(), ", got ", state.sizes());
  TORCH_CHECK(given.device() == state_.device(), "state must be on the stream's device ",
              state_.device(), ", got ", given.device());
  TORCH_CHECK_VALUE(given.scalar_type() == state_.scalar_type(), "state must be of dtype ",
                    state_.scalar_type(), ", got ", given.scalar_type());
  const int64_t batch = state_.size(1);
  TORCH_CHECK(!rows || (rows->scalar_type() == at::kBool && rows->dim() == 1 &&
                        rows->size(0) == batch && rows->device() == state_.device()),
              "rows must be a bool tensor of shape [", batch, "] on ", state_.device(), ", got ",
              rows ? rows->scalar_type() : at::kBool, " of shape ",
              rows ? rows->sizes() : at::IntArrayRef(), " on ",
              rows ? rows->device() : state_.device());
  const auto begin = rows ? *rows : given.ne(state_).any(2).any(0);
  fresh_ = fresh_.defined() ? fresh_.logical_or(begin) : begin.clone();
  state_ = at::where(begin.unsqueeze(1), given, state_);
}

}  // namespace elman
