#pragma once

#include <torch/csrc/autograd/autograd.h>
#include <torch/types.h>

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

namespace elman_test {

/// A call of elman::rnn in one plain form: time major, batched, padded. T steps, B rows, I =
/// input_size, H = hidden_size, L layers, D directions.
struct Problem {
  torch::Tensor input;                // [T, B, I]
  torch::Tensor hx;                   // [L*D, B, H] or undefined (zeros)
  std::vector<torch::Tensor> params;  // as torch.nn.RNN orders them
  bool has_biases = true;
  int64_t num_layers = 1;
  int64_t num_directions = 1;
  std::string nonlinearity = "tanh";
  int64_t k1 = 0;  // 0 is full BPTT
  int64_t k2 = 0;
  std::vector<int64_t> lengths;  // [B] each sequence's steps; empty: all have T
  torch::Tensor masks;           // [L-1, T, B, D*H] dropout factors or undefined
  torch::Tensor reset;           // [T, B] bool or undefined
  torch::Tensor carry_scale;     // [T, B] or undefined
  torch::Tensor leak;            // [L*D, H] or undefined (the plain cell)
  std::string leak_form = "rate";
  torch::Tensor preactivation;  // [L, T, B, D*H] or undefined

  int64_t steps() const { return input.size(0); }
  int64_t batch() const { return input.size(1); }
  int64_t hidden_size() const { return params[1].size(1); }
  int64_t cells() const { return num_layers * num_directions; }
};

struct Result {
  torch::Tensor output;  // [T, B, D*H], zeros beyond a sequence's length
  torch::Tensor h_n;     // [L*D, B, H]
  // Of input, hx (zeros counted as given), params and, where they are given, leak, preactivation.
  std::vector<torch::Tensor> gradients;
};

namespace brute_force {

inline const std::vector<std::string> kNonlinearities{"tanh", "relu", "sigmoid", "softplus",
                                                      "identity"};

/// What a cell puts out at each step and what it carries on, each by [cell][step], [H]; undefined
/// where a step was not run.
struct Sequence {
  std::vector<std::vector<torch::Tensor>> output, state;
};

inline torch::Tensor activate(const std::string& nonlinearity, const torch::Tensor& a) {
  if (nonlinearity == "tanh") return torch::tanh(a);
  if (nonlinearity == "relu") return torch::relu(a);
  if (nonlinearity == "sigmoid") return torch::sigmoid(a);
  if (nonlinearity == "softplus") return torch::relu(a) + torch::log1p(torch::exp(-torch::abs(a)));
  TORCH_CHECK(nonlinearity == "identity", "the oracle has no nonlinearity '", nonlinearity, "'");
  return a;
}

/// Runs the steps first ... last (0-based) of row b, step by step. At a border inside the sequence
/// the states come from `known`, as constants.
inline Sequence run(const Problem& p, int64_t b, int64_t length, int64_t first, int64_t last,
                    const Sequence& known) {
  const std::vector steps(p.cells(), std::vector<torch::Tensor>(length));
  Sequence made{steps, steps};
  auto& outputs = made.output;
  for (int64_t cell = 0; cell < p.cells(); ++cell) {
    const int64_t layer = cell / p.num_directions;
    const bool reverse = cell % p.num_directions == 1;
    const auto* param = &p.params[cell * (p.has_biases ? 4 : 2)];
    const int64_t column = cell % p.num_directions * p.hidden_size();
    const auto injected =
        p.preactivation.defined()
            ? p.preactivation[layer].select(1, b).narrow(1, column, p.hidden_size()).unbind()
            : std::vector<torch::Tensor>();
    const int64_t begin = reverse ? last : first;
    const int64_t stride = reverse ? -1 : 1;
    const bool starts = reverse ? last == length - 1 : first == 0;
    auto h = starts ? p.hx[cell][b] : known.state[cell][begin - stride].detach();
    for (int64_t t = begin; first <= t && t <= last; t += stride) {
      torch::Tensor x = p.input[t][b];
      if (layer > 0) {
        const int64_t below = (layer - 1) * p.num_directions;
        x = p.num_directions == 1 ? outputs[below][t]
                                  : torch::cat({outputs[below][t], outputs[below + 1][t]});
        if (p.masks.defined()) x = x * p.masks[layer - 1][t][b];
      }
      // The border that h crosses to enter step t is the one before step t, in reverse the one
      // before step t + 1.
      const int64_t border = reverse ? t + 1 : t;
      if (p.carry_scale.defined()) {
        const auto scale = p.carry_scale[t][b];
        h = h.detach() * (1 - scale) + h * scale;
      }
      if (p.reset.defined() && border < length && p.reset[border][b].item<bool>()) {
        h = torch::zeros_like(h);
      }
      const bool is_current = p.leak.defined() && p.leak_form == "current";
      auto a = torch::mv(param[0], x) +
               torch::mv(param[1], is_current ? activate(p.nonlinearity, h) : h);
      if (p.has_biases) a = a + param[2] + param[3];
      if (p.preactivation.defined()) a = a + injected[t];
      const auto drawn = is_current ? a : activate(p.nonlinearity, a);
      h = p.leak.defined() ? (1 - p.leak[cell]) * h + p.leak[cell] * drawn : drawn;
      made.state[cell][t] = h;
      outputs[cell][t] = is_current ? activate(p.nonlinearity, h) : h;
    }
  }
  return made;
}

}  // namespace brute_force

/// The definition of TBPTT(k1, k2), executed word by word: each window of each sequence is run by
/// itself with plain autograd, from constant states, and the gradients are added up. grad_output:
/// [T, B, D*H], grad_h_n: [L*D, B, H].
inline Result brute_force_tbptt(Problem p, const torch::Tensor& grad_output,
                                const torch::Tensor& grad_h_n) {
  const auto leaf = [](const torch::Tensor& x) { return x.detach().clone().requires_grad_(); };
  if (!p.hx.defined()) {
    p.hx = torch::zeros({p.cells(), p.batch(), p.hidden_size()}, p.input.options());
  }
  std::vector<torch::Tensor> leaves;
  leaves.push_back(p.input = leaf(p.input));
  leaves.push_back(p.hx = leaf(p.hx));
  for (auto& param : p.params) leaves.push_back(param = leaf(param));
  if (p.leak.defined()) leaves.push_back(p.leak = leaf(p.leak));
  if (p.preactivation.defined()) leaves.push_back(p.preactivation = leaf(p.preactivation));

  Result result;
  result.output = torch::zeros_like(grad_output);
  result.h_n = torch::zeros_like(grad_h_n);
  for (const auto& tensor : leaves) result.gradients.push_back(torch::zeros_like(tensor).detach());

  for (int64_t b = 0; b < p.batch(); ++b) {
    const int64_t length = p.lengths.empty() ? p.steps() : p.lengths[b];
    const auto known = brute_force::run(p, b, length, 0, length - 1, {});
    const int64_t k1 = p.k1 == 0 ? length : p.k1;
    const int64_t k2 = p.k1 == 0 ? length : p.k2;
    for (int64_t end = k1; end - k1 < length; end += k1) {
      const int64_t first = std::max<int64_t>(0, end - k2);
      const int64_t last = std::min(end, length) - 1;
      const auto made = brute_force::run(p, b, length, first, last, known);
      std::vector<torch::Tensor> outputs;
      std::vector<torch::Tensor> gradients;
      for (int64_t cell = 0; cell < p.cells(); ++cell) {
        const int64_t direction = cell % p.num_directions;
        const int64_t final_step = direction == 1 ? 0 : length - 1;
        for (int64_t t = end - k1; t <= last; ++t) {
          if (cell / p.num_directions == p.num_layers - 1) {
            const auto columns = torch::indexing::Slice(direction * p.hidden_size(),
                                                        (direction + 1) * p.hidden_size());
            outputs.push_back(made.output[cell][t]);
            gradients.push_back(grad_output.index({t, b, columns}));
            result.output.index_put_({t, b, columns}, known.output[cell][t].detach());
          }
          if (t == final_step) {
            outputs.push_back(made.state[cell][t]);
            gradients.push_back(grad_h_n[cell][b]);
            result.h_n.index_put_({cell, b}, known.state[cell][t].detach());
          }
        }
      }
      const auto window = torch::autograd::grad(outputs, leaves, gradients, /*retain_graph=*/false,
                                                /*create_graph=*/false, /*allow_unused=*/true);
      for (size_t i = 0; i < window.size(); ++i) {
        if (window[i].defined()) result.gradients[i] += window[i];
      }
    }
  }
  return result;
}

}  // namespace elman_test
