#include "stream/gradient.h"

#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/function.h>
#include <torch/csrc/autograd/functions/basic_ops.h>
#include <torch/csrc/autograd/functions/utils.h>
#include <torch/csrc/autograd/saved_variable.h>

#include <string>
#include <vector>

#include "autograd/node.h"
#include "ops/operators.h"
#include "stream/layout.h"

namespace elman {
namespace {

using torch::autograd::Node;
using torch::autograd::variable_list;

/// The node of one chunk of a stream. It keeps plain tensors and not SavedVariables, whose check of
/// versions would refuse what a stream is for: the optimizer changes the weights in place between a
/// step's forward pass and the last backward pass that goes through it, and the Jacobians are those
/// of the weights as they are. The stretch is in the stream's own buffers, which nobody else
/// writes.
struct ElmanStreamBackward final : Node {
  Stretch stretch;
  std::vector<at::Tensor> params;
  std::string nonlinearity;
  bool has_biases, batched, batch_first;
  int64_t num_layers, count;

  std::string name() const override { return "ElmanStreamBackward"; }

  variable_list apply(variable_list&& grads) override {
    variable_list result(num_outputs());
    if (!grads[0].defined()) return result;
    TORCH_CHECK(!params.empty(), torch::autograd::ERR_BACKWARD_TWICE);
    std::vector<bool> mask{task_should_compute_output(0), /*hx=*/false};
    for (size_t i = 1; i < num_outputs(); ++i) mask.push_back(task_should_compute_output(i));
    std::vector<at::Tensor> wanted;
    {
      const at::AutoDispatchBelowADInplaceOrView guard;
      wanted = compute(grads[0], mask);
    }
    auto next = wanted.begin();
    for (size_t i = 0; i < num_outputs(); ++i) {
      if (task_should_compute_output(i)) result[i] = std::move(*next++);
    }
    if (c10::GradMode::is_enabled()) refuse_double_backward(result);
    return result;
  }

  std::vector<at::Tensor> compute(const at::Tensor& grad, const std::vector<bool>& mask) const {
    const int64_t steps = stretch.output.size(0);
    // The chunk owns its own outputs' losses; those before it have been propagated by then.
    const auto grad_output = at::zeros_like(stretch.output);
    grad_output.narrow(0, steps - count, count)
        .copy_(chunk_from_caller(grad, batched, batch_first));
    auto wanted = call_rnn_backward(
        {stretch.input, stretch.before, params, has_biases, num_layers, /*dropout=*/0,
         /*train=*/false, /*bidirectional=*/false, /*batch_first=*/false, nonlinearity, /*k1=*/0,
         /*k2=*/0, std::nullopt, stretch.reset, stretch.carry_scale},
        {grad_output, std::nullopt, stretch.output, Saved{stretch.states, stretch.masks}, mask});
    if (mask[0]) {
      wanted[0] = chunk_to_caller(wanted[0].narrow(0, steps - count, count), batched, batch_first);
    }
    return wanted;
  }

  /// Under create_graph: derivatives of the gradient would have to go through states that older
  /// weights made.
  void refuse_double_backward(variable_list& gradients) {
    const auto error = make_node<torch::autograd::Error>(
        "elman::Stream: double backward is not supported: its gradient is made of states that "
        "older weights made. Use elman::RNN with truncation for derivatives of higher order",
        torch::autograd::edge_list(next_edges()));
    for (const at::Tensor& gradient : gradients) {
      if (gradient.defined()) torch::autograd::set_history(gradient, error);
    }
  }

  void release_variables() override {
    stretch = {};
    params.clear();
  }
};

}  // namespace

bool records_gradient(const at::Tensor& input, at::TensorList params) {
  return torch::autograd::compute_requires_grad(input, params);
}

void record_gradient(const at::Tensor& output, const at::Tensor& input, const StreamModule& module,
                     const Stretch& stretch, int64_t count) {
  const auto node = make_node<ElmanStreamBackward>();
  node->set_next_edges(torch::autograd::collect_next_edges(input, module.params));
  node->stretch = stretch;
  node->params = module.params.vec();
  node->nonlinearity = module.nonlinearity;
  node->has_biases = module.has_biases;
  node->batched = input.dim() == 3;
  node->batch_first = module.batch_first;
  node->num_layers = module.num_layers;
  node->count = count;
  torch::autograd::set_history(output, node);
}

}  // namespace elman
