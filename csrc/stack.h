#pragma once

#include <cstdint>
#include <vector>

#include "activation.h"
#include "truncation.h"

namespace elman {

// The plain structs between the ATen layer (csrc/ops) and the device kernels (csrc/cpu, csrc/cuda):
// pointers and sizes, no tensors, no dispatcher. All memory is dense and time major. T steps, B
// rows, I = input_size, H = hidden_size, L layers, D directions, I_l = I for layer 0 and D * H
// above; a cell is one layer in one direction, cell = layer * D + direction. The element type S is
// the kernel's template parameter.

struct StackShape {
  int64_t steps;           ///< T
  int64_t batch;           ///< B
  int64_t input_size;      ///< I
  int64_t hidden_size;     ///< H
  int64_t num_layers;      ///< L
  int64_t num_directions;  ///< D
  Activation activation;

  int64_t rows() const { return steps * batch; }
  int64_t features() const { return num_directions * hidden_size; }
  int64_t layer_input_size(int64_t layer) const { return layer == 0 ? input_size : features(); }
};

struct CellParameters {
  const void* weight_ih;  ///< weight_ih: [H, I_l]
  const void* weight_hh;  ///< weight_hh: [H, H]
  const void* bias_ih;    ///< bias_ih: [H] or null
  const void* bias_hh;    ///< bias_hh: [H] or null
  const void* hx;         ///< hx: [B, H] or null (zeros)
};

struct StackForward {
  StackShape shape;
  std::vector<CellParameters> cells;  ///< [L * D]
  const void* input;                  ///< input: [T, B, I]
  const void* masks;  ///< masks: [L-1, T, B, D*H], dropout factors between the layers, or null
  std::vector<void*> states;  ///< states[l]: [T, B, D*H] of layer l; the last one is the output
  void* h_n;                  ///< h_n: [L*D, B, H]
};

struct CellGradients {
  void* weight_ih;  ///< as the parameters; each null if it is not asked for
  void* weight_hh;
  void* bias_ih;
  void* bias_hh;
};

struct StackBackward {
  StackShape shape;
  Windows windows;
  std::vector<CellParameters> cells;
  const void* input;                 ///< input: [T, B, I]
  const void* masks;                 ///< as in the forward
  std::vector<const void*> states;   ///< as the forward made them
  const void* grad_output;           ///< grad_output: [T, B, D*H] or null (zeros)
  const void* grad_h_n;              ///< grad_h_n: [L*D, B, H] or null (zeros)
  void* grad_input;                  ///< grad_input: [T, B, I] or null
  void* grad_hx;                     ///< grad_hx: [L*D, B, H] or null
  std::vector<CellGradients> grads;  ///< [L * D]
};

}  // namespace elman
