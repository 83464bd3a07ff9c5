// Where the gradient flow leads in the end: stages/march.py in lanes, which says what is done here and why.
//
// All lanes make one Newton correction at a time: f, its gradient and its Hessian at their points, a factorization, a
// solve. Lanes may be at different corrections of different steps of different restarts; who has come to its end makes
// room for the next restart at once.

#pragma once

#include "curvature.h"
#include "trust_region.h"

namespace {

// The numbers that decide, in the order of the class `Marching` in protocols.py.
struct Rules {
  double steps, corrections, shrinks, caution, slowly, exact, contracts, noise, longest, refusals, long_ago, rise;
  double stationary, settled, flat, faded, fading, swift, lasting, growth, fall, scale, rounding;
  double growths[9];  // of h, by how many corrections a step has taken
};

// What Python hands over; results are of the last point that was taken.
struct March {
  const Real *theta, *limit;   // [restart, parameter], [restart]
  Real *end, *loss, *gradient; // [restart, parameter], [restart], [restart, parameter]
  bool *rests, *faded;         // [restart]
  Real* grown;                 // [restart]
};

struct Mark {  // what is remembered of a moment
  double time, loss, norm, length;
};

enum Phase {
  EMPTY,    // nobody is in the lane
  BEGINS,   // at the point where a restart begins
  RETURNS,  // at `start` again, after a step that was refused once it had been tried
  TRIES,    // at what a correction has led to
  GIVES_UP  // at `start` again, since a correction could not be made
};

constexpr int P = PARAMETERS;
constexpr int AGO = 4;  // marks that are looked at, two decades of time apart

struct Walk {  // a block of lanes on their ways; numbers of a lane by the names of `_Now` and `_Trial` in march.py
  Expansion at;          // the trial point x
  V *begin, *start;      // where the restart began; where the step began
  V *gradient, *delta;   // at `start`; of a correction
  V loss, time, h, length, way, curvature, refused, caution, first_loss, limit, steps;
  V before, corrections; // of the step that is being tried
  std::int64_t restart[LANES];
  int phase[LANES];
  std::int64_t marks[LANES], ago[AGO][LANES];  // how many there are; the last ones 0, 2, 4 and 6 decades of time ago
  std::vector<Mark> path;                  // [lane, mark]
};

inline I lanes_in(const Walk& w, int phase, int other) {
  I mask{};
  for (int j = 0; j < LANES; ++j) mask[j] = w.phase[j] == phase || w.phase[j] == other ? -1 : 0;
  return mask;
}
inline void set(I lanes, V value, V& number) { number = choose(lanes, value, number); }
inline void set(I lanes, const V* values, V* numbers) {
  for (int i = 0; i < P; ++i) numbers[i] = choose(lanes, values[i], numbers[i]);
}
inline I is_finite(V x) { return x - x == all(0); }
inline V norm_between(const V* x, const V* y) {
  V sum = all(0);
  for (int i = 0; i < P; ++i) sum = fma(x[i] - y[i], x[i] - y[i], sum);
  return square_root(sum);
}

// Next restarts for empty lanes; whether anybody is there.
bool enter(const Function& f, const March& m, Walk& w) {
  bool busy = false;
  for (int j = 0; j < LANES; ++j) {
    if (w.phase[j] == EMPTY) {
      const std::int64_t r = __atomic_fetch_add(f.next, 1, __ATOMIC_RELAXED);
      if (r >= f.restarts) continue;
      w.restart[j] = r, w.phase[j] = BEGINS, w.limit[j] = m.limit[r];
      gather(m.theta + r * P, j, w.at.theta);
      gather(m.theta + r * P, j, w.begin);
    }
    busy = true;
  }
  return busy;
}

void remember(const Rules& rules, std::int64_t capacity, I lanes, Walk& w) {
  const V norm = norm_of(w.start);
  for (int j = 0; j < LANES; ++j) {
    if (!lanes[j]) continue;
    Mark* path = w.path.data() + j * capacity;
    path[w.marks[j]++] = {w.time[j], w.loss[j], norm[j], w.length[j]};
    w.ago[0][j] = w.marks[j] - 1;
    double time = w.time[j];
    for (int k = 1; k < AGO; ++k) {
      std::int64_t& last = w.ago[k][j];
      time *= rules.long_ago;
      while (last + 1 < w.marks[j] && path[last + 1].time <= time) ++last;
    }
  }
}

void begin(const Rules& rules, std::int64_t capacity, Walk& w) {
  const I fresh = lanes_in(w, BEGINS, BEGINS);
  if (!any(fresh)) return;
  set(fresh, w.at.theta, w.start), set(fresh, w.at.gradient, w.gradient);
  set(fresh, w.at.loss, w.loss), set(fresh, w.at.loss, w.first_loss);
  for (V* number : {&w.time, &w.length, &w.way, &w.refused, &w.caution, &w.steps, &w.corrections})
    set(fresh, all(0), *number);
  set(fresh, all(NAN), w.h), set(fresh, all(NAN), w.curvature), set(fresh, all(INFINITY), w.before);
  for (int j = 0; j < LANES; ++j)
    if (fresh[j]) {
      w.marks[j] = 0;
      for (int k = 0; k < AGO; ++k) w.ago[k][j] = 0;
    }
  remember(rules, capacity, fresh, w);
}

struct Verdict {
  I rests, faded, open;
  V grown;
};

// `_ended` of march.py: who rests, who has nothing left of its slope, who goes on.
Verdict judge(const Rules& rules, std::int64_t capacity, const Walk& w) {
  V loss[AGO], norm[AGO], then_length = all(0);
  for (int k = 0; k < AGO; ++k) {
    V value = all(0), size = all(0), length = all(0);
    for (int j = 0; j < LANES; ++j) {
      const Mark& mark = w.path[j * capacity + w.ago[k][j]];
      value[j] = mark.loss, size[j] = mark.norm, length[j] = mark.length;
    }
    loss[k] = value, norm[k] = size;
    if (k == 1) then_length = length;
  }
  const V reach = all(1) + norm[0], slope = norm_of(w.gradient);
  const V settled = all(rules.settled) * reach;
  Verdict v;
  v.rests = (w.length - then_length <= settled) & (slope <= all(rules.stationary) * w.curvature * reach) &
            (w.time * w.curvature > all(1));
  const V size = absolute(loss[0]), floor = at_least(all(rules.rise) * size, all(rules.rounding));
  I flat = loss[1] - loss[0] <= at_least(all(rules.flat) * size, all(rules.rounding));
  for (int k = 0; k + 2 < AGO; ++k)
    flat = flat & (loss[k + 1] - loss[k] <= at_least(all(rules.fading) * (loss[k + 2] - loss[k + 1]), floor));
  const I slack = (slope * reach <= all(rules.faded * rules.scale)) & (w.way > settled);
  const V grown = norm[0] / at_least(norm[1], all(TINY)) - all(1);
  const I lasts = (grown > all(rules.growth)) & (norm[0] - norm[1] >= all(rules.lasting) * (norm[1] - norm[2]));
  v.faded = ~v.rests & ((flat & (grown > all(rules.swift))) | slack) & lasts;
  v.grown = nothing_unless(~v.rests, grown);
  const I leaves = (w.first_loss - w.loss > all(rules.scale * rules.fall)) & (norm_between(w.start, w.begin) > w.limit);
  v.open = ~v.rests & ~v.faded & (w.refused < all(rules.refusals)) & ~leaves & (w.steps < all(rules.steps));
  return v;
}

void leave(const March& m, const Verdict& v, int j, Walk& w) {
  const std::int64_t r = w.restart[j];
  scatter(w.start, j, m.end + r * P), scatter(w.gradient, j, m.gradient + r * P);
  m.loss[r] = w.loss[j], m.rests[r] = v.rests[j] != 0, m.faded[r] = v.faded[j] != 0, m.grown[r] = v.grown[j];
  w.phase[j] = EMPTY;
}

// Steps that have come to their end are taken or refused; returns the lanes whose Hessian is that at their point.
I end_steps(const Rules& rules, std::int64_t capacity, const March& m, Walk& w) {
  const I tries = lanes_in(w, TRIES, TRIES), gave_up = lanes_in(w, GIVES_UP, GIVES_UP);
  // `before` is the length of the last correction.
  const V moved = norm_between(w.at.theta, w.start);
  const I goes_on = tries & is_finite(w.at.loss);
  const I rounding = norm_of(w.at.gradient) <= all(rules.noise) * w.curvature * (all(1) + norm_of(w.at.theta));
  const I exact = goes_on & ((w.before <= all(rules.exact) * moved) | rounding);
  const I ended = gave_up | (tries & (~goes_on | exact | (w.corrections >= all(rules.corrections))));
  if (!any(ended)) return lanes_in(w, TRIES, TRIES) | lanes_in(w, BEGINS, RETURNS);

  const V rise = at_least(all(rules.rise) * absolute(w.loss), all(rules.rounding));
  const I taken = ended & exact & (w.at.loss <= w.loss + rise) &
                  (moved <= all(rules.longest) * (all(1) + norm_of(w.start)));
  const I refused = ended & ~taken, again = w.refused > all(0);
  V factor;
  for (int j = 0; j < LANES; ++j) factor[j] = rules.growths[static_cast<int>(w.corrections[j])];
  factor = choose(w.caution > all(0), at_most(factor, all(rules.slowly)), factor);
  factor = choose(again, all(1), factor);
  factor = choose(taken, factor, choose(again, all(rules.shrinks * rules.shrinks), all(rules.shrinks)));

  set(taken, w.time + w.h, w.time), set(taken, w.length + moved, w.length), set(taken, moved, w.way);
  set(taken, w.at.loss, w.loss), set(taken, w.at.theta, w.start), set(taken, w.at.gradient, w.gradient);
  set(ended, w.h * factor, w.h), set(ended, w.steps + all(1), w.steps);
  set(taken, w.caution - all(1), w.caution), set(refused, all(rules.caution), w.caution);
  set(taken, all(0), w.refused), set(refused, w.refused + all(1), w.refused);
  set(ended, all(0), w.corrections), set(ended, all(INFINITY), w.before);
  remember(rules, capacity, ended, w);

  const Verdict v = judge(rules, capacity, w);
  I there = lanes_in(w, TRIES, GIVES_UP) | lanes_in(w, BEGINS, RETURNS);
  for (int j = 0; j < LANES; ++j) {
    if (!ended[j]) continue;
    if (!v.open[j]) {
      leave(m, v, j, w);
      there[j] = 0;
    } else if (refused[j] && w.phase[j] == TRIES) {
      w.phase[j] = RETURNS;
      there[j] = 0;
    }
  }
  set(refused, w.start, w.at.theta);
  return there;
}

// One correction where `there`: x = x - (1 + h H)^-1 (x - start + h g), if it contracts.
void correct(const Rules& rules, I there, Walk& w) {
  const Expansion& at = w.at;
  const V curvature = frobenius<P>(at.hessian);
  set(there, curvature, w.curvature);
  set(there & (w.h != w.h), all(1) / at_least(curvature, all(TINY)), w.h);
  for (int i = 0; i < P; ++i) {
    for (int k = 0; k <= i; ++k) at.hessian[i * P + k] = at.hessian[i * P + k] * w.h;
    at.hessian[i * P + i] = at.hessian[i * P + i] + all(1);
    w.delta[i] = fma(-w.h, at.gradient[i], w.start[i] - at.theta[i]);
  }
  const I positive = factorize<P>(at.hessian);
  solve<P>(at.hessian, w.delta);
  const V size = norm_of(w.delta);
  const I goes_on = there & positive & (size <= all(rules.contracts) * w.before);
  for (int i = 0; i < P; ++i)
    at.theta[i] = choose(goes_on, at.theta[i] + w.delta[i], choose(there, w.start[i], at.theta[i]));
  set(there, size, w.before), set(there, w.corrections + all(1), w.corrections);
  for (int j = 0; j < LANES; ++j)
    if (there[j]) w.phase[j] = goes_on[j] ? TRIES : GIVES_UP;
}

void walk(const Function& f, const March& m, const Rules& rules) {
  const std::int64_t capacity = static_cast<std::int64_t>(rules.steps) + 1;
  Aligned<V> vectors(6 * P + P * P);
  Aligned<Derivatives> derivatives(1);
  Aligned<Walk> walks(1);
  Walk& w = *new (walks.get()) Walk();
  V* v = vectors.get();
  w.at = {v, v + P, v + 6 * P, all(0)};
  w.begin = v + 2 * P, w.start = v + 3 * P, w.gradient = v + 4 * P, w.delta = v + 5 * P;
  w.path.resize(LANES * capacity);
  for (int i = 0; i < 6 * P; ++i) v[i] = all(0);
  while (enter(f, m, w)) {
    w.at.loss = expand(f, w.at.theta, *derivatives.get(), w.at.gradient, w.at.hessian);
    begin(rules, capacity, w);
    correct(rules, end_steps(rules, capacity, m, w), w);
  }
  w.~Walk();
}

}  // namespace
