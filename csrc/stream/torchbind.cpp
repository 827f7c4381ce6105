#include <c10/util/intrusive_ptr.h>
#include <elman/adaptive_truncation.h>
#include <torch/custom_class.h>
#include <torch/library.h>

#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "as_optional.h"
#include "stream/stream_engine.h"

// The truncation engine's objects with a memory, as custom classes of torch: torch.classes.elman.*
// in Python and TorchScript, without Python's headers here.

namespace elman {
namespace {

struct StreamClass final : torch::CustomClassHolder {
  StreamClass(int64_t k1, int64_t k2) : engine(k1, k2) {}
  StreamEngine engine;
};

using StreamPointer = c10::intrusive_ptr<StreamClass>;

at::Tensor forward(const StreamPointer& self, const at::Tensor& input,
                   const std::vector<at::Tensor>& params, bool has_biases, int64_t num_layers,
                   double dropout, bool train, bool batch_first, const std::string& nonlinearity,
                   const std::optional<at::Tensor>& reset,
                   const std::optional<at::Tensor>& carry_scale,
                   const std::optional<at::Tensor>& leak, const std::string& leak_form,
                   const std::optional<at::Tensor>& preactivation) {
  return self->engine.forward(
      {input, reset, carry_scale, preactivation},
      {params, has_biases, num_layers, dropout, train, batch_first, nonlinearity, leak, leak_form});
}

std::optional<at::Tensor> state(const StreamPointer& self) {
  return detail::as_optional(self->engine.state());
}

c10::Dict<std::string, at::Tensor> state_dict(const StreamPointer& self) {
  c10::Dict<std::string, at::Tensor> result;
  for (const auto& [name, tensor] : self->engine.save()) result.insert(name, tensor);
  return result;
}

void load_state_dict(const StreamPointer& self, const c10::Dict<std::string, at::Tensor>& dict) {
  std::map<std::string, at::Tensor> from;
  for (const auto& item : dict) from.emplace(item.key(), item.value());
  self->engine.load(from);
}

struct AdaptiveTruncationClass final : torch::CustomClassHolder {
  AdaptiveTruncationClass(double tolerance, int64_t max_length, double hysteresis)
      : impl(tolerance, max_length, hysteresis) {}
  AdaptiveTruncation impl;
};

using AdaptiveTruncationPointer = c10::intrusive_ptr<AdaptiveTruncationClass>;

std::tuple<double, at::Tensor> gradient_decay(const at::Tensor& norms) {
  auto [rate, relative_bias] = estimate_decay(norms);
  return {rate, std::move(relative_bias)};
}

}  // namespace

TORCH_LIBRARY_FRAGMENT(elman, m) {
  m.class_<StreamClass>("Stream")
      .def(torch::init<int64_t, int64_t>())
      .def("forward", forward)
      .def("reset", [](const StreamPointer& self) { self->engine.reset(); })
      .def("detach", [](const StreamPointer& self) { self->engine.detach(); })
      .def("state", state)
      .def("set_state",
           [](const StreamPointer& self, const at::Tensor& state,
              const std::optional<at::Tensor>& rows) { self->engine.set_state(state, rows); })
      .def("state_dict", state_dict)
      .def("load_state_dict", load_state_dict);
  m.class_<AdaptiveTruncationClass>("AdaptiveTruncation")
      .def(torch::init<double, int64_t, double>())
      .def("update", [](const AdaptiveTruncationPointer& self,
                        const at::Tensor& norms) { return self->impl.update(norms); })
      .def("length", [](const AdaptiveTruncationPointer& self) { return self->impl.length(); })
      .def("proposal", [](const AdaptiveTruncationPointer& self) { return self->impl.proposal(); })
      .def("set_proposal", [](const AdaptiveTruncationPointer& self,
                              std::optional<int64_t> length) { self->impl.set_proposal(length); });
}

TORCH_LIBRARY_IMPL(elman, CompositeExplicitAutograd, m) {
  m.impl("_gradient_decay", gradient_decay);
}

}  // namespace elman
