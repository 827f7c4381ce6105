#include <c10/util/Exception.h>

#include "checks.h"
#include "checks/leak.h"
#include "checks/tensor.h"
#include "dense.h"
#include "owned_arguments.h"

// The checks of what tensors hold, for kernels that read it.

namespace elman {
namespace {

void check_named(const std::optional<at::Tensor>& tensor, const char* name) {
  if (tensor) check_allocated(*tensor, [&] { return name; });
}

}  // namespace

void check_batch_sizes(const RnnArguments& args) {
  if (!args.packed()) return;
  check_named(args.batch_sizes, "batch_sizes");  // kernel_info looks at nothing else
  const at::Tensor sizes = dense(*args.batch_sizes);
  const int64_t* size = sizes.const_data_ptr<int64_t>();
  const int64_t expected = args.input.size(0);
  uint64_t total = 0;
  for (int64_t t = 0; t < sizes.numel(); ++t) {
    TORCH_CHECK(size[t] > 0 && (t == 0 || size[t] <= size[t - 1]),
                "batch_sizes must be positive and must not increase, got ",
                t == 0 ? 0 : size[t - 1], " then ", size[t], " at step ", t);
    total += static_cast<uint64_t>(size[t]);
    TORCH_CHECK(total <= INT64_MAX, "batch_sizes must sum to input.size(0), expected ", expected,
                ", got more than 2^63");
  }
  TORCH_CHECK(static_cast<int64_t>(total) == expected,
              "batch_sizes must sum to input.size(0), expected ", expected, ", got ", total);
  TORCH_CHECK(!args.hx || args.hx->size(1) == size[0], "Expected hidden size (",
              args.num_layers * args.num_directions(), ", ", size[0], ", ", args.params[1].size(1),
              "), got ", args.hx ? shape_of(*args.hx) : "none");
}

void check_storage(const RnnArguments& args) {
  OwnedArguments::each_tensor(args, [&](const auto& tensor, const char* name, Role) {
    const at::Tensor* const given = get_or_null(tensor);
    if (given == nullptr) return;
    check_allocated(*given, [&] {
      return name == OwnedArguments::kParams ? param_name(args, given - args.params.data()) : name;
    });
  });
}

void check_storage(const RnnArguments& args, const BackwardArguments& grads) {
  check_storage(args);
  check_named(grads.grad_output, "grad_output");
  check_named(grads.grad_h_n, "grad_h_n");
  check_named(grads.output, "output");
  check_named(grads.saved.states, "states");
  check_named(grads.saved.masks, "saved_masks");
  check_named(grads.saved.drives, "drives");
}

void check_data(const RnnArguments& args) {
  check_storage(args);
  check_batch_sizes(args);
  check_leak_values(args);
}

void check_data(const RnnArguments& args, const BackwardArguments& grads) {
  check_storage(args, grads);
  check_batch_sizes(args);
  check_leak_values(args);
  if (!args.packed() || !grads.grad_h_n) return;
  const auto batch = args.batch_sizes->select(0, 0).item<int64_t>();
  TORCH_CHECK(grads.grad_h_n->size(1) == batch, "grad_h_n must have shape [",
              grads.grad_h_n->size(0), ", ", batch, ", ", grads.grad_h_n->size(2), "], got ",
              shape_of(*grads.grad_h_n));
}

}  // namespace elman
