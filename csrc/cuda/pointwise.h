#pragma once

#include <cstdint>

#include "activation.h"
#include "cuda/element.h"
#include "leak.h"
#include "truncation.h"

// The elementwise kernels of the general path: what stands between two matrix products. Plain
// structs; S is the storage type, A its accumulation type. T steps, B rows of the batch, H hidden
// size, D directions. A sequence of row offsets says where the rows of a step lie: step t has the
// rows offset(t) ... offset(t + 1) - 1 of a [rows, features] matrix. In a padded batch
// offset(t) = t * B; a packed one brings its own.

namespace elman::cuda {

/// One step forward of one cell: h_t = f(preactivation + b_ih + b_hh). A leaky cell (leak.h) has a
/// state beside what W_h reads, in A: rounded to S at each step it would not move by what it
/// should.
struct ForwardStep {
  Element element;
  Activation activation;
  LeakForm form;
  int64_t rows;                  ///< rows of this step
  int64_t hidden_size;           ///< H
  const void* preactivation;     ///< [rows, H] A: W_x x_t + W_h h_{t-1}
  const void* bias_ih;           ///< [H] S or null
  const void* bias_hh;           ///< [H] S or null
  const std::uint8_t* cut_next;  ///< [rows] not 0 where the state counts as zero for the next
                                 ///< step, or null
  const void* alpha;             ///< [H] A, the leak, or null (1)
  void* state;                   ///< [rows, H] S, the output: h_t
  int64_t state_stride;          ///< elements between two rows of `state` and of `drive`
  void* carry;                   ///< [rows, H] S, what W_h reads at the next step
  void* leaky_state;             ///< [rows, H] A, in: the state that enters, out: the one that
                                 ///< enters the next step; null of a cell that is not leaky
  void* drive;                   ///< [rows, H] S, Saved::drives, or null
};
LaunchError forward_step(const ForwardStep& args, Stream stream);

/// One lag of the backward recurrence of one cell, in all windows that have a step there:
/// delta = f'(h) * (arriving + carried), or what a leaky cell makes of these. The rows are
/// `capacity` for each window, first_window on; row r stands for window first_window + r / capacity
/// and batch row r % capacity.
struct BackwardStep {
  Element element;
  Activation activation;
  LeakForm form;
  Windows windows;
  bool reverse;
  int64_t lag;
  int64_t first_window;
  int64_t num_windows;
  int64_t capacity;
  int64_t batch;           ///< B
  int64_t hidden_size;     ///< H
  const int64_t* offsets;  ///< [T + 1] on the device if packed, else null

  const void* states;       ///< [rows, H] S, what f' is a function of: h, or f(a_t)
  int64_t states_stride;    ///< elements between two rows of `states`, their gradients and `mask`
  const void* alpha;        ///< [H] A, the leak, or null (1)
  const void* grad_output;  ///< [rows, H] S, the gradient of the states, or null
  const void* grad_states;  ///< the same in A, as a layer's above is, or null
  const void* grad_h_n;     ///< [B, H] S, or null; arrives at the step that made h_n
  const void* from_above;  ///< [num_windows * capacity, H] A, the error of the layer above, or null
  const void* mask;        ///< [rows, H] S, dropout factors of from_above, or null
  const void* carried;     ///< [num_windows * capacity, H] A, delta of lag - 1 times W_h, or null
  const std::uint8_t* reset;  ///< [T, B] or null
  const void* scale;          ///< [T, B] A, carry_scale, or null

  void* delta;  ///< [num_windows * capacity, H] S or null; zero in rows without a step
  void* total;  ///< [rows, H] A, the sum of delta over the windows
  void*
      error;  ///< [num_windows * capacity, H] A, with alpha: e, the gradient at the carried state,
              ///< in: at lag - 1, out: at this lag; else null
  void* error_total;  ///< [rows, H] A, the sum of e over the windows, or null
};
LaunchError backward_step(const BackwardStep& args, Stream stream);

/// What W_h read at the steps, the states that entered them after reset or f of these: [rows, H] S
/// dense.
struct EnteringStates {
  Element element;
  Activation activation;
  LeakForm form;
  bool reverse;
  int64_t steps;              ///< T
  int64_t batch;              ///< B
  int64_t hidden_size;        ///< H
  int64_t rows;               ///< rows of all steps
  const int64_t* offsets;     ///< [T + 1] on the device if packed, else null
  const void* states;         ///< [rows, H] S
  int64_t states_stride;      ///< elements between two rows of `states`
  const void* hx;             ///< [B, H] S, what the first steps read, or null (zeros)
  const std::uint8_t* reset;  ///< [T, B] or null
  void* entering;             ///< [rows, H] S
};
LaunchError entering_states(const EnteringStates& args, Stream stream);

/// Brings numbers of the host to the device by way of launch arguments: unlike a copy it neither
/// waits nor leaves a captured graph with a pointer into memory that is gone.
LaunchError upload(const int64_t* values, int64_t count, int64_t* device, Stream stream);

}  // namespace elman::cuda
