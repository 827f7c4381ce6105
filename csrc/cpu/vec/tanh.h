#pragma once

// tanh for the epilogue of a product, with less error near 1 than is usual: a backward pass takes
// 1 - h^2 from it. The tables and the errors are those of fit_tanh.py. Included once for each
// instruction set.

#include <cstdint>
#include <type_traits>

#include "cpu/vec/vector.h"

namespace elman::cpu {
namespace CPU_CAPABILITY {
namespace {

/// tanh in double as ATen computes it, or vec/own_math.h.
inline Vectorized<double> fast_tanh(const Vectorized<double>& x) { return x.tanh(); }

#ifdef CPU_CAPABILITY_AVX512

/// Sixteen intervals of |x|, a column each: c0 ... c6 and the centre of c0 + r (c1 + r (...)),
/// r = |x| - centre. The column is what the leading bits of 1 + |x| say, modulo 16.
alignas(64) constexpr float kTanh[8][16] = {
    {0.848202825F, 0.941348791F, 0.978007734F, 0.991847813F, 0.998180032F, 0.999752283F,
     0.999966502F, 0.99999547F, 1.0F, 1.0F, 1.0F, 0.0F, 0.0F, 0.358432412F, 0.554673553F,
     0.703977227F},
    {0.280551851F, 0.113862403F, 0.0435008705F, 0.0162379183F, 0.00363669195F, 0.000495382876F,
     6.69959263e-05F, 9.06007972e-06F, -6.12044823e-06F, -2.44586684e-09F, 5.52826229e-09F, 0.0F,
     1.0F, 0.871526182F, 0.692337275F, 0.504416049F},
    {-0.237964988F, -0.107184216F, -0.0425441787F, -0.0161055401F, -0.00363005302F,
     -0.000495255808F, -6.69931542e-05F, -9.05997422e-06F, -8.54424525e-06F, -8.81425155e-09F,
     6.2015161e-08F, 0.0F, -1.0973024e-06F, -0.312383294F, -0.384021133F, -0.355097443F},
    {0.108340502F, 0.0629502609F, 0.0271085817F, 0.010561252F, 0.00240896083F, 0.00032966194F,
     4.46117665e-05F, 6.03350054e-06F, -4.77936328e-06F, -1.08659792e-08F, 2.63785608e-07F, 0.0F,
     -0.333270192F, -0.178535998F, -0.0177826453F, 0.0818441287F},
    {-0.0125572393F, -0.0235289522F, -0.012331591F, -0.00510702468F, -0.00119590119F,
     -0.000164715035F, -2.23083243e-05F, -3.01733621e-06F, -1.34243749e-06F, -6.88169877e-09F,
     5.06213894e-07F, 0.0F, -0.00118376489F, 0.168134004F, 0.137857869F, 0.0607576519F},
    {-0.0197156072F, 0.00348025816F, 0.00397909898F, 0.00191716093F, 0.000489700586F,
     6.8544352e-05F, 9.30390888e-06F, 1.25884378e-06F, -1.90005636e-07F, -2.1180131e-09F,
     4.48374379e-07F, 0.0F, 0.143084541F, 0.0186109561F, -0.0541455261F, -0.0587677024F},
    {0.0151017215F, 0.0021017082F, -0.000716013717F, -0.000545515097F, -0.000157677496F,
     -2.26173815e-05F, -3.08437302e-06F, -4.17832126e-07F, -1.09326947e-08F, -2.86838608e-10F,
     1.48970088e-07F, 0.0F, -0.0369775631F, -0.0698787794F, -0.0235980432F, 0.0127705988F},
    {1.24971187F, 1.74976504F, 2.24957728F, 2.74926591F, 3.50058651F, 4.49812365F, 5.49858046F,
     6.49897194F, 12.0F, 12.0F, 12.0F, 0.0F, 0.0F, 0.375086069F, 0.625106633F, 0.875141978F}};

/// tanh in float within 0.65 units in the last place where |h| > 0.5, within 1.1 elsewhere; x
/// itself where x is small. A polynomial whose coefficients are looked up takes no division.
inline Vectorized<float> fast_tanh(const Vectorized<float>& x) {
  constexpr int kDegree = 6, kCentre = 7;
  constexpr int kColumnAt = 21;  // bits below the exponent and two more
  // h is 1 from the limit on. It is the first operand, since the second is returned if it is NaN.
  const __m512 u = _mm512_min_ps(_mm512_set1_ps(12.0F), _mm512_abs_ps(x));
  const __m512i column =
      _mm512_srli_epi32(_mm512_castps_si512(_mm512_add_ps(u, _mm512_set1_ps(1.0F))), kColumnAt);
  const auto look_up = [&](int row) {
    return _mm512_permutexvar_ps(column, _mm512_load_ps(kTanh[row]));
  };
  const __m512 r = _mm512_sub_ps(u, look_up(kCentre));
  __m512 h = look_up(kDegree);
#pragma GCC unroll 6
  for (int k = kDegree - 1; k >= 0; --k) h = _mm512_fmadd_ps(h, r, look_up(k));
  constexpr int kSecondWhereThird = 0xD8;  // else the first
  return _mm512_castsi512_ps(
      _mm512_ternarylogic_epi32(_mm512_castps_si512(h), _mm512_castps_si512(x),
                                _mm512_set1_epi32(INT32_MIN), kSecondWhereThird));
}

#else

/// Eight intervals of |x|, a column each: the centre, b = tanh(centre), 1 - b^2, p (1 - b^2) and
/// b / (1 - b^2). The column is what the leading bits of 1 + 1.4 |x| say, modulo 8.
alignas(32) constexpr float kTanh[5][8] = {
    {0.969778061F, 1.74976504F, 2.69930434F, 4.00077772F, 5.69953966F, 7.97119236F, 0.0F,
     0.599968791F},
    {0.748606741F, 0.941348791F, 0.99099499F, 0.999330342F, 0.999977589F, 0.999999762F, 0.0F,
     0.537027359F},
    {0.439587951F, 0.113862455F, 0.01792893F, 0.00133886794F, 4.48221908e-05F, 4.76837101e-07F,
     1.0F, 0.711601615F},
    {0.0414938815F, 0.010747782F, 0.00169235968F, 0.000126379324F, 4.23088659e-06F, 4.500993e-08F,
     0.0943926796F, 0.0671699792F},
    {1.70297372F, 8.26742077F, 55.2735138F, 746.399475F, 22309.877F, 2097151.75F, 0.0F,
     0.754674196F}};

/// One of these rows at each of the columns that the bits of `above`, in [1, 16), say.
class TanhColumns {
 public:
  using Vec = Vectorized<float>;
#ifdef CPU_CAPABILITY_AVX2
  explicit TanhColumns(const Vec& above)
      : columns_(_mm256_srli_epi32(_mm256_castps_si256(above), kColumnAt)) {}
  Vec look_up(int row) const {
    return _mm256_permutevar8x32_ps(_mm256_load_ps(kTanh[row]), columns_);
  }

 private:
  __m256i columns_;
#else
  explicit TanhColumns(const Vec& above) {
    float values[Vec::size()];
    above.store(values);
    __builtin_memcpy(columns_, values, sizeof(columns_));
    for (std::int32_t& column : columns_) column = column >> kColumnAt & 7;
  }
  Vec look_up(int row) const {
    float values[Vec::size()];
    for (int i = 0; i < Vec::size(); ++i) values[i] = kTanh[row][columns_[i]];
    return Vec::loadu(values);
  }

 private:
  std::int32_t columns_[Vec::size()];
#endif
  static constexpr int kColumnAt = 22;  // bits below the exponent and one more
};

/// tanh in float within one unit in the last place where |h| > 0.5, within 3.3 elsewhere; x itself
/// where x is small. By the addition theorem, tanh(c + r) = b + (1 - b^2) t / (1 + b t) with
/// t = tanh(r) = r (1 + p r^2) / (1 + q r^2 + q' r^4).
inline Vectorized<float> fast_tanh(const Vectorized<float>& x) {
  using Vec = Vectorized<float>;
  constexpr float kLimit = 9.6F;  // h is 1 from there on
  constexpr float kQ[] = {0.427725673F, 0.00924723409F};
  const Vec sign = x & Vec(-0.0F);
  const Vec u = clamp_max(x ^ sign, Vec(kLimit));  // NaN stays NaN
  const TanhColumns columns(fmadd(u, Vec(1.4F), Vec(1.0F)));
  const Vec r = u - columns.look_up(0);
  const Vec square = r * r;
  const Vec numerator = r * fmadd(square, columns.look_up(3), columns.look_up(2));
  const Vec of_t = fmadd(fmadd(Vec(kQ[1]), square, Vec(kQ[0])), square, Vec(1.0F));
  const Vec denominator = fmadd(columns.look_up(4), numerator, of_t);
  return (columns.look_up(1) + numerator / denominator) | sign;
}

#endif

/// tanh in float within 2e-6 of itself, a hundredth of float16's rounding, by which it is followed:
/// x (1 + p x^2 + ...) / (1 + q x^2 + ...).
inline Vectorized<float> tanh_for_16_bits(const Vectorized<float>& x) {
  using Vec = Vectorized<float>;
  constexpr float kLimit = 4.7F;  // h is rounded to 1 from 4.51 on
  constexpr float kP[] = {1.0F, 0.117197514F, 0.00167900033F};
  constexpr float kQ[] = {1.0F, 0.450523436F, 0.0185325984F, 6.74054609e-05F};
  const Vec u = clamp(x, Vec(-kLimit), Vec(kLimit));  // NaN stays NaN
  const Vec square = u * u;
  const Vec p = fmadd(fmadd(Vec(kP[2]), square, Vec(kP[1])), square, Vec(kP[0]));
  Vec q = fmadd(Vec(kQ[3]), square, Vec(kQ[2]));
  q = fmadd(q, square, Vec(kQ[1]));
  q = fmadd(q, square, Vec(kQ[0]));
  return u * p / q;
}

/// tanh of what is going to be stored as S.
template <typename S, typename C>
inline Vectorized<C> tanh_as(const Vectorized<C>& x) {
  if constexpr (std::is_same_v<S, C>) {
    return fast_tanh(x);
  } else {
    return tanh_for_16_bits(x);
  }
}

}  // namespace
}  // namespace CPU_CAPABILITY
}  // namespace elman::cpu
