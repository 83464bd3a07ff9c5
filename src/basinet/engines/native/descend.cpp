// The steps of a descent, all of a segment at a time. UPDATE is one of updates/, RATES_GIVEN how many numbers
// of every step Python hands over.

#include "backprop.h"
#include "supply.h"

namespace {

// One update of the parameters, with r, the numbers that change with the step, and c, those that do not.
#include UPDATE

static_assert(Update::RATES == RATES_GIVEN, "update.py has another number of rates for this update than its header");

// What Python hands over.
struct Segment {
  Real* theta;                      // [restart, parameter]
  Real* memory;                     // [memory, restart, parameter]
  std::int8_t* status;              // [restart]
  std::int64_t* steps;              // [restart]
  Real *loss, *gradient_norm;       // [restart]
  std::int64_t first, until, check_every;
  double tolerance;
  const double* rates;              // [step, Update::RATES], from step `first`, `rate_stride` apart: 0 if they never change
  std::int64_t rate_stride;
  const double* constants;          // as many as the update takes
  const std::int32_t* batches;      // [step, batch_size] samples, or nullptr: all of them
  const std::int64_t* batch_sizes;  // [step]
  std::int64_t batch_size;
};

// What a thread works on: the vectors of its lanes, and who is in them. A restart that has come to its end makes room for
// the next one. That one comes in when its stopping test falls on the same steps as those of the others, so that all lanes
// are a multiple of `check_every` steps apart, empty ones too. Minibatches are shared by all lanes: there the next ones
// wait until all have come to their end.
struct Work {
  V *theta, *gradient, *memory;
  std::int64_t restart[LANES], step[LANES];  // restart -1: nobody
  int busy;
};

std::int64_t steps_to_entry(const Segment& segment, const Work& w) {
  return (segment.check_every - (w.step[0] - segment.first) % segment.check_every) % segment.check_every;
}

bool fill(const Function& f, const Segment& segment, Supply& supply, Work& w) {  // whether somebody new is there
  const int before = w.busy;
  if (before > 0 && (segment.batches || steps_to_entry(segment, w) > 0)) return false;
  for (int j = 0; j < LANES; ++j) {
    if (before == 0) w.step[j] = segment.first;
    if (w.restart[j] >= 0 || (w.restart[j] = supply.take()) < 0) continue;
    const std::int64_t row = w.restart[j] * PARAMETERS;
    gather(segment.theta + row, j, w.theta);
    for (int m = 0; m < Update::MEMORIES; ++m)
      gather(segment.memory + m * f.restarts * PARAMETERS + row, j, w.memory + m * PARAMETERS);
    w.step[j] = segment.first;
    ++w.busy;
  }
  return w.busy > before;
}

void leave(const Function& f, const Segment& segment, int j, Work& w) {
  const std::int64_t row = w.restart[j] * PARAMETERS;
  scatter(w.theta, j, segment.theta + row);
  for (int m = 0; m < Update::MEMORIES; ++m)
    scatter(w.memory + m * PARAMETERS, j, segment.memory + m * f.restarts * PARAMETERS + row);
  w.restart[j] = -1;
  --w.busy;
}

// Until some restart is tested or comes to its end, or the next one can come in.
std::int64_t steps_ahead(const Segment& segment, const Supply& supply, const Work& w) {
  std::int64_t least = segment.check_every - w.step[0] % segment.check_every;
  for (int j = 0; j < LANES; ++j)
    if (w.restart[j] >= 0 && segment.until - w.step[j] < least) least = segment.until - w.step[j];
  const std::int64_t entry = steps_to_entry(segment, w);
  return w.busy < LANES && !supply.dry && 0 < entry && entry < least ? entry : least;
}

struct Rates {  // the numbers of the steps that the lanes are at
  V r[Update::RATES];
  Rates(const Segment& segment, const Work& w, std::int64_t k, bool together) {  // k steps after those of w
    for (int i = 0; i < Update::RATES; ++i) {
      if (together) r[i] = all(rate(segment, w.step[0] + k, i));
      else
        for (int j = 0; j < LANES; ++j) r[i][j] = static_cast<Real>(rate(segment, w.step[j] + k, i));
    }
  }
  static double rate(const Segment& segment, std::int64_t step, int i) {  // lanes without a restart may have gone too far
    return segment.rates[((step < segment.until ? step : segment.until - 1) - segment.first) * segment.rate_stride + i];
  }
};

bool is_at_end(const Segment& segment, const Work& w) {
  for (int j = 0; j < LANES; ++j)
    if (w.restart[j] >= 0 && w.step[j] == segment.until) return true;
  return false;
}

// Record losses and gradient norms of all restarts, or of those at their last step; let go who has come to its end.
void test(const Function& f, const Segment& segment, bool all_of_them, V loss, V norm, Work& w) {
  for (int j = 0; j < LANES; ++j) {
    const std::int64_t r = w.restart[j];
    if (r < 0 || (!all_of_them && w.step[j] != segment.until)) continue;
    segment.loss[r] = loss[j], segment.gradient_norm[r] = norm[j], segment.steps[r] = w.step[j];
    if (!std::isfinite(loss[j]) || !std::isfinite(norm[j])) segment.status[r] = DIVERGED;
    else if (norm[j] <= static_cast<Real>(segment.tolerance)) segment.status[r] = ARRIVED;
    else if (w.step[j] < segment.until) continue;
    leave(f, segment, j, w);
  }
}

void follow(const Function& f, const Segment& segment, Work& w, Passes& p) {
  const Selection everything = select(nullptr, f.samples);
  const Penalty penalty = penalty_of(f);
  Supply supply{f, segment.status};
  bool known = false;  // the gradient, from a test
  for (;;) {
    if (fill(f, segment, supply, w)) known = false;
    if (w.busy == 0) return;
    bool together = true;  // the same rates for all lanes
    if (segment.rate_stride != 0)
      for (int j = 1; j < LANES; ++j) together &= w.step[j] == w.step[0];

    const std::int64_t count = steps_ahead(segment, supply, w);
    for (std::int64_t k = 0; k < count; ++k, known = false) {
      if (segment.batches) {
        const std::int64_t at = w.step[0] + k - segment.first;
        const Selection batch = select(segment.batches + at * segment.batch_size, segment.batch_sizes[at]);
        differentiate<false>(f.data, batch, penalty, w.theta, p, w.gradient);
      } else if (!known) {
        differentiate<false>(f.data, everything, penalty, w.theta, p, w.gradient);
      }
      const Rates rates(segment, w, k, together);
      Update::step(w.theta, w.gradient, w.memory, rates.r, segment.constants);
    }
    for (int j = 0; j < LANES; ++j) w.step[j] += count;
    const bool due = w.step[0] % segment.check_every == 0;
    if (!due && !is_at_end(segment, w)) continue;
    const V loss = differentiate<true>(f.data, everything, penalty, w.theta, p, w.gradient);
    test(f, segment, due, loss, norm_of(w.gradient), w);
    known = true;
  }
}

}  // namespace

extern "C" {

// Take all restarts from step `first` to step `until`; those that arrive or diverge stay where they are.
void descend(const Function* f, const Segment* segment) {
  Aligned<V> vectors((2 + Update::MEMORIES) * PARAMETERS);
  Aligned<Passes> passes(1);
  Work work{vectors.get(), vectors.get() + PARAMETERS, vectors.get() + 2 * PARAMETERS, {}, {}, 0};
  for (int j = 0; j < LANES; ++j) work.restart[j] = -1, work.step[j] = segment->first;
  follow(*f, *segment, work, *passes.get());
}

int lanes() { return LANES; }
}
