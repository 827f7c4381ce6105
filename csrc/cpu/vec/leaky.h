#pragma once

// The epilogues of leaky cells. Included by vec/kernels.cpp alone, once for each instruction set.

#include <cstdint>
#include <type_traits>

#include "cpu/vec/activate.h"
#include "cpu/vec/kernels.h"
#include "cpu/vec/load_store.h"
#include "cpu/vec/remains.h"

namespace elman::cpu {
namespace CPU_CAPABILITY {
namespace {

/// Calls function(constant of the activation, constant of the form).
template <typename Function>
inline void with_leaky_cell(Activation activation, LeakForm form, const Function& function) {
  with_activation(activation, [&](auto f) {
    if (form == LeakForm::kRate) {
      function(f, std::integral_constant<LeakForm, LeakForm::kRate>());
    } else {
      function(f, std::integral_constant<LeakForm, LeakForm::kCurrent>());
    }
  });
}

/// StorageKernels::leaky_activate.
template <typename S, typename C>
void leaky_activate(const LeakyStep<S, C>& step) {
  using Vec = Vectorized<C>;
  const bool dense = step.ldc == step.n && is_dense(step.n, step.bias) &&
                     is_dense(step.n, step.leak) && is_dense(step.n, step.state) &&
                     is_dense(step.n, step.output) && is_dense(step.n, step.drive);
  const int64_t m = dense ? 1 : step.m, n = dense ? step.m * step.n : step.n;
  with_leaky_cell(step.activation, step.form, [&](auto activation, auto form) {
    const auto f = [](const Vec& a) { return apply<decltype(activation)::value, S>(a); };
    const auto leak_to = [](const Vec& drawn, const Vec& before, const Vec& alpha) {
      return fmadd(alpha, drawn, remains(before, alpha));  // `drawn` where alpha is 1
    };
    for (int64_t i = 0; i < m; ++i) {
      C* const c = step.c + i * step.ldc;
      const C* const bias = row_of(step.bias, i);
      const C* const leak = row_of(step.leak, i);
      C* const state = row_of(step.state, i);
      S* const output = row_of(step.output, i);
      S* const drive = row_of(step.drive, i);
      for_two<C>(
          n, [&](int64_t j) __attribute__((always_inline)) {
            auto a = load_two<C>(c + j, n - j);
            if (bias != nullptr)
              a = a.map([](const Vec& x, const Vec& y) { return x + y; },
                        load_two<C>(bias + j, n - j));
            const auto before = load_two<C>(state + j, n - j);
            const auto drawn = decltype(form)::value == LeakForm::kRate ? a.map(f) : a;
            const auto after = drawn.map(leak_to, before, load_two<C>(leak + j, n - j));
            store_two(after, state + j);
            const auto out = decltype(form)::value == LeakForm::kRate ? after : after.map(f);
            if (step.take_back) store_two(out, c + j);
            store_two(out, output + j);
            if (drive == nullptr) return;
            if constexpr (decltype(form)::value == LeakForm::kRate) {
              store_two(drawn, drive + j);
            } else {
              store_two(a.map([](const Vec& x, const Vec& y) { return x - y; }, before), drive + j);
            }
          });
    }
  });
}

/// StorageKernels::leaky_delta.
template <typename G, typename S, typename C>
void leaky_delta(const LeakyDelta<G, S, C>& step) {
  using Vec = Vectorized<C>;
  const auto add = [](const Vec& x, const Vec& y) { return x + y; };
  const auto multiply = [](const Vec& x, const Vec& y) { return x * y; };
  const auto remain = [](const Vec& x, const Vec& alpha) { return remains(x, alpha); };
  const int64_t n = step.n;
  with_leaky_cell(step.activation, step.form, [&](auto activation, auto form) {
    const auto scale = [](const Vec& error, const Vec& value) {
      return scale_by_derivative<decltype(activation)::value>(value, error);
    };
    for (int64_t i = 0; i < step.m; ++i) {
      C* const c = step.c + i * step.ldc;
      const G* const g = row_of(step.g, i);
      const S* const f = row_of(step.f, i);
      C* const carried = row_of(step.carried, i);
      C* const sum = row_of(step.sum, i);
      C* const errors = row_of(step.errors, i);
      S* const rounded = row_of(step.rounded, i);
      for_two<C>(
          n, [&](int64_t j) __attribute__((always_inline)) {
            const auto value = load_two<C>(f + j, n - j), alpha = load_two<C>(step.leak + j, n - j);
            auto error = load_two<C>(carried + j, n - j);
            if (!step.c_is_zero || g != nullptr) {
              auto arrived = step.c_is_zero ? load_two<C>(g + j, n - j) : load_two<C>(c + j, n - j);
              if (!step.c_is_zero && g != nullptr)
                arrived = arrived.map(add, load_two<C>(g + j, n - j));
              if constexpr (decltype(form)::value == LeakForm::kCurrent)
                arrived = arrived.map(scale, value);
              error = arrived.map(add, error);
            }
            store_two(error.map(remain, alpha), carried + j);
            auto delta = error.map(multiply, alpha);
            if constexpr (decltype(form)::value == LeakForm::kRate) delta = delta.map(scale, value);
            store_two(delta, c + j);
            if (rounded != nullptr) store_two(delta, rounded + j);
            if (step.accumulate) delta = delta.map(add, load_two<C>(sum + j, n - j));
            store_two(delta, sum + j);
            if (errors == nullptr) return;
            if (step.accumulate) error = error.map(add, load_two<C>(errors + j, n - j));
            store_two(error, errors + j);
          });
    }
  });
}

}  // namespace
}  // namespace CPU_CAPABILITY
}  // namespace elman::cpu
