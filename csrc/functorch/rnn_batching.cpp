#include <ATen/TensorOperators.h>
#include <ATen/functorch/BatchedTensorImpl.h>
#include <ATen/functorch/PlumbingHelper.h>
#include <ATen/functorch/TensorWrapper.h>
#include <ATen/ops/bernoulli.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/stack.h>
#include <c10/core/ScalarType.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <torch/library.h>

#include "autocast/rnn.h"
#include "checks.h"
#include "dispatch/operators.h"
#include "dispatch/signatures.h"
#include "functorch/batched_call.h"
#include "ops/rnn_cell.h"

// The operators under torch.func.vmap. A level of vmap reaches an operator at two keys in turn:
//
// - FuncTorchVmapMode, in every call inside of vmap. The public operators become internal ones,
//   with the dropout masks drawn here, by torch's random operators at this level, so that vmap's
//   randomness ("error", "same", "different") holds.
// - FuncTorchBatched, in calls with a batched argument: batched_call.h.

namespace elman::functorch {
namespace {

using c10::SymInt;
using c10::SymIntArrayRef;

/// The level whose turn it is.
class CurrentLevel final : public Level {
 public:
  std::pair<at::Tensor, std::optional<int64_t>> unwrap(const at::Tensor& tensor) const override {
    auto [value, dim] = at::functorch::unwrapTensorAtLevel(tensor, id_);
    return {std::move(value), dim};
  }
  at::Tensor below_all(at::Tensor tensor) const override {
    for (;;) {
      if (const auto* batched = at::functorch::maybeGetBatchedImpl(tensor)) {
        tensor = batched->value();
      } else if (const auto* wrapper = at::functorch::maybeGetTensorWrapper(tensor)) {
        tensor = wrapper->value();
      } else {
        return tensor;
      }
    }
  }
  at::Tensor wrap(const at::Tensor& value, int64_t dim) const override {
    return at::functorch::makeBatched(value, dim, id_);
  }

 private:
  const int64_t id_ = at::functorch::getDynamicLayerStack().back().layerId();
};

std::tuple<at::Tensor, at::Tensor, Saved> forward_at_level(const RnnArguments& args, Keep keep) {
  const c10::impl::ExcludeDispatchKeyGuard guard(c10::DispatchKey::FuncTorchBatched);
  return batched_forward(args, keep, CurrentLevel());
}

std::vector<at::Tensor> backward_at_level(const RnnArguments& args,
                                          const BackwardArguments& grads) {
  const c10::impl::ExcludeDispatchKeyGuard guard(c10::DispatchKey::FuncTorchBatched);
  return batched_backward(args, grads, CurrentLevel());
}

/// As draw_masks, by an operator that knows vmap's randomness: of a tensor that is batched nowhere,
/// it draws the same or different numbers for the slices of each level, as that level has it.
at::Tensor draw_masks_in_vmap(const RnnArguments& args) {
  const auto dtype = args.input.scalar_type();
  const std::vector<SymInt> sizes = args.saved_sizes();
  const at::Tensor like = at::ones_symint(SymIntArrayRef(sizes).slice(1),
                                          args.input.options().dtype(c10::toRealValueType(dtype)));
  const double keep = 1 - args.dropout;
  std::vector<at::Tensor> layers;
  for (int64_t layer = 0; layer < args.num_layers - 1; ++layer) {
    const at::Tensor kept = at::bernoulli(like, keep);
    layers.push_back(keep == 0 ? kept : kept / keep);
  }
  return at::stack(layers).to(dtype);
}

std::tuple<at::Tensor, at::Tensor, Saved> forward_in_vmap(const RnnArguments& args, Keep keep) {
  check_arguments(args);
  RnnArguments call = args;
  if (args.draws_dropout()) call.masks = draw_masks_in_vmap(args);
  const c10::impl::ExcludeDispatchKeyGuard guard(c10::DispatchKey::FuncTorchVmapMode);
  auto result = call_rnn_forward(call, keep);
  if (keep.states && args.draws_dropout()) std::get<2>(result).masks = *call.masks;
  return result;
}

std::tuple<at::Tensor, at::Tensor> rnn_in_vmap(const RnnArguments& args) {
  if (autocast_is_on(args.input)) return autocast_rnn(args);
  auto [output, h_n, saved] = forward_in_vmap(args, kKeepNothing);
  return {std::move(output), std::move(h_n)};
}

at::Tensor rnn_cell_in_vmap(const CellArguments& args) {
  return autocast_is_on(args.input) ? autocast_rnn_cell(args) : elman::rnn_cell(args);
}

}  // namespace

TORCH_LIBRARY_IMPL(elman, FuncTorchVmapMode, m) {
  m.impl("rnn", Padded<RnnResult>::kernel<rnn_in_vmap>);
  m.impl("rnn.data", Packed<RnnResult>::kernel<rnn_in_vmap>);
  m.impl("_rnn_forward", Internal::forward<forward_in_vmap>);
  // CompositeImplicitAutograd does not reach into torch.func.vmap.
  m.impl("rnn_cell", RnnCell::kernel<rnn_cell_in_vmap>);
}

TORCH_LIBRARY_IMPL(elman, FuncTorchBatched, m) {
  m.impl("_rnn_forward", Internal::forward<forward_at_level>);
  m.impl("_rnn_backward", Internal::backward<backward_at_level>);
}

}  // namespace elman::functorch
