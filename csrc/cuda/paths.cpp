#include "cuda/paths.h"

#include <ATen/Context.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <array>
#include <cstdlib>
#include <map>
#include <mutex>
#include <tuple>

#include "checks.h"
#include "cuda/device.h"
#include "cuda/persistent/launch.h"
#include "dense.h"

namespace elman::cuda {
namespace {

using persistent::Arithmetic;
using persistent::Plan;

/// Polls after which a wait inside a kernel is given up; seconds, where a step takes microseconds.
constexpr std::uint32_t kSpinLimit = 1u << 24;

/// What numbers are multiplied as: TF32 only where torch's products are allowed to.
Arithmetic arithmetic_of(const Call& call) {
  switch (call.element) {
    case Element::kFloat64:
      return Arithmetic::kFloat64;
    case Element::kBFloat16:
      return Arithmetic::kBFloat16;
    case Element::kFloat16:
      return Arithmetic::kFloat16;
    case Element::kFloat32:
      break;
  }
  const auto precision =
      at::globalContext().float32Precision(at::Float32Backend::CUDA, at::Float32Op::MATMUL);
  return precision == at::Float32Precision::TF32 ? Arithmetic::kTf32 : Arithmetic::kFloat32;
}

Choice choose_on_device(const persistent::Problem& problem, bool backward, Preference preference) {
  persistent::DeviceLimits device{};
  check_launch(persistent::query_device(device));
  Choice choice = choose(problem, device, preference);
  if (!choice.plan) return choice;
  bool resident = false;
  check_launch(persistent::query_resident(*choice.plan, problem, backward, resident));
  if (resident) return choice;
  return {{}, "general path: the device refuses to hold all blocks of the persistent one at once"};
}

/// To look through all layouts takes longer than a small call: choices are remembered.
Choice remembered_choice(const Call& call, const persistent::Problem& problem, bool backward) {
  const Preference preference = parse_preference(std::getenv("ELMAN_CUDA_PATH"));
  using Key =
      std::tuple<int, Arithmetic, int64_t, int64_t, int64_t, int64_t, bool, bool, bool, Preference>;
  const Key key{call.input.device().index(),
                problem.arithmetic,
                problem.steps,
                problem.batch,
                problem.hidden,
                problem.windows,
                problem.overlap,
                problem.leaky,
                backward,
                preference};
  static std::mutex mutex;
  static std::map<Key, Choice> choices;
  const std::lock_guard<std::mutex> lock(mutex);
  const auto found = choices.find(key);
  if (found != choices.end()) return found->second;
  constexpr size_t kMost = 4096;  // sequences may have any length
  if (choices.size() >= kMost) choices.clear();
  return choices.emplace(key, choose_on_device(problem, backward, preference)).first->second;
}

/// The memory of one launch.
struct WorkspaceMemory {
  at::Tensor bytes;
  persistent::Workspace workspace;

  WorkspaceMemory(const Call& call, const Plan& plan)
      : bytes(
            at::zeros({static_cast<int64_t>(plan.workspace_bytes)}, call.stored.dtype(at::kByte))) {
    unsigned char* const begin = bytes.mutable_data_ptr<uint8_t>();
    workspace = {reinterpret_cast<std::uint32_t*>(begin),
                 reinterpret_cast<std::uint32_t*>(begin + plan.flags_at), begin + plan.vectors_at,
                 kSpinLimit};
  }
};

persistent::Sequence sequence(const Call& call, bool reverse) {
  const at::Tensor& offsets = call.device_offsets();
  return {static_cast<int>(call.steps), static_cast<int>(call.batch),
          offsets.defined() ? offsets.const_data_ptr<int64_t>() : nullptr,
          call.reset.defined() ? flags(call.reset) : nullptr, reverse};
}

/// carried: as in persistent::Leak; undefined of a plain cell.
persistent::Leak leak(const Call& call, int64_t cell, const at::Tensor& carried) {
  return {call.form, call.leak.defined() ? call.leak.select(0, cell).const_data_ptr() : nullptr,
          carried.defined() ? carried.mutable_data_ptr() : nullptr};
}

}  // namespace

Choice forward_choice(const Call& call) {
  return remembered_choice(call,
                           {arithmetic_of(call), call.steps, call.batch, call.hidden_size, 1,
                            /*overlap=*/false, call.args.leaky()},
                           false);
}

Choice backward_choice(const Call& call, const Windows& windows) {
  if (!windows.disjoint() && call.args.num_layers > 1)
    return {{}, "general path: where windows overlap the layers go through the lags together"};
  return remembered_choice(call,
                           {arithmetic_of(call), windows.k2, call.batch, call.hidden_size,
                            windows.count, !windows.disjoint(), call.args.leaky()},
                           true);
}

void persistent_forward(const Call& call, const Plan& plan, int64_t cell, bool reverse,
                        const at::Tensor& projected, const at::Tensor& states,
                        const at::Tensor& drives, const at::Tensor& h_n) {
  const bool leaky = call.args.leaky();
  const at::Tensor first = call.first_read(cell);
  const at::Tensor carried = leaky ? call.initial_state(cell).clone() : at::Tensor();
  persistent::ForwardOperands operands{};
  operands.sequence = sequence(call, reverse);
  operands.activation = parse_nonlinearity(call.args.nonlinearity);
  operands.hidden = static_cast<int>(call.hidden_size);
  operands.weight_hh = call.weight_hh(cell).const_data_ptr();
  operands.bias_ih = data_or_null(call.bias_ih(cell));
  operands.bias_hh = data_or_null(call.bias_hh(cell));
  operands.projected = projected.const_data_ptr();
  operands.projected_stride = projected.stride(0);
  operands.hx = data_or_null(first);
  operands.states = states.mutable_data_ptr();
  operands.states_stride = states.stride(0);
  operands.h_n = h_n.mutable_data_ptr();
  operands.leak = leak(call, cell, carried);
  operands.drive = drives.defined() ? drives.mutable_data_ptr() : nullptr;
  const WorkspaceMemory memory(call, plan);
  check_launch(persistent::launch_forward(plan, arithmetic_of(call), memory.workspace, operands,
                                          current_stream(call.input)));
  if (leaky) h_n.copy_(carried);
}

SweptTotals persistent_backward(const Call& call, const Plan& plan, const Windows& windows,
                                const SweepOperands& given) {
  const std::array<int64_t, 2> sizes{call.rows(), call.hidden_size};
  // Windows that overlap add to each other's sums.
  const auto make_sum = [&] {
    return windows.disjoint() ? at::empty(sizes, call.summed) : at::zeros(sizes, call.summed);
  };
  SweptTotals totals{make_sum(), given.wants_errors ? make_sum() : at::Tensor()};
  at::Tensor carried;
  if (call.args.leaky())
    carried = at::empty({windows.count * call.batch, call.hidden_size}, call.summed);
  persistent::BackwardOperands operands{};
  operands.sequence = sequence(call, given.reverse);
  operands.activation = parse_nonlinearity(call.args.nonlinearity);
  operands.hidden = static_cast<int>(call.hidden_size);
  operands.window_count = static_cast<int>(windows.count);
  operands.k1 = static_cast<int>(windows.k1);
  operands.k2 = static_cast<int>(windows.k2);
  operands.weight_hh = call.weight_hh(given.cell).const_data_ptr();
  operands.states = given.states.const_data_ptr();
  operands.states_stride = given.states.stride(0);
  operands.grad_output = data_or_null(given.grad_output);
  operands.grad_h = data_or_null(given.grad_states);
  operands.grad_stride = given.states.stride(0);
  operands.grad_h_n = data_or_null(given.grad_h_n);
  operands.carry_scale = data_or_null(call.carry_scale);
  operands.delta = totals.delta.mutable_data_ptr();
  operands.leak = leak(call, given.cell, carried);
  operands.errors = totals.error.defined() ? totals.error.mutable_data_ptr() : nullptr;
  const WorkspaceMemory memory(call, plan);
  check_launch(persistent::launch_backward(plan, arithmetic_of(call), memory.workspace, operands,
                                           current_stream(call.input)));
  return totals;
}

}  // namespace elman::cuda
