#include "autocast/rnn.h"

#include <ATen/autocast_mode.h>
#include <elman/functional.h>
#include <torch/library.h>

#include "checks.h"
#include "ops/operators.h"
#include "ops/signatures.h"

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
    const at::Tensor input = cast(args.input);
    const std::optional<at::Tensor> hx = cast(args.hx);
    std::vector<at::Tensor> params;
    params.reserve(args.params.size());
    for (const at::Tensor& param : args.params) params.push_back(cast(param));
    if (!params.empty()) check_one_dtype(input, params[0]);
    return call_rnn({input, hx, params, args.has_biases, args.num_layers, args.dropout, args.train,
                     args.bidirectional, args.batch_first, args.nonlinearity, args.k1, args.k2,
                     args.batch_sizes, args.reset, args.carry_scale});
  }

  static at::Tensor rnn_cell(const at::Tensor& input, const std::optional<at::Tensor>& hx,
                             const at::Tensor& w_ih, const at::Tensor& w_hh,
                             const std::optional<at::Tensor>& b_ih,
                             const std::optional<at::Tensor>& b_hh, std::string_view nonlinearity) {
    c10::impl::ExcludeDispatchKeyGuard no_autocast(key);
    return elman::rnn_cell(cast(input), cast(hx), cast(w_ih), cast(w_hh), cast(b_ih), cast(b_hh),
                           nonlinearity);
  }

  static void register_kernels(torch::Library& m) {
    m.impl("rnn", RnnKernel<rnn>::rnn);
    m.impl("rnn.data", RnnKernel<rnn>::data);
    m.impl("rnn_cell", rnn_cell);
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

at::Tensor autocast_rnn_cell(const at::Tensor& input, const std::optional<at::Tensor>& hx,
                             const at::Tensor& w_ih, const at::Tensor& w_hh,
                             const std::optional<at::Tensor>& b_ih,
                             const std::optional<at::Tensor>& b_hh, std::string_view nonlinearity) {
  return input.is_cpu() ? OnCpu::rnn_cell(input, hx, w_ih, w_hh, b_ih, b_hh, nonlinearity)
                        : OnCuda::rnn_cell(input, hx, w_ih, w_hh, b_ih, b_hh, nonlinearity);
}

TORCH_LIBRARY_IMPL(elman, AutocastCPU, m) { OnCpu::register_kernels(m); }
TORCH_LIBRARY_IMPL(elman, AutocastCUDA, m) { OnCuda::register_kernels(m); }

}  // namespace elman
