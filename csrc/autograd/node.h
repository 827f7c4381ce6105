#pragma once

#include <torch/csrc/autograd/edge.h>
#include <torch/csrc/autograd/function.h>

#include <memory>
#include <type_traits>
#include <utility>
#include <vector>

namespace elman {

/// Autograd's owning pointer to a node: std::shared_ptr up to some release, c10::intrusive_ptr
/// after it.
using NodePointer = decltype(torch::autograd::Edge::function);

template <typename N, typename... Arguments>
auto make_node(Arguments&&... arguments) {
  if constexpr (std::is_same_v<NodePointer, std::shared_ptr<torch::autograd::Node>>) {
    // deleteNode frees long chains of nodes without recursion. Unqualified, since releases with the
    // other pointer do not have it.
    return std::shared_ptr<N>(new N(std::forward<Arguments>(arguments)...),
                              [](N* node) { deleteNode(node); });
  } else {
    return c10::make_intrusive<N>(std::forward<Arguments>(arguments)...);
  }
}

/// Autograd calls a node with a gradient for each of its results; by hand (`grad_fn(...)`) it can
/// be called with any number.
inline void check_count(const torch::autograd::Node& node,
                        const torch::autograd::variable_list& grads) {
  TORCH_CHECK(grads.size() == node.num_inputs(), node.name(), " must be called with ",
              node.num_inputs(), " gradients, got ", grads.size());
}

/// Gradients of which only those that are wanted were made, as autograd has them: undefined where
/// none is.
inline torch::autograd::variable_list at_their_places(std::vector<at::Tensor> made,
                                                      const std::vector<bool>& wanted) {
  torch::autograd::variable_list result(wanted.size());
  auto next = made.begin();
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (wanted[i]) result[i] = std::move(*next++);
  }
  return result;
}

}  // namespace elman
