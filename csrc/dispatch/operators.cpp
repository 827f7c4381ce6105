#include "dispatch/operators.h"

#include "dispatch/signatures.h"

namespace elman {

std::tuple<at::Tensor, at::Tensor, Saved> call_rnn_forward(const RnnArguments& args, Keep keep) {
  static const auto op = find_operator<Internal::Forward>("elman::_rnn_forward");
  auto [output, h_n, states, masks, drives] = args.members(
      [&](const auto&... members) { return op.call(members..., keep.states, keep.drives); });
  return {std::move(output), std::move(h_n),
          Saved{std::move(states), std::move(masks), std::move(drives)}};
}

std::vector<at::Tensor> call_rnn_backward(const RnnArguments& args, const BackwardArguments& g) {
  static const auto op = find_operator<Internal::Backward>("elman::_rnn_backward");
  c10::List<bool> mask;
  mask.reserve(g.output_mask.size());
  for (const bool wanted : g.output_mask) mask.push_back(wanted);
  return args.members([&](const auto&... members) {
    return op.call(g.grad_output, g.grad_h_n, g.output, g.saved.states, g.saved.masks,
                   g.saved.drives, members..., mask);
  });
}

std::tuple<at::Tensor, at::Tensor> call_rnn(const RnnArguments& args) {
  static const auto padded = find_operator<Padded<RnnResult>::Signature>("elman::rnn");
  static const auto packed = find_operator<Packed<RnnResult>::Signature>("elman::rnn", "data");
  return args.packed() ? Packed<RnnResult>::call(packed, args)
                       : Padded<RnnResult>::call(padded, args);
}

std::string call_kernel_info(const RnnArguments& args) {
  static const auto padded = find_operator<Padded<std::string>::Signature>("elman::kernel_info");
  static const auto packed =
      find_operator<Packed<std::string>::Signature>("elman::kernel_info", "data");
  return args.packed() ? Packed<std::string>::call(packed, args)
                       : Padded<std::string>::call(padded, args);
}

at::Tensor call_rnn_cell(const CellArguments& args) {
  static const auto op = find_operator<RnnCell::Signature>("elman::rnn_cell");
  return args.members([&](const auto&... members) { return op.call(members...); });
}

}  // namespace elman
