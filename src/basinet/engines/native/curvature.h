// Second derivatives of a block of restarts by Pearlmutter's R-operator.
//
// R is the derivative along a direction (V_l, c_l) of parameters:
//
//   Rz_l = V_l a_{l-1} + W_l Ra_{l-1} + c_l       Ra_l = sigma'_l Rz_l       Rg_L = (d2 loss / da2) Ra_L
//   Rdelta_l = Rg_l sigma'_l + g_l sigma''_l Rz_l                            Rg_{l-1} = V_l^T delta_l + W_l^T Rdelta_l
//   R dW_l = Rdelta_l a_{l-1}^T + delta_l Ra_{l-1}^T                         R db_l = sum over samples of Rdelta_l
//
// The Hessian is not made of PARAMETERS such products: a parameter reaches the loss through the pre-activation of its
// own unit only, so it is enough to take R along every unit's z (Bishop, 1992).

#pragma once

#include "backprop.h"

namespace {

constexpr int ROWS = rows_before(LAYERS + 1) - rows_before(1);  // of z_0 ... z_L
constexpr int at(int l) { return rows_before(l + 1) - rows_before(1); }

struct Derivatives {  // of one group; what belongs to z_l is at at(l)
  Passes p;
  V slope[ROWS];      // sigma'_l
  V delta[ROWS];      // delta_l
  V bend[ROWS];       // g_l sigma''_l
  V R_z[ROWS], R_a[ROWS], R_delta[ROWS];
  V R_g[2][widest() * S];
  V outer[widest() * S];
  V ones[S];
};

// delta_l, sigma'_l and g_l sigma''_l of all layers, given g_L in its buffer.
template <int l = LAYERS - 1>
inline void differentiate_layers(const V* theta, Derivatives& d) {
  constexpr int IN = W[l], OUT = W[l + 1], A = rows_before(l + 1);
  const V* g = d.p.buffers[l % 2];
  for (int j = 0; j < OUT * S; ++j) {
    const V z = d.p.z[KEEPS_Z ? A + j : 0], a = d.p.a[A + j];
    d.slope[at(l) + j] = Activation<l>::slope(z, a);
    d.delta[at(l) + j] = g[j] * d.slope[at(l) + j];
    d.bend[at(l) + j] = g[j] * Activation<l>::curvature(z, a);
  }
  if constexpr (l > 0) {
    pull_back<OUT, IN>(theta + weights_at(l), d.delta + at(l), d.p.buffers[(l - 1) % 2]);
    differentiate_layers<l - 1>(theta, d);
  }
}

template <class Work>  // work(group, its loss) for all groups of samples, with their first derivatives in d
void for_groups(const Function& f, const V* theta, Derivatives& d, Work work) {
  const Selection everything = select(nullptr, f.samples);
  for (std::int64_t first = 0; first < f.samples; first += S) {
    Group group;
    load(f.data, everything, first, group, d.p.a);
    forward(theta, d.p);
    const V loss = LOSS::template gradient<true>(group, d.p.a + rows_before(LAYERS), d.p.buffers[(LAYERS - 1) % 2]);
    differentiate_layers(theta, d);
    work(group, loss);
  }
}

template <int l = 0>
inline void add_gradient(const Derivatives& d, V* gradient) {  // of the group
  if constexpr (l < LAYERS) {
    add_outer<W[l + 1], W[l]>(d.delta + at(l), d.p.a + rows_before(l), gradient + weights_at(l));
    if (BIAS) add_sums<W[l + 1]>(d.delta + at(l), gradient + biases_at(l));
    add_gradient<l + 1>(d, gradient);
  }
}

// ------------------------------------------------------------------------------------------- Hessian-vector products

template <int l = 0>
inline void R_forward(const V* theta, const V* v, Derivatives& d) {
  if constexpr (l < LAYERS) {
    constexpr int IN = W[l], OUT = W[l + 1];
    V* R_z = d.R_z + at(l);
    apply<OUT, IN, BIAS ? ROW : ZERO>(v + weights_at(l), d.p.a + rows_before(l), R_z, v + biases_at(l));
    if constexpr (l > 0) apply<OUT, IN, ADD>(theta + weights_at(l), d.R_a + at(l - 1), R_z);
    for (int j = 0; j < OUT * S; ++j) d.R_a[at(l) + j] = d.slope[at(l) + j] * R_z[j];
    R_forward<l + 1>(theta, v, d);
  }
}

template <int l>
inline void R_delta_of(Derivatives& d) {
  for (int j = 0; j < W[l + 1] * S; ++j)
    d.R_delta[at(l) + j] = fma(d.R_g[l % 2][j], d.slope[at(l) + j], d.bend[at(l) + j] * d.R_z[at(l) + j]);
}

template <int l = LAYERS - 1>
inline void R_backward(const V* theta, const V* v, Derivatives& d, V* product_) {
  constexpr int IN = W[l], OUT = W[l + 1];
  R_delta_of<l>(d);
  const V* R_delta = d.R_delta + at(l);
  add_outer<OUT, IN>(R_delta, d.p.a + rows_before(l), product_ + weights_at(l));
  if (BIAS) add_sums<OUT>(R_delta, product_ + biases_at(l));
  if constexpr (l > 0) {
    add_outer<OUT, IN>(d.delta + at(l), d.R_a + at(l - 1), product_ + weights_at(l));
    pull_back<OUT, IN>(v + weights_at(l), d.delta + at(l), d.R_g[(l - 1) % 2]);
    pull_back<OUT, IN, ADD>(theta + weights_at(l), R_delta, d.R_g[(l - 1) % 2]);
    R_backward<l - 1>(theta, v, d, product_);
  }
}

// ------------------------------------------------------------------------------------------------------ whole Hessians
// Directions are the units p of layer m: Rz_m = e_p. Rows of the Hessian belong to layers l >= m; the rest is symmetry.

template <int m, int l>
inline void R_forward_from(const V* theta, int p, Derivatives& d) {  // Rz_l and Ra_l for l = m + 1 ... L
  if constexpr (l < LAYERS) {
    constexpr int IN = W[l], OUT = W[l + 1];
    const V* weight = theta + weights_at(l);
    if constexpr (l == m + 1)  // of Ra_m only row p is not zero
      product<ZERO, OUT, S, 1, IN, 1, S, 1, S>(weight + p, d.slope + at(m) + p * S, d.R_z + at(l));
    else
      apply<OUT, IN>(weight, d.R_a + at(l - 1), d.R_z + at(l));
    for (int j = 0; j < OUT * S; ++j) d.R_a[at(l) + j] = d.slope[at(l) + j] * d.R_z[at(l) + j];
    R_forward_from<m, l + 1>(theta, p, d);
  }
}

// hessian[(l, o, i), (m, p, j)] += sum over samples of (Rdelta_l[o] a_{l-1}[i] + delta_l[o] Ra_{l-1}[i]) a_{m-1}[j]
template <int m, int l>
inline void add_entries(int p, Derivatives& d, V* hessian) {
  constexpr int P = PARAMETERS, IN = W[l], OUT = W[l + 1], COLUMNS = W[m];
  const V *a = d.p.a + rows_before(l), *a_m = d.p.a + rows_before(m), *R_delta = d.R_delta + at(l);
  V *weight_column = hessian + weights_at(m) + p * COLUMNS, *bias_column = hessian + biases_at(m) + p;
  for (int o = l == m ? p : 0; o < OUT; ++o) {
    for (int i = 0; i < IN; ++i)
      for (int s = 0; s < S; ++s) {
        V entry = R_delta[o * S + s] * a[i * S + s];
        if constexpr (l > m) entry = fma(d.delta[at(l) + o * S + s], d.R_a[at(l - 1) + i * S + s], entry);
        d.outer[i * S + s] = entry;
      }
    const int row = (weights_at(l) + o * IN) * P;
    product<ADD, IN, COLUMNS, S, S, 1, 1, S, P>(d.outer, a_m, weight_column + row);
    if constexpr (BIAS && l > m) product<ADD, IN, 1, S, S, 1, 1, S, P>(d.outer, d.ones, bias_column + row);
  }
  if constexpr (BIAS) {
    product<ADD, OUT, COLUMNS, S, S, 1, 1, S, P>(R_delta, a_m, weight_column + biases_at(l) * P);
    product<ADD, OUT, 1, S, S, 1, 1, S, P>(R_delta, d.ones, bias_column + biases_at(l) * P);
  }
}

template <int m, int l = LAYERS - 1>
inline void R_backward_to(const V* theta, int p, Derivatives& d, V* hessian) {
  R_delta_of<l>(d);
  add_entries<m, l>(p, d, hessian);
  if constexpr (l > m) {
    pull_back<W[l + 1], W[l]>(theta + weights_at(l), d.R_delta + at(l), d.R_g[(l - 1) % 2]);
    R_backward_to<m, l - 1>(theta, p, d, hessian);
  }
}

template <int m = 0>
void add_directions(const Group& group, const V* theta, Derivatives& d, V* hessian) {
  if constexpr (m < LAYERS) {
    for (int p = 0; p < W[m + 1]; ++p) {
      for (int j = 0; j < W[m + 1] * S; ++j) {
        d.R_z[at(m) + j] = all(j / S == p ? 1 : 0);
        d.R_a[at(m) + j] = d.slope[at(m) + j] * d.R_z[at(m) + j];
      }
      R_forward_from<m, m + 1>(theta, p, d);
      LOSS::curvature(group, d.p.a + rows_before(LAYERS), d.R_a + at(LAYERS - 1), d.R_g[(LAYERS - 1) % 2]);
      R_backward_to<m>(theta, p, d, hessian);
    }
    add_directions<m + 1>(group, theta, d, hessian);
  }
}

// The lower triangle of the Hessian at theta, [parameter, parameter]; f and its gradient, by the way, to the bit what
// `differentiate` makes of them.
[[gnu::noinline]] V expand(const Function& f, const V* theta, Derivatives& d, V* gradient, V* hessian) {
  constexpr int P = PARAMETERS;
  V loss = all(0);
  for (int i = 0; i < P; ++i) gradient[i] = all(0);
  for (std::int64_t i = 0; i < std::int64_t(P) * P; ++i) hessian[i] = all(0);
  for (V& one : d.ones) one = all(1);
  for_groups(f, theta, d, [&](const Group& group, V part) {
    loss = loss + part;
    add_gradient(d, gradient);
    add_directions(group, theta, d, hessian);
  });
  for_penalised(penalty_of(f), [&](Real lambda, int from, int to) {
    for (int i = from; i < to; ++i) {
      gradient[i] = fma(V{} + lambda, theta[i], gradient[i]);
      loss = fma(V{} + Real(0.5) * lambda, theta[i] * theta[i], loss);
      hessian[i * (P + 1)] = hessian[i * (P + 1)] + lambda;
    }
  });
  return loss;
}

struct Expansion {  // of f to second order, at the points of a block
  V *theta, *gradient, *hessian, loss;
};

template <class Work>  // work(first restart, expansion) for the blocks that no other thread has taken; hessian may be used up
void for_expansions(const Function& f, const Real* at_theta, Work work) {
  constexpr std::int64_t P = PARAMETERS;
  Aligned<V> vectors(2 * P + P * P);
  Aligned<Derivatives> derivatives(1);
  Expansion e{vectors.get(), vectors.get() + P, vectors.get() + 2 * P, all(0)};
  for_blocks(f.next, f.restarts, [&](std::int64_t first) {
    gather(at_theta, first, f.restarts, e.theta);
    e.loss = expand(f, e.theta, *derivatives.get(), e.gradient, e.hessian);
    work(first, e);
  });
}

template <class Work>  // work(lane, restart) for the restarts of a block
inline void for_lanes(const Function& f, std::int64_t first, Work work) {
  for (int j = 0; j < LANES && first + j < f.restarts; ++j) work(j, first + j);
}

}  // namespace
