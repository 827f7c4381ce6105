#pragma once

#include <cstdint>
#include <vector>

#include "activation.h"
#include "leak.h"
#include "truncation.h"

namespace elman {

// The plain structs between the ATen layer (csrc/ops/cpu.cpp) and the CPU's kernels (csrc/cpu):
// pointers and sizes, no tensors, no dispatcher. (csrc/cuda has tensors up to its kernels, whose
// structs are in cuda/pointwise.h and cuda/persistent/operands.h.) All memory is dense and time
// major. T steps, B rows, I = input_size, H = hidden_size, L layers, D directions, I_l = I for
// layer 0 and D * H above; a cell is one layer in one direction, cell = layer * D + direction. The
// element type S is the kernel's template parameter, C the type it computes in: float for the two
// 16-bit types, else S.
//
// [T, B, ...] below stands for one row for each step of each sequence. Packed, step t has the rows
// b < batch_sizes[t] only, and they follow those of step t - 1 without a gap: row (t, b) stands at
// offset(t) + b.

struct StackShape {
  int64_t steps;           ///< T, the steps of the longest sequence
  int64_t batch;           ///< B, the sequences
  int64_t input_size;      ///< I
  int64_t hidden_size;     ///< H
  int64_t num_layers;      ///< L
  int64_t num_directions;  ///< D
  Activation activation;
  /// batch_sizes: [T], not increasing, how many sequences have step t; null: all B have all T.
  const int64_t* batch_sizes = nullptr;
  /// offsets: [T + 1], the sums of batch_sizes before t, or null
  const int64_t* offsets = nullptr;
  /// Of the cells that have a leak.
  LeakForm leak_form = LeakForm::kRate;

  bool packed() const { return batch_sizes != nullptr; }
  /// How many sequences have step t <= T; none has step T.
  int64_t batch_at(int64_t t) const {
    if (t >= steps) return 0;
    return packed() ? batch_sizes[t] : batch;
  }
  /// The row of step t <= T of the first sequence.
  int64_t offset(int64_t t) const { return packed() ? offsets[t] : t * batch; }
  int64_t rows() const { return offset(steps); }
  int64_t features() const { return num_directions * hidden_size; }
  int64_t layer_input_size(int64_t layer) const { return layer == 0 ? input_size : features(); }
};

struct CellParameters {
  const void* weight_ih;  ///< weight_ih: [H, I_l]
  const void* weight_hh;  ///< weight_hh: [H, H]
  const void* bias_ih;    ///< bias_ih: [H] or null
  const void* bias_hh;    ///< bias_hh: [H] or null
  const void* hx;         ///< hx: [B, H] or null (zeros)
  /// leak: [H] of C, alpha; null: none, the plain cell. All cells have one, or none has.
  const void* leak = nullptr;
};

struct StackForward {
  StackShape shape;
  std::vector<CellParameters> cells;  ///< [L * D]
  const void* input;                  ///< input: [T, B, I]
  /// masks[l]: [T, B, D*H], dropout factors between the layers l and l + 1; empty: no dropout
  std::vector<const void*> masks;
  /// reset: [T, B], not 0 where the state before the step counts as zero, or null
  const uint8_t* reset;
  std::vector<void*> states;  ///< states[l]: [T, B, D*H] of layer l; the last one is the output
  void* h_n;                  ///< h_n: [L*D, B, H]; of cells in the current form v_T
  /// preactivation[l]: [T, B, D*H], p of layer l, added to what f is applied to; empty: none
  std::vector<const void*> preactivation = {};
  /// drives[l]: [T, B, D*H], where to keep what the backward pass needs of a layer with a leak:
  /// f(a_t) in the rate form, a_t - v_{t-1} in the current form; empty: nothing is kept
  std::vector<void*> drives = {};
};

struct CellGradients {
  void* weight_ih;  ///< as the parameters; each null if it is not asked for
  void* weight_hh;
  void* bias_ih;
  void* bias_hh;
  void* leak = nullptr;  ///< [H] of C
};

struct StackBackward {
  StackShape shape;
  Windows windows;
  std::vector<CellParameters> cells;
  const void* input;               ///< input: [T, B, I]
  std::vector<const void*> masks;  ///< as in the forward
  const uint8_t* reset;            ///< as in the forward
  const void* carry_scale;  ///< carry_scale: [T, B] of C, factors of the gradient that flows from
                            ///< the step to the state before it, or null (ones); one direction only
  std::vector<const void*> states;   ///< as the forward made them
  const void* grad_output;           ///< grad_output: [T, B, D*H] or null (zeros)
  const void* grad_h_n;              ///< grad_h_n: [L*D, B, H] or null (zeros)
  void* grad_input;                  ///< grad_input: [T, B, I] or null
  void* grad_hx;                     ///< grad_hx: [L*D, B, H] or null
  std::vector<CellGradients> grads;  ///< [L * D]
  /// lag_norms: [L, k2], the L2 norm over H of layer l's delta at lag j, summed over windows and
  /// sequences, or null. For one direction and windows of k1 = 1, where lag j is the step's
  /// distance from the output whose error it is. With k2 >= T the windows must still be given one
  /// for each output, which `Windows::make` simplifies away.
  double* lag_norms = nullptr;
  /// As the forward kept them. Without them, in the rate form: f(a_t) is h_t, since alpha is 1; in
  /// the current form they are for the gradient of the leak alone.
  std::vector<const void*> drives = {};
  /// grad_preactivation[l]: [T, B, D*H], delta summed over the windows; empty: not asked for
  std::vector<void*> grad_preactivation = {};
  /// Layers below it are not asked for anything; num_layers: none is.
  int64_t lowest_layer = 0;

  bool leaky() const { return !cells.empty() && cells[0].leak != nullptr; }
};

}  // namespace elman
