// The gradient flow in lanes: descents/gradient_flow.py with the steps of descents/rosenbrock.py, which say what is done
// here and why. Every lane is at a step of its own; who has come to its end makes room for the next restart at once.

#include "curvature.h"
#include "trust_region.h"

namespace {

constexpr int P = PARAMETERS, STAGES = 8, GROWTHS = 41;

enum Status : std::int8_t { RUNNING = 0, ARRIVED = 1, BUDGET = 2, DIVERGED = 3 };

// The numbers that decide, in the order of `Rules` in flow.py.
struct Rules {
  double rtol, atol, tolerance, steps, patience, first, rise, rounding, noise, later, lower, after_refusal, nowhere, cost;
  double gamma, a[STAGES][STAGES], c[STAGES][STAGES];
  double growths[GROWTHS], limits[GROWTHS];
};

// What Python hands over.
struct Flow {
  Real *theta, *control;         // [restart, parameter]; [restart, 5], the numbers of `_Control`
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
  double loss, norm, time, gradients, wanted, refused, waited, progress_time, progress_loss, step;
};

struct Course {
  V *theta, *gradient, *hessian, *place, *slope, *stages;  // stages [stage, parameter]
  Lane lanes[LANES];
};

void note(const Flow& flow, const Lane& lane, std::int64_t mark) {
  double* record = flow.records + (lane.restart * flow.mark_count + mark) * 3;
  record[0] = lane.loss, record[1] = lane.norm, record[2] = static_cast<double>(lane.steps);
}

bool enter(const Function& f, const Flow& flow, Course& w) {  // whether anybody is there
  bool busy = false;
  for (int j = 0; j < LANES; ++j) {
    Lane& lane = w.lanes[j];
    while (lane.restart < 0) {
      const std::int64_t r = __atomic_fetch_add(f.next, 1, __ATOMIC_RELAXED);
      if (r >= f.restarts) break;
      if (flow.status[r] != RUNNING) continue;
      const Real* c = flow.control + r * 5;
      lane = {r, flow.most, flow.steps[r], 0, flow.loss[r], flow.gradient_norm[r], flow.time[r], flow.gradients[r],
              c[0], c[1], c[2], c[3], c[4], 0};
      while (lane.passed < flow.mark_count && flow.marks[lane.passed] <= lane.time) ++lane.passed;
      gather(flow.theta + r * P, j, w.theta);
    }
    busy |= lane.restart >= 0;
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
  lane.restart = -1;
}

// Starts: their loss, their first record, and whether they end there.
void begin(const Flow& flow, V loss, Course& w) {
  const V norm = norm_of(w.gradient);
  for (int j = 0; j < LANES; ++j) {
    Lane& lane = w.lanes[j];
    if (lane.restart < 0) continue;
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

struct Trial {
  V loss, norm, error, size, remaining;
  I exists;
};

// `_remaining` of rosenbrock.py: the length of Newton's step from place; the stages are not needed any more.
V remaining_way(Course& w, V shift) {
  V *v = w.stages, *once = v + P, *slow = once + P;
  for (int i = 0; i < P; ++i) v[i] = w.slope[i];
  solve<P>(w.hessian, v);
  for (int i = 0; i < P; ++i) once[i] = v[i];
  solve<P>(w.hessian, once);
  for (int i = 0; i < P; ++i) slow[i] = once[i];
  solve<P>(w.hessian, slow);
  V along = all(0), square = all(0);
  for (int i = 0; i < P; ++i) along = fma(slow[i], once[i], along), square = fma(slow[i], slow[i], square);
  const V curved = along - shift * square, length = norm_of(v) * along / curved;
  return choose(curved > all(0), length, choose(square == all(0), all(0), all(INFINITY)));
}

// One step of every lane, h as long as it wants or as is left: from theta to place, where slope is the gradient.
Trial attempt(const Function& f, const Flow& flow, const Rules& rules, Course& w, Passes& p) {
  Trial t;
  t.size = frobenius<P>(w.hessian);
  V h = all(1);
  for (int j = 0; j < LANES; ++j) {
    Lane& lane = w.lanes[j];
    if (lane.restart < 0) continue;
    if (std::isnan(lane.wanted)) lane.wanted = rules.first / (t.size[j] > TINY ? t.size[j] : TINY);
    const double left = flow.marks[lane.passed] - lane.time;
    lane.step = lane.wanted >= left ? left : lane.wanted < left / 2 ? lane.wanted : left / 2;
    h[j] = lane.step;
  }
  const V inverse = all(1) / h;
  for (int i = 0; i < P; ++i) w.hessian[i * (P + 1)] = fma(inverse, all(1 / rules.gamma), w.hessian[i * (P + 1)]);
  t.exists = factorize<P>(w.hessian);
  for (int i = 0; i < P; ++i) w.place[i] = w.theta[i], w.slope[i] = w.gradient[i];
  const Selection everything = select(nullptr, f.samples);
  for (int s = 0; s < STAGES; ++s) {
    V* u = w.stages + s * P;
    for (int i = 0; i < P && s > 0; ++i) {
      V sum = w.theta[i];
      for (int k = 0; k < s; ++k) sum = fma(all(rules.a[s][k]), w.stages[k * P + i], sum);
      w.place[i] = sum;
    }
    if (s > 0) differentiate<false>(f.data, everything, penalty_of(f), w.place, p, w.slope);
    for (int i = 0; i < P; ++i) {
      V sum = all(0);
      for (int k = 0; k < s; ++k) sum = fma(all(rules.c[s][k]), w.stages[k * P + i], sum);
      u[i] = fma(sum, inverse, -w.slope[i]);
    }
    solve<P>(w.hessian, u);
  }
  const V* u = w.stages + (STAGES - 1) * P;
  t.error = all(0);
  for (int i = 0; i < P; ++i) {
    w.place[i] = w.place[i] + u[i];
    const V largest = at_least(absolute(w.theta[i]), absolute(w.place[i]));
    const V part = absolute(u[i]) / fma(all(rules.rtol), largest, all(rules.atol));
    t.error = choose(part == part, at_least(part, t.error), all(INFINITY));
  }
  t.loss = differentiate<true>(f.data, everything, penalty_of(f), w.place, p, w.slope);
  t.norm = norm_of(w.slope);
  t.remaining = all(INFINITY);
  if (any(t.norm <= all(rules.tolerance))) t.remaining = remaining_way(w, inverse * all(1 / rules.gamma));
  return t;
}

double growth_of(const Rules& rules, double error) {
  int k = 0;
  while (k + 1 < GROWTHS && error <= rules.limits[k + 1]) ++k;
  return rules.growths[k];
}

// What a lane remembers of the step; whether it was taken.
bool judge(const Rules& rules, const Flow& flow, const Trial& t, int j, Lane& lane) {
  const bool finite = std::isfinite(t.loss[j]) && std::isfinite(t.norm[j]);
  const double rounding = std::max(rules.rise * std::abs(lane.loss), rules.rounding);
  const double error = finite ? t.error[j] : INFINITY, growth = growth_of(rules, error);
  const bool taken = t.exists[j] && error <= 1 && t.loss[j] <= lane.loss + rounding;
  const double mark = flow.marks[lane.passed], left = mark - lane.time;
  lane.gradients += rules.cost;
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

void follow(const Function& f, const Flow& flow, const Rules& rules) {
  Aligned<V> vectors((4 + STAGES) * P + P * P);
  Aligned<Derivatives> derivatives(1);
  Derivatives& d = *derivatives.get();
  V* v = vectors.get();
  Course w{v, v + P, v + (4 + STAGES) * P, v + 2 * P, v + 3 * P, v + 4 * P, {}};
  for (int i = 0; i < (4 + STAGES) * P; ++i) v[i] = all(0);
  while (enter(f, flow, w)) {
    begin(flow, expand(f, w.theta, d, w.gradient, w.hessian), w);
    const Trial t = attempt(f, flow, rules, w, d.p);
    I taken = all_bits(0);
    for (int j = 0; j < LANES; ++j)
      if (w.lanes[j].restart >= 0 && judge(rules, flow, t, j, w.lanes[j])) taken[j] = -1;
    for (int i = 0; i < P; ++i) w.theta[i] = choose(taken, w.place[i], w.theta[i]);
    const V reach = all(1) + norm_of(w.theta);
    for (int j = 0; j < LANES; ++j) {
      Lane& lane = w.lanes[j];
      if (lane.restart < 0) continue;
      std::int8_t status = status_of(rules, t, j, taken[j] != 0, reach[j], lane);
      if (lane.time >= flow.marks[lane.passed]) {
        note(flow, lane, lane.passed);
        if (++lane.passed == flow.mark_count && status == RUNNING) status = BUDGET;
      }
      if (status != RUNNING || --lane.left == 0) leave(flow, j, status, w);
    }
  }
}

}  // namespace

extern "C" {

void follow(const Function* f, const Flow* flow, const Rules* rules) { follow(*f, *flow, *rules); }

int lanes() { return LANES; }
}
