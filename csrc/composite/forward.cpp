#include <ATen/ops/empty.h>
#include <ATen/ops/stack.h>

#include <vector>

#include "composite/padded_layout.h"
#include "composite/rnn.h"
#include "composite/states.h"
#include "dropout.h"

namespace elman::composite {

std::tuple<at::Tensor, at::Tensor, Saved> forward(const RnnArguments& args, Keep keep) {
  const WithoutAutocast guard;
  const auto dtype = args.input.scalar_type();
  const PaddedLayout layout(args);
  const auto none = [&] { return at::empty({0}, args.input.options()); };
  const auto drawn = args.draws_dropout() ? draw_masks(args) : none();
  const auto run = compute_states(args, layout, args.masks.value_or(drawn));

  const auto stored = [&](bool wanted, std::vector<at::Tensor> layers) {
    if (!wanted || layers.empty()) return none();
    for (at::Tensor& layer : layers) layer = layout.to_stored(layer.to(dtype));
    return at::stack(layers);
  };
  const std::vector<at::Tensor> lower(run.layers.begin(), run.layers.end() - 1);
  return {layout.to_caller(run.layers.back().to(dtype)), layout.states_to_caller(run.h_n.to(dtype)),
          Saved{stored(keep.states, lower), keep.states ? drawn : none(),
                stored(keep.drives, run.drives)}};
}

}  // namespace elman::composite
