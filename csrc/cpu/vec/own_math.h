#pragma once

// exp, log1p and tanh of vec/own_vector.h, where Sleef, which ATen has, is not at hand. Series cut
// where the next term is less than a tenth of the rounding; errors are a few units in the last
// place. Included by vec/own_vector.h alone.

#include <cstdint>
#include <type_traits>

#include "cpu/vec/own_vector.h"

namespace elman::cpu {
namespace CPU_CAPABILITY {
namespace {

template <typename C>
struct FloatFormat;
template <>
struct FloatFormat<float> {
  static constexpr int kMantissaBits = 23, kBias = 127;
  static constexpr float kRound = 12582912.0F;  ///< 1.5 * 2^23: a sum with it is an integer's
  static constexpr float kMostNegative = -104.0F, kMost = 89.0F;  ///< exp is 0 and inf beyond
  static constexpr float kLn2High = 0.693359375F, kLn2Low = -2.12194440e-4F;
  static constexpr int kTermsOfExp = 8, kTermsOfLog = 9;
};
template <>
struct FloatFormat<double> {
  static constexpr int kMantissaBits = 52, kBias = 1023;
  static constexpr double kRound = 6755399441055744.0;
  static constexpr double kMostNegative = -746.0, kMost = 710.0;
  static constexpr double kLn2High = 0.693147180369123816490, kLn2Low = 1.90821492927058770002e-10;
  static constexpr int kTermsOfExp = 14, kTermsOfLog = 17;
};

/// 1 / (terms)!, from the first on.
template <typename C>
struct InverseFactorials {
  C at[FloatFormat<C>::kTermsOfExp];
  constexpr InverseFactorials() : at() {
    double factorial = 1;
    for (int i = 0; i < FloatFormat<C>::kTermsOfExp; ++i) {
      factorial *= i + 1;
      at[i] = static_cast<C>(1 / factorial);
    }
  }
};

/// x = count * ln 2 + rest, |rest| <= ln 2 / 2, and e^rest - 1.
template <typename C>
struct ReducedExp {
  using Vec = Vectorized<C>;
  typename Vec::Bits count;
  Vec minus_one;

  explicit ReducedExp(const Vec& x) {
    using Format = FloatFormat<C>;
    constexpr InverseFactorials<C> kCoefficients;
    const Vec shifted = fmadd(x, Vec(C(1.44269504088896340736)), Vec(Format::kRound));
    count = shifted.bits() - Vec(Format::kRound).bits();
    const Vec whole = shifted - Vec(Format::kRound);
    Vec rest = fnmadd(whole, Vec(Format::kLn2High), x);
    rest = fnmadd(whole, Vec(Format::kLn2Low), rest);
    Vec sum(kCoefficients.at[Format::kTermsOfExp - 1]);
    for (int i = Format::kTermsOfExp - 2; i > 0; --i)
      sum = fmadd(sum, rest, Vec(kCoefficients.at[i]));
    minus_one = fmadd(sum * rest, rest, rest);
  }
};

/// 2^count, for normal numbers.
template <typename C>
inline Vectorized<C> power_of_two(const typename Vectorized<C>::Bits& count) {
  return Vectorized<C>((count + FloatFormat<C>::kBias) << FloatFormat<C>::kMantissaBits);
}

template <typename C>
inline Vectorized<C> Vectorized<C>::exp() const {
  const ReducedExp<C> reduced(
      clamp(*this, Vectorized(FloatFormat<C>::kMostNegative), Vectorized(FloatFormat<C>::kMost)));
  // In two factors, since 2^count may be no normal number.
  const Bits half = reduced.count >> 1;
  return (Vectorized(C(1)) + reduced.minus_one) * power_of_two<C>(half) *
         power_of_two<C>(reduced.count - half);
}

/// For numbers in [0, 1], which is what softplus asks for: 2 artanh(x / (2 + x)).
template <typename C>
inline Vectorized<C> Vectorized<C>::log1p() const {
  const Vectorized z = *this / (Vectorized(C(2)) + *this), square = z * z;
  constexpr int kTerms = FloatFormat<C>::kTermsOfLog;
  Vectorized sum(C(1) / C(2 * kTerms - 1));
  for (int i = kTerms - 2; i > 0; --i) sum = fmadd(sum, square, Vectorized(C(1) / C(2 * i + 1)));
  const Vectorized twice = z + z;
  return fmadd(twice * square, sum, twice);
}

/// -t / (2 + t) with t = e^(-2 |x|) - 1, which is exact to the last places for small x, too.
template <typename C>
inline Vectorized<C> Vectorized<C>::tanh() const {
  const Vectorized sign = *this & Vectorized(C(-0.0));
  // 1 from the limit on.
  const Vectorized absolute = clamp_max(*this ^ sign, Vectorized(C(20)));
  const ReducedExp<C> reduced(absolute * Vectorized(C(-2)));
  const Vectorized power = power_of_two<C>(reduced.count);
  const Vectorized t = fmadd(power, reduced.minus_one, power - Vectorized(C(1)));
  const Vectorized h = t / (Vectorized(C(2)) + t);  // of -|x|
  return h ^ (h & Vectorized(C(-0.0))) ^ sign;
}

}  // namespace
}  // namespace CPU_CAPABILITY
}  // namespace elman::cpu
