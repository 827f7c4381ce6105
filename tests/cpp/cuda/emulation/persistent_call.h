#pragma once

// A persistent pass of one layer, run by the emulator, and the same written out in double.

#include <string>
#include <vector>

#include "cuda/persistent/plan.h"
#include "cuda/persistent/recurrence.h"
#include "truncation.h"

namespace elman::cuda::persistent {

/// A layer's pass in one direction. All values are exactly representable in the storage type.
struct Case {
  int steps, batch, hidden;
  Arithmetic arithmetic = Arithmetic::kFloat32;
  Activation activation = Activation::kTanh;
  bool reverse = false, bias = true, hx = true, reset = false, packed = false;
  // Backward only.
  int k1 = 0, k2 = 0;
  bool grad_output = true, grad_h_n = true, carry_scale = false;
  bool computed_gradient = false;  ///< g as Compute, from an upper layer

  Windows windows() const { return Windows::make(steps, k1, k2); }
  std::string name() const;
};

/// Random operands as double, [T * B, H] rows dense whether packed or not (then some are unused).
struct Values {
  Values(const Case& c, std::uint32_t seed);

  std::vector<int> lengths;           ///< [B], falling
  std::vector<std::int64_t> offsets;  ///< [T + 1] of packed data
  std::vector<char> reset;            ///< [T, B]
  std::vector<double> weight_hh, bias_ih, bias_hh, hx, projected;
  std::vector<double> states, grad_output, grad_h_n, carry_scale;

  bool alive(int t, int b) const { return t < lengths[b]; }
};

struct ForwardResult {
  std::vector<double> states, h_n;
};

/// The definition in double, step by step. States are kept in the storage type, and the operands of
/// the recurrent product are rounded to what the arithmetic multiplies; nothing else is rounded.
ForwardResult forward_reference(const Case& c, const Values& v);
/// Delta [T * B, H], window by window.
std::vector<double> backward_reference(const Case& c, const Values& v);

/// How far a result of size 1 may be off: sums in the compute type, and now and then a product's
/// operand that was rounded the other way.
double tolerance(Arithmetic arithmetic);

struct EmulatedResult {
  std::string error;                  ///< the emulator's
  bool given_up;                      ///< the kernel's error word
  std::vector<double> first, second;  ///< states and h_n, or Delta and nothing
};
/// `drop` leaves that many blocks out, whom the others then wait for in vain.
EmulatedResult emulate_forward(const Case& c, const Values& v, const Plan& plan, std::uint32_t seed,
                               int drop = 0);
EmulatedResult emulate_backward(const Case& c, const Values& v, const Plan& plan,
                                std::uint32_t seed);

Problem forward_problem(const Case& c);
Problem backward_problem(const Case& c);

}  // namespace elman::cuda::persistent
