// L-BFGS: every lane is a restart at its own trial of its own line search, and all lanes are evaluated at a time.
// descents/lbfgs.py says what is done; this is the same for a block of lanes.

#include <algorithm>

#include "backprop.h"
#include "line_search.h"
#include "supply.h"

namespace {

constexpr Real EPSILON = std::is_same<Real, double>::value ? 0x1p-52 : 0x1p-23;
constexpr int UNITS = 8;  // in the last place by which f may be off

struct Way {  // what Python hands over
  Real *theta, *gradient;      // [restart, parameter]
  Real* pairs;                 // [restart, 2 · memory, parameter]: the steps, newest first, then the changes
  std::int8_t* status;         // [restart]
  std::int64_t* steps;         // [restart]
  double* gradients;           // [restart] spent
  Real *loss, *gradient_norm;  // [restart]
  double* records;             // [restart, mark, 3]: loss, norm of the gradient, steps
  const std::int64_t* marks;   // the steps to note, from 0 to the last
  std::int64_t mark_count, most;  // and how many to make at most
  double tolerance;
  std::int64_t memory;
};

inline V dot(const V* a, const V* b) {  // four sums, since each addition waits for the one before it
  V sum[4] = {};
  int i = 0;
  for (; i + 4 <= PARAMETERS; i += 4)
#pragma GCC unroll 4
    for (int k = 0; k < 4; ++k) sum[k] = fma(a[i + k], b[i + k], sum[k]);
  for (; i < PARAMETERS; ++i) sum[0] = fma(a[i], b[i], sum[0]);
  return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

inline void keep(I where, V* old, const V* one) {  // the lanes of `one` that are asked for
  for (int i = 0; i < PARAMETERS; ++i) old[i] = where ? one[i] : old[i];
}

struct Pairs {  // the last steps s and changes y of the gradient, newest first; rho = 1 / s·y, 0 where there is none
  const int memory;
  Aligned<V> vectors, numbers;
  std::vector<V*> s, y;  // one more of each than are remembered: what may become the newest
  V *rho, *alpha, scale;  // scale: s·y / y·y of the newest, 1 without one

  explicit Pairs(int memory)
      : memory(memory), vectors(2 * (memory + 1) * PARAMETERS), numbers(2 * memory), rho(numbers.get()), alpha(rho + memory),
        scale(all(1)) {
    for (int k = 0; k <= memory; ++k) {
      s.push_back(vectors.get() + 2 * k * PARAMETERS);
      y.push_back(s[k] + PARAMETERS);
    }
  }

  V scale_of(V product, const V* change) const { return product > all(0) ? product / dot(change, change) : all(1); }

  void push(I where, V product) {  // what stands behind the last pair becomes the newest one of some lanes
    bool everywhere = true;
    for (int j = 0; j < LANES; ++j) everywhere &= where[j] != 0;
    scale = where ? scale_of(product, y[memory]) : scale;
    if (everywhere) {
      std::rotate(s.begin(), s.end() - 1, s.end());
      std::rotate(y.begin(), y.end() - 1, y.end());
    } else {
      for (int k = memory - 1; k >= 0; --k) {
        keep(where, s[k], s[k > 0 ? k - 1 : memory]);
        keep(where, y[k], y[k > 0 ? k - 1 : memory]);
      }
    }
    for (int k = memory - 1; k > 0; --k) rho[k] = where ? rho[k - 1] : rho[k];
    rho[0] = where ? all(1) / product : rho[0];
  }

  void forget(int lane) {
    scale[lane] = 1;
    for (int k = 0; k < memory; ++k) {
      rho[k][lane] = 0;
      for (int i = 0; i < PARAMETERS; ++i) s[k][i][lane] = y[k][i][lane] = 0;
    }
  }

  void read(const Real* rows, int lane) {
    for (int k = 0; k < memory; ++k) {
      gather(rows + k * PARAMETERS, lane, s[k]);
      gather(rows + (memory + k) * PARAMETERS, lane, y[k]);
    }
  }
  void write(int lane, Real* rows) const {
    for (int k = 0; k < memory; ++k) {
      scatter(s[k], lane, rows + k * PARAMETERS);
      scatter(y[k], lane, rows + (memory + k) * PARAMETERS);
    }
  }
  void recompute(I where) {  // what follows from pairs that were read
    for (int k = 0; k < memory; ++k) {
      const V product = dot(s[k], y[k]), inverse = product > all(0) ? all(1) / product : all(0);
      rho[k] = where ? inverse : rho[k];
      if (k == 0) scale = where ? scale_of(product, y[0]) : scale;
    }
  }

  void direct(const V* gradient, V* d) {  // d = -H gradient, by the two-loop recursion (Nocedal, 1980)
    for (int i = 0; i < PARAMETERS; ++i) d[i] = gradient[i];
    for (int k = 0; k < memory; ++k) {
      alpha[k] = rho[k] * dot(s[k], d);
      for (int i = 0; i < PARAMETERS; ++i) d[i] = fma(-alpha[k], y[k][i], d[i]);
    }
    for (int i = 0; i < PARAMETERS; ++i) d[i] = scale * d[i];
    for (int k = memory - 1; k >= 0; --k) {
      const V part = alpha[k] - rho[k] * dot(y[k], d);
      for (int i = 0; i < PARAMETERS; ++i) d[i] = fma(part, s[k][i], d[i]);
    }
    for (int i = 0; i < PARAMETERS; ++i) d[i] = -d[i];
  }
};

// What a thread works on: the vectors of its lanes, and who is in them. A restart that is done makes room for the next.
struct Work {
  Aligned<V> vectors{5 * PARAMETERS};
  V *theta = vectors.get(), *gradient = theta + PARAMETERS, *direction = gradient + PARAMETERS;
  V *trial = direction + PARAMETERS, *found = trial + PARAMETERS;  // where f is evaluated, and its gradient there
  Pairs pairs;
  Search search[LANES];
  V loss = all(0), norm = all(0);  // at theta
  std::int64_t restart[LANES], steps[LANES], end[LANES];  // restart -1: nobody
  bool is_new[LANES];                                     // a start, of which f is not known
  int busy = 0;
  explicit Work(int memory) : pairs(memory) {
    for (int j = 0; j < LANES; ++j) restart[j] = -1, is_new[j] = false, search[j] = Search::begin(0, 0, 0);
  }
};

// A new direction for some lanes, and the search along it begun.
void aim(I where, Work& w) {
  w.pairs.direct(w.gradient, w.trial);
  const V slope = dot(w.gradient, w.trial), steepest = -dot(w.gradient, w.gradient);
  keep(where, w.direction, w.trial);
  for (int j = 0; j < LANES; ++j) {
    if (!where[j]) continue;
    const bool downhill = slope[j] < 0 && std::isfinite(slope[j]);
    if (!downhill) {
      w.pairs.forget(j);
      for (int i = 0; i < PARAMETERS; ++i) w.direction[i][j] = -w.gradient[i][j];
    }
    const Real inverse = 1 / w.norm[j], first = w.pairs.rho[0][j] != 0 || inverse > 1 ? 1 : inverse;
    w.search[j] = Search::begin(w.loss[j], downhill ? slope[j] : steepest[j], first);
  }
}

void enter(const Way& way, std::int64_t r, int j, Work& w) {
  gather(way.theta + r * PARAMETERS, j, w.theta);
  gather(way.gradient + r * PARAMETERS, j, w.gradient);
  w.pairs.read(way.pairs + r * 2 * way.memory * PARAMETERS, j);
  w.restart[j] = r, w.steps[j] = way.steps[r];
  const std::int64_t last = way.marks[way.mark_count - 1];
  w.end[j] = last - way.steps[r] < way.most ? last : way.steps[r] + way.most;
  w.loss[j] = way.loss[r], w.norm[j] = way.gradient_norm[r];
  w.is_new[j] = way.steps[r] == 0;
  ++w.busy;
}

void leave(const Way& way, int j, Work& w) {
  const std::int64_t r = w.restart[j];
  scatter(w.theta, j, way.theta + r * PARAMETERS);
  scatter(w.gradient, j, way.gradient + r * PARAMETERS);
  w.pairs.write(j, way.pairs + r * 2 * way.memory * PARAMETERS);
  way.steps[r] = w.steps[j], way.loss[r] = w.loss[j], way.gradient_norm[r] = w.norm[j];
  w.restart[j] = -1;
  --w.busy;
}

void fill(const Way& way, Supply& supply, Work& w) {
  I entered{};
  bool any = false;
  for (int j = 0; j < LANES; ++j) {
    if (w.restart[j] >= 0) continue;
    std::int64_t r;
    do r = supply.take();
    while (r >= 0 && way.steps[r] > 0 && way.most <= 0);
    if (r < 0) continue;
    enter(way, r, j, w);
    entered[j] = -1, any = true;
  }
  if (!any) return;
  w.pairs.recompute(entered);
  aim(entered, w);
  for (int j = 0; j < LANES; ++j)
    if (entered[j] && w.is_new[j]) {  // evaluated where it is
      w.search[j].trial = 0;
      for (int i = 0; i < PARAMETERS; ++i) w.direction[i][j] = 0;
    }
}

std::int8_t status_at(const Way& way, Real loss, Real norm) {
  if (!std::isfinite(loss) || !std::isfinite(norm)) return DIVERGED;
  return norm <= static_cast<Real>(way.tolerance) ? ARRIVED : RUNNING;
}

void note(const Way& way, std::int64_t r, std::int64_t steps, Real loss, Real norm) {
  const std::int64_t *end = way.marks + way.mark_count, *mark = std::lower_bound(way.marks, end, steps);
  if (mark == end || *mark != steps) return;
  double* record = way.records + (r * way.mark_count + (mark - way.marks)) * 3;
  record[0] = loss, record[1] = norm, record[2] = static_cast<double>(steps);
  if (mark + 1 == end && way.status[r] == RUNNING) way.status[r] = BUDGET;
}

// What becomes of a lane whose trial has been evaluated: whether it is a step, or whether its search begins again.
Verdict judge(const Way& way, int j, Real loss, Real slope, Real norm, Work& w) {
  const std::int64_t r = w.restart[j];
  if (w.is_new[j]) {
    way.status[r] = status_at(way, loss, norm);
    note(way, r, 0, loss, norm);
    return TAKEN;
  }
  way.gradients[r] += 1;
  const bool hidden = std::fabs(loss - w.loss[j]) <= std::fabs(w.loss[j]) * (UNITS * EPSILON);
  const Verdict verdict = w.search[j].judge(loss, slope, hidden, hidden && norm < w.norm[j]);
  if (verdict == TAKEN) {
    ++w.steps[j];
    way.status[r] = status_at(way, loss, norm);
    note(way, r, w.steps[j], loss, norm);
  } else if (verdict == FAILED && w.pairs.rho[0][j] == 0) {
    way.status[r] = STALLED;
    return GOING_ON;
  }
  return verdict;
}

void follow(const Function& f, const Way& way, Work& w, Passes& p) {
  const Selection everything = select(nullptr, f.samples);
  const Penalty penalty = penalty_of(f);
  Supply supply{f, way.status};
  for (;;) {
    fill(way, supply, w);
    if (w.busy == 0) return;
    V alpha;
    for (int j = 0; j < LANES; ++j) alpha[j] = w.search[j].trial;
    for (int i = 0; i < PARAMETERS; ++i) w.trial[i] = w.theta[i] + alpha * w.direction[i];
    const V loss = differentiate<true>(f.data, everything, penalty, w.trial, p, w.found);
    const V slope = dot(w.found, w.direction), norm = norm_of(w.found);

    V *s = w.pairs.s.back(), *y = w.pairs.y.back();
    for (int i = 0; i < PARAMETERS; ++i) s[i] = w.trial[i] - w.theta[i], y[i] = w.found[i] - w.gradient[i];
    const V product = dot(s, y);
    I taken{}, bent{}, aimed{};
    for (int j = 0; j < LANES; ++j) {
      bent[j] = -1;  // where nobody is, too: then the vectors need not be moved
      if (w.restart[j] < 0) continue;
      const Real least = -EPSILON * alpha[j] * w.search[j].start.slope;  // or else H would not be positive definite
      const bool is_new = w.is_new[j];
      const Verdict verdict = judge(way, j, loss[j], slope[j], norm[j], w);
      bent[j] = verdict == TAKEN && !is_new && product[j] > least ? -1 : 0;
      taken[j] = verdict == TAKEN ? -1 : 0;
      if (verdict == FAILED) w.pairs.forget(j);
      aimed[j] = verdict == GOING_ON ? 0 : -1;
      w.is_new[j] = false;
    }
    w.pairs.push(bent, product);
    keep(taken, w.theta, w.trial);
    keep(taken, w.gradient, w.found);
    w.loss = taken ? loss : w.loss, w.norm = taken ? norm : w.norm;
    for (int j = 0; j < LANES; ++j)
      if (w.restart[j] >= 0 && (way.status[w.restart[j]] != RUNNING || w.steps[j] >= w.end[j])) leave(way, j, w), aimed[j] = 0;
    aim(aimed, w);
  }
}

}  // namespace

extern "C" {

// Take all restarts that are running towards the last mark, by at most `most` steps each.
void follow(const Function* f, const Way* way) {
  Work work(static_cast<int>(way->memory));
  Aligned<Passes> passes(1);
  follow(*f, *way, work, *passes.get());
}

int lanes() { return LANES; }
}
