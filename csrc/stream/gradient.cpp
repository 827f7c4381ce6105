#include "stream/gradient.h"

#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/functions/basic_ops.h>
#include <torch/csrc/autograd/functions/utils.h>

#include <string>
#include <vector>

#include "autograd/compilable_node.h"
#include "autograd/node.h"
#include "caller_layout.h"
#include "checks/tensor.h"
#include "dispatch/operators.h"

namespace elman {
namespace {

using torch::autograd::variable_list;

/// The node of one chunk of a stream. It keeps plain tensors and not SavedVariables, whose check of
/// versions would refuse what a stream is for: the optimizer changes the weights in place between a
/// step's forward pass and the last backward pass that goes through it, and the Jacobians are those
/// of the weights as they are. The stretch is in the stream's own buffers, which nobody else
/// writes.
struct ElmanStreamBackward final : CompilableNode<ElmanStreamBackward> {
  static constexpr bool traceable = true;

  struct Values {
    Stretch stretch;
    std::vector<at::Tensor> params;
    std::optional<at::Tensor> leak;
    std::string nonlinearity, leak_form;
    bool has_biases = false, batched = false, batch_first = false;
    bool has_preactivation = false, preactivation_by_layer = false;
    int64_t num_layers = 0, count = 0;

    template <typename Visit>
    void each(const Visit& visit) {
      each_tensor(*this, visit);
      each_constant(*this, visit);
    }
    template <typename Self, typename Visit>
    static void each_tensor(Self& self, const Visit& visit) {
      auto& s = self.stretch;
      for (auto* tensor : {&s.input, &s.before, &s.output, &s.states, &s.masks, &s.drives})
        visit(*tensor);
      visit(s.reset);
      visit(s.carry_scale);
      visit(self.leak);
      visit(self.params);
    }
    template <typename Self, typename Visit>
    static void each_constant(Self& self, const Visit& visit) {
      for (auto* name : {&self.nonlinearity, &self.leak_form}) visit(*name);
      for (auto* flag : {&self.has_biases, &self.batched, &self.batch_first,
                         &self.has_preactivation, &self.preactivation_by_layer})
        visit(*flag);
      for (auto* number : {&self.num_layers, &self.count}) visit(*number);
    }

    variable_list run(const variable_list& grads, const std::vector<bool>& wanted) const {
      if (!grads[0].defined()) return variable_list(wanted.size());
      check_gradient(grads[0]);
      const at::AutoDispatchBelowADInplaceOrView guard;
      return at_their_places(compute(grads[0], wanted), wanted);
    }

    /// What autograd hands on has been checked; who calls a node may hand it anything.
    void check_gradient(const at::Tensor& grad) const {
      check_like_input(stretch.output, grad, [] { return "grad_output"; });
      const c10::SymInt batch = stretch.output.sym_size(1);
      std::vector<c10::SymInt> expected{count, stretch.output.sym_size(2)};
      if (batched) expected.insert(expected.begin() + (batch_first ? 0 : 1), batch);
      TORCH_CHECK(grad.sym_sizes() == c10::SymIntArrayRef(expected), "grad_output must have shape ",
                  c10::SymIntArrayRef(expected), ", got ", grad.sym_sizes());
    }

    std::vector<at::Tensor> compute(const at::Tensor& grad, const std::vector<bool>& wanted) const {
      const CallerLayout layout(batched, batch_first);
      const c10::SymInt first = stretch.output.sym_size(0) - count;
      // The chunk owns its own outputs' losses; those before it have been propagated by then.
      const auto grad_output = at::zeros_like(stretch.output);
      grad_output.narrow_symint(0, first, count).copy_(layout.to_time_major(grad));
      const std::optional<at::Tensor> before = stretch.before;
      auto made = call_rnn_backward(
          {stretch.input, before, params, has_biases, num_layers, /*dropout=*/0, /*train=*/false,
           /*bidirectional=*/false, /*batch_first=*/false, nonlinearity, /*k1=*/0, /*k2=*/0,
           stretch.reset, stretch.carry_scale, leak, leak_form, preactivation_like()},
          {grad_output,
           std::nullopt,
           stretch.output,
           {stretch.states, stretch.masks, stretch.drives},
           wanted});
      if (wanted[0]) {
        made[0] = layout.from_time_major(made[0].narrow_symint(0, first, count));
      }
      if (wanted.back()) {
        at::Tensor& layers = made.back();
        layers = layout.layers_from_time_major(layers.narrow_symint(1, first, count));
        if (!preactivation_by_layer) layers = layers.squeeze(0);
      }
      return made;
    }

    /// The values of preactivation are in the states already: a tensor of its shape.
    std::optional<at::Tensor> preactivation_like() const {
      if (!has_preactivation) return std::nullopt;
      std::vector<c10::SymInt> sizes = stretch.output.sym_sizes().vec();
      sizes.insert(sizes.begin(), num_layers);
      return at::zeros({}, stretch.output.options()).expand_symint(sizes);
    }
  };

  Values values;

  std::string name() const override { return "ElmanStreamBackward"; }

  variable_list apply(variable_list&& grads) override {
    variable_list result = CompilableNode::apply(std::move(grads));
    if (c10::GradMode::is_enabled()) refuse_double_backward(result);
    return result;
  }

  Values unpack() const {
    TORCH_CHECK(!values.params.empty(), torch::autograd::ERR_BACKWARD_TWICE);
    return values;
  }

  template <typename Self, typename Visit>
  static void each_saved(Self& self, const Visit& visit) {
    Values::each_tensor(self.values, [&](auto& tensor) { visit(tensor, /*is_output=*/false); });
  }

  template <typename Visit>
  void each_constant(const Visit& visit) const {
    Values::each_constant(values, visit);
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
    values.stretch = {};
    values.params.clear();
    values.leak.reset();
  }
};

}  // namespace

void record_gradient(const at::Tensor& output, const RnnArguments& args, const Stretch& stretch,
                     int64_t count) {
  const auto node = make_node<ElmanStreamBackward>();
  node->set_next_edges(args.with_gradient(
      [](const auto&... tensors) { return torch::autograd::collect_next_edges(tensors...); }));
  auto& values = node->values;
  values.stretch = stretch;
  values.params = args.params.vec();
  values.leak = args.leak;
  values.nonlinearity = args.nonlinearity;
  values.leak_form = args.leak_form;
  values.has_biases = args.has_biases;
  values.batched = args.batched();
  values.batch_first = args.batch_first;
  values.has_preactivation = args.preactivation.has_value();
  values.preactivation_by_layer = args.preactivation && args.preactivation_by_layer();
  values.num_layers = args.num_layers;
  values.count = count;
  torch::autograd::set_history(output, node);
}

}  // namespace elman
