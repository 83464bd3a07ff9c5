// Linear algebra of small symmetric matrices, one in every lane.
//
// A matrix of N rows is an array of N * N vectors, row by row; only its lower triangle is read. As everywhere in the
// kernels no operation mixes lanes, every sum has a fixed order and every rounding is written down, so that the results
// of a lane do not depend on the others. Lanes that need more iterations than others keep these waiting, unchanged.
//
//   factorize, solve    A = L D L^T, and A x = b                 for positive definite matrices (others are told)
//   tridiagonalize      T = Q^T A Q, by Householder's reflections
//   eigenvalues_of, eigenvectors_of   of T, by the implicit QL algorithm with Wilkinson's shift
//
// Sources: Golub & Van Loan (2013), Matrix Computations, 4.1 and 8.3; Wilkinson & Reinsch (1971), contributions II/2, II/4.

#pragma once

#include "elementary.h"

namespace {

static_assert(DOUBLE, "what counts as negligible here is so in double precision");

inline bool any(I mask) {  // of a comparison
#if defined(BASINET_AVX512)
  return _mm512_test_epi64_mask((__m512i)mask, (__m512i)mask) != 0;
#elif defined(BASINET_AVX2)
  return !_mm256_testz_si256((__m256i)mask, (__m256i)mask);
#else
  Integer found = 0;
  for (int j = 0; j < LANES; ++j) found |= mask[j];
  return found != 0;
#endif
}
inline V choose(I mask, V yes, V no) { return mask ? yes : no; }
inline V nothing_unless(I mask, V x) { return (V)((I)x & mask); }  // 0 elsewhere, also for NaN

// --------------------------------------------------------------------------------------- positive definite matrices

// Sums over k of a tile of entries are made side by side, so that none waits for another; each has its terms in order.

// entry[r][c] - sum over k < count of A[r, k] B[c, k], of a tile; rows of A and B are N apart.
template <int N, int ROWS, int COLUMNS>
inline void subtract_products(const V* A, const V* B, int count, V (&entry)[ROWS][COLUMNS]) {
  for (int k = 0; k < count; ++k)
#pragma GCC unroll 8
    for (int r = 0; r < ROWS; ++r)
#pragma GCC unroll 8
      for (int c = 0; c < COLUMNS; ++c) entry[r][c] = fma(-A[r * N + k], B[c * N + k], entry[r][c]);
}

// Columns j, j + 1, ... of L D in some rows from i on, where the rows j, j + 1, ... hold L already.
template <int N, int ROWS, int COLUMNS>
inline void factorize_tile(V* A, int i, int j) {
  V entry[ROWS][COLUMNS];
  for (int r = 0; r < ROWS; ++r)
    for (int c = 0; c < COLUMNS; ++c) entry[r][c] = A[(i + r) * N + j + c];
  subtract_products<N>(A + i * N, A + j * N, j, entry);
  for (int r = 0; r < ROWS; ++r)
    for (int c = 0; c < COLUMNS; ++c) {
      for (int k = 0; k < c; ++k) entry[r][c] = fma(-entry[r][k], A[(j + c) * N + j + k], entry[r][c]);
      A[(i + r) * N + j + c] = entry[r][c];
    }
}

// Row j of L, 1 / D[j], and the column j of L D down to the row `end`. Whether D[j] is positive.
template <int N>
inline I factorize_row(V* A, int j, int end) {
  V *row = A + j * N, pivot = row[j];
  for (int k = 0; k < j; ++k) {
    const V scaled = row[k];  // L[j][k] D[k]
    row[k] = scaled * A[k * N + k];
    pivot = fma(-row[k], scaled, pivot);
  }
  row[j] = all(1) / pivot;
  for (int i = j + 1; i < end; ++i) factorize_tile<N, 1, 1>(A, i, j);  // the quotient is taken when row i has its turn
  return pivot > all(0);
}

// The lower triangle of A becomes L below the diagonal and 1 / D on it. Which lanes are positive definite; L and D of
// the others mean nothing.
template <int N>
inline I factorize(V* A) {
  constexpr int R = TILE_ROWS, C = TILE_COLUMNS;
  I positive = all_bits(-1);
  int j = 0;
  for (; j + C <= N; j += C) {
    for (int c = 0; c < C; ++c) positive &= factorize_row<N>(A, j + c, j + C);
    int i = j + C;
    for (; i + R <= N; i += R) factorize_tile<N, R, C>(A, i, j);
    for (; i < N; ++i) factorize_tile<N, 1, C>(A, i, j);
  }
  for (; j < N; ++j) positive &= factorize_row<N>(A, j, N);
  return positive;
}

// x[i ...] = L^-1 x[i ...] for some rows of L, where those before are done.
template <int N, int ROWS>
inline void solve_rows(const V* A, int i, V* x) {
  V entry[ROWS][1];
  for (int r = 0; r < ROWS; ++r) entry[r][0] = x[i + r];
  subtract_products<N>(A + i * N, x, i, entry);
  for (int r = 0; r < ROWS; ++r) {
    for (int k = 0; k < r; ++k) entry[r][0] = fma(-A[(i + r) * N + i + k], entry[k][0], entry[r][0]);
    x[i + r] = entry[r][0];
  }
}

// x = A^-1 x, of what `factorize` has left.
template <int N>
inline void solve(const V* A, V* x) {
  constexpr int R = 2 * TILE_ROWS;
  int i = 0;
  for (; i + R <= N; i += R) solve_rows<N, R>(A, i, x);
  for (; i < N; ++i) solve_rows<N, 1>(A, i, x);
  for (i = 0; i < N; ++i) x[i] = x[i] * A[i * N + i];
  for (int k = N - 1; k > 0; --k)  // row by row, as the matrix lies in memory
    for (i = 0; i < k; ++i) x[i] = fma(-A[k * N + i], x[k], x[i]);
}

// ------------------------------------------------------------------------------------------------ tridiagonal matrices

constexpr double NEGLIGIBLE = 1e-140;  // beside entries of size 1; squares of what is larger are normal numbers
constexpr double NEGLIGIBLE_SQUARE = 1e-280;
constexpr double HALF_UNIT = 0x1p-53;
constexpr int ITERATIONS = 60;  // for one eigenvalue; two or three are usual
constexpr int PATIENCE = 8;     // iterations for which an entry has to be negligible beside its neighbours, not beside |A|

template <int N>
struct Tridiagonal {  // T = Q^T A Q / scale
  V diagonal[N], beside[N];  // beside[i] = T[i + 1][i]; beside[N - 1] is 0
  V factor[N];               // of the reflections
  V scale;                   // a power of two; NaN where A is not finite
};

// A power of two that brings the largest entry of A to between 1 and 2, in every lane.
inline V power_below(V largest) {
  const I exponent = ((I)largest >> MANTISSA) & all_bits(2 * EXPONENT_BIAS + 1);
  const I opposite = all_bits(2 * EXPONENT_BIAS) - exponent;
  return (V)((opposite > 1 ? opposite : all_bits(1)) << MANTISSA);
}

// A is overwritten: below the diagonal, column i holds the i-th reflection 1 - factor v v^T, of which v[i + 1] = 1.
template <int N>
inline void tridiagonalize(V* A, Tridiagonal<N>& T) {
  V largest = all(0), finite = all(0);
  for (int i = 0; i < N; ++i)
    for (int k = 0; k <= i; ++k) {
      largest = at_least(absolute(A[i * N + k]), largest);
      finite = fma(A[i * N + k], all(0), finite);
    }
  const I is_finite = finite == all(0);
  const V power = power_below(nothing_unless(is_finite, largest));
  T.scale = all(1) / power + finite;
  for (int i = 0; i < N; ++i)
    for (int k = 0; k <= i; ++k) A[i * N + k] = nothing_unless(is_finite, A[i * N + k] * power);

  for (int i = 0; i < N; ++i) {
    T.diagonal[i] = A[i * N + i];
    T.beside[i] = T.factor[i] = all(0);
    if (i + 1 == N) break;
    V *first = A + (i + 1) * N + i, v[N], w[N];
    V square = all(0);
    for (int k = i + 2; k < N; ++k) square = fma(A[k * N + i], A[k * N + i], square);
    const V whole = fma(*first, *first, square);
    const I reflects = (square > all(0)) & (whole > all(NEGLIGIBLE_SQUARE));
    const V norm = square_root(whole), end = choose(*first > all(0), -norm, norm);
    T.beside[i] = choose(reflects, end, *first);
    const V denominator = choose(reflects, *first - end, all(1));
    T.factor[i] = nothing_unless(reflects, -denominator / end);
    v[i + 1] = *first = all(1);
    for (int k = i + 2; k < N; ++k) A[k * N + i] = v[k] = nothing_unless(reflects, A[k * N + i] / denominator);

    // w = factor (A v - half (factor v^T A v) v), A -= v w^T + w v^T
    for (int k = i + 1; k < N; ++k) w[k] = all(0);
    for (int k = i + 1; k < N; ++k) {
      const V* row = A + k * N;
      V sum = row[k] * v[k];
      for (int j = i + 1; j < k; ++j) {
        sum = fma(row[j], v[j], sum);
        w[j] = fma(row[j], v[k], w[j]);
      }
      w[k] = w[k] + sum;
    }
    V along = all(0);
    for (int k = i + 1; k < N; ++k) along = fma(w[k], v[k], along);
    along = all(-0.5) * T.factor[i] * along;
    for (int k = i + 1; k < N; ++k) w[k] = T.factor[i] * fma(along, v[k], w[k]);
    for (int k = i + 1; k < N; ++k) {
      V* row = A + k * N;
      for (int j = i + 1; j <= k; ++j) row[j] = fma(-v[k], w[j], fma(-w[k], v[j], row[j]));
    }
  }
}

// x = (1 - factor v v^T) x for the i-th reflection that A holds.
template <int N>
inline void reflect(const V* A, const Tridiagonal<N>& T, int i, V* x) {
  V along = all(0);
  for (int k = i + 1; k < N; ++k) along = fma(A[k * N + i], x[k], along);
  along = along * T.factor[i];
  for (int k = i + 1; k < N; ++k) x[k] = fma(-along, A[k * N + i], x[k]);
}
template <int N>  // x = Q^T x
inline void into_basis(const V* A, const Tridiagonal<N>& T, V* x) {
  for (int i = 0; i + 1 < N; ++i) reflect(A, T, i, x);
}
template <int N>  // x = Q x
inline void out_of_basis(const V* A, const Tridiagonal<N>& T, V* x) {
  for (int i = N - 2; i >= 0; --i) reflect(A, T, i, x);
}

// The diagonal of T becomes its eigenvalues, in no order; rotate(i, active, c, s) is called for each rotation of the
// columns i and i + 1 of what is to become eigenvectors. NaN where a lane has not converged.
template <int N, class Rotate>
inline void diagonalize(Tridiagonal<N>& T, Rotate rotate) {
  V *d = T.diagonal, *e = T.beside;
  I failed = all_bits(0);
  for (int l = 0; l + 1 < N; ++l) {
    for (int iteration = 0;; ++iteration) {
      // Rounding of large eigenvalues may keep entries between small ones from ever being negligible beside these.
      const V floor = all(iteration < PATIENCE ? NEGLIGIBLE : HALF_UNIT);
      I last = all_bits(N - 1);  // of the block that begins with l
      for (int i = N - 2; i >= l; --i) {
        const V sum = fma(absolute(d[i]) + absolute(d[i + 1]), all(HALF_UNIT), floor);
        last = absolute(e[i]) <= sum ? all_bits(i) : last;
      }
      const I open = (last > l) & ~failed;
      if (!any(open)) break;
      if (iteration == ITERATIONS) {
        failed |= open;
        break;
      }
      // Wilkinson's shift, the eigenvalue of the leading 2 x 2 block that is nearer to d[l]. No square overflows: where
      // a lane is open, e[l] is not negligible.
      const V ratio = (d[l + 1] - d[l]) / choose(open, e[l] + e[l], all(1));
      const V root = square_root(fma(ratio, ratio, all(1)));
      V g = -d[l] + e[l] / (ratio + choose(ratio < all(0), -root, root)), s = all(1), c = all(1), p = all(0);
      for (int i = N - 2; i >= l; --i) {
        const I active = open & (last > i), is_first = last == all_bits(i + 1);
        g = choose(is_first, d[i + 1] + g, g);
        const V f = s * e[i], b = c * e[i], square = fma(f, f, g * g);
        const I rotates = square > all(NEGLIGIBLE_SQUARE);
        const V length = square_root(square), inverse = all(1) / choose(rotates, length, all(1));
        const V r = choose(rotates, length, g);
        const V new_s = nothing_unless(rotates, f * inverse), new_c = choose(rotates, g * inverse, all(1));
        e[i + 1] = choose(active, nothing_unless(~is_first, r), e[i + 1]);
        const V h = d[i + 1] - p, q = fma(d[i] - h, new_s, (new_c + new_c) * b);
        s = choose(active, new_s, s), c = choose(active, new_c, c);
        p = choose(active, new_s * q, p);
        d[i + 1] = choose(active, h + p, d[i + 1]);
        g = choose(active, fma(new_c, q, -b), g);
        rotate(i, active, new_c, new_s);
      }
      d[l] = choose(open, d[l] - p, d[l]);
      e[l] = choose(open, g, e[l]);
    }
  }
  for (int i = 0; i < N; ++i) d[i] = choose(failed, all(NAN), d[i]) * T.scale;
}

// Eigenvalues of A, ascending; A is used up.
template <int N>
inline void eigenvalues_of(V* A, V* values) {
  Tridiagonal<N> T;
  tridiagonalize(A, T);
  diagonalize(T, [](int, I, V, V) {});
  for (int i = 0; i < N; ++i) values[i] = T.diagonal[i];
  for (int round = 0; round < N; ++round)  // sorting by transposition
    for (int i = round % 2; i + 1 < N; i += 2) {
      const V low = values[i], high = values[i + 1];
      const I wrong = low > high;
      values[i] = choose(wrong, high, low), values[i + 1] = choose(wrong, low, high);
    }
}

// Eigenvalues of A in no order, and their eigenvectors as the rows of `vectors`; A is used up.
template <int N>
inline void eigenvectors_of(V* A, V* values, V* vectors) {
  Tridiagonal<N> T;
  tridiagonalize(A, T);
  for (int i = 0; i < N; ++i)
    for (int k = 0; k < N; ++k) vectors[i * N + k] = all(i == k ? 1 : 0);
  for (int i = N - 2; i >= 0; --i)
    for (int j = i + 1; j < N; ++j) reflect(A, T, i, vectors + j * N);
  diagonalize(T, [&](int i, I active, V c, V s) {
    V *low = vectors + i * N, *high = low + N;
    for (int k = 0; k < N; ++k) {
      const V above = high[k], below = low[k];
      high[k] = choose(active, fma(s, below, c * above), above);
      low[k] = choose(active, fma(c, below, -(s * above)), below);
    }
  });
  for (int i = 0; i < N; ++i) values[i] = T.diagonal[i];
}

// The numbers of a lane's eigenvalues in ascending order.
template <int N>
inline void ascending(const V* values, int lane, int* order) {
  for (int i = 0; i < N; ++i) {
    int place = i;
    for (; place > 0 && values[order[place - 1]][lane] > values[i][lane]; --place) order[place] = order[place - 1];
    order[place] = i;
  }
}

}  // namespace
