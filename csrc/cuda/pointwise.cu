#include "cuda/elementwise.cuh"
#include "cuda/pointwise.h"

namespace elman::cuda {
namespace {

/// Where the rows of the steps lie.
struct StepRows {
  const int64_t* offsets;
  int64_t batch;

  ELMAN_HOST_DEVICE int64_t begin(int64_t step) const {
    return offsets == nullptr ? step * batch : offsets[step];
  }
  ELMAN_HOST_DEVICE int64_t count(int64_t step) const {
    return offsets == nullptr ? batch : offsets[step + 1] - offsets[step];
  }
  /// The step of a row, among `steps`.
  ELMAN_HOST_DEVICE int64_t step_of(int64_t row, int64_t steps) const {
    if (offsets == nullptr) return row / batch;
    int64_t low = 0;
    int64_t high = steps - 1;
    while (low < high) {
      const int64_t middle = (low + high + 1) / 2;
      if (offsets[middle] <= row) {
        low = middle;
      } else {
        high = middle - 1;
      }
    }
    return low;
  }
};

/// f of a state that is zero, where f comes between a state and what W_h reads of it.
template <typename S>
ELMAN_HOST_DEVICE S read_zero(LeakForm form, Activation activation) {
  return static_cast<S>(form == LeakForm::kCurrent ? activate(Acc<S>(0), activation) : Acc<S>(0));
}

template <typename S>
struct Forward {
  using A = Acc<S>;
  ForwardStep a;

  ELMAN_HOST_DEVICE void operator()(int64_t row, int64_t column) const {
    const int64_t i = row * a.hidden_size + column;
    A sum = static_cast<const A*>(a.preactivation)[i];
    if (a.bias_ih != nullptr) {
      sum += static_cast<A>(static_cast<const S*>(a.bias_ih)[column]) +
             static_cast<A>(static_cast<const S*>(a.bias_hh)[column]);
    }
    const int64_t place = row * a.state_stride + column;
    const bool cut = a.cut_next != nullptr && a.cut_next[row] != 0;
    const S output = a.leaky_state == nullptr ? static_cast<S>(activate(sum, a.activation))
                                              : leak(sum, i, column, place, cut);
    static_cast<S*>(a.state)[place] = output;
    static_cast<S*>(a.carry)[i] = cut ? read_zero<S>(a.form, a.activation) : output;
  }

  /// Goes on with the leaky state, and returns the output.
  ELMAN_HOST_DEVICE S leak(A sum, int64_t i, int64_t column, int64_t place, bool cut) const {
    A& state = static_cast<A*>(a.leaky_state)[i];
    const bool current = a.form == LeakForm::kCurrent;
    const A drawn = current ? sum : activate(sum, a.activation);
    A made = drawn;
    if (a.alpha != nullptr) {
      const A alpha = static_cast<const A*>(a.alpha)[column];
      made = remaining(state, alpha) + alpha * drawn;
      // A unit that does not leak is a plain cell's, rounded as it is stored.
      if (!current && alpha == A(1)) made = static_cast<A>(static_cast<S>(made));
      if (a.drive != nullptr)
        static_cast<S*>(a.drive)[place] = static_cast<S>(current ? drawn - state : drawn);
    }
    state = cut ? A(0) : made;
    return static_cast<S>(current ? activate(made, a.activation) : made);
  }
};

template <typename S>
struct Backward {
  using A = Acc<S>;
  BackwardStep a;

  ELMAN_HOST_DEVICE void operator()(int64_t r, int64_t column) const {
    const int64_t window = a.first_window + r / a.capacity;
    const int64_t b = r % a.capacity;
    const int64_t step =
        a.reverse ? window * a.windows.k1 + a.lag : (window + 1) * a.windows.k1 - 1 - a.lag;
    const StepRows rows{a.offsets, a.batch};
    S* const delta = static_cast<S*>(a.delta);
    const int64_t own = r * a.hidden_size + column;
    if (b >= rows.count(step)) {
      if (delta != nullptr) delta[own] = static_cast<S>(0.f);
      return;
    }
    const int64_t row = rows.begin(step) + b;
    const Error error = error_of(step, b, row, own, column, rows);
    const S stored = static_cast<S>(error.delta);
    if (delta != nullptr) delta[own] = stored;
    const int64_t place = row * a.hidden_size + column;
    add(static_cast<A*>(a.total) + place, error.delta);
    if (a.error != nullptr) static_cast<A*>(a.error)[own] = error.state;
    if (a.error_total != nullptr) add(static_cast<A*>(a.error_total) + place, error.state);
  }

  /// The gradients at the pre-activation and at the carried state, which in a plain cell is the
  /// output.
  struct Error {
    A delta, state;
  };

  ELMAN_HOST_DEVICE Error error_of(int64_t step, int64_t b, int64_t row, int64_t own,
                                   int64_t column, const StepRows& rows) const {
    const A h = static_cast<const S*>(a.states)[row * a.states_stride + column];
    const A f_slope = slope(h, a.activation);
    const A alpha = a.alpha == nullptr ? A(1) : static_cast<const A*>(a.alpha)[column];
    const bool open = is_open(step, b, rows);
    const A outside = arriving(row, own, column);
    const A last = final(step, b, column, rows);
    const A through = open ? scaled(static_cast<const A*>(a.carried)[own], step, b) : A(0);
    const A kept = open && a.error != nullptr
                       ? scaled(remaining(static_cast<const A*>(a.error)[own], alpha), step, b)
                       : A(0);
    if (a.form == LeakForm::kCurrent) {  // f comes between the state and all that reads it
      const A state = f_slope * (outside + through) + last + kept;
      return {alpha * state, state};
    }
    const A state = outside + last + through + kept;
    const A delta = f_slope * state;
    return {a.alpha == nullptr ? delta : alpha * delta, state};
  }

  /// A step's own window comes first: nothing has to be zeroed.
  ELMAN_HOST_DEVICE void add(A* total, A result) const {
    *total = a.lag < a.windows.k1 ? result : *total + result;
  }

  ELMAN_HOST_DEVICE bool is_last(int64_t step, int64_t b, const StepRows& rows) const {
    return step + 1 == a.windows.steps || b >= rows.count(step + 1);
  }

  /// The gradient that reaches the output from outside the recurrence.
  ELMAN_HOST_DEVICE A arriving(int64_t row, int64_t own, int64_t column) const {
    A sum(0);
    const int64_t place = row * a.states_stride + column;
    if (a.lag < a.windows.k1) {  // a window owns the losses of its last k1 steps
      if (a.grad_output != nullptr)
        sum += static_cast<A>(static_cast<const S*>(a.grad_output)[place]);
      if (a.grad_states != nullptr) sum += static_cast<const A*>(a.grad_states)[place];
    }
    if (a.from_above != nullptr) {
      A error = static_cast<const A*>(a.from_above)[own];
      if (a.mask != nullptr) error *= static_cast<A>(static_cast<const S*>(a.mask)[place]);
      sum += error;
    }
    return sum;
  }

  /// The gradient that reaches the carried state through h_n.
  ELMAN_HOST_DEVICE A final(int64_t step, int64_t b, int64_t column, const StepRows& rows) const {
    if (a.grad_h_n == nullptr || a.lag >= a.windows.k1) return A(0);
    if (!(a.reverse ? step == 0 : is_last(step, b, rows))) return A(0);
    return static_cast<A>(static_cast<const S*>(a.grad_h_n)[b * a.hidden_size + column]);
  }

  /// The border between the step and the one that the recurrence comes from: step + 1, in reverse
  /// step - 1.
  ELMAN_HOST_DEVICE int64_t border(int64_t step, int64_t b) const {
    return (a.reverse ? step : step + 1) * a.batch + b;
  }
  /// Whether a gradient crosses it.
  ELMAN_HOST_DEVICE bool is_open(int64_t step, int64_t b, const StepRows& rows) const {
    if (a.carried == nullptr || (!a.reverse && is_last(step, b, rows))) return false;
    return a.reset == nullptr || a.reset[border(step, b)] == 0;
  }
  ELMAN_HOST_DEVICE A scaled(A error, int64_t step, int64_t b) const {
    return a.scale == nullptr ? error : error * static_cast<const A*>(a.scale)[border(step, b)];
  }
};

template <typename S>
struct Entering {
  EnteringStates a;

  ELMAN_HOST_DEVICE void operator()(int64_t row, int64_t column) const {
    const StepRows rows{a.offsets, a.batch};
    const int64_t step = rows.step_of(row, a.steps);
    const int64_t b = row - rows.begin(step);
    static_cast<S*>(a.entering)[row * a.hidden_size + column] = state(step, b, column, rows);
  }

  ELMAN_HOST_DEVICE S state(int64_t step, int64_t b, int64_t column, const StepRows& rows) const {
    const bool first = a.reverse ? step + 1 == a.steps || b >= rows.count(step + 1) : step == 0;
    const int64_t border = (a.reverse ? step + 1 : step) * a.batch + b;
    // Before a reversed sequence's own start there is no border to close.
    if (a.reset != nullptr && !(a.reverse && first) && a.reset[border] != 0)
      return read_zero<S>(a.form, a.activation);
    if (!first) {
      const int64_t from = rows.begin(a.reverse ? step + 1 : step - 1) + b;
      return static_cast<const S*>(a.states)[from * a.states_stride + column];
    }
    if (a.hx == nullptr) return static_cast<S>(0.f);
    return static_cast<const S*>(a.hx)[b * a.hidden_size + column];
  }
};

constexpr int64_t kUploaded = 256;  // numbers per launch; launch arguments are limited to 4 KB

struct Upload {
  int64_t values[kUploaded];
  int64_t* device;

  ELMAN_HOST_DEVICE void operator()(int64_t, int64_t i) const { device[i] = values[i]; }
};

}  // namespace

LaunchError forward_step(const ForwardStep& args, Stream stream) {
  return dispatch_element(args.element, [&](auto s) {
    return elementwise(args.rows, args.hidden_size, Forward<decltype(s)>{args}, stream);
  });
}

LaunchError backward_step(const BackwardStep& args, Stream stream) {
  return dispatch_element(args.element, [&](auto s) {
    return elementwise(args.num_windows * args.capacity, args.hidden_size,
                       Backward<decltype(s)>{args}, stream);
  });
}

LaunchError entering_states(const EnteringStates& args, Stream stream) {
  return dispatch_element(args.element, [&](auto s) {
    return elementwise(args.rows, args.hidden_size, Entering<decltype(s)>{args}, stream);
  });
}

LaunchError upload(const int64_t* values, int64_t count, int64_t* device, Stream stream) {
  for (int64_t done = 0; done < count; done += kUploaded) {
    const int64_t now = std::min(kUploaded, count - done);
    Upload part{};
    std::copy_n(values + done, now, part.values);
    part.device = device + done;
    if (const LaunchError error = elementwise(1, now, part, stream)) return error;
  }
  return 0;
}

}  // namespace elman::cuda
