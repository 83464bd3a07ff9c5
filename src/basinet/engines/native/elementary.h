// Vectors of lanes, and the elementary functions that activations are made of.
//
// Rounding is written down: a product is fused with a sum where it says fma and nowhere else (-ffp-contract=off), so
// every copy that the compiler makes of a function answers the same to the bit. NaN goes in and comes out.

#pragma once

#include <cmath>
#include <cstdint>
#include <type_traits>

#if defined(__AVX512F__) && defined(__AVX512DQ__)
#define BASINET_AVX512
#include <immintrin.h>
constexpr int VECTOR = 64;  // bytes
#elif defined(__AVX2__) && defined(__FMA__)
#define BASINET_AVX2
#include <immintrin.h>
constexpr int VECTOR = 32;
#else
constexpr int VECTOR = 16;
#endif

using Real = REAL;
constexpr bool DOUBLE = std::is_same<Real, double>::value;
using Integer = std::conditional<DOUBLE, std::int64_t, std::int32_t>::type;
typedef Real V __attribute__((vector_size(VECTOR)));     // one number per lane
typedef Integer I __attribute__((vector_size(VECTOR)));  // its bits
typedef std::make_unsigned<Integer>::type U __attribute__((vector_size(VECTOR)));
constexpr int LANES = VECTOR / sizeof(Real);
constexpr int MANTISSA = DOUBLE ? 52 : 23, EXPONENT_BIAS = DOUBLE ? 1023 : 127;

// The part of a matrix that stays in registers while it is summed: of these AVX-512 has 32, others have 16.
constexpr int TILE_ROWS = 4, TILE_COLUMNS = VECTOR == 64 ? 4 : 2;

inline V all(double x) { return V{} + static_cast<Real>(x); }  // the same in every lane
inline I all_bits(Integer x) { return I{} + x; }

template <class Function>
inline V lanewise(V x, Function function) {
  for (int j = 0; j < LANES; ++j) x[j] = function(x[j]);
  return x;
}

inline V fma(V a, V b, V c) {  // a b + c, rounded once
#if defined(BASINET_AVX512)
  if constexpr (DOUBLE) return (V)_mm512_fmadd_pd((__m512d)a, (__m512d)b, (__m512d)c);
  else return (V)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(BASINET_AVX2)
  if constexpr (DOUBLE) return (V)_mm256_fmadd_pd((__m256d)a, (__m256d)b, (__m256d)c);
  else return (V)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#else
  V sum{};
  for (int j = 0; j < LANES; ++j) sum[j] = std::fma(a[j], b[j], c[j]);
  return sum;
#endif
}

inline V square_root(V x) {
#if defined(BASINET_AVX512)
  if constexpr (DOUBLE) return (V)_mm512_maskz_sqrt_pd(-1, (__m512d)x);
  else return (V)_mm512_maskz_sqrt_ps(-1, (__m512)x);
#elif defined(BASINET_AVX2)
  if constexpr (DOUBLE) return (V)_mm256_sqrt_pd((__m256d)x);
  else return (V)_mm256_sqrt_ps((__m256)x);
#else
  return lanewise(x, [](Real v) { return std::sqrt(v); });
#endif
}

// The larger and the smaller of two; NaN in x comes out, because instruction and comparison both answer with x then.
inline V at_least(V x, V low) {
#if defined(BASINET_AVX512)
  if constexpr (DOUBLE) return (V)_mm512_maskz_max_pd(-1, (__m512d)low, (__m512d)x);
  else return (V)_mm512_maskz_max_ps(-1, (__m512)low, (__m512)x);
#elif defined(BASINET_AVX2)
  if constexpr (DOUBLE) return (V)_mm256_max_pd((__m256d)low, (__m256d)x);
  else return (V)_mm256_max_ps((__m256)low, (__m256)x);
#else
  return x < low ? low : x;
#endif
}
inline V at_most(V x, V high) {
#if defined(BASINET_AVX512)
  if constexpr (DOUBLE) return (V)_mm512_maskz_min_pd(-1, (__m512d)high, (__m512d)x);
  else return (V)_mm512_maskz_min_ps(-1, (__m512)high, (__m512)x);
#elif defined(BASINET_AVX2)
  if constexpr (DOUBLE) return (V)_mm256_min_pd((__m256d)high, (__m256d)x);
  else return (V)_mm256_min_ps((__m256)high, (__m256)x);
#else
  return x > high ? high : x;
#endif
}
inline V sign_bit(V x) { return (V)((I)x & ((I)all(1) ^ (I)all(-1))); }
inline V absolute(V x) { return (V)((I)x ^ (I)sign_bit(x)); }

template <int TERMS>
inline V polynomial(V x, const double (&c)[TERMS]) {  // c[0] + c[1] x + c[2] x^2 + ..., by Horner's rule
  V sum = all(c[TERMS - 1]);
#pragma GCC unroll 32
  for (int k = TERMS - 2; k >= 0; --k) sum = fma(sum, x, all(c[k]));
  return sum;
}

// The coefficients below interpolate at Chebyshev's nodes; they were computed with 60 digits, and the errors stated
// are the largest relative ones of the polynomial as a whole.

// (e^r - 1 - r) / r^2 for |r| <= ln 2 / 2, so that e^r - 1 is right to 2e-17 and 1e-8 of e^r.
constexpr double EXPM1_64[] = {
    0.50000000000000010221, 0.16666666666666667453, 0.041666666666624127873, 0.0083333333333300618325,
    0.0013888888917213716901, 0.00019841269863053616878, 0.000024801521295954375131, 2.7557268459997064772e-6,
    2.7620088445409748161e-7, 2.5100385495510319078e-8};
constexpr double EXPM1_32[] = {0.5, 0.16666576989698775683, 0.041666554617204574203, 0.0083631790527225773704,
                               0.0013926183587713494542};

// 2 artanh(w) / w in w^2 for w <= 1/3: 1e-18 and 1e-10.
constexpr double ARTANH_64[] = {
    2.0000000000000000024, 0.66666666666666149594, 0.40000000000185747468, 0.28571428545454114534,
    0.22222224080747673173, 0.1818174083250480451, 0.15386614042304007762, 0.13300374032674624337,
    0.12110168728069217655, 0.083245065118608205757, 0.17044163562781398129};
constexpr double ARTANH_32[] = {1.999999999809006013, 0.6666667902643396956, 0.39998711246862331617,
                                0.28620207408437238329, 0.21398560506678543236, 0.24393908084023024906};

// (1 + 2x) e^(x^2) erfc(x) in (x - K) / (x + K), after Shepherd & Laframboise (1981): 2e-17 for x <= 28, 1e-9 for
// x <= 10.
constexpr double ERFC_K = 3.75;
constexpr double ERFC_64[] = {
    1.2375126308378275812, -0.1402405985855466808, 0.0035854154854637791401, 0.082276738490112036917,
    -0.10880393014171235923, 0.092304321161531155582, -0.058693398590309412464, 0.028362277400457722541,
    -0.0097465795534318736618, 0.001755626017152003847, 0.00029371366631088616011, -0.0002901549652957092613,
    0.000051648913469599861933, 0.000022387259638230134348, -0.000011442990926805438262, -9.8016667558585775116e-7,
    1.7481190468391964279e-6, -4.8158396216728490214e-8, -2.5261465267715504725e-7, 1.5996335215573707836e-8,
    3.2850835562333159093e-8, -8.7821257348035202373e-10, -2.4108215365422330404e-9};
constexpr double ERFC_32[] = {1.23751263077, -0.140240586523, 0.00358542316453, 0.0822761085104,
                              -0.108804420384, 0.0923133240268, -0.0586826279644, 0.0283150022834,
                              -0.00982831731843, 0.00182260549912, 0.000498328879579, -0.000205437650661};

struct Exponential {  // e^y = 2^n (1 + q)
  V q, n;
  I bits;  // n as an integer, in the low bits of a shifted number
};

constexpr double SHIFT = DOUBLE ? 0x1.8p52 : 0x1.8p23;  // adding it leaves an integer in the low bits

// For |y| up to some hundred thousand: n = round(y / ln 2) and q = e^r - 1 with r = y - n ln 2.
inline Exponential exponential(V y) {
  const V shifted = fma(y, all(1.4426950408889634), all(SHIFT));
  const V n = shifted - all(SHIFT);
  V r = fma(n, all(DOUBLE ? -0x1.62e42feep-1 : -0x1.63p-1), y);  // ln 2 in two parts, n times the first is exact
  r = fma(n, all(DOUBLE ? -0x1.a39ef35793c76p-33 : 0x1.bd0105c610ca8p-13), r);
  const V q = DOUBLE ? polynomial(r, EXPM1_64) : polynomial(r, EXPM1_32);
  return {fma(r * r, q, r), n, (I)shifted - (I)all(SHIFT)};
}

inline V times_power_of_two(V x, const Exponential& e) {  // x 2^n, also where that is subnormal or infinite
#if defined(BASINET_AVX512)
  if constexpr (DOUBLE) return (V)_mm512_maskz_scalef_pd(-1, (__m512d)x, (__m512d)e.n);
  else return (V)_mm512_maskz_scalef_ps(-1, (__m512)x, (__m512)e.n);
#else
  // 2^n itself may be out of range, halves are not. What is halved is positive: there is no signed shift before AVX-512.
  const U biased = (U)(e.bits + 2 * EXPONENT_BIAS), half = biased >> 1;  // floor(n / 2) + bias
  return x * (V)(half << MANTISSA) * (V)((biased - half) << MANTISSA);
#endif
}

inline V exp_within(V y, double low, double high) {  // e^y for low <= y <= high, and what it is there beyond
  const Exponential e = exponential(at_most(at_least(y, all(low)), all(high)));
  return times_power_of_two(all(1) + e.q, e);
}

inline V exp(V y) {  // to 2 units in the last place (double), 4 (float), subnormal results included
  return exp_within(y, DOUBLE ? -746 : -104, DOUBLE ? 710 : 89);
}

inline V expm1_of_negative(V y) {  // e^y - 1 for y <= 0, with small relative errors for small |y| too
  const Exponential e = exponential(at_least(y, all(-45)));
  const V power = times_power_of_two(all(1), e);
  return fma(power, e.q, power - all(1));
}

inline V log1p_of_unit(V t) {  // ln(1 + t) for 0 <= t <= 1: 2 artanh(t / (2 + t))
  const V w = t / (all(2) + t);
  return w * (DOUBLE ? polynomial(w * w, ARTANH_64) : polynomial(w * w, ARTANH_32));
}

inline V logistic(V z) {  // dividing is no slower than an estimate of the reciprocal with Newton steps (measured)
  return all(1) / (all(1) + exp(-z));
}

inline V tanh(V z) {  // with u = e^(-2|z|) - 1: -u / (2 + u)
  const V u = expm1_of_negative(all(-2) * absolute(z));
  return (V)((I)absolute(u / (all(2) + u)) | (I)sign_bit(z));
}

inline V softplus(V z) {  // ln(1 + e^z) = max(z, 0) + ln(1 + e^-|z|)
  return at_least(z, all(0)) + log1p_of_unit(exp(-absolute(z)));
}

struct Gaussian {
  V density, distribution;
};

inline Gaussian gaussian(V z) {  // of the standard normal distribution at z; both tails with small relative errors
  const V x = at_most(absolute(z), all(DOUBLE ? 39 : 15));  // beyond, both are 0
  const V square = x * x, low = fma(x, x, -square);          // x^2 to twice the digits
  V e = exp(all(-0.5) * square);
  e = fma(e * low, all(-0.5), e);
  const V y = x * all(0.70710678118654752440), t = (y - all(ERFC_K)) / (y + all(ERFC_K));
  const V series = DOUBLE ? polynomial(t, ERFC_64) : polynomial(t, ERFC_32);
  const V tail = all(0.5) * e * series / fma(all(2), y, all(1));
  return {e * all(0.39894228040143267794), z > all(0) ? all(1) - tail : tail};
}
