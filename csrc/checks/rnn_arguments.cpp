#include <c10/core/SymInt.h>
#include <c10/util/Exception.h>
#include <c10/util/safe_numerics.h>

#include <iterator>
#include <string>

#include "checks.h"
#include "checks/leak.h"
#include "checks/tensor.h"

namespace elman {
namespace {

void check_params(const RnnArguments& args) {
  TORCH_CHECK_VALUE(args.num_layers > 0, "num_layers must be greater than zero, got ",
                    args.num_layers);
  uint64_t expected = 0;
  const bool overflows = c10::mul_overflows(
      static_cast<uint64_t>(args.num_layers),
      static_cast<uint64_t>(args.num_directions() * args.params_per_cell()), &expected);
  TORCH_CHECK(!overflows && args.params.size() == expected, "params must hold ",
              overflows ? "more than 2^64" : std::to_string(expected), " tensors (",
              args.params_per_cell(), " for each of ", args.num_layers, " layers in ",
              args.num_directions(), " directions), got ", args.params.size());
  const int64_t cells = args.num_layers * args.num_directions();
  for (int64_t i = 0; i < static_cast<int64_t>(args.params.size()); ++i) {
    const at::Tensor& param = args.params[i];
    const auto name = [&] { return param_name(args, i); };
    check_dense(param, name);
    const auto message = [&] {
      return c10::str("RNN input dtype (", args.input.scalar_type(), ") does not match ", name(),
                      " dtype (", param.scalar_type(), ")");
    };
    const bool same = param.scalar_type() == args.input.scalar_type();
    // Torch's modules compare the input with the first weight, and find the others later.
    TORCH_CHECK_VALUE(same || i > 0, message());
    TORCH_CHECK(same, message());
    check_device(args.input, param, "parameter", name);
  }
  TORCH_CHECK(args.params[0].dim() == 2 && args.params[1].dim() == 2,
              "weight_ih_l0 and weight_hh_l0 must have 2 dimensions, got ", args.params[0].dim(),
              " and ", args.params[1].dim());
  const c10::SymInt hidden = args.params[1].sym_size(1);
  TORCH_CHECK(args.params[1].sym_size(0) == hidden,
              "weight_hh_l0 must have shape [hidden_size, hidden_size], got ",
              shape_of(args.params[1]));
  TORCH_CHECK(hidden > 0, "weight_hh_l0 must not be empty, got shape ", shape_of(args.params[1]));
  for (int64_t cell = 0; cell < cells; ++cell) {
    const int64_t i = cell * args.params_per_cell();
    const c10::SymInt columns =
        cell < args.num_directions() ? args.params[0].sym_size(1) : hidden * args.num_directions();
    check_matrix(args.params[i], hidden, columns, [&] { return param_name(args, i); });
    check_matrix(args.params[i + 1], hidden, hidden, [&] { return param_name(args, i + 1); });
    for (int64_t b = i + 2; b < i + args.params_per_cell(); ++b) {
      check_vector(args.params[b], hidden, [&] { return param_name(args, b); });
    }
  }
}

void check_input(const RnnArguments& args) {
  const at::Tensor& input = args.input;
  if (args.packed()) {
    TORCH_CHECK(!args.batch_first,
                "batch_first is not defined for packed input, expected False with batch_sizes, got "
                "True");
    TORCH_CHECK(input.dim() == 2, "input must have 2 dimensions, got ", input.dim());
    const at::Tensor& batch_sizes = *args.batch_sizes;
    check_dense(batch_sizes, [] { return "batch_sizes"; });
    // On the meta device (where compilers trace) nothing has values, batch_sizes included.
    TORCH_CHECK(batch_sizes.dim() == 1 && batch_sizes.scalar_type() == at::kLong &&
                    (batch_sizes.is_cpu() || (batch_sizes.is_meta() && input.is_meta())),
                "batch_sizes must be a 1-D int64 tensor on the CPU, got shape ",
                shape_of(batch_sizes), ", dtype ", batch_sizes.scalar_type(), ", device ",
                batch_sizes.device());
    TORCH_CHECK(batch_sizes.sym_size(0) > 0, "batch_sizes must not be empty");
  } else {
    TORCH_CHECK_VALUE(input.dim() == 2 || input.dim() == 3,
                      "RNN: Expected input to be 2D or 3D, got ", input.dim(), "D tensor instead");
    const int64_t step_dim = args.batched() && args.batch_first ? 1 : 0;
    TORCH_CHECK(input.sym_size(step_dim) > 0,
                "Expected sequence length to be larger than 0 in RNN");
  }
  const c10::SymInt expected = args.params[0].sym_size(1);
  TORCH_CHECK(input.sym_size(-1) == expected,
              "input.size(-1) must be equal to input_size. Expected ", expected, ", got ",
              input.sym_size(-1));
}

void check_hx_dtype(const RnnArguments& args) {
  check_product_dtype(*args.hx, args.params[1], args.input.scalar_type(), [] { return "hx"; });
}

void check_hx(const RnnArguments& args) {
  if (!args.hx) return;
  const at::Tensor& hx = *args.hx;
  const auto name = [] { return "hx"; };
  check_dense(hx, name);
  check_device(args.input, hx, "hidden", name);
  const int64_t cells = args.num_layers * args.num_directions();
  const c10::SymInt hidden = args.params[1].sym_size(1);
  if (!args.batched()) {
    TORCH_CHECK(hx.dim() == 2, "For unbatched 2-D input, hx should also be 2-D but got ", hx.dim(),
                "-D tensor");
    TORCH_CHECK(hx.sym_size(0) == cells && hx.sym_size(1) == hidden, "Expected hidden size [",
                cells, ", ", hidden, "], got ", shape_of(hx));
    check_hx_dtype(args);
    return;
  }
  TORCH_CHECK(hx.dim() == 3, "For batched 3-D input, hx should also be 3-D but got ", hx.dim(),
              "-D tensor");
  // How many rows packed input has is a value (of batch_sizes), not a shape: see check_batch_sizes.
  const c10::SymInt batch =
      args.packed() ? hx.sym_size(1) : args.input.sym_size(args.batch_first ? 0 : 1);
  TORCH_CHECK(hx.sym_size(0) == cells && hx.sym_size(1) == batch && hx.sym_size(2) == hidden,
              "Expected hidden size (", cells, ", ", batch, ", ", hidden, "), got ", shape_of(hx));
  check_hx_dtype(args);
}

void check_truncation(const RnnArguments& args) {
  const int64_t k1 = args.k1;
  const int64_t k2 = args.k2;
  if (k1 == 0 && k2 == 0) return;
  TORCH_CHECK_VALUE(k1 >= 1, "k1 must be at least 1 (or k1 = k2 = 0 for full BPTT), got k1 = ", k1,
                    ", k2 = ", k2);
  TORCH_CHECK_VALUE(k2 >= k1, "k2 must be at least k1, got k1 = ", k1, ", k2 = ", k2);
  TORCH_CHECK_VALUE(!args.bidirectional || k1 == k2,
                    "k1 < k2 is not defined for a bidirectional network, which has no online "
                    "order; expected k1 = k2, got k1 = ",
                    k1, ", k2 = ", k2);
}

/// `reset` and `carry_scale` hold one value for each step of each row: the input's shape without
/// its last dimension.
bool has_step_shape(const RnnArguments& args, const at::Tensor& tensor) {
  return tensor.sym_sizes() == args.input.sym_sizes().slice(0, args.input.dim() - 1);
}

void check_reset(const RnnArguments& args) {
  if (!args.reset) return;
  const at::Tensor& reset = *args.reset;
  TORCH_CHECK(!args.packed(), "reset is not supported with packed input, got a tensor of shape ",
              shape_of(reset));
  check_dense(reset, [] { return "reset"; });
  TORCH_CHECK(reset.scalar_type() == at::kBool, "reset must be a bool tensor, got ",
              reset.scalar_type());
  TORCH_CHECK(reset.device() == args.input.device(), "reset must be on the input's device ",
              args.input.device(), ", got ", reset.device());
  TORCH_CHECK(has_step_shape(args, reset), "reset must have the input's shape ",
              shape_of(args.input), " without its last dimension, got ", shape_of(reset));
}

void check_carry_scale(const RnnArguments& args) {
  if (!args.carry_scale) return;
  const at::Tensor& scale = *args.carry_scale;
  TORCH_CHECK(!args.packed(),
              "carry_scale is not supported with packed input, got a tensor of shape ",
              shape_of(scale));
  TORCH_CHECK(!args.bidirectional,
              "carry_scale is not defined for a bidirectional network: in a stack, a path of the "
              "gradient would cross a scaled border twice");
  check_dense(scale, [] { return "carry_scale"; });
  TORCH_CHECK(at::isFloatingType(scale.scalar_type()),
              "carry_scale must be a floating point tensor, got ", scale.scalar_type());
  TORCH_CHECK(!scale.requires_grad(),
              "carry_scale is never differentiated: expected requires_grad=False, got True");
  TORCH_CHECK(scale.device() == args.input.device(), "carry_scale must be on the input's device ",
              args.input.device(), ", got ", scale.device());
  const int64_t step_dim = args.batched() && args.batch_first ? 1 : 0;
  TORCH_CHECK(has_step_shape(args, scale) ||
                  (scale.dim() == 1 && scale.sym_size(0) == args.input.sym_size(step_dim)),
              "carry_scale must have the input's shape ", shape_of(args.input),
              " without its last dimension, or one value for each step, got ", shape_of(scale));
}

void check_masks(const RnnArguments& args) {
  if (!args.masks) return;
  const at::Tensor& masks = *args.masks;
  check_like_input(args.input, masks, [] { return "masks"; });
  TORCH_CHECK(masks.sym_sizes() == args.saved_sizes(), "masks must have shape ",
              c10::SymIntArrayRef(args.saved_sizes()), ", got ", shape_of(masks));
}

/// "'tanh', 'relu' or 'sigmoid'", and so on for all that there are.
std::string names_of_activations() {
  std::string names;
  for (const ActivationInfo& info : kActivations) {
    const bool first = &info == std::begin(kActivations);
    const bool last = &info + 1 == std::end(kActivations);
    names += c10::str(first ? "" : last ? " or " : ", ", "'", info.name, "'");
  }
  return names;
}

}  // namespace

std::string param_name(const RnnArguments& args, int64_t index) {
  static constexpr const char* kNames[] = {"weight_ih", "weight_hh", "bias_ih", "bias_hh"};
  const int64_t cell = index / args.params_per_cell();
  std::string name = kNames[index % args.params_per_cell()];
  name += "_l" + std::to_string(cell / args.num_directions());
  if (cell % args.num_directions() == 1) name += "_reverse";
  return name;
}

Activation parse_nonlinearity(std::string_view nonlinearity) {
  for (const ActivationInfo& info : kActivations) {
    if (nonlinearity == info.name) return info.activation;
  }
  TORCH_CHECK_VALUE(false, "Unknown nonlinearity '", nonlinearity, "'. Select from ",
                    names_of_activations(), ".");
}

void check_arguments(const RnnArguments& args) {
  check_dense(args.input, [] { return "input"; });
  check_dtype(args.input, parse_nonlinearity(args.nonlinearity));
  TORCH_CHECK_VALUE(args.dropout >= 0 && args.dropout <= 1,
                    "dropout should be a number in range [0, 1] representing the probability of "
                    "an element being zeroed, got ",
                    args.dropout);
  check_params(args);
  check_input(args);
  check_hx(args);
  check_truncation(args);
  check_reset(args);
  check_carry_scale(args);
  check_masks(args);
  check_leaky_arguments(args);
}

}  // namespace elman
