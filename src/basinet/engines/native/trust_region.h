// A step of Newton's method within a trust region, one problem in every lane.

#pragma once

#include "linear_algebra.h"

namespace {

template <int N>
inline V frobenius(const V* A) {  // of a symmetric matrix, by its lower triangle
  V diagonal = all(0), beside = all(0);
  for (int i = 0; i < N; ++i) {
    diagonal = fma(A[i * N + i], A[i * N + i], diagonal);
    for (int k = 0; k < i; ++k) beside = fma(A[i * N + k], A[i * N + k], beside);
  }
  return square_root(diagonal + (beside + beside));
}

template <int N>
inline V length_of(const V* x) {
  V sum = all(0);
  for (int i = 0; i < N; ++i) sum = fma(x[i], x[i], sum);
  return square_root(sum);
}

// x = -(T + shift)^-1 g for a tridiagonal matrix, positive definite with its shift; returns |x|.
template <int N>
inline V shifted_solve(const V* diagonal, const V* beside, V shift, const V* g, V* x) {
  V below[N];  // of L
  V pivot = diagonal[0] + shift;
  x[0] = -g[0];
  for (int i = 0; i + 1 < N; ++i) {
    const V inverse = all(1) / pivot;
    below[i] = beside[i] * inverse;
    x[i + 1] = fma(-below[i], x[i], -g[i + 1]);
    x[i] = x[i] * inverse;
    pivot = fma(-below[i], beside[i], diagonal[i + 1] + shift);
  }
  x[N - 1] = x[N - 1] / pivot;
  for (int i = N - 2; i >= 0; --i) x[i] = fma(-below[i], x[i + 1], x[i]);
  return length_of<N>(x);
}

constexpr double TINY = 0x1p-1022;

// p = -(H + shift)^-1 g with |p| <= region and the smallest shift, overwrites g; returns by how much the model falls.
// The same as linalg/trust_region.py, but in the basis in which H is tridiagonal: no eigenvectors are needed.
template <int N>
inline V trust_region_step(V* H, V* g, V region, double smallest_shift, int bisections) {
  Tridiagonal<N> T;
  tridiagonalize(H, T);
  into_basis(H, T, g);
  V diagonal[N], beside[N], p[N];
  for (int i = 0; i < N; ++i) diagonal[i] = T.diagonal[i] * T.scale, beside[i] = T.beside[i] * T.scale;
  diagonalize(T, [](int, I, V, V) {});
  V lowest = T.diagonal[0], size = all(0);
  for (int i = 0; i < N; ++i) {
    lowest = at_most(T.diagonal[i], lowest);
    size = at_least(absolute(T.diagonal[i]), size);
  }
  const V least = all(smallest_shift) * size;
  V low = at_least(at_least(least - lowest, least), all(TINY));
  V high = at_least(length_of<N>(g) / at_least(region, all(TINY)) - lowest, low);  // there, |p| <= region
  const I too_long = shifted_solve<N>(diagonal, beside, low, g, p) > region;
  if (any(too_long)) {
    for (int k = 0; k < bisections; ++k) {
      const V middle = square_root(low) * square_root(high);
      const I longer = shifted_solve<N>(diagonal, beside, middle, g, p) > region;
      low = choose(too_long & longer, middle, low);
      high = choose(too_long & ~longer, middle, high);
    }
    shifted_solve<N>(diagonal, beside, choose(too_long, high, low), g, p);
  }
  const V shift = choose(too_long, high, low);
  V along = all(0), square = all(0);
  for (int i = 0; i < N; ++i) along = fma(g[i], p[i], along), square = fma(p[i], p[i], square);
  for (int i = 0; i < N; ++i) g[i] = p[i];
  out_of_basis(H, T, g);
  return all(0.5) * fma(shift, square, -along);  // of -g.p - p.H p / 2, where H p = -g - shift p
}

}  // namespace
