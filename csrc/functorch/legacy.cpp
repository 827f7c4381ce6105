#include <ATen/LegacyBatchedTensorImpl.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <torch/library.h>

#include <algorithm>

#include "dispatch/operators.h"
#include "dispatch/signatures.h"
#include "functorch/batched_call.h"
#include "functorch/operands.h"

// The vmap before torch.func, which torch itself still uses: torch.autograd.grad with
// is_grads_batched, torch.autograd.functional.jacobian with vectorize, gradcheck of batched
// gradients. Its tensors know all of their levels at once; here the innermost one is taken off.

namespace elman::functorch {
namespace {

class InnermostLevel final : public Level {
 public:
  explicit InnermostLevel(Operands operands) {
    operands.visit([&](const at::Tensor& tensor, Role) {
      const auto* batched = at::maybeGetBatchedImpl(tensor);
      if (batched) id_ = std::max(id_, batched->bdims().back().level());
    });
  }

  std::pair<at::Tensor, std::optional<int64_t>> unwrap(const at::Tensor& tensor) const override {
    const auto* batched = at::maybeGetBatchedImpl(tensor);
    if (!batched || batched->bdims().back().level() != id_) return {tensor, std::nullopt};
    const at::BatchDimsRef all = batched->bdims();
    const int64_t dim = all.back().dim();
    at::BatchDims others;
    for (const auto& other : all.slice(0, all.size() - 1)) {
      others.emplace_back(other.level(), other.dim() + (other.dim() < dim ? 1 : 0));
    }
    const at::Tensor value = batched->value().movedim(dim, 0);
    return {others.empty() ? value : at::makeBatched(value, others), 0};
  }

  at::Tensor below_all(at::Tensor tensor) const override {
    while (const auto* batched = at::maybeGetBatchedImpl(tensor)) tensor = batched->value();
    return tensor;
  }

  at::Tensor wrap(const at::Tensor& value, int64_t dim) const override {
    return at::addBatchDim(value, id_, dim);
  }

 private:
  int64_t id_ = -1;
};

std::tuple<at::Tensor, at::Tensor, Saved> forward(const RnnArguments& args, Keep keep) {
  return batched_forward(args, keep, InnermostLevel(Operands(args)));
}

std::vector<at::Tensor> backward(const RnnArguments& args, const BackwardArguments& grads) {
  return batched_backward(args, grads, InnermostLevel(Operands(args, grads)));
}

std::tuple<at::Tensor, at::Tensor> rnn(const RnnArguments& args) {
  auto [output, h_n, saved] = call_rnn_forward(args, kKeepNothing);
  return {std::move(output), std::move(h_n)};
}

}  // namespace

TORCH_LIBRARY_IMPL(elman, Batched, m) {
  m.impl("rnn", Padded<RnnResult>::kernel<rnn>);
  m.impl("rnn.data", Packed<RnnResult>::kernel<rnn>);
  m.impl("_rnn_forward", Internal::forward<forward>);
  m.impl("_rnn_backward", Internal::backward<backward>);
}

}  // namespace elman::functorch
