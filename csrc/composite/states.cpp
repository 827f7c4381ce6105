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

#include "activation.h"
#include "checks.h"
#include "composite/activate.h"

namespace elman::composite {
namespace {

/// One layer in one direction. x: [T, B, I or D*H], h: [B, H] the initial state. Returns the states
/// [T, B, H] and the last one made [B, H].
std::pair<at::Tensor, at::Tensor> run_cell(const RnnArguments& args, const Layout& layout,
                                           int64_t layer, int64_t direction, const at::Tensor& x,
                                           at::Tensor h) {
  const auto dtype = args.input.scalar_type();
  const auto compute = compute_type(args);
  const auto activation = parse_nonlinearity(args.nonlinearity);
  const auto cell = args.cell(layer, direction);
  const bool reverse = direction == 1;
  const auto cut = cuts(args, layout, reverse);

  std::optional<at::Tensor> bias;
  if (args.has_biases) bias = cell.bias_ih.to(compute) + cell.bias_hh.to(compute);
  // unbind, not select per step: the derivative of T selects is T tensors of T steps.
  const auto projected = at::linear(x, cell.weight_ih.to(compute), bias).unbind(0);
  const auto weight = cell.weight_hh.to(compute).t();

  std::vector<at::Tensor> states(projected.size());
  for (int64_t i = 0; i < layout.steps(); ++i) {
    const int64_t t = reverse ? layout.steps() - 1 - i : i;
    const auto entering = cut.defined() ? at::where(cut.select(0, t), 0, h) : h;
    const auto made =
        activate(at::addmm(projected[t], entering, weight), activation).to(dtype).to(compute);
    // A sequence that has no step t keeps its state: so h ends as its h_n, and in reverse starts
    // from its h_0.
    h = layout.packed() ? at::where(layout.valid().select(0, t), made, h) : made;
    states[t] = h;
  }
  return {at::stack(states), h};
}

}  // namespace

at::ScalarType compute_type(const RnnArguments& args) {
  return at::toOpMathType(args.input.scalar_type());
}

at::Tensor initial_states(const RnnArguments& args, const Layout& layout) {
  const auto compute = compute_type(args);
  if (args.hx.has_value()) return layout.states_from_caller(*args.hx).to(compute);
  const int64_t hidden_size = args.params[1].size(1);
  return at::zeros({args.num_layers * args.num_directions(), layout.batch(), hidden_size},
                   args.input.options().dtype(compute));
}

at::Tensor cuts(const RnnArguments& args, const Layout& layout, bool reverse) {
  if (!args.reset.has_value()) return {};
  const auto reset = layout.per_step_from_caller(*args.reset);
  if (!reverse) return reset;
  const auto never = at::zeros_like(reset.narrow(0, 0, 1));
  return at::cat({reset.narrow(0, 1, layout.steps() - 1), never});
}

States compute_states(const RnnArguments& args, const Layout& layout, const at::Tensor& masks) {
  const auto compute = compute_type(args);
  const auto h_0 = initial_states(args, layout).unbind(0);

  States result;
  std::vector<at::Tensor> h_n;
  auto x = layout.from_caller(args.input).to(compute);
  for (int64_t layer = 0; layer < args.num_layers; ++layer) {
    std::vector<at::Tensor> directions;
    for (int64_t direction = 0; direction < args.num_directions(); ++direction) {
      const auto& start = h_0[layer * args.num_directions() + direction];
      auto [states, last] = run_cell(args, layout, layer, direction, x, start);
      directions.push_back(std::move(states));
      h_n.push_back(std::move(last));
    }
    x = directions.size() == 1 ? directions[0] : at::cat(directions, -1);
    result.layers.push_back(x);
    if (masks.dim() > 1 && layer + 1 < args.num_layers) {
      x = x * layout.from_stored(masks.select(0, layer).to(compute));
    }
  }
  result.h_n = at::stack(h_n);
  return result;
}

}  // namespace elman::composite
