#include "dropout.h"

#include <ATen/Tensor.h>
#include <c10/core/ScalarType.h>

namespace elman {

at::Tensor draw_masks(const RnnArguments& args) {
  const auto dtype = args.input.scalar_type();
  // Complex numbers are dropped whole, with real masks (at::dropout has none for them).
  const auto options = args.input.options().dtype(c10::toRealValueType(dtype));
  const double keep = 1 - args.dropout;
  if (keep == 0) return args.input.new_zeros_symint(args.saved_sizes(), options).to(dtype);
  const at::Tensor masks = args.input.new_empty_symint(args.saved_sizes(), options);
  for (int64_t layer = 0; layer < args.num_layers - 1; ++layer) {
    masks.select(0, layer).bernoulli_(keep).div_(keep);
  }
  return masks.to(dtype);
}

}  // namespace elman
