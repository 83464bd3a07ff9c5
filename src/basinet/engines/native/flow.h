// Restarts on their way along the gradient flow, one in every lane: descents/gradient_flow.py, which says what is done
// here and why. Every lane is at a step of its own; who has come to its end makes room for the next restart at once.

#pragma once

#include "curvature.h"
#include "trust_region.h"

namespace {

constexpr int P = PARAMETERS, GROWTHS = 41;

enum Status : std::int8_t { RUNNING = 0, ARRIVED = 1, BUDGET = 2, DIVERGED = 3 };
enum Method { EXPLICIT = 0, IMPLICIT = 1 };  // as descents/switching.py numbers them

constexpr std::int64_t STOP = std::int64_t(1) << 48;  // no restart has such a number: so library.py says that all must end

// The numbers that decide, in the order of `_Rules` in flow.py.
struct Rules {
  double rtol, atol, tolerance, steps, patience, rise, rounding, noise, later, lower, after_refusal, nowhere;
  double growths[GROWTHS];
};

// When a restart goes over to the other method, in the order of `_Turns` in flow.py.
struct Turns {
  double limited, worth, wait, longest_wait;
};

// What Python hands over.
struct Flow {
  Real *theta, *control;         // [restart, parameter]; [restart, 5], the numbers of `_Control`
  Real* turns;                   // [restart, 3], what `Switching` remembers; nullptr where all steps are implicit
  std::int8_t* status;           // [restart]
  std::int64_t* steps;           // [restart]
  Real *loss, *gradient_norm;    // [restart]
  double *time, *gradients;      // [restart]
  double* records;               // [restart, mark, 3]: loss, gradient norm, steps
  const double* marks;
  std::int64_t mark_count, most;  // steps of each restart in this call, refused ones included
};

struct Lane {  // one restart
  std::int64_t restart = -1, left, steps, passed;  // -1: nobody; marks that it has got to
  double loss, norm, time, gradients, wanted, refused, waited, progress_time, progress_loss;
  double method, limited, waits, step;
  bool fresh;  // ∇f is not known yet
};

struct Course {
  V *theta, *gradient, *place, *slope;  // where a step begins, and where it leads
  Lane lanes[LANES];
};

struct Trial {
  V loss, norm, error, size, remaining;
  I exists;
};

// -------------------------------------------------------------------------------------------- who comes, and who goes

struct Waiting {
  std::int64_t restart, left;  // steps in this call
};

struct Queue {  // of one thread: restarts that nobody has begun, and those that go on by the other method
  const Function& f;
  const Flow& flow;
  std::vector<Waiting> waiting[2];

  bool next(Method method, Waiting& one) {  // whether there is another one for that method
    std::vector<Waiting>& mine = waiting[method];
    while (__atomic_load_n(f.next, __ATOMIC_RELAXED) < STOP) {
      if (!mine.empty()) {
        one = mine.back();
        mine.pop_back();
        return true;
      }
      const std::int64_t r = __atomic_fetch_add(f.next, 1, __ATOMIC_RELAXED);
      if (r >= f.restarts) break;
      if (flow.status[r] == RUNNING) waiting[method_of(r)].push_back({r, flow.most});
    }
    return false;
  }

  Method method_of(std::int64_t r) const { return flow.turns && flow.turns[r * 3] == EXPLICIT ? EXPLICIT : IMPLICIT; }
  bool is_empty() const { return waiting[EXPLICIT].empty() && waiting[IMPLICIT].empty(); }
};

void note(const Flow& flow, const Lane& lane, std::int64_t mark) {
  double* record = flow.records + (lane.restart * flow.mark_count + mark) * 3;
  record[0] = lane.loss, record[1] = lane.norm, record[2] = static_cast<double>(lane.steps);
}

Lane begun(const Flow& flow, const Waiting& one) {
  const std::int64_t r = one.restart;
  const Real* c = flow.control + r * 5;
  Lane lane = {r, one.left, flow.steps[r], 0, flow.loss[r], flow.gradient_norm[r], flow.time[r], flow.gradients[r],
               c[0], c[1], c[2], c[3], c[4], IMPLICIT, 0, 0, 0, true};
  if (const Real* t = flow.turns ? flow.turns + r * 3 : nullptr) lane.method = t[0], lane.limited = t[1], lane.waits = t[2];
  while (lane.passed < flow.mark_count && flow.marks[lane.passed] <= lane.time) ++lane.passed;
  return lane;
}

bool enter(Queue& queue, Method method, Course& w) {  // whether anybody is there
  bool busy = false;
  for (int j = 0; j < LANES; ++j) {
    Waiting one;
    if (w.lanes[j].restart < 0 && queue.next(method, one)) {
      w.lanes[j] = begun(queue.flow, one);
      gather(queue.flow.theta + one.restart * P, j, w.theta);
    }
    busy |= w.lanes[j].restart >= 0;
  }
  return busy;
}

void leave(const Flow& flow, int j, std::int8_t status, Course& w) {
  Lane& lane = w.lanes[j];
  const std::int64_t r = lane.restart;
  scatter(w.theta, j, flow.theta + r * P);
  flow.status[r] = status, flow.steps[r] = lane.steps, flow.loss[r] = lane.loss, flow.gradient_norm[r] = lane.norm;
  flow.time[r] = lane.time, flow.gradients[r] = lane.gradients;
  Real* c = flow.control + r * 5;
  c[0] = lane.wanted, c[1] = lane.refused, c[2] = lane.waited, c[3] = lane.progress_time, c[4] = lane.progress_loss;
  if (Real* t = flow.turns ? flow.turns + r * 3 : nullptr) t[0] = lane.method, t[1] = lane.limited, t[2] = lane.waits;
  lane.restart = -1;
}

// Starts: their loss, their first record, and whether they end there.
void begin(const Flow& flow, V loss, Course& w) {
  const V norm = norm_of(w.gradient);
  for (int j = 0; j < LANES; ++j) {
    Lane& lane = w.lanes[j];
    if (lane.restart < 0 || !lane.fresh) continue;
    lane.fresh = false;
    std::int8_t status = RUNNING;
    if (lane.steps == 0) {
      lane.loss = loss[j], lane.norm = norm[j];
      note(flow, lane, 0);
      if (!std::isfinite(lane.loss) || !std::isfinite(lane.norm)) status = DIVERGED;
      else if (lane.norm == 0) status = ARRIVED;
      else if (flow.mark_count == 1) status = BUDGET;
    }
    if (status != RUNNING || lane.left == 0) leave(flow, j, status, w);
  }
}

// ------------------------------------------------------------------------------------------------------------- a step

// h of every lane: as long as it wants or as is left; of the first one as long as that.
V lengths(const Flow& flow, V first, Course& w) {
  V h = all(1);
  for (int j = 0; j < LANES; ++j) {
    Lane& lane = w.lanes[j];
    if (lane.restart < 0) continue;
    if (std::isnan(lane.wanted)) lane.wanted = first[j];
    const double left = flow.marks[lane.passed] - lane.time;
    lane.step = lane.wanted >= left ? left : lane.wanted < left / 2 ? lane.wanted : left / 2;
    h[j] = lane.step;
  }
  return h;
}

// An error as a part of what is allowed, of a parameter that has changed from `before` to `after`.
inline V part_of_allowed(const Rules& rules, V error, V before, V after) {
  return absolute(error) / fma(all(rules.rtol), at_least(absolute(before), absolute(after)), all(rules.atol));
}
inline V larger_part(V part, V largest) { return choose(part == part, at_least(part, largest), all(INFINITY)); }

double growth_of(const Rules& rules, const double* limits, double error) {
  int k = 0;
  while (k + 1 < GROWTHS && error <= limits[k + 1]) ++k;
  return rules.growths[k];
}

// What a lane remembers of the step, by the limits and the cost of its method; whether it was taken.
bool judge(const Rules& rules, const double* limits, double cost, const Flow& flow, const Trial& t, int j, Lane& lane) {
  const bool finite = std::isfinite(t.loss[j]) && std::isfinite(t.norm[j]);
  const double rounding = std::max(rules.rise * std::abs(lane.loss), rules.rounding);
  const double error = finite ? t.error[j] : INFINITY, growth = growth_of(rules, limits, error);
  const bool taken = t.exists[j] && error <= 1 && t.loss[j] <= lane.loss + rounding;
  const double mark = flow.marks[lane.passed], left = mark - lane.time;
  lane.gradients += cost;
  if (taken) {
    const double calm = lane.refused > 0 ? std::min(growth, 1.0) : growth;
    const double longer = lane.step * calm;
    lane.time = lane.step >= left ? mark : lane.time + lane.step;
    lane.wanted = lane.step < lane.wanted ? std::max(longer, lane.wanted) : longer;
    lane.loss = t.loss[j], lane.norm = t.norm[j], ++lane.steps;
  } else {
    lane.wanted = lane.step * (t.exists[j] ? std::min(growth, rules.after_refusal) : rules.nowhere);
  }
  lane.refused = taken ? 0 : 1;
  const bool lower = lane.loss <= lane.progress_loss - rules.lower * std::abs(lane.progress_loss);
  const bool progress = taken && (std::isinf(lane.progress_loss) || lower || lane.time >= rules.later * lane.progress_time);
  lane.waited = progress ? 0 : lane.waited + 1;
  if (progress) lane.progress_time = lane.time, lane.progress_loss = lane.loss;
  return taken;
}

std::int8_t status_of(const Rules& rules, const Trial& t, int j, bool taken, double reach, const Lane& lane) {
  const bool near = t.remaining[j] <= rules.rtol * reach || lane.norm <= rules.noise * t.size[j] * reach;
  if (taken && lane.norm <= rules.tolerance && near) return ARRIVED;
  return static_cast<double>(lane.steps) >= rules.steps || lane.waited >= rules.patience ? BUDGET : RUNNING;
}

// What `Switching.settle` says: by which method the lane goes on, and how long its next step shall be.
void settle(const Rules& rules, const Turns& turns, const Flow& flow, double size, Lane& lane) {
  const bool near = lane.norm <= rules.tolerance, implicit = lane.method == IMPLICIT;
  const double left = flow.marks[lane.passed] - lane.time;
  lane.limited = !implicit && lane.step * size >= turns.limited ? lane.limited + 1 : 0;
  const bool leaves = !implicit && lane.limited >= turns.wait + lane.waits && left * size >= turns.worth;
  const bool returns = implicit && !near && lane.wanted * size < turns.worth;
  if (leaves && !near) lane.wanted = std::max(lane.wanted, turns.worth / size);
  if (returns) {
    lane.wanted = std::min(lane.wanted, turns.limited / size);
    lane.waits = std::min(2 * lane.waits + turns.wait, turns.longest_wait);
  }
  lane.method = near || (implicit ? !returns : leaves) ? IMPLICIT : EXPLICIT;
}

// All restarts that go on by the method of `steps`, until there are no more.
template <class Steps>
void follow_by(Steps& steps, const Rules& rules, const Turns& turns, Queue& queue) {
  const Flow& flow = queue.flow;
  Course& w = steps.course;
  while (enter(queue, Steps::method, w)) {
    begin(flow, steps.prepare(queue.f), w);
    const Trial t = steps.attempt(queue.f, flow, rules);
    I taken = all_bits(0);
    for (int j = 0; j < LANES; ++j) {
      Lane& lane = w.lanes[j];
      if (lane.restart < 0) continue;
      if (judge(rules, steps.numbers.limits, steps.numbers.cost, flow, t, j, lane)) taken[j] = -1;
      if (flow.turns) settle(rules, turns, flow, t.size[j], lane);
    }
    for (int i = 0; i < P; ++i) w.theta[i] = choose(taken, w.place[i], w.theta[i]);
    for (int i = 0; i < P; ++i) w.gradient[i] = choose(taken, w.slope[i], w.gradient[i]);
    const V reach = all(1) + norm_of(w.theta);
    for (int j = 0; j < LANES; ++j) {
      Lane& lane = w.lanes[j];
      if (lane.restart < 0) continue;
      std::int8_t status = status_of(rules, t, j, taken[j] != 0, reach[j], lane);
      if (lane.time >= flow.marks[lane.passed]) {
        note(flow, lane, lane.passed);
        if (++lane.passed == flow.mark_count && status == RUNNING) status = BUDGET;
      }
      const Waiting one{lane.restart, --lane.left};
      const bool turns_away = lane.method != Steps::method;
      if (status != RUNNING || lane.left == 0 || turns_away) leave(flow, j, status, w);
      if (status == RUNNING && one.left > 0 && turns_away) queue.waiting[1 - Steps::method].push_back(one);
    }
  }
}

}  // namespace
