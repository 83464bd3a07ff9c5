// What Python asks of a network at many restarts: loss and gradient, and what becomes of second derivatives.

#include "curvature.h"
#ifdef ALGEBRA
#include "march.h"
#include "trust_region.h"
#endif

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

// sums [restart, projection] of the answers to all samples times coefficients [projection, output, sample]
void project(const Function* f, const Real* at_theta, const Real* coefficients, std::int64_t projections, Real* sums) {
  Aligned<V> vectors(PARAMETERS + projections);
  Aligned<Passes> passes(1);
  V *theta = vectors.get(), *sum = theta + PARAMETERS;
  Passes& p = *passes.get();
  for_blocks(f->next, f->restarts, [&](std::int64_t block) {
    gather(at_theta, block, f->restarts, theta);
    for (std::int64_t k = 0; k < projections; ++k) sum[k] = all(0);
    for (std::int64_t first = 0; first < f->samples; first += S) {
      Group group;
      load(f->data, select(nullptr, f->samples), first, group, p.a);
      forward(theta, p);
      V* answers = p.a + rows_before(LAYERS);
      LOSS::answer(answers);
      for (std::int64_t k = 0; k < projections; ++k)
        for (int o = 0; o < OUTPUTS; ++o)
          for (int s = 0; s < S && first + s < f->samples; ++s) {
            const Real coefficient = coefficients[(k * OUTPUTS + o) * f->samples + first + s];
            sum[k] = fma(answers[o * S + s], V{} + coefficient, sum[k]);
          }
    }
    for (int j = 0; j < LANES && block + j < f->restarts; ++j)
      for (std::int64_t k = 0; k < projections; ++k) sums[(block + j) * projections + k] = sum[k][j];
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
    for_groups(*f, theta, d, [&](const Group& group, V) {
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
  for_expansions(*f, at_theta, [&](std::int64_t first, const Expansion& e) {
    for_lanes(*f, first, [&](int lane, std::int64_t restart) {
      Real* out = hessians + restart * P * P;
      for (std::int64_t row = 0; row < P; ++row)
        for (std::int64_t column = 0; column <= row; ++column)
          out[row * P + column] = out[column * P + row] = e.hessian[row * P + column][lane];
    });
  });
}

#ifdef ALGEBRA

// eigenvalues [restart, parameter] of the Hessians, ascending
void eigenvalues(const Function* f, const Real* at_theta, Real* eigenvalues) {
  V values[PARAMETERS];
  for_expansions(*f, at_theta, [&](std::int64_t first, const Expansion& e) {
    eigenvalues_of<PARAMETERS>(e.hessian, values);
    for_lanes(*f, first, [&](int lane, std::int64_t restart) {
      scatter(values, lane, eigenvalues + restart * PARAMETERS);
    });
  });
}

// the same with eigenvectors [restart, eigenvalue, parameter]
void eigenvectors(const Function* f, const Real* at_theta, Real* eigenvalues, Real* eigenvectors) {
  constexpr std::int64_t P = PARAMETERS;
  Aligned<V> more(P + P * P);
  V *values = more.get(), *vectors = values + P;
  for_expansions(*f, at_theta, [&](std::int64_t first, const Expansion& e) {
    eigenvectors_of<PARAMETERS>(e.hessian, values, vectors);
    for_lanes(*f, first, [&](int lane, std::int64_t restart) {
      int order[P];
      ascending<PARAMETERS>(values, lane, order);
      for (std::int64_t i = 0; i < P; ++i) {
        eigenvalues[restart * P + i] = values[order[i]][lane];
        scatter(vectors + order[i] * P, lane, eigenvectors + (restart * P + i) * P);
      }
    });
  });
}

// step [restart, parameter] of Newton's method within regions [restart], by how much the model falls along it, |H|
void newton_step(const Function* f, const Real* at_theta, const Real* gradients, const Real* regions, Real* steps,
                 Real* foretold, Real* norms, double smallest_shift, int bisections) {
  for_expansions(*f, at_theta, [&](std::int64_t first, const Expansion& e) {
    gather(gradients, first, f->restarts, e.gradient);
    V region;
    for (int j = 0; j < LANES; ++j) region[j] = regions[first + j < f->restarts ? first + j : f->restarts - 1];
    const V norm = frobenius<PARAMETERS>(e.hessian);
    const V falls = trust_region_step<PARAMETERS>(e.hessian, e.gradient, region, smallest_shift, bisections);
    for_lanes(*f, first, [&](int lane, std::int64_t restart) {
      scatter(e.gradient, lane, steps + restart * PARAMETERS);
      foretold[restart] = falls[lane], norms[restart] = norm[lane];
    });
  });
}

// where the gradient flow leads from theta, and what is seen on the way
void march(const Function* f, const Real* theta, const Real* limit, Real* end, Real* loss, Real* gradient, bool* rests,
           bool* faded, Real* grown, const Rules* rules) {
  walk(*f, {theta, limit, end, loss, gradient, rests, faded, grown}, *rules);
}

#endif
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
