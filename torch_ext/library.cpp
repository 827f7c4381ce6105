#include <torch/library.h>

#include <string>
#include <vector>

// Every schema of the project, and nothing else: kernels register themselves where they are
// implemented (csrc/).

namespace {

// What several schemas have in common. Positional order as ATen's rnn_tanh / rnn_tanh.data.
const std::string kPadded =
    "Tensor input, Tensor? hx, Tensor[] params, "
    "bool has_biases, int num_layers, float dropout, bool train, bool bidirectional, "
    "bool batch_first";
const std::string kPacked =
    "Tensor data, Tensor batch_sizes, Tensor? hx, Tensor[] params, "
    "bool has_biases, int num_layers, float dropout, bool train, bool bidirectional";
const std::string kTruncated = "str nonlinearity=\"tanh\", int k1=0, int k2=0";
const std::string kPerStep = "Tensor? reset=None, Tensor? carry_scale=None";
const std::string kLeaky = "Tensor? leak=None, str leak_form=\"rate\", Tensor? preactivation=None";

// Every argument that there is, in the order of elman::RnnArguments (csrc/arguments.h). `masks` are
// dropout masks to use instead of drawing some.
const std::string kEverything = kPadded +
                                ", *, str nonlinearity, int k1, int k2, "
                                "Tensor? reset, Tensor? carry_scale, " +
                                kLeaky + ", Tensor? batch_sizes, Tensor? masks=None";

}  // namespace

TORCH_LIBRARY(elman, m) {
  const auto def = [&m](const std::string& schema, const std::vector<at::Tag>& tags = {}) {
    m.def(schema.c_str(), tags);
  };
  const std::vector<at::Tag> draws = {at::Tag::nondeterministic_seeded};

  // Public operators.
  def("rnn(" + kPadded + ", *, " + kTruncated + ", " + kPerStep + ", " + kLeaky +
          ") -> (Tensor output, Tensor h_n)",
      draws);
  def("rnn.data(" + kPacked + ", *, " + kTruncated + ", " + kLeaky +
          ") -> (Tensor output, Tensor h_n)",
      draws);
  // Positional order as ATen's rnn_tanh_cell.
  def("rnn_cell("
      "Tensor input, Tensor? hx, "
      "Tensor w_ih, Tensor w_hh, Tensor? b_ih=None, Tensor? b_hh=None, *, "
      "str nonlinearity=\"tanh\", " +
      kLeaky + ") -> Tensor");

  // The truncation engine. gradient_by_lag: [num_layers, max_lag] the mean norm of each layer's
  // pre-activation gradient, by its distance in steps from the output that it came from.
  def("gradient_by_lag(" + kPadded +
          ", *, int max_lag, str nonlinearity=\"tanh\", "
          "Tensor? grad_output=None, Tensor? reset=None, " +
          kLeaky + ") -> Tensor",
      draws);
  // [T, B] a carry_scale that cuts every `length` steps in the mean and leaves gradients unbiased.
  def("random_truncation("
      "int T, int B, float length, *, "
      "Generator? generator=None, Device? device=None"
      ") -> Tensor",
      draws);
  // What adaptive truncation makes of gradient_by_lag's result
  // (include/elman/adaptive_truncation.h).
  def("_gradient_decay(Tensor norms) -> (float rate, Tensor relative_bias)");
  // Which kernel a call of elman::rnn with these arguments takes, and why, in words for people.
  def("kernel_info(" + kPadded + ", *, " + kTruncated + ", " + kPerStep + ", " + kLeaky +
      ") -> str");
  def("kernel_info.data(" + kPacked + ", *, " + kTruncated + ", " + kLeaky + ") -> str");

  // Internal operators: the halves of the autograd node, operators of their own so that compilers
  // can trace them. The first is elman::rnn and elman::rnn.data in one. The results `states`,
  // `masks` and `drives` are those of elman::Saved, for _rnn_backward only, and not differentiable;
  // the first two are empty without save_states, `drives` without save_drives.
  def("_rnn_forward(" + kEverything +
          ", bool save_states, bool save_drives"
          ") -> (Tensor output, Tensor h_n, Tensor states, Tensor masks, Tensor drives)",
      draws);
  // The gradients that output_mask asks for (input, hx, each of params, leak, preactivation), in
  // that order and without gaps. The call's arguments are those of its forward pass; dropout, train
  // and masks play no part.
  def("_rnn_backward("
      "Tensor? grad_output, Tensor? grad_h_n, "
      "Tensor output, Tensor states, Tensor saved_masks, Tensor drives, " +
      kEverything + ", bool[] output_mask) -> Tensor[]");
}
