// Loss and gradient of many restarts, and second derivatives by Pearlmutter's R-operator.
//
// R is the derivative along a direction (V_l, c_l) of parameters:
//
//   Rz_l = V_l a_{l-1} + W_l Ra_{l-1} + c_l       Ra_l = sigma'_l Rz_l       Rg_L = (d2 loss / da2) Ra_L
//   Rdelta_l = Rg_l sigma'_l + g_l sigma''_l Rz_l                            Rg_{l-1} = V_l^T delta_l + W_l^T Rdelta_l
//   R dW_l = Rdelta_l a_{l-1}^T + delta_l Ra_{l-1}^T                         R db_l = sum over samples of Rdelta_l
//
// The Hessian is not made of PARAMETERS such products: a parameter reaches the loss through the pre-activation of its
// own unit only, so it is enough to take R along every unit's z (Bishop, 1992).

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

template <class Work>  // work(group) for all groups of samples, with their first derivatives in d
void for_groups(const Function& f, const V* theta, Derivatives& d, Work work) {
  const Selection everything = select(nullptr, f.samples);
  for (std::int64_t first = 0; first < f.samples; first += S) {
    Group group;
    load(f.data, everything, first, group, d.p.a);
    forward(theta, d.p);
    LOSS::gradient<false>(group, d.p.a + rows_before(LAYERS), d.p.buffers[(LAYERS - 1) % 2]);
    differentiate_layers(theta, d);
    work(group);
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

}  // namespace

extern "C" {

// loss [restart] and gradient [restart, parameter] at theta [restart, parameter]
void evaluate(const Function* f, const Real* at_theta, Real* loss, Real* gradients) {
  Aligned<V> vectors(2 * PARAMETERS);
  Aligned<Passes> passes(1);
  V *theta = vectors.get(), *gradient = theta + PARAMETERS;
  for_blocks(f->next, f->restarts, [&](std::int64_t block) {
    gather(at_theta, block, f->restarts, theta);
    const Selection everything = select(nullptr, f->samples);
    const V losses = differentiate<true>(f->data, everything, penalty_of(*f), theta, *passes.get(), gradient);
    for (int j = 0; j < LANES && block + j < f->restarts; ++j) {
      loss[block + j] = losses[j];
      scatter(gradient, j, gradients + (block + j) * PARAMETERS);
    }
  });
}

// hessian times v, [restart, parameter]
void multiply(const Function* f, const Real* at_theta, const Real* directions, Real* products) {
  Aligned<V> vectors(3 * PARAMETERS);
  Aligned<Derivatives> derivatives(1);
  V *theta = vectors.get(), *v = theta + PARAMETERS, *result = v + PARAMETERS;
  Derivatives& d = *derivatives.get();
  for_blocks(f->next, f->restarts, [&](std::int64_t block) {
    gather(at_theta, block, f->restarts, theta);
    gather(directions, block, f->restarts, v);
    for (int i = 0; i < PARAMETERS; ++i) result[i] = all(0);
    for_groups(*f, theta, d, [&](const Group& group) {
      R_forward(theta, v, d);
      LOSS::curvature(group, d.p.a + rows_before(LAYERS), d.R_a + at(LAYERS - 1), d.R_g[(LAYERS - 1) % 2]);
      R_backward(theta, v, d, result);
    });
    for_penalised(penalty_of(*f), [&](Real lambda, int from, int to) {
      for (int i = from; i < to; ++i) result[i] = fma(V{} + lambda, v[i], result[i]);
    });
    for (int j = 0; j < LANES && block + j < f->restarts; ++j)
      scatter(result, j, products + (block + j) * PARAMETERS);
  });
}

#ifdef HESSIAN

// hessians [restart, parameter, parameter], symmetric to the bit
void hessian(const Function* f, const Real* at_theta, Real* hessians) {
  constexpr std::int64_t P = PARAMETERS;
  Aligned<V> vectors(P + P * P);
  Aligned<Derivatives> derivatives(1);
  V *theta = vectors.get(), *entries = theta + P;
  Derivatives& d = *derivatives.get();
  for (V& one : d.ones) one = all(1);
  for_blocks(f->next, f->restarts, [&](std::int64_t block) {
    gather(at_theta, block, f->restarts, theta);
    for (std::int64_t i = 0; i < P * P; ++i) entries[i] = all(0);
    for_groups(*f, theta, d, [&](const Group& group) { add_directions(group, theta, d, entries); });
    for_penalised(penalty_of(*f), [&](Real lambda, int from, int to) {
      for (int i = from; i < to; ++i) entries[i * (P + 1)] = entries[i * (P + 1)] + lambda;
    });
    for (int j = 0; j < LANES && block + j < f->restarts; ++j) {
      Real* out = hessians + (block + j) * P * P;
      for (std::int64_t row = 0; row < P; ++row)
        for (std::int64_t column = 0; column <= row; ++column)
          out[row * P + column] = out[column * P + row] = entries[row * P + column][j];
    }
  });
}

#endif

int lanes() { return LANES; }

// To be tested: e^x, and the activation of the hidden layers with its derivatives (order 0, 1, 2).
void exponentials(const Real* x, Real* y, std::int64_t count) {
  for (std::int64_t k = 0; k < count; ++k) y[k] = exp(V{} + x[k])[0];
}
void activations(int order, const Real* x, Real* y, std::int64_t count) {
  for (std::int64_t k = 0; k < count; ++k) {
    const V z = V{} + x[k], a = HIDDEN::value(z);
    y[k] = (order == 0 ? a : order == 1 ? HIDDEN::slope(z, a) : HIDDEN::curvature(z, a))[0];
  }
}
}
