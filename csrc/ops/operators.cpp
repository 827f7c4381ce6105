#include "ops/operators.h"

#include <ATen/core/dispatch/Dispatcher.h>
#include <elman/functional.h>

#include "ops/signatures.h"

namespace elman {
namespace {

template <typename Signature>
c10::TypedOperatorHandle<Signature> find(const char* name) {
  return c10::Dispatcher::singleton().findSchemaOrThrow(name, "").typed<Signature>();
}

}  // namespace

std::tuple<at::Tensor, at::Tensor, Saved> call_rnn_forward(const RnnArguments& a,
                                                           bool save_states) {
  static const auto op = find<RnnForwardSignature>("elman::_rnn_forward");
  auto [output, h_n, states, masks] =
      op.call(a.input, a.hx, a.params, a.has_biases, a.num_layers, a.dropout, a.train,
              a.bidirectional, a.batch_first, a.nonlinearity, a.k1, a.k2, a.batch_sizes, a.reset,
              a.carry_scale, a.masks, save_states);
  return {std::move(output), std::move(h_n), Saved{std::move(states), std::move(masks)}};
}

std::vector<at::Tensor> call_rnn_backward(const RnnArguments& a, const BackwardArguments& g) {
  static const auto op = find<RnnBackwardSignature>("elman::_rnn_backward");
  c10::List<bool> mask;
  mask.reserve(g.output_mask.size());
  for (const bool wanted : g.output_mask) mask.push_back(wanted);
  return op.call(g.grad_output, g.grad_h_n, g.output, g.saved.states, g.saved.masks, a.input, a.hx,
                 a.params, a.has_biases, a.num_layers, a.bidirectional, a.batch_first,
                 a.nonlinearity, a.k1, a.k2, a.batch_sizes, a.reset, a.carry_scale, mask);
}

std::tuple<at::Tensor, at::Tensor> call_rnn(const RnnArguments& a) {
  if (a.packed())
    return rnn(a.input, *a.batch_sizes, a.hx, a.params, a.has_biases, a.num_layers, a.dropout,
               a.train, a.bidirectional, a.nonlinearity, a.k1, a.k2);
  return rnn(a.input, a.hx, a.params, a.has_biases, a.num_layers, a.dropout, a.train,
             a.bidirectional, a.batch_first, a.nonlinearity, a.k1, a.k2, a.reset, a.carry_scale);
}

}  // namespace elman
