#include <ATen/ops/empty.h>
#include <ATen/ops/stack.h>

#include "composite/engine.h"
#include "composite/layout.h"
#include "composite/states.h"
#include "ops/dropout.h"

namespace elman::composite {

std::tuple<at::Tensor, at::Tensor, Saved> forward(const RnnArguments& args, bool save_states) {
  const WithoutAutocast guard;
  const auto dtype = args.input.scalar_type();
  const Layout layout(args);
  const auto none = [&] { return at::empty({0}, args.input.options()); };
  const auto drawn = args.draws_dropout() ? draw_masks(args) : none();
  const auto run = compute_states(args, layout, args.masks.value_or(drawn));

  std::vector<at::Tensor> lower;
  if (save_states) {
    for (auto layer = run.layers.begin(); layer != run.layers.end() - 1; ++layer) {
      lower.push_back(layout.to_stored(layer->to(dtype)));
    }
  }
  return {layout.to_caller(run.layers.back().to(dtype)), layout.states_to_caller(run.h_n.to(dtype)),
          Saved{lower.empty() ? none() : at::stack(lower), save_states ? drawn : none()}};
}

}  // namespace elman::composite
