#!/bin/bash
# oneDNN 3.2.0 and 3.13.2, CPU: vanilla_rnn may be given no initial state, which then counts as zeros.
# The forward pass does so. The backward pass computes the gradient of the recurrent weights as the sum
# of error[t] output[t] over the steps, where error[t] output[t - 1] belongs. With zeros given in full it
# is right. No error is reported.
# Seen, T = 5, B = 2, I = 3, H = 4 (both versions): missing: 2.8e-07 from sum error[t] output[t], 5.4 from
# the right one; given as zeros: 1.7e-07 from the right one.
#
# Exits with an error once the behaviour has changed. Needs g++. VENV=... names an environment that has the
# packages; without it they are installed into a temporary folder.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
venv=${VENV:-}
if [ -z "$venv" ]; then
  venv=$folder/venv
  python3 -m venv "$venv"
  "$venv/bin/python3" -m pip install --quiet onednn==2026.1.0 onednn-devel==2026.1.0 intel-opencl-rt==2026.2.0
fi
export OCL_ICD_FILENAMES=$venv/lib/libintelocl.so  # SYCL's driver for the CPU
cat > "$folder/probe.cpp" <<'CPP'
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <oneapi/dnnl/dnnl.hpp>
#include <unordered_map>
#include <vector>

using dnnl::memory;
using Tag = memory::format_tag;
constexpr int T = 5, B = 2, I = 3, H = 4;

struct Distances {
  double same_step, step_before;
};

Distances measure(bool zeros_given) {
  dnnl::engine engine(dnnl::engine::kind::cpu, 0);
  dnnl::stream stream(engine);
  const auto desc = [](const memory::dims& dims, Tag tag) {
    return memory::desc(dims, memory::data_type::f32, tag);
  };
  const auto values_of = [](const memory& m) { return static_cast<float*>(m.get_data_handle()); };
  const auto make = [&](const memory::desc& d, double scale) {
    memory m(d, engine);
    const size_t count = d.get_size() / sizeof(float);
    for (size_t i = 0; i < count; ++i)
      values_of(m)[i] = static_cast<float>(scale * std::sin(1.0 + 2.7 * static_cast<double>(i)));
    return m;
  };
  const auto input = desc({T, B, I}, Tag::tnc), output = desc({T, B, H}, Tag::tnc);
  const auto bias = desc({1, 1, 1, H}, Tag::ldgo);
  const auto any_ih = desc({1, 1, I, 1, H}, Tag::any), any_hh = desc({1, 1, H, 1, H}, Tag::any);
  const memory::desc none, state = zeros_given ? desc({1, 1, B, H}, Tag::ldnc) : none;
  const auto tanh = dnnl::algorithm::eltwise_tanh;
  const auto direction = dnnl::rnn_direction::unidirectional_left2right;
  const dnnl::vanilla_rnn_forward::primitive_desc forward(
      engine, dnnl::prop_kind::forward_training, tanh, direction, input, state, any_ih, any_hh, bias,
      output, none);
  const dnnl::vanilla_rnn_backward::primitive_desc backward(
      engine, dnnl::prop_kind::backward, tanh, direction, input, state, any_ih, any_hh, bias, output,
      none, input, state, any_ih, any_hh, bias, output, none, forward);
  const memory x = make(input, 1), grad = make(output, 1), b = make(bias, 0.5);
  const memory w_ih = make(desc({1, 1, I, 1, H}, Tag::ldigo), 0.5);
  const memory w_hh = make(desc({1, 1, H, 1, H}, Tag::ldigo), 0.5);  // [in, out]
  const auto as = [&](memory from, const memory::desc& d) {
    memory to(d, engine);
    dnnl::reorder(from, to).execute(stream, from, to);
    stream.wait();
    return to;
  };
  const auto zeros = [&](const memory::desc& d) {
    memory m(d, engine);
    std::memset(m.get_data_handle(), 0, d.get_size());
    return m;
  };
  const memory y(output, engine), workspace(forward.workspace_desc(), engine);
  std::unordered_map<int, memory> arguments = {
      {DNNL_ARG_SRC_LAYER, x},
      {DNNL_ARG_WEIGHTS_LAYER, as(w_ih, forward.weights_layer_desc())},
      {DNNL_ARG_WEIGHTS_ITER, as(w_hh, forward.weights_iter_desc())},
      {DNNL_ARG_BIAS, b},
      {DNNL_ARG_DST_LAYER, y},
      {DNNL_ARG_WORKSPACE, workspace}};
  if (zeros_given) arguments.emplace(DNNL_ARG_SRC_ITER, zeros(state));
  dnnl::vanilla_rnn_forward(forward).execute(stream, arguments);
  stream.wait();
  const memory grad_hh = zeros(backward.diff_weights_iter_desc());
  arguments[DNNL_ARG_WEIGHTS_LAYER] = as(w_ih, backward.weights_layer_desc());
  arguments[DNNL_ARG_WEIGHTS_ITER] = as(w_hh, backward.weights_iter_desc());
  arguments.emplace(DNNL_ARG_DIFF_SRC_LAYER, zeros(input));
  arguments.emplace(DNNL_ARG_DIFF_WEIGHTS_LAYER, zeros(backward.diff_weights_layer_desc()));
  arguments.emplace(DNNL_ARG_DIFF_WEIGHTS_ITER, grad_hh);
  arguments.emplace(DNNL_ARG_DIFF_BIAS, zeros(bias));
  arguments.emplace(DNNL_ARG_DIFF_DST_LAYER, grad);
  if (zeros_given) arguments.emplace(DNNL_ARG_DIFF_SRC_ITER, zeros(state));
  dnnl::vanilla_rnn_backward(backward).execute(stream, arguments);
  stream.wait();

  // The formula, in double, on oneDNN's outputs.
  std::vector<double> error(T * B * H);
  for (int t = T - 1; t >= 0; --t)
    for (int n = 0; n < B; ++n)
      for (int i = 0; i < H; ++i) {
        const int at = (t * B + n) * H + i;
        double sum = values_of(grad)[at];
        for (int o = 0; t + 1 < T && o < H; ++o)
          sum += error[((t + 1) * B + n) * H + o] * values_of(w_hh)[i * H + o];
        const double h = values_of(y)[at];
        error[at] = sum * (1 - h * h);
      }
  const memory plain = as(grad_hh, desc({1, 1, H, 1, H}, Tag::ldigo));
  Distances result{0, 0};
  for (int i = 0; i < H; ++i)
    for (int o = 0; o < H; ++o) {
      double same = 0, before = 0;
      for (int t = 0; t < T; ++t)
        for (int n = 0; n < B; ++n) {
          const double e = error[(t * B + n) * H + o];
          same += e * values_of(y)[(t * B + n) * H + i];
          if (t > 0) before += e * values_of(y)[((t - 1) * B + n) * H + i];
        }
      const double found = values_of(plain)[i * H + o];
      result.same_step = std::max(result.same_step, std::abs(same - found));
      result.step_before = std::max(result.step_before, std::abs(before - found));
    }
  const dnnl_version_t* version = dnnl_version();
  std::printf("oneDNN %d.%d.%d, zeros %s: gradient differs from sum error[t] output[t] by %.1e, from "
              "sum error[t] output[t - 1] by %.1e\n",
              version->major, version->minor, version->patch, zeros_given ? "given" : "missing",
              result.same_step, result.step_before);
  return result;
}

int main() {
  const Distances missing = measure(false), given = measure(true);
  const bool as_seen = missing.same_step < 1e-5 && missing.step_before > 1e-2 &&
                       given.step_before < 1e-5;
  return as_seen ? 0 : 1;
}
CPP
g++ -std=c++17 -O1 -isystem "$venv/include" "$folder/probe.cpp" -o "$folder/probe" "$venv/lib/libdnnl.so" \
  "-Wl,-rpath,$venv/lib" "-Wl,-rpath-link,$venv/lib" -Wl,--disable-new-dtags
"$folder/probe"
