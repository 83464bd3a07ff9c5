// Explicit steps in lanes: descents/dormand_prince.py, which says what is done here and why.

#pragma once

#include "flow.h"

namespace {

constexpr int SLOPES = 12;

struct Explicit {
  static constexpr Method method = EXPLICIT;

  struct Numbers {  // in the order of `_Explicit` in flow.py
    double first, cost, damped, a[SLOPES][SLOPES], weights[SLOPES], fifth[SLOPES], third[SLOPES], limits[GROWTHS];
  };

  explicit Explicit(const Numbers& given) : numbers(given), vectors((4 + SLOPES) * P), passes(1) {
    V* v = vectors.get();
    for (int i = 0; i < (4 + SLOPES) * P; ++i) v[i] = all(0);
    course.theta = v, course.place = v + P, course.slope = v + 2 * P, before = v + 3 * P;
    course.gradient = slopes = v + 4 * P;
  }

  V prepare(const Function& f) {  // f and its gradient, where they are not known yet
    for (const Lane& lane : course.lanes)
      if (lane.restart >= 0 && lane.fresh) return derive<true>(f, course.theta, course.gradient);
    return all(0);
  }

  // One step of every lane: from theta to place, where slope is the gradient.
  Trial attempt(const Function& f, const Flow& flow, const Rules& rules) {
    Course& w = course;
    const V speed = norm_of(w.gradient), far = all(1) + norm_of(w.theta);
    const V h = lengths(flow, all(numbers.first) * far / at_least(speed, all(TINY)), w);
    for (int s = 1; s < SLOPES; ++s) {
      move(h, numbers.a[s], s, before);
      derive<false>(f, before, slopes + s * P);
    }
    move(h, numbers.weights, SLOPES, w.place);
    Trial t;
    t.loss = derive<true>(f, w.place, w.slope);
    t.norm = norm_of(w.slope), t.size = curvature(), t.error = all(0), t.remaining = all(INFINITY);
    t.exists = all_bits(-1);
    for (int i = 0; i < P; ++i)
      t.error = larger_part(part_of_allowed(rules, error(h, i), w.theta[i], w.place[i]), t.error);
    return t;
  }

  template <bool WITH_LOSS>
  V derive(const Function& f, const V* theta, V* gradient) {
    return differentiate<WITH_LOSS>(f.data, select(nullptr, f.samples), penalty_of(f), theta, *passes.get(), gradient);
  }

  V combined(const double* weights, int count, int i) const {  // of one parameter's slopes
    V sum = all(0);
    for (int k = 0; k < count; ++k)
      if (weights[k] != 0) sum = fma(all(weights[k]), slopes[k * P + i], sum);
    return sum;
  }

  void move(V h, const double* weights, int count, V* to) const {
    for (int i = 0; i < P; ++i) to[i] = fma(-h, combined(weights, count, i), course.theta[i]);
  }

  V error(V h, int i) const {
    const V fifth = combined(numbers.fifth, SLOPES, i);
    const V third = all(numbers.damped) * combined(numbers.third, SLOPES, i);
    const V size = square_root(fma(fifth, fifth, third * third));
    return h * choose(size == all(0), all(0), fifth * absolute(fifth) / size);
  }

  V curvature() const {
    const V* last = slopes + (SLOPES - 1) * P;
    V slopes_apart = all(0), apart = all(0);
    for (int i = 0; i < P; ++i) {
      const V slope = course.slope[i] - last[i], way = course.place[i] - before[i];
      slopes_apart = fma(slope, slope, slopes_apart), apart = fma(way, way, apart);
    }
    return choose(apart == all(0), all(0), square_root(slopes_apart) / square_root(apart));
  }

  const Numbers& numbers;
  Aligned<V> vectors;
  Aligned<Passes> passes;
  Course course{};
  V *slopes, *before;  // [stage, parameter], the first of which is the gradient; the place of the last stage
};

}  // namespace
