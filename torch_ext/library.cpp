#include <torch/library.h>

// Every schema of the project, and nothing else: kernels register themselves where they are
// implemented (csrc/).
TORCH_LIBRARY(elman, m) {
  // Public operators. Positional order as ATen's rnn_tanh / rnn_tanh.data / rnn_tanh_cell.
  m.def(
      "rnn("
      "Tensor input, Tensor? hx, Tensor[] params, "
      "bool has_biases, int num_layers, float dropout, bool train, bool bidirectional, "
      "bool batch_first, *, "
      "str nonlinearity=\"tanh\", int k1=0, int k2=0, "
      "Tensor? reset=None, Tensor? carry_scale=None, "
      "Tensor? leak=None, str leak_form=\"rate\", Tensor? preactivation=None"
      ") -> (Tensor output, Tensor h_n)",
      {at::Tag::nondeterministic_seeded});
  m.def(
      "rnn.data("
      "Tensor data, Tensor batch_sizes, Tensor? hx, Tensor[] params, "
      "bool has_biases, int num_layers, float dropout, bool train, bool bidirectional, *, "
      "str nonlinearity=\"tanh\", int k1=0, int k2=0, "
      "Tensor? leak=None, str leak_form=\"rate\", Tensor? preactivation=None"
      ") -> (Tensor output, Tensor h_n)",
      {at::Tag::nondeterministic_seeded});
  m.def(
      "rnn_cell("
      "Tensor input, Tensor? hx, "
      "Tensor w_ih, Tensor w_hh, Tensor? b_ih=None, Tensor? b_hh=None, *, "
      "str nonlinearity=\"tanh\", "
      "Tensor? leak=None, str leak_form=\"rate\", Tensor? preactivation=None"
      ") -> Tensor");

  // The truncation engine. gradient_by_lag: [num_layers, max_lag] the mean norm of each layer's
  // pre-activation gradient, by its distance in steps from the output that it came from.
  m.def(
      "gradient_by_lag("
      "Tensor input, Tensor? hx, Tensor[] params, "
      "bool has_biases, int num_layers, float dropout, bool train, bool bidirectional, "
      "bool batch_first, *, "
      "int max_lag, "
      "str nonlinearity=\"tanh\", "
      "Tensor? grad_output=None, Tensor? reset=None, "
      "Tensor? leak=None, str leak_form=\"rate\", Tensor? preactivation=None"
      ") -> Tensor",
      {at::Tag::nondeterministic_seeded});
  // [T, B] a carry_scale that cuts every `length` steps in the mean and leaves gradients unbiased.
  m.def(
      "random_truncation("
      "int T, int B, float length, *, "
      "Generator? generator=None, Device? device=None"
      ") -> Tensor",
      {at::Tag::nondeterministic_seeded});
  // What adaptive truncation makes of gradient_by_lag's result
  // (include/elman/adaptive_truncation.h).
  m.def("_gradient_decay(Tensor norms) -> (float rate, Tensor relative_bias)");
  // Which kernel a call of elman::rnn with these arguments takes, and why, in words for people.
  m.def(
      "kernel_info("
      "Tensor input, Tensor? hx, Tensor[] params, "
      "bool has_biases, int num_layers, float dropout, bool train, bool bidirectional, "
      "bool batch_first, *, "
      "str nonlinearity=\"tanh\", int k1=0, int k2=0, "
      "Tensor? reset=None, Tensor? carry_scale=None, "
      "Tensor? leak=None, str leak_form=\"rate\", Tensor? preactivation=None"
      ") -> str");
  m.def(
      "kernel_info.data("
      "Tensor data, Tensor batch_sizes, Tensor? hx, Tensor[] params, "
      "bool has_biases, int num_layers, float dropout, bool train, bool bidirectional, *, "
      "str nonlinearity=\"tanh\", int k1=0, int k2=0, "
      "Tensor? leak=None, str leak_form=\"rate\", Tensor? preactivation=None"
      ") -> str");

  // Internal operators: the halves of the autograd node, operators of their own so that compilers
  // can trace them. The first is elman::rnn and elman::rnn.data in one, with every argument that
  // there is: `masks` are dropout masks to use instead of drawing some (csrc/arguments.h). The
  // results `states`, `masks` and `drives` are those of elman::Saved, for _rnn_backward only, and
  // not differentiable; all are empty without save_states.
  m.def(
      "_rnn_forward("
      "Tensor input, Tensor? hx, Tensor[] params, "
      "bool has_biases, int num_layers, float dropout, bool train, bool bidirectional, "
      "bool batch_first, *, "
      "str nonlinearity, int k1, int k2, "
      "Tensor? batch_sizes, Tensor? reset, Tensor? carry_scale, "
      "Tensor? leak=None, str leak_form=\"rate\", Tensor? preactivation=None, "
      "Tensor? masks, "
      "bool save_states"
      ") -> (Tensor output, Tensor h_n, Tensor states, Tensor masks, Tensor drives)",
      {at::Tag::nondeterministic_seeded});
  // The gradients that output_mask asks for (input, hx, each of params, leak, preactivation), in
  // that order and without gaps. The call's arguments are those of its forward pass; dropout, train
  // and masks play no part.
  m.def(
      "_rnn_backward("
      "Tensor? grad_output, Tensor? grad_h_n, "
      "Tensor output, Tensor states, Tensor saved_masks, Tensor drives, "
      "Tensor input, Tensor? hx, Tensor[] params, "
      "bool has_biases, int num_layers, float dropout, bool train, bool bidirectional, "
      "bool batch_first, *, "
      "str nonlinearity, int k1, int k2, "
      "Tensor? batch_sizes, Tensor? reset, Tensor? carry_scale, "
      "Tensor? leak=None, str leak_form=\"rate\", Tensor? preactivation=None, "
      "Tensor? masks=None, "
      "bool[] output_mask"
      ") -> Tensor[]");
}
