#include "cuda/emulation/persistent_call.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "cuda/emulation/policies.h"

namespace elman::cuda::persistent {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

template <typename T>
std::vector<T> cast(const std::vector<double>& values) {
  std::vector<T> result;
  for (const double value : values) result.push_back(static_cast<T>(static_cast<float>(value)));
  return result;
}
template <>
std::vector<double> cast<double>(const std::vector<double>& values) {
  return values;
}

/// Rows of the [T * B] in the order of the data: dense, or packed.
std::vector<int> data_rows(const Case& c, const Values& v) {
  std::vector<int> rows;
  for (int t = 0; t < c.steps; ++t)
    for (int b = 0; b < c.batch; ++b)
      if (!c.packed || v.alive(t, b)) rows.push_back(t * c.batch + b);
  return rows;
}

/// Data rows of C or S, `stride` apart, with NaN between and behind them.
template <typename T>
std::vector<T> to_data(const std::vector<double>& values, const std::vector<int>& rows, int hidden,
                       int stride) {
  std::vector<T> data((rows.size() + 1) * stride,
                      static_cast<T>(std::numeric_limits<float>::quiet_NaN()));
  for (size_t i = 0; i < rows.size(); ++i)
    for (int n = 0; n < hidden; ++n)
      data[i * stride + n] = cast<T>({values[rows[i] * hidden + n]})[0];
  return data;
}
/// Back from there; rows that are not in the data become zero. What lies between must still be NaN.
template <typename T>
std::vector<double> from_data(const std::vector<T>& data, const std::vector<int>& rows, int hidden,
                              int stride, int all_rows, std::string& error) {
  std::vector<double> values(all_rows * hidden, 0);
  for (size_t i = 0; i < data.size(); ++i) {
    const size_t row = i / stride, n = i % stride;
    if (row < rows.size() && n < static_cast<size_t>(hidden)) {
      values[rows[row] * hidden + n] = static_cast<double>(data[i]);
    } else if (!std::isnan(static_cast<double>(data[i]))) {
      error = "a write between the rows";
    }
  }
  return values;
}

/// The launch's own memory, zeroed, with a frame behind it.
struct EmulatedWorkspace {
  explicit EmulatedWorkspace(const Plan& plan) : bytes(plan.workspace_bytes / 16 + 4) {
    unsigned char* const begin = reinterpret_cast<unsigned char*>(bytes.data());
    std::fill_n(begin, bytes.size() * 16, 0);
    std::fill_n(begin + plan.workspace_bytes, 32, 0xff);
    workspace = {reinterpret_cast<std::uint32_t*>(begin),
                 reinterpret_cast<std::uint32_t*>(begin + plan.flags_at), begin + plan.vectors_at,
                 /*spin_limit=*/1u << 20};
    frame = begin + plan.workspace_bytes;
  }
  bool frame_is_intact() const {
    return std::all_of(frame, frame + 32, [](unsigned char byte) { return byte == 0xff; });
  }

  std::vector<device::Vector16> bytes;
  Workspace workspace;
  const unsigned char* frame;
};

Sequence sequence(const Case& c, const Values& v) {
  return {c.steps, c.batch, c.packed ? v.offsets.data() : nullptr,
          c.reset ? reinterpret_cast<const std::uint8_t*>(v.reset.data()) : nullptr, c.reverse};
}

template <typename P>
EmulatedResult run(const Plan& plan, std::uint32_t seed, int drop, EmulatedWorkspace& memory,
                   const std::function<void(const Layout&, const Workspace&)>& kernel) {
  if (drop > 0) memory.workspace.spin_limit = 100;
  const emulation::Outcome outcome =
      emulation::launch({plan.blocks() - drop, kThreads, plan.cluster(),
                         static_cast<std::size_t>(plan.layout.shared_bytes), seed},
                        [&] { kernel(plan.layout, memory.workspace); });
  EmulatedResult result{outcome.error, *memory.workspace.error != 0, {}, {}};
  if (!memory.frame_is_intact()) result.error = "a write behind the workspace";
  return result;
}

template <typename P>
EmulatedResult forward(const Case& c, const Values& v, const Plan& plan, std::uint32_t seed,
                       int drop) {
  using S = typename P::Storage;
  using C = typename P::Compute;
  const std::vector<int> rows = data_rows(c, v);
  const int stride = c.hidden + 3;
  const std::vector<S> weight = cast<S>(v.weight_hh), bias_ih = cast<S>(v.bias_ih),
                       bias_hh = cast<S>(v.bias_hh), hx = cast<S>(v.hx);
  // Where the types allow, the states are made where the projection was.
  std::vector<C> projected = to_data<C>(v.projected, rows, c.hidden, stride);
  std::vector<S> states =
      to_data<S>(std::vector<double>(v.projected.size(), kNan), rows, c.hidden, stride);
  std::vector<S> h_n(c.batch * c.hidden, static_cast<S>(std::numeric_limits<float>::quiet_NaN()));
  void* const states_data =
      std::is_same_v<S, C> ? static_cast<void*>(projected.data()) : states.data();
  const ForwardOperands operands{sequence(c, v),
                                 c.activation,
                                 c.hidden,
                                 weight.data(),
                                 c.bias ? bias_ih.data() : nullptr,
                                 c.bias ? bias_hh.data() : nullptr,
                                 projected.data(),
                                 stride,
                                 c.hx ? hx.data() : nullptr,
                                 states_data,
                                 stride,
                                 h_n.data()};
  EmulatedWorkspace memory(plan);
  EmulatedResult result = run<P>(
      plan, seed, drop, memory,
      [&](const Layout& l, const Workspace& w) { run_forward<P, ForwardPass>(l, w, operands); });
  if constexpr (std::is_same_v<S, C>) states = projected;
  result.first = from_data(states, rows, c.hidden, stride, c.steps * c.batch, result.error);
  result.second.assign(h_n.begin(), h_n.end());
  return result;
}

template <typename P>
EmulatedResult backward(const Case& c, const Values& v, const Plan& plan, std::uint32_t seed) {
  using S = typename P::Storage;
  using C = typename P::Compute;
  const std::vector<int> rows = data_rows(c, v);
  const Windows windows = c.windows();
  const int stride = c.hidden + 3;
  const std::vector<S> weight = cast<S>(v.weight_hh), grad_h_n = cast<S>(v.grad_h_n);
  const std::vector<S> states = to_data<S>(v.states, rows, c.hidden, stride);
  const std::vector<S> grad_output = to_data<S>(v.grad_output, rows, c.hidden, stride);
  const std::vector<C> grad_h = to_data<C>(v.grad_output, rows, c.hidden, stride);
  const std::vector<C> scale = cast<C>(v.carry_scale);
  std::vector<C> delta =
      to_data<C>(std::vector<double>(v.states.size(), windows.disjoint() ? kNan : 0), rows,
                 c.hidden, c.hidden);
  const BackwardOperands operands{
      sequence(c, v),
      c.activation,
      c.hidden,
      static_cast<int>(windows.count),
      static_cast<int>(windows.k1),
      static_cast<int>(windows.k2),
      weight.data(),
      states.data(),
      stride,
      c.grad_output && !c.computed_gradient ? grad_output.data() : nullptr,
      c.grad_output && c.computed_gradient ? grad_h.data() : nullptr,
      stride,
      c.grad_h_n ? grad_h_n.data() : nullptr,
      c.carry_scale ? scale.data() : nullptr,
      delta.data()};
  EmulatedWorkspace memory(plan);
  EmulatedResult result = run<P>(plan, seed, 0, memory, [&](const Layout& l, const Workspace& w) {
    run_backward<P, BackwardPass>(l, w, operands);
  });
  result.first = from_data(delta, rows, c.hidden, c.hidden, c.steps * c.batch, result.error);
  return result;
}

}  // namespace

std::string Case::name() const {
  const char* const arithmetics[] = {"float64", "float32", "tf32", "bfloat16", "float16"};
  std::string name = std::string(arithmetics[static_cast<int>(arithmetic)]) + " T " +
                     std::to_string(steps) + " B " + std::to_string(batch) + " H " +
                     std::to_string(hidden);
  if (k1 > 0) name += " k1 " + std::to_string(k1) + " k2 " + std::to_string(k2);
  for (const auto& [flag, text] :
       std::initializer_list<std::pair<bool, const char*>>{{reverse, " reverse"},
                                                           {packed, " packed"},
                                                           {reset, " reset"},
                                                           {carry_scale, " carry_scale"},
                                                           {computed_gradient, " grad_h"}})
    if (flag) name += text;
  return name;
}

EmulatedResult emulate_forward(const Case& c, const Values& v, const Plan& plan, std::uint32_t seed,
                               int drop) {
  return with_policy(
      c.arithmetic, [&](auto policy) { return forward<decltype(policy)>(c, v, plan, seed, drop); });
}
EmulatedResult emulate_backward(const Case& c, const Values& v, const Plan& plan,
                                std::uint32_t seed) {
  return with_policy(c.arithmetic,
                     [&](auto policy) { return backward<decltype(policy)>(c, v, plan, seed); });
}

Problem forward_problem(const Case& c) { return {c.arithmetic, c.steps, c.batch, c.hidden}; }
Problem backward_problem(const Case& c) {
  const Windows windows = c.windows();
  return {c.arithmetic, windows.k2, c.batch, c.hidden, windows.count, !windows.disjoint()};
}

}  // namespace elman::cuda::persistent
