#pragma once

#include <torch/types.h>
#include <torch/utils.h>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "composite/rnn.h"
#include "oracle.h"

namespace elman_test {

namespace composite = elman::composite;

enum class Form { kTimeMajor, kBatchFirst, kUnbatched, kPacked };

/// A problem in one of the forms in which elman::rnn takes it.
struct Call {
  Problem problem;
  Form form = Form::kTimeMajor;
  double dropout = 0;
  bool scale_per_step = false;  // carry_scale as [T]

  torch::Tensor input;
  std::optional<torch::Tensor> hx, batch_sizes, reset, carry_scale;

  /// x: [T, B, ...] -> the caller's form.
  torch::Tensor caller(const torch::Tensor& x) const {
    if (form == Form::kBatchFirst) return x.transpose(0, 1);
    if (form == Form::kUnbatched) return x.squeeze(1);
    return form == Form::kPacked ? stored(x) : x;
  }
  torch::Tensor stored(const torch::Tensor& x) const {
    return form == Form::kPacked ? x.flatten(0, 1).index({valid().flatten()}) : x;
  }
  torch::Tensor padded(const torch::Tensor& x) const {
    if (form != Form::kPacked) return x;
    auto result = torch::zeros({problem.steps(), problem.batch(), x.size(-1)}, x.options());
    return result.index_put_({valid()}, x);
  }
  torch::Tensor states(const torch::Tensor& x) const {
    return form == Form::kUnbatched ? x.squeeze(1) : x;
  }
  torch::Tensor valid() const {
    return torch::arange(problem.steps()).unsqueeze(1) < torch::tensor(problem.lengths);
  }

  /// Brings the problem's tensors into the caller's form.
  void prepare() {
    const auto optional = [](const torch::Tensor& x) {
      return x.defined() ? std::optional<torch::Tensor>(x) : std::nullopt;
    };
    input = caller(problem.input);
    hx = optional(problem.hx);
    if (hx) hx = states(*hx);
    if (form == Form::kPacked) batch_sizes = valid().sum(1);
    reset = optional(problem.reset);
    if (reset) reset = caller(*reset);
    carry_scale = optional(problem.carry_scale);
    if (carry_scale)
      carry_scale = scale_per_step ? carry_scale->select(1, 0) : caller(*carry_scale);
  }

  elman::RnnArguments args() const {
    return {input,
            hx,
            problem.params,
            problem.has_biases,
            problem.num_layers,
            dropout,
            /*train=*/true,
            problem.num_directions == 2,
            form == Form::kBatchFirst,
            problem.nonlinearity,
            problem.k1,
            problem.k2,
            reset,
            carry_scale,
            /*leak=*/std::nullopt,
            /*leak_form=*/"rate",
            /*preactivation=*/std::nullopt,
            batch_sizes};
  }
  std::vector<bool> everything() const {
    std::vector<bool> mask(2 + problem.params.size(), true);
    mask[1] = hx.has_value();
    mask.resize(elman::BackwardArguments::count(problem.params.size()), false);
    return mask;
  }
  torch::Tensor random_output() const {
    return torch::randn(
        {problem.steps(), problem.batch(), problem.num_directions * problem.hidden_size()},
        input.options());
  }
  torch::Tensor random_states() const {
    return torch::randn({problem.cells(), problem.batch(), problem.hidden_size()}, input.options());
  }
};

struct Sizes {
  int64_t steps = 7, batch = 3, input = 2, hidden = 4, layers = 1, directions = 1;
};

inline Call make_call(const Sizes& s, const std::string& nonlinearity = "tanh", bool biases = true,
                      bool hx = true, torch::Dtype dtype = torch::kDouble) {
  const auto draw = [&](torch::IntArrayRef sizes) { return torch::randn(sizes, dtype); };
  Call call;
  Problem& p = call.problem;
  p.input = draw({s.steps, s.batch, s.input});
  p.num_layers = s.layers;
  p.num_directions = s.directions;
  p.nonlinearity = nonlinearity;
  p.has_biases = biases;
  if (hx) p.hx = draw({p.cells(), s.batch, s.hidden});
  for (int64_t cell = 0; cell < p.cells(); ++cell) {
    const int64_t columns = cell < s.directions ? s.input : s.directions * s.hidden;
    p.params.push_back(0.6 * draw({s.hidden, columns}));
    p.params.push_back(0.6 * draw({s.hidden, s.hidden}));
    for (int i = 0; biases && i < 2; ++i) p.params.push_back(draw({s.hidden}));
  }
  return call;
}

using Truncation = std::pair<int64_t, int64_t>;

}  // namespace elman_test
