#include "composite/states.h"

#include <ATen/OpMathType.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/addmm.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/ScalarType.h>

#include "activation.h"
#include "checks.h"
#include "composite/activate.h"
#include "leak.h"

namespace elman::composite {
namespace {

/// What one layer in one direction makes: outputs and drives [T, B, H] (drives undefined without
/// leak), and the state after the last step [B, H].
struct CellStates {
  at::Tensor outputs, drives, last;
};

/// One step's new state, its output and its drive (States).
struct Step {
  at::Tensor state, output, drive;
};

/// The step from the state `entering` by the pre-activation a: [B, H], which W_h times what
/// `read_state` makes of it is a part of already. alpha: [H] or undefined.
Step take_step(const RnnArguments& args, const at::Tensor& a, const at::Tensor& entering,
               const at::Tensor& alpha) {
  const auto dtype = args.input.scalar_type();
  const auto compute = compute_type(args);
  const auto rounded = [&](const at::Tensor& x) { return x.to(dtype).to(compute); };
  const auto activation = parse_nonlinearity(args.nonlinearity);
  if (!alpha.defined() && parse_leak_form(args.leak_form) == LeakForm::kRate) {
    const auto h = rounded(activate(a, activation));
    return {h, h, {}};
  }
  if (parse_leak_form(args.leak_form) == LeakForm::kRate) {
    const auto f = activate(a, activation);
    auto h = remaining(entering, alpha) + alpha * f;
    if (dtype != compute) h = at::where(alpha.eq(1), rounded(h), h);  // a plain cell's unit
    return {h, h, f};
  }
  const auto v = alpha.defined() ? remaining(entering, alpha) + alpha * a : a;
  return {v, activate(v, activation), alpha.defined() ? a - entering : at::Tensor()};
}

/// x: [T, B, I or D*H], state: [B, H] the initial one.
CellStates run_cell(const RnnArguments& args, const PaddedLayout& layout, int64_t layer,
                    int64_t direction, const at::Tensor& x, at::Tensor state) {
  const auto compute = compute_type(args);
  const auto cell = args.cell(layer, direction);
  const bool reverse = direction == 1;
  const auto cut = cuts(args, layout, reverse);
  const auto alpha = leak_of(args, layer, direction);

  std::optional<at::Tensor> bias;
  if (args.has_biases) bias = cell.bias_ih.to(compute) + cell.bias_hh.to(compute);
  auto given = at::linear(x, cell.weight_ih.to(compute), bias);
  if (args.preactivation) {
    const auto added = layout.preactivation_from_caller(*args.preactivation, layer);
    const int64_t hidden = cell.weight_hh.size(0);
    given = given + added.narrow(-1, direction * hidden, hidden).to(compute);
  }
  // unbind, not select per step: the derivative of T selects is T tensors of T steps.
  const auto projected = given.unbind(0);
  const auto weight = cell.weight_hh.to(compute).t();

  std::vector<at::Tensor> outputs(projected.size()), drives(alpha.defined() ? outputs.size() : 0);
  for (int64_t i = 0; i < layout.steps(); ++i) {
    const int64_t t = reverse ? layout.steps() - 1 - i : i;
    const auto entering = cut.defined() ? at::where(cut.select(0, t), 0, state) : state;
    const auto a = at::addmm(projected[t], read_state(args, entering), weight);
    Step made = take_step(args, a, entering, alpha);
    // A sequence that has no step t keeps its state: so h ends as its h_n, and in reverse starts
    // from its h_0.
    state =
        layout.packed() ? at::where(layout.valid().select(0, t), made.state, state) : made.state;
    outputs[t] = layout.packed() ? at::where(layout.valid().select(0, t), made.output, 0)
                                 : std::move(made.output);
    if (alpha.defined()) drives[t] = std::move(made.drive);
  }
  return {at::stack(outputs), drives.empty() ? at::Tensor() : at::stack(drives), state};
}

}  // namespace

at::ScalarType compute_type(const RnnArguments& args) {
  return at::toOpMathType(args.input.scalar_type());
}

at::Tensor leak_of(const RnnArguments& args, int64_t layer, int64_t direction) {
  if (!args.leak) return {};
  return args.leak->select(0, layer * args.num_directions() + direction)
      .to(c10::toRealValueType(compute_type(args)));
}

at::Tensor read_state(const RnnArguments& args, const at::Tensor& state) {
  if (parse_leak_form(args.leak_form) == LeakForm::kRate) return state;
  return activate(state, parse_nonlinearity(args.nonlinearity));
}

at::Tensor initial_states(const RnnArguments& args, const PaddedLayout& layout) {
  const auto compute = compute_type(args);
  if (args.hx.has_value()) return layout.states_from_caller(*args.hx).to(compute);
  const int64_t hidden_size = args.params[1].size(1);
  return at::zeros({args.num_layers * args.num_directions(), layout.batch(), hidden_size},
                   args.input.options().dtype(compute));
}

at::Tensor cuts(const RnnArguments& args, const PaddedLayout& layout, bool reverse) {
  if (!args.reset.has_value()) return {};
  const auto reset = layout.per_step_from_caller(*args.reset);
  if (!reverse) return reset;
  const auto never = at::zeros_like(reset.narrow(0, 0, 1));
  return at::cat({reset.narrow(0, 1, layout.steps() - 1), never});
}

States compute_states(const RnnArguments& args, const PaddedLayout& layout,
                      const at::Tensor& masks) {
  const auto compute = compute_type(args);
  const auto h_0 = initial_states(args, layout).unbind(0);

  States result;
  std::vector<at::Tensor> h_n;
  auto x = layout.from_caller(args.input).to(compute);
  for (int64_t layer = 0; layer < args.num_layers; ++layer) {
    std::vector<at::Tensor> directions, drives;
    for (int64_t direction = 0; direction < args.num_directions(); ++direction) {
      const auto& start = h_0[layer * args.num_directions() + direction];
      CellStates made = run_cell(args, layout, layer, direction, x, start);
      directions.push_back(std::move(made.outputs));
      if (args.leak) drives.push_back(std::move(made.drives));
      h_n.push_back(std::move(made.last));
    }
    x = directions.size() == 1 ? directions[0] : at::cat(directions, -1);
    result.layers.push_back(x);
    if (args.leak) result.drives.push_back(drives.size() == 1 ? drives[0] : at::cat(drives, -1));
    if (masks.dim() > 1 && layer + 1 < args.num_layers) {
      x = x * layout.from_stored(masks.select(0, layer).to(compute));
    }
  }
  result.h_n = at::stack(h_n);
  return result;
}

}  // namespace elman::composite
