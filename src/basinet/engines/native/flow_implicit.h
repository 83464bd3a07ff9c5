// Linearly implicit steps in lanes: descents/rosenbrock.py, which says what is done here and why.

#pragma once

#include "flow.h"

namespace {

constexpr int STAGES = 8;

struct Implicit {
  static constexpr Method method = IMPLICIT;

  struct Numbers {  // in the order of `_Implicit` in flow.py
    double first, cost, gamma, a[STAGES][STAGES], c[STAGES][STAGES], limits[GROWTHS];
  };

  explicit Implicit(const Numbers& given) : numbers(given), vectors((4 + STAGES) * P + P * P), derivatives(1) {
    V* v = vectors.get();
    for (int i = 0; i < (4 + STAGES) * P; ++i) v[i] = all(0);
    course.theta = v, course.gradient = v + P, course.place = v + 2 * P, course.slope = v + 3 * P;
    stages = v + 4 * P, hessian = v + (4 + STAGES) * P;
  }

  V prepare(const Function& f) { return expand(f, course.theta, *derivatives.get(), course.gradient, hessian); }

  // One step of every lane: from theta to place, where slope is the gradient.
  Trial attempt(const Function& f, const Flow& flow, const Rules& rules) {
    Course& w = course;
    Passes& p = derivatives.get()->p;
    Trial t;
    t.size = frobenius<P>(hessian);
    const V inverse = all(1) / lengths(flow, all(numbers.first) / at_least(t.size, all(TINY)), w);
    for (int i = 0; i < P; ++i) hessian[i * (P + 1)] = fma(inverse, all(1 / numbers.gamma), hessian[i * (P + 1)]);
    t.exists = factorize<P>(hessian);
    for (int i = 0; i < P; ++i) w.place[i] = w.theta[i], w.slope[i] = w.gradient[i];
    for (int s = 0; s < STAGES; ++s) solve_stage(f, s, inverse, p);
    const V* u = stages + (STAGES - 1) * P;
    t.error = all(0);
    for (int i = 0; i < P; ++i) {
      w.place[i] = w.place[i] + u[i];
      t.error = larger_part(part_of_allowed(rules, u[i], w.theta[i], w.place[i]), t.error);
    }
    t.loss = differentiate<true>(f.data, select(nullptr, f.samples), penalty_of(f), w.place, p, w.slope);
    t.norm = norm_of(w.slope);
    t.remaining = all(INFINITY);
    if (any(t.norm <= all(rules.tolerance))) t.remaining = remaining_way(inverse * all(1 / numbers.gamma));
    return t;
  }

  void solve_stage(const Function& f, int s, V inverse, Passes& p) {
    Course& w = course;
    V* u = stages + s * P;
    for (int i = 0; i < P && s > 0; ++i) {
      V sum = w.theta[i];
      for (int k = 0; k < s; ++k) sum = fma(all(numbers.a[s][k]), stages[k * P + i], sum);
      w.place[i] = sum;
    }
    if (s > 0) differentiate<false>(f.data, select(nullptr, f.samples), penalty_of(f), w.place, p, w.slope);
    for (int i = 0; i < P; ++i) {
      V sum = all(0);
      for (int k = 0; k < s; ++k) sum = fma(all(numbers.c[s][k]), stages[k * P + i], sum);
      u[i] = fma(sum, inverse, -w.slope[i]);
    }
    solve<P>(hessian, u);
  }

  // `_remaining` of rosenbrock.py: the length of Newton's step from place; the stages are not needed any more.
  V remaining_way(V shift) {
    V *v = stages, *once = v + P, *slow = once + P;
    for (int i = 0; i < P; ++i) v[i] = course.slope[i];
    solve<P>(hessian, v);
    for (int i = 0; i < P; ++i) once[i] = v[i];
    solve<P>(hessian, once);
    for (int i = 0; i < P; ++i) slow[i] = once[i];
    solve<P>(hessian, slow);
    V along = all(0), square = all(0);
    for (int i = 0; i < P; ++i) along = fma(slow[i], once[i], along), square = fma(slow[i], slow[i], square);
    const V curved = along - shift * square, length = norm_of(v) * along / curved;
    return choose(curved > all(0), length, choose(square == all(0), all(0), all(INFINITY)));
  }

  const Numbers& numbers;
  Aligned<V> vectors;
  Aligned<Derivatives> derivatives;
  Course course{};
  V *stages, *hessian;  // [stage, parameter]; [parameter, parameter]
};

}  // namespace
