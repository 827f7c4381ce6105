#include "composite/padded_layout.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/nonzero_static.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/where.h>

namespace elman::composite {

PaddedLayout::PaddedLayout(const RnnArguments& args)
    : caller_(args), packed_(args.packed()), dimensions_(args.input.dim()) {
  const auto device = args.input.device();
  const auto on_device = at::TensorOptions().dtype(at::kLong).device(device);
  if (!packed_) {
    const at::Tensor input = caller_.to_time_major(args.input);
    steps_ = input.size(0);
    batch_ = input.size(1);
    const auto step = at::arange(steps_, on_device).view({steps_, 1, 1});
    is_first_ = step.eq(0);
    is_last_ = step.eq(steps_ - 1);
    return;
  }
  // batch_sizes lives on the CPU; so do these small products of it, until they are complete.
  const at::Tensor& batch_sizes = *args.batch_sizes;
  steps_ = batch_sizes.size(0);
  // Compilers, which trace without values, know the rows of hx and how many rows there are in all.
  batch_ = args.hx ? args.hx->size(1) : batch_sizes.select(0, 0).item<int64_t>();
  const auto valid = at::arange(batch_, at::kLong).unsqueeze(0).lt(batch_sizes.unsqueeze(1));
  const auto step = at::arange(steps_, at::kLong).unsqueeze(1);
  const auto rows = valid.flatten();
  padded_from_packed_ = rows.cumsum(0).sub(1).clamp_min(0).to(device);
  packed_from_padded_ = at::nonzero_static(rows, args.input.size(0)).squeeze(1).to(device);
  valid_ = valid.unsqueeze(2).to(device);
  is_first_ = step.eq(0).unsqueeze(2).to(device);
  is_last_ = step.eq(valid.sum(0).sub(1)).unsqueeze(2).to(device);
}

at::Tensor PaddedLayout::from_caller(const at::Tensor& x) const {
  return packed_ ? from_stored(x) : caller_.to_time_major(x);
}

at::Tensor PaddedLayout::to_caller(const at::Tensor& x) const {
  return packed_ ? to_stored(x) : caller_.from_time_major(x);
}

at::Tensor PaddedLayout::from_stored(const at::Tensor& x) const {
  if (!packed_) return x;
  const auto rows = x.index_select(0, padded_from_packed_).view({steps_, batch_, x.size(1)});
  return at::where(valid_, rows, 0);
}

at::Tensor PaddedLayout::to_stored(const at::Tensor& x) const {
  return packed_ ? x.flatten(0, 1).index_select(0, packed_from_padded_) : x;
}

at::Tensor PaddedLayout::states_from_caller(const at::Tensor& x) const {
  return caller_.to_states(x);
}

at::Tensor PaddedLayout::states_to_caller(const at::Tensor& x) const {
  return caller_.from_states(x);
}

at::Tensor PaddedLayout::per_step_from_caller(const at::Tensor& x) const {
  if (x.dim() == 1) return x.view({steps_, 1, 1});
  return caller_.to_time_major(x).unsqueeze(2);
}

at::Tensor PaddedLayout::preactivation_from_caller(const at::Tensor& x, int64_t layer) const {
  return from_caller(x.dim() > dimensions_ ? x.select(0, layer) : x);
}

at::Tensor PaddedLayout::preactivation_to_caller(const std::vector<at::Tensor>& layers,
                                                 bool by_layer) const {
  std::vector<at::Tensor> result;
  result.reserve(layers.size());
  for (const at::Tensor& layer : layers) result.push_back(to_caller(layer));
  return by_layer ? at::stack(result) : result[0];
}

at::Tensor PaddedLayout::first(const at::Tensor& x) const { return x.select(0, 0); }

at::Tensor PaddedLayout::last(const at::Tensor& x) const {
  return packed_ ? at::where(is_last_, x, 0).sum(0) : x.select(0, steps_ - 1);
}

}  // namespace elman::composite
