// Compiled once for each instruction set, as csrc/cpu/vec/kernels.cpp is; the loops are the same.
#include "stepper/kernels.h"

#include <cstdint>

#include "cpu/vec/activate.h"
#include "cpu/vec/product.h"
#include "cpu/vec/remains.h"
#include "cpu/vec/vec_lanes.h"

namespace elman::cpu {
namespace CPU_CAPABILITY {
namespace {

using stepper::Epilogue;
using stepper::FinishedRows;
using stepper::Form;
using stepper::padded;

template <typename C, typename Function>
inline void for_vectors(int64_t n, const Function& function) {
  for (int64_t j = 0; j < padded(n); j += Vectorized<C>::size()) function(j);
}

template <typename C>
void activate(Activation activation, int64_t n, const C* v, C* h) {
  using Vec = Vectorized<C>;
  with_activation(activation, [&](auto constant) {
    for_vectors<C>(
        n, [&](int64_t j) { apply<decltype(constant)::value, C>(Vec::loadu(v + j)).store(h + j); });
  });
}

/// f of the sums with their bias, and what a leak makes of it.
template <Form kForm, typename C>
void finish_cell(const Epilogue<C>& epilogue, const FinishedRows& rows, C* sums, C* carried, C* h,
                 C* copy) {
  using Vec = Vectorized<C>;
  with_activation(epilogue.activation, [&](auto constant) {
    constexpr Activation kActivation = decltype(constant)::value;
    for (int64_t left = rows.m;;) {
      for_vectors<C>(epilogue.n, [&](int64_t j) {
        Vec value = Vec::loadu(sums + j) + Vec::loadu(epilogue.bias + j);
        const auto leak = [&](const Vec& drive) {
          const Vec alpha = Vec::loadu(epilogue.alpha + j);
          const Vec now = fmadd(alpha, drive, remains(Vec::loadu(carried + j), alpha));
          now.store(carried + j);
          return now;
        };
        if constexpr (kForm == Form::kCurrent) value = leak(value);
        value = apply<kActivation, C>(value);
        if constexpr (kForm == Form::kRate) value = leak(value);
        value.store(h + j);
        if (copy != nullptr) value.store(copy + j);
      });
      if (--left == 0) return;
      sums += rows.sums;
      carried += rows.carried;
      h += rows.h;
      if (copy != nullptr) copy += rows.copy;
    }
  });
}

/// exp(a - max a) / sum. As torch's, NaN where a is NaN or +inf.
template <typename C>
void finish_softmax(const Epilogue<C>& epilogue, C* sums, C* h) {
  using Vec = Vectorized<C>;
  const int64_t n = epilogue.n;
  for_vectors<C>(n, [&](int64_t j) {
    (Vec::loadu(sums + j) + Vec::loadu(epilogue.bias + j)).store(sums + j);
  });
  C most = sums[0];
  for (int64_t j = 1; j < n; ++j) most = sums[j] > most ? sums[j] : most;
  for_vectors<C>(n, [&](int64_t j) { (Vec::loadu(sums + j) - Vec(most)).exp().store(sums + j); });
  C sum = 0;
  for (int64_t j = 0; j < n; ++j) sum += sums[j];
  for_vectors<C>(n, [&](int64_t j) { (Vec::loadu(sums + j) / Vec(sum)).store(h + j); });
}

template <typename C>
void finish(const Epilogue<C>& epilogue, const FinishedRows& rows, C* sums, C* carried, C* h,
            C* copy) {
  switch (epilogue.form) {
    case Form::kPlain:
      return finish_cell<Form::kPlain>(epilogue, rows, sums, carried, h, copy);
    case Form::kRate:
      return finish_cell<Form::kRate>(epilogue, rows, sums, carried, h, copy);
    case Form::kCurrent:
      return finish_cell<Form::kCurrent>(epilogue, rows, sums, carried, h, copy);
    case Form::kSoftmax:
      for (int64_t i = 0; i < rows.m; ++i)
        finish_softmax(epilogue, sums + i * rows.sums, h + i * rows.h);
  }
}

#define ELMAN_NAME(capability) ELMAN_QUOTED(capability)
#define ELMAN_QUOTED(capability) #capability
template <typename C>
constexpr stepper::Kernels<C> kKernels = {ELMAN_NAME(CPU_CAPABILITY),
                                          VecLanes<C>::kMaxVectors* VecLanes<C>::kSize,
                                          PanelProduct<VecLanes<C>>::gemv,
                                          PanelProduct<VecLanes<C>>::gemm,
                                          finish<C>,
                                          activate<C>};

}  // namespace
}  // namespace CPU_CAPABILITY
}  // namespace elman::cpu

namespace elman::stepper::CPU_CAPABILITY {

const Kernels<float> kFloat = cpu::CPU_CAPABILITY::kKernels<float>;
const Kernels<double> kDouble = cpu::CPU_CAPABILITY::kKernels<double>;

}  // namespace elman::stepper::CPU_CAPABILITY
