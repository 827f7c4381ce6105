#include <ATen/autocast_mode.h>
#include <torch/library.h>

#include <string_view>
#include <type_traits>

#include "autocast/rnn.h"
#include "checks.h"
#include "dispatch/operators.h"
#include "dispatch/signatures.h"
#include "owned_arguments.h"

// Under autocast the operators run in autocast's lower precision, as torch's own recurrent
// operators do. Parameters are cast through autocast's cache, once for all calls of a region.
// float64 is left alone.

namespace elman {
namespace {

template <c10::DispatchKey key, c10::DeviceType device>
struct Autocast {
  template <typename Argument>
  static Argument cast(const Argument& argument) {
    const auto dtype = at::autocast::get_lower_precision_fp_from_device_type(device);
    return at::autocast::cached_cast(dtype, argument, device);
  }

  /// Whether an argument is the call's `leak`, which is not cast: the kernels take it in the type
  /// that they compute in.
  template <typename Argument>
  static bool is_leak(const Argument& argument, const std::optional<at::Tensor>& leak) {
    return static_cast<const void*>(&argument) == &leak;
  }

  /// A mixture that the casts leave, float64 with something else, is refused in the words of
  /// torch's products, as the cell's own check does.
  static void check_one_dtype(const at::Tensor& input, const at::Tensor& weight) {
    TORCH_CHECK(input.scalar_type() == weight.scalar_type(),
                "mat1 and mat2 must have the same dtype, but got ", input.scalar_type(), " and ",
                weight.scalar_type());
  }

  static std::tuple<at::Tensor, at::Tensor> rnn(const RnnArguments& args) {
    check_storage(args);  // the casts read the tensors
    c10::impl::ExcludeDispatchKeyGuard no_autocast(key);
    OwnedArguments own(args);
    OwnedArguments::each_with_gradient(own, [&](auto& tensor, const char*, Role) {
      if (!is_leak(tensor, own.leak)) tensor = cast(tensor);
    });
    if (!own.params.empty()) check_one_dtype(own.input, own.params[0]);
    return call_rnn(own.view());
  }

  static at::Tensor rnn_cell(const CellArguments& args) {
    c10::impl::ExcludeDispatchKeyGuard no_autocast(key);
    const auto cast_member = [&](const auto& member) {
      using Member = std::decay_t<decltype(member)>;
      if constexpr (std::is_same_v<Member, std::string_view>) {
        return member;
      } else {
        return is_leak(member, args.leak) ? member : cast(member);
      }
    };
    return args.members(
        [&](const auto&... members) { return call_rnn_cell({cast_member(members)...}); });
  }

  static void register_kernels(torch::Library& m) {
    m.impl("rnn", Padded<RnnResult>::kernel<rnn>);
    m.impl("rnn.data", Packed<RnnResult>::kernel<rnn>);
    m.impl("rnn_cell", RnnCell::kernel<rnn_cell>);
  }
};

using OnCpu = Autocast<c10::DispatchKey::AutocastCPU, c10::DeviceType::CPU>;
using OnCuda = Autocast<c10::DispatchKey::AutocastCUDA, c10::DeviceType::CUDA>;

bool is_on(c10::DispatchKey key) { return !c10::impl::tls_is_dispatch_key_excluded(key); }

}  // namespace

bool autocast_is_on(const at::Tensor& input) {
  return (input.is_cpu() && is_on(c10::DispatchKey::AutocastCPU)) ||
         (input.is_cuda() && is_on(c10::DispatchKey::AutocastCUDA));
}

std::tuple<at::Tensor, at::Tensor> autocast_rnn(const RnnArguments& args) {
  return args.input.is_cpu() ? OnCpu::rnn(args) : OnCuda::rnn(args);
}

at::Tensor autocast_rnn_cell(const CellArguments& args) {
  return args.input.is_cpu() ? OnCpu::rnn_cell(args) : OnCuda::rnn_cell(args);
}

TORCH_LIBRARY_IMPL(elman, AutocastCPU, m) { OnCpu::register_kernels(m); }
TORCH_LIBRARY_IMPL(elman, AutocastCUDA, m) { OnCuda::register_kernels(m); }

}  // namespace elman
