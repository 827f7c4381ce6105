#include <ATen/autocast_mode.h>
#include <elman/functional.h>
#include <torch/library.h>

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

  static std::tuple<at::Tensor, at::Tensor> rnn(const RnnArguments& args) {
    c10::impl::ExcludeDispatchKeyGuard no_autocast(key);
    const at::Tensor input = cast(args.input);
    const std::optional<at::Tensor> hx = cast(args.hx);
    std::vector<at::Tensor> params;
    params.reserve(args.params.size());
    for (const at::Tensor& param : args.params) params.push_back(cast(param));
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

}  // namespace

TORCH_LIBRARY_IMPL(elman, AutocastCPU, m) {
  Autocast<c10::DispatchKey::AutocastCPU, c10::DeviceType::CPU>::register_kernels(m);
}
TORCH_LIBRARY_IMPL(elman, AutocastCUDA, m) {
  Autocast<c10::DispatchKey::AutocastCUDA, c10::DeviceType::CUDA>::register_kernels(m);
}

}  // namespace elman
