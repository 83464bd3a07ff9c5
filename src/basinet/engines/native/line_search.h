// Step lengths that satisfy the strong Wolfe conditions: descents/line_search.py, of which this is the same for one
// restart. Nocedal & Wright (2006), algorithms 3.5 and 3.6.

#pragma once

#include <cmath>

#include "elementary.h"

namespace {

constexpr Real DECREASE = 1e-4, CURVATURE = 0.9, NARROW = 0.1;
constexpr int TRIES = 20;

struct Point {  // f and its slope at one step length
  Real step, loss, slope;
};

// The minimum of the cubic with these values and slopes; NaN where it has none.
inline Real lowest(const Point& one, const Point& other) {
  const Real width = other.step - one.step;
  const Real middle = one.slope + other.slope - 3 * (one.loss - other.loss) / (one.step - other.step);
  const Real root = std::copysign(std::sqrt(middle * middle - one.slope * other.slope), width);
  return other.step - width * ((other.slope + root - middle) / (other.slope - one.slope + 2 * root));
}

// Where that is between two points, not too near them; the middle at every third try, so that brackets shrink.
inline Real between(const Point& low, const Point& high, int tries) {
  const Real width = high.step - low.step;
  Real part = tries % 3 == 2 ? Real(0.5) : (lowest(low, high) - low.step) / width;
  part = std::isnan(part) || part < Real(0.1) ? Real(0.1) : part > Real(0.9) ? Real(0.9) : part;
  return low.step + width * part;
}

// … and farther out than the last of two points, but not by too much.
inline Real beyond(const Point& before, const Point& here) {
  const Real gone = here.step - before.step, farthest = here.step + 4 * gone, nearest = here.step + Real(1.1) * gone;
  const Real found = lowest(before, here);
  return !(found > here.step) || found > farthest ? farthest : found < nearest ? nearest : found;
}

enum Verdict { GOING_ON, TAKEN, FAILED };

struct Search {
  Point start;  // at 0, downhill
  Point low;    // the lowest that has decreased enough; `start` while there is none
  Point high;   // a minimum lies between `low` and here; at infinity while it is not known where
  Real trial;   // the step length to look at next
  int tries;    // how many have been looked at
  bool last;    // `trial` is `low` once more, to be taken

  static Search begin(Real loss, Real slope, Real step) {
    constexpr Real infinity = HUGE_VAL;
    const Point start{0, loss, slope};
    return {start, start, {infinity, infinity, infinity}, step, 0, false};
  }

  Verdict judge(Real loss, Real slope, bool hidden, bool calmer) {  // where it is not GOING_ON, a new search has to begin
    const Point here{trial, loss, slope}, before = low;
    const bool finite = std::isfinite(loss) && std::isfinite(slope);
    const bool enough = finite && !hidden && loss <= start.loss + DECREASE * here.step * start.slope;
    if ((enough && std::fabs(slope) <= -CURVATURE * start.slope) || (finite && calmer)) return TAKEN;
    if (last) return enough ? TAKEN : FAILED;

    if (!enough || loss >= low.loss) {
      high = here;
    } else {
      if ((high.step >= low.step ? slope : -slope) >= 0) high = low;
      low = here;
    }
    ++tries;
    const Real farther = high.step > low.step ? high.step : low.step;
    if (std::fabs(high.step - low.step) < NARROW * farther || tries >= TRIES) {
      if (low.step <= 0) return FAILED;
      last = true, trial = low.step;
    } else {
      trial = std::isinf(high.step) ? beyond(before, here) : between(low, high, tries);
    }
    return GOING_ON;
  }
};

}  // namespace
