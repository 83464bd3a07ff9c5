// One small network and its gradient, for many restarts at once: one restart in every SIMD lane.
//
// What is known when this file is compiled:
//
//   REAL            float or double                      WIDTHS    units from the input to the output: 2,8,8,1
//   HIDDEN, OUTPUT  Logistic, Tanh, Relu, Softplus, Gelu or Identity
//   BIAS            1 or 0                               LOSS      Squared, or CrossEntropy (with OUTPUT Identity)
//   SAMPLES         samples that are worked on together
//
// A block is LANES restarts. What belongs to a block are arrays of vectors V, one lane per restart: theta[PARAMETERS]
// and the gradient, which stay in the cache for all steps of a segment, and for every group of SAMPLES samples a_l[unit,
// sample]. No operation mixes lanes, and every sum has a fixed order: a restart's numbers do not depend on the others.
//
// Notation: z_l = W_l a_{l-1} + b_l, a_l = sigma_l(z_l), delta_l = df/dz_l, g_l = df/da_l; l = 0 ... L, a_{-1} = x.

#pragma once

#include <vector>

#include "elementary.h"

namespace {

// ------------------------------------------------------------------------------------------------------ activations
// value(z), and sigma'(z), sigma''(z) by whichever of z and a = sigma(z) is cheaper.

struct Logistic {
  static constexpr bool READS_Z = false;
  static V value(V z) { return logistic(z); }
  static V slope(V, V a) { return a * (all(1) - a); }
  static V curvature(V, V a) { return a * (all(1) - a) * (all(1) - (a + a)); }
};
struct Tanh {
  static constexpr bool READS_Z = false;
  static V value(V z) { return tanh(z); }
  static V slope(V, V a) { return fma(-a, a, all(1)); }
  static V curvature(V, V a) { return fma(-a, a, all(1)) * (all(-2) * a); }
};
struct Relu {
  static constexpr bool READS_Z = false;
  static V value(V z) { return at_least(z, all(0)); }
  static V slope(V, V a) { return a > all(0) ? all(1) : all(0); }
  static V curvature(V, V) { return all(0); }
};
struct Softplus {
  static constexpr bool READS_Z = false;
  static V value(V z) { return softplus(z); }
  static V slope(V, V a) { return -expm1_of_negative(-a); }  // logistic(z) = 1 - e^-a
  static V curvature(V, V a) { return -expm1_of_negative(-a) * exp(-a); }
};
struct Gelu {
  static constexpr bool READS_Z = true;
  static V value(V z) { return z * gaussian(z).distribution; }
  static V slope(V z, V) {
    const Gaussian p = gaussian(z);
    return fma(z, p.density, p.distribution);
  }
  static V curvature(V z, V) { return gaussian(z).density * fma(-z, z, all(2)); }
};
struct Identity {
  static constexpr bool READS_Z = false;
  static V value(V z) { return z; }
  static V slope(V, V) { return all(1); }
  static V curvature(V, V) { return all(0); }
};

// ------------------------------------------------------------------------------------------- the shape of the network

constexpr int W[] = {WIDTHS};
constexpr int LAYERS = sizeof(W) / sizeof(W[0]) - 1;
constexpr int OUTPUTS = W[LAYERS];
constexpr int S = SAMPLES;

constexpr int weights_at(int l) {  // where layer l begins in theta: its weights row by row, then its biases
  int at = 0;
  for (int k = 0; k < l; ++k) at += W[k + 1] * (W[k] + BIAS);
  return at;
}
constexpr int biases_at(int l) { return weights_at(l) + W[l + 1] * W[l]; }
constexpr int PARAMETERS = weights_at(LAYERS);

constexpr int rows_before(int l) {  // where the inputs of layer l begin in the activations of a group
  int at = 0;
  for (int k = 0; k < l; ++k) at += W[k];
  return at * S;
}
constexpr int widest() {
  int most = 0;
  for (int width : W) most = width > most ? width : most;
  return most;
}

template <int l>
using Activation = typename std::conditional<l == LAYERS - 1, OUTPUT, HIDDEN>::type;
constexpr bool KEEPS_Z = HIDDEN::READS_Z || OUTPUT::READS_Z;

// --------------------------------------------------------------------------------------------------- matrix products
// C[m, n] = start + sum_k A[m, k] B[k, n], entry by entry a vector of lanes, k in order. Tiles of C stay in registers.
// X[m, k] is X[m * XM + k * XK]; C's rows are CM apart and its columns, like B's over n, BN.

enum Start { ZERO, ROW, ADD };  // start at zero, at a number per row, at what C holds

template <Start START, int M, int N, int K, int AM, int AK, int BK, int BN, int CM>
inline void tile(const V* A, const V* B, V* C, const V* row) {
  V c[M][N];
#pragma GCC unroll 8
  for (int m = 0; m < M; ++m)
#pragma GCC unroll 8
    for (int n = 0; n < N; ++n) c[m][n] = START == ADD ? C[m * CM + n] : START == ROW ? row[m] : all(0);
#pragma GCC unroll 2
  for (int k = 0; k < K; ++k)
#pragma GCC unroll 8
    for (int m = 0; m < M; ++m)
#pragma GCC unroll 8
      for (int n = 0; n < N; ++n) c[m][n] = fma(A[m * AM + k * AK], B[k * BK + n * BN], c[m][n]);
#pragma GCC unroll 8
  for (int m = 0; m < M; ++m)
#pragma GCC unroll 8
    for (int n = 0; n < N; ++n) C[m * CM + n] = c[m][n];
}

// Sums that are kept in registers are 4 by 4. With 16 registers 4 by 2 would fit better, but then the derivatives of ReLU
// networks are wrong as GCC 12.2 compiles them for AVX2; why is not known (tests/engines/native/test_native_engine.py).
constexpr int TILE = 4;

template <Start START, int M, int N, int K, int AM, int AK, int BK, int BN, int CM>
inline void rows_of_tiles(const V* A, const V* B, V* C, const V* row) {
  constexpr int T = TILE, REST = N % T;
  for (int n = 0; n + T <= N; n += T) tile<START, M, T, K, AM, AK, BK, BN, CM>(A, B + n * BN, C + n, row);
  if constexpr (REST > 0)
    tile<START, M, REST, K, AM, AK, BK, BN, CM>(A, B + (N - REST) * BN, C + (N - REST), row);
}

template <Start START, int M, int N, int K, int AM, int AK, int BK, int BN, int CM>
inline void product(const V* A, const V* B, V* C, const V* row = nullptr) {
  constexpr int T = TILE, REST = M % T;
  for (int m = 0; m + T <= M; m += T)
    rows_of_tiles<START, T, N, K, AM, AK, BK, BN, CM>(A + m * AM, B, C + m * CM, START == ROW ? row + m : nullptr);
  if constexpr (REST > 0) {
    constexpr int m = M - REST;
    rows_of_tiles<START, REST, N, K, AM, AK, BK, BN, CM>(A + m * AM, B, C + m * CM, START == ROW ? row + m : nullptr);
  }
}

template <int OUT, int IN, Start START = ZERO>  // z = W a (+ b)
inline void apply(const V* weight, const V* a, V* z, const V* bias = nullptr) {
  product<START, OUT, S, IN, IN, 1, S, 1, S>(weight, a, z, bias);
}
template <int OUT, int IN, Start START = ZERO>  // g = W^T delta
inline void pull_back(const V* weight, const V* delta, V* g) {
  product<START, IN, S, OUT, 1, IN, S, 1, S>(weight, delta, g);
}
template <int OUT, int IN>  // dW += delta a^T
inline void add_outer(const V* delta, const V* a, V* gradient) {
  product<ADD, OUT, IN, S, S, 1, 1, S, IN>(delta, a, gradient);
}
template <int OUT>  // db += sum over samples of delta
inline void add_sums(const V* delta, V* gradient) {
  for (int o = 0; o < OUT; ++o)
    for (int s = 0; s < S; ++s) gradient[o] = gradient[o] + delta[o * S + s];
}

// ------------------------------------------------------------------------------------------- a group of samples, losses

struct Data {
  const Real *inputs, *targets;  // [sample, feature], [sample, output]
};

struct Group {  // of S samples; where fewer are left, the last one is repeated with weight 0
  V weight[S];  // 1/N
  const Real* target[S];
};

struct Squared {  // 1/2 |a - y|^2
  static void answer(V*) {}  // a_L is what the network answers
  // g = df/da; returns the losses of the group
  template <bool WITH_LOSS>
  static V gradient(const Group& group, const V* a, V* g) {
    V loss = all(0);
    for (int o = 0; o < OUTPUTS; ++o)
      for (int s = 0; s < S; ++s) {
        const V difference = a[o * S + s] - group.target[s][o], weighted = difference * group.weight[s];
        g[o * S + s] = weighted;
        if (WITH_LOSS) loss = fma(all(0.5) * difference, weighted, loss);
      }
    return loss;
  }
  static void curvature(const Group& group, const V*, const V* v, V* result) {  // (d2f/da2) v
    for (int o = 0; o < OUTPUTS; ++o)
      for (int s = 0; s < S; ++s) result[o * S + s] = v[o * S + s] * group.weight[s];
  }
};

struct CrossEntropy {  // -sum y log softmax(a)
  static void softmax(const V* a, int s, V* p, V& largest, V& total) {
    largest = a[s];
    for (int o = 1; o < OUTPUTS; ++o) largest = at_least(largest, a[o * S + s]);
    total = all(0);
    for (int o = 0; o < OUTPUTS; ++o) total = total + (p[o] = exp(a[o * S + s] - largest));
    for (int o = 0; o < OUTPUTS; ++o) p[o] = p[o] / total;
  }
  static void answer(V* a) {  // a_L becomes softmax(a_L)
    V p[OUTPUTS], largest, total;
    for (int s = 0; s < S; ++s) {
      softmax(a, s, p, largest, total);
      for (int o = 0; o < OUTPUTS; ++o) a[o * S + s] = p[o];
    }
  }
  template <bool WITH_LOSS>
  static V gradient(const Group& group, const V* a, V* g) {
    V p[OUTPUTS], largest, total, loss = all(0);
    for (int s = 0; s < S; ++s) {
      softmax(a, s, p, largest, total);
      for (int o = 0; o < OUTPUTS; ++o) g[o * S + s] = (p[o] - group.target[s][o]) * group.weight[s];
      if (!WITH_LOSS) continue;
      const V norm = largest + lanewise(total, [](Real x) { return std::log(x); });
      for (int o = 0; o < OUTPUTS; ++o)
        loss = fma((norm - a[o * S + s]) * group.weight[s], V{} + group.target[s][o], loss);
    }
    return loss;
  }
  static void curvature(const Group& group, const V* a, const V* v, V* result) {  // (diag(p) - p p^T) v
    V p[OUTPUTS], largest, total;
    for (int s = 0; s < S; ++s) {
      softmax(a, s, p, largest, total);
      V mean = all(0);
      for (int o = 0; o < OUTPUTS; ++o) mean = fma(p[o], v[o * S + s], mean);
      for (int o = 0; o < OUTPUTS; ++o) result[o * S + s] = (v[o * S + s] - mean) * p[o] * group.weight[s];
    }
  }
};

// --------------------------------------------------------------------------------------------------- backpropagation

struct Passes {  // what one group leaves behind; rows of S samples
  V a[rows_before(LAYERS + 1)];                     // a_{-1}, a_0 ... a_L
  V z[KEEPS_Z ? rows_before(LAYERS + 1) : 1];       // z_l where a_l is, if some activation reads it
  V buffers[2][widest() * S];                       // delta_l and g_{l-1}, in turn
};

template <int l = 0>
inline void forward(const V* theta, Passes& p) {
  if constexpr (l < LAYERS) {
    constexpr int IN = W[l], OUT = W[l + 1], AT = rows_before(l + 1);
    V* a = p.a + AT;
    apply<OUT, IN, BIAS ? ROW : ZERO>(theta + weights_at(l), p.a + rows_before(l), a, theta + biases_at(l));
    for (int j = 0; j < OUT * S; ++j) {
      if (KEEPS_Z) p.z[AT + j] = a[j];
      a[j] = Activation<l>::value(a[j]);
    }
    forward<l + 1>(theta, p);
  }
}

// gradient += df/dtheta of the group, given g_l in the buffer of parity l.
template <int l = LAYERS - 1>
inline void backward(const V* theta, Passes& p, V* gradient) {
  constexpr int IN = W[l], OUT = W[l + 1], AT = rows_before(l + 1);
  V* delta = p.buffers[l % 2];
  for (int j = 0; j < OUT * S; ++j) delta[j] = delta[j] * Activation<l>::slope(p.z[KEEPS_Z ? AT + j : 0], p.a[AT + j]);
  add_outer<OUT, IN>(delta, p.a + rows_before(l), gradient + weights_at(l));
  if (BIAS) add_sums<OUT>(delta, gradient + biases_at(l));
  if constexpr (l > 0) {
    pull_back<OUT, IN>(theta + weights_at(l), delta, p.buffers[(l - 1) % 2]);
    backward<l - 1>(theta, p, gradient);
  }
}

struct Selection {  // which samples
  const std::int32_t* order;  // nullptr: all, in order
  std::int64_t count;
  Real weight;  // of each: 1 / count
};

inline Selection select(const std::int32_t* order, std::int64_t count) {
  return {order, count, static_cast<Real>(1.0 / static_cast<double>(count))};
}

inline void load(const Data& data, const Selection& chosen, std::int64_t first, Group& group, V* a) {
  for (int s = 0; s < S; ++s) {
    const std::int64_t k = first + s < chosen.count ? first + s : chosen.count - 1;
    const std::int64_t sample = chosen.order ? chosen.order[k] : k;
    group.weight[s] = V{} + (first + s < chosen.count ? chosen.weight : Real(0));
    group.target[s] = data.targets + sample * OUTPUTS;
    for (int i = 0; i < W[0]; ++i) a[i * S + s] = V{} + data.inputs[sample * W[0] + i];
  }
}

struct Penalty {
  Real weights, biases;  // 1/2 weights |W|^2 + 1/2 biases |b|^2
};

template <class Function>  // function(coefficient, first, last) for the weights and the biases of every layer
inline void for_penalised(const Penalty& penalty, Function function) {
  for (int l = 0; l < LAYERS; ++l) {
    if (penalty.weights != 0) function(penalty.weights, weights_at(l), biases_at(l));
    if (BIAS && penalty.biases != 0) function(penalty.biases, biases_at(l), weights_at(l + 1));
  }
}

template <bool WITH_LOSS>  // gradient = df/dtheta on the chosen samples; returns f
V differentiate(const Data& data, const Selection& chosen, const Penalty& penalty, const V* theta, Passes& p, V* gradient) {
  V loss = all(0);
  for (int i = 0; i < PARAMETERS; ++i) gradient[i] = all(0);
  for (std::int64_t first = 0; first < chosen.count; first += S) {
    Group group;
    load(data, chosen, first, group, p.a);
    forward(theta, p);
    const V part = LOSS::gradient<WITH_LOSS>(group, p.a + rows_before(LAYERS), p.buffers[(LAYERS - 1) % 2]);
    if (WITH_LOSS) loss = loss + part;
    backward(theta, p, gradient);
  }
  for_penalised(penalty, [&](Real lambda, int from, int to) {
    for (int i = from; i < to; ++i) {
      gradient[i] = fma(V{} + lambda, theta[i], gradient[i]);
      if (WITH_LOSS) loss = fma(V{} + Real(0.5) * lambda, theta[i] * theta[i], loss);
    }
  });
  return loss;
}

inline V norm_of(const V* gradient) {
  V sum = all(0);
  for (int i = 0; i < PARAMETERS; ++i) sum = fma(gradient[i], gradient[i], sum);
  return square_root(sum);
}

// --------------------------------------------------------------------------------- blocks in memory, and who takes them

inline void gather(const Real* row, int lane, V* columns) {
  for (int i = 0; i < PARAMETERS; ++i) columns[i][lane] = row[i];
}
inline void gather(const Real* rows, std::int64_t first, std::int64_t restarts, V* columns) {
  for (int j = 0; j < LANES; ++j)  // lanes without a restart repeat the last one
    gather(rows + (first + j < restarts ? first + j : restarts - 1) * PARAMETERS, j, columns);
}

inline void scatter(const V* columns, int lane, Real* row) {
  for (int i = 0; i < PARAMETERS; ++i) row[i] = columns[i][lane];
}

template <class Function>  // function(first restart) for the blocks that no other thread has taken yet
inline void for_blocks(std::int64_t* next, std::int64_t restarts, Function function) {
  for (;;) {
    const std::int64_t block = __atomic_fetch_add(next, 1, __ATOMIC_RELAXED);
    if (block * LANES >= restarts) return;
    function(block * LANES);
  }
}

template <class T>
struct Aligned {  // an array of vectors, or of what is made of them
  explicit Aligned(std::size_t count) : raw(count * sizeof(T) + VECTOR) {}
  T* get() {
    const auto address = reinterpret_cast<std::uintptr_t>(raw.data());
    return reinterpret_cast<T*>((address + VECTOR - 1) / VECTOR * VECTOR);
  }
  std::vector<char> raw;
};

struct Function {  // f and the restarts it is asked for, as Python hands it over
  Data data;
  std::int64_t samples;
  double l2_weights, l2_biases;
  std::int64_t restarts;
  std::int64_t* next;  // the next block that is free; threads share it
};

inline Penalty penalty_of(const Function& f) {
  return {static_cast<Real>(f.l2_weights), static_cast<Real>(f.l2_biases)};
}

}  // namespace
