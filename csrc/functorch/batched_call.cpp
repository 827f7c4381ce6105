#include "functorch/batched_call.h"

#include <ATen/Tensor.h>
#include <ATen/ops/stack.h>

#include <utility>
#include <vector>

#include "checks.h"
#include "dispatch/operators.h"
#include "functorch/fold.h"
#include "functorch/operands.h"

namespace elman::functorch {
namespace {

using c10::SymInt;

/// A call at one level of vmap.
class BatchedCall {
 public:
  BatchedCall(const RnnArguments& args, Operands operands, const Level& level)
      : args_(args), level_(level), operands_(std::move(operands)) {
    const auto unwrap = [&](const at::Tensor& tensor) {
      const auto [value, dim] = level_.unwrap(tensor);
      if (!dim) return value.unsqueeze(0);
      size_ = value.sym_size(*dim);
      return value.movedim(*dim, 0);
    };
    check_storages();
    operands_.replace(unwrap);
  }

  /// Whether any argument is batched at this level.
  bool batched() const { return size_.has_value(); }

  /// Whether the slices cannot be rows of one call: each needs parameters or lengths of its own, or
  /// there is none.
  bool differs_by_slice() const {
    if (empty()) return true;
    bool differs = false;
    Operands(operands_).visit([&](const at::Tensor& tensor, Role role) {
      differs = differs || (role == Role::kNoRows && tensor.sym_size(0) != 1);
    });
    return differs;
  }

  bool single() const { return *size_ == 1; }
  bool empty() const { return *size_ == 0; }

  /// run(args, operands): one call of all slices, as rows; wrap with `from_rows`.
  template <typename Run>
  auto run_folded(const Run& run) const {
    const Fold fold(args_, *size_);
    Operands folded = operands_;
    folded.visit([&](at::Tensor& x, Role role) {
      // Saved tensors that are not there are of numel 0, and of one dimension.
      const bool absent = role == Role::kStored && x.dim() == 2;
      x = role == Role::kNoRows || absent ? x.select(0, 0) : fold.fold(x, role);
    });
    OwnedArguments& arguments = folded.arguments;
    if (arguments.batch_sizes) arguments.batch_sizes = arguments.batch_sizes->mul(*size_);
    arguments.options.batch_first = fold.batch_first();
    return run(folded.call(), folded);
  }

  at::Tensor from_rows(const at::Tensor& y, Role role) const {
    if (role == Role::kStored && y.dim() < 2) return y;
    if (role == Role::kNoRows) return from_slice(y.unsqueeze(0));
    const Fold fold(args_, *size_);
    return level_.wrap(fold.unfold(y, role), fold.place(role));
  }

  /// run(args, operands) -> vector of tensors: a call for each slice; each result stacked. Without
  /// any slice there is a call of zeros, so that the empty results have their shapes, and a
  /// history.
  template <typename Run>
  std::vector<at::Tensor> run_sliced(const Run& run) const {
    std::vector<std::vector<at::Tensor>> results;  // by result, then by slice
    const int64_t slices = empty() ? 1 : size_->guard_int(__FILE__, __LINE__);
    for (int64_t slice = 0; slice < slices; ++slice) {
      Operands own = operands_;
      own.replace([&](const at::Tensor& x) {
        if (x.sym_size(0) == 0) return zeros_for(x);
        return x.select(0, x.size(0) == 1 ? 0 : slice);
      });
      std::vector<at::Tensor> one = run(own.call(), own);
      results.resize(one.size());
      for (size_t i = 0; i < one.size(); ++i) results[i].push_back(std::move(one[i]));
    }
    std::vector<at::Tensor> stacked;
    stacked.reserve(results.size());
    for (const auto& result : results) {
      const at::Tensor all = at::stack(result);
      stacked.push_back(from_slice(empty() ? all.narrow(0, 0, 0) : all));
    }
    return stacked;
  }

  /// y: [S, ...].
  at::Tensor from_slice(const at::Tensor& y) const { return level_.wrap(y, 0); }

 private:
  /// Looks below all levels, since laying slices together copies them.
  void check_storages() const {
    Operands values = operands_;
    values.replace([&](const at::Tensor& tensor) { return level_.below_all(tensor); });
    if (!values.gradients) return check_storage(values.call());
    check_storage(values.call(), values.backward({}));
  }

  /// x: [0, ...] -> zeros [...], a function of it.
  static at::Tensor zeros_for(const at::Tensor& x) {
    return x.sum(0, /*keepdim=*/false, x.scalar_type());
  }

  const RnnArguments& args_;
  const Level& level_;
  std::optional<SymInt> size_;  // S
  Operands operands_;           // [S, ...], or [1, ...] where it is the same for all slices
};

}  // namespace

std::tuple<at::Tensor, at::Tensor, Saved> batched_forward(const RnnArguments& args, Keep keep,
                                                          const Level& level) {
  check_arguments(args);
  const BatchedCall batched(args, Operands(args), level);
  if (!batched.batched()) return call_rnn_forward(args, keep);
  if (batched.differs_by_slice()) {
    auto results = batched.run_sliced([&](const RnnArguments& call, const Operands&) {
      auto [output, h_n, saved] = call_rnn_forward(call, keep);
      return std::vector<at::Tensor>{output, h_n, saved.states, saved.masks, saved.drives};
    });
    return {results[0], results[1], {results[2], results[3], results[4]}};
  }
  const auto [output, h_n, saved] = batched.run_folded(
      [&](const RnnArguments& call, const Operands&) { return call_rnn_forward(call, keep); });
  return {batched.from_rows(output, Role::kSequence), batched.from_rows(h_n, Role::kState),
          Saved{batched.from_rows(saved.states, Role::kStored),
                batched.from_rows(saved.masks, Role::kStored),
                batched.from_rows(saved.drives, Role::kStored)}};
}

std::vector<at::Tensor> batched_backward(const RnnArguments& args, const BackwardArguments& grads,
                                         const Level& level) {
  check_backward_arguments(args, grads);
  const BatchedCall batched(args, Operands(args, grads), level);
  if (!batched.batched()) return call_rnn_backward(args, grads);
  const auto& mask = grads.output_mask;
  const auto run = [&](const RnnArguments& call, const Operands& operands) {
    return call_rnn_backward(call, operands.backward(mask));
  };
  // The gradients of what has no rows (parameters, leak) are sums over the rows, but only over
  // those of one slice.
  bool sums_rows = false;
  each_wanted(args, grads, [&](const at::Tensor&, Role role) {
    sums_rows = sums_rows || role == Role::kNoRows;
  });
  if (batched.differs_by_slice() || (sums_rows && !batched.single()))
    return batched.run_sliced(run);
  std::vector<at::Tensor> results = batched.run_folded(run);
  auto next = results.begin();
  each_wanted(args, grads, [&](const at::Tensor&, Role role) {
    *next = batched.from_rows(*next, role);
    ++next;
  });
  return results;
}

}  // namespace elman::functorch
