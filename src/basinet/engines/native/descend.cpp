// The steps of a descent, all of a leg at a time. DESCENT is GradientDescent, Momentum, Nesterov or Adam.

#include "backprop.h"

namespace {

// One update of the parameters; c are the numbers that the descent's settings give for this step.

struct GradientDescent {  // c: eta
  static constexpr int MEMORIES = 0;
  static void step(V* theta, const V* g, V*, const double* c) {
    for (int i = 0; i < PARAMETERS; ++i) theta[i] = fma(all(-c[0]), g[i], theta[i]);
  }
};
struct Momentum {  // c: eta, mu
  static constexpr int MEMORIES = 1;
  static void step(V* theta, const V* g, V* v, const double* c) {
    for (int i = 0; i < PARAMETERS; ++i) {
      v[i] = fma(all(c[1]), v[i], g[i]);
      theta[i] = fma(all(-c[0]), v[i], theta[i]);
    }
  }
};
struct Nesterov {  // c: eta, mu
  static constexpr int MEMORIES = 1;
  static void step(V* theta, const V* g, V* v, const double* c) {
    for (int i = 0; i < PARAMETERS; ++i) {
      v[i] = fma(all(c[1]), v[i], g[i]);
      theta[i] = fma(all(-c[0]), fma(all(c[1]), v[i], g[i]), theta[i]);
    }
  }
};
struct Adam {  // c: eta / (1 - beta1^t), beta1, beta2, 1 / sqrt(1 - beta2^t), epsilon
  static constexpr int MEMORIES = 2;
  static void step(V* theta, const V* g, V* memory, const double* c) {
    V *mean = memory, *square = memory + PARAMETERS;
    for (int i = 0; i < PARAMETERS; ++i) {
      mean[i] = fma(all(1 - c[1]), g[i], all(c[1]) * mean[i]);
      square[i] = fma(all(1 - c[2]) * g[i], g[i], all(c[2]) * square[i]);
      theta[i] = fma(all(-c[0]), mean[i] / fma(square_root(square[i]), all(c[3]), all(c[4])), theta[i]);
    }
  }
};

// What Python hands over.
struct Leg {
  Real* theta;                      // [restart, parameter]
  Real* memory;                     // [memory, restart, parameter]
  std::int8_t* status;              // [restart]
  std::int64_t* steps;              // [restart]
  Real *loss, *gradient_norm;       // [restart]
  std::int64_t first, until, check_every;
  double tolerance;
  const double* coefficients;       // [step, 5], from step `first`
  const std::int32_t* batches;      // [step, batch_size] samples, or nullptr: all of them
  const std::int64_t* batch_sizes;  // [step]
  std::int64_t batch_size;
};

enum Status : std::int8_t { RUNNING = 0, ARRIVED = 1, DIVERGED = 3 };

void follow(const Function& f, const Leg& leg, std::int64_t block, V* theta, V* memory, V* gradient, Passes& p) {
  const Selection everything = select(nullptr, f.samples);
  const Penalty penalty = penalty_of(f);
  const std::int64_t size = f.restarts * PARAMETERS;
  gather(leg.theta, block, f.restarts, theta);
  for (int m = 0; m < DESCENT::MEMORIES; ++m) gather(leg.memory + m * size, block, f.restarts, memory + m * PARAMETERS);
  bool running[LANES];
  int left = 0;
  for (int j = 0; j < LANES; ++j) left += running[j] = block + j < f.restarts && leg.status[block + j] == RUNNING;

  for (std::int64_t step = leg.first; left > 0; ++step) {
    if (step == leg.until || (step > leg.first && step % leg.check_every == 0)) {
      const V loss = differentiate<true>(f.data, everything, penalty, theta, p, gradient), norm = norm_of(gradient);
      for (int j = 0; j < LANES; ++j) {
        if (!running[j]) continue;
        const std::int64_t r = block + j;
        leg.loss[r] = loss[j], leg.gradient_norm[r] = norm[j], leg.steps[r] = step;
        if (!std::isfinite(loss[j]) || !std::isfinite(norm[j])) leg.status[r] = DIVERGED;
        else if (norm[j] <= static_cast<Real>(leg.tolerance)) leg.status[r] = ARRIVED;
        else if (step < leg.until) continue;
        scatter(theta, j, leg.theta + r * PARAMETERS);  // it stays here, whatever the lane does from now on
        running[j] = false;
        --left;
      }
      if (left == 0) break;
    } else if (!leg.batches) {
      differentiate<false>(f.data, everything, penalty, theta, p, gradient);
    }
    const std::int64_t at = step - leg.first;
    if (leg.batches) {
      const Selection batch = select(leg.batches + at * leg.batch_size, leg.batch_sizes[at]);
      differentiate<false>(f.data, batch, penalty, theta, p, gradient);
    }
    DESCENT::step(theta, gradient, memory, leg.coefficients + at * 5);
  }
  for (int m = 0; m < DESCENT::MEMORIES; ++m)
    for (int j = 0; j < LANES && block + j < f.restarts; ++j)
      scatter(memory + m * PARAMETERS, j, leg.memory + m * size + (block + j) * PARAMETERS);
}

}  // namespace

extern "C" {

// Take all restarts from step `first` to step `until`; those that arrive or diverge stay where they are.
void descend(const Function* f, const Leg* leg) {
  Aligned<V> vectors((2 + DESCENT::MEMORIES) * PARAMETERS);
  Aligned<Passes> passes(1);
  V* theta = vectors.get();
  for_blocks(f->next, f->restarts, [&](std::int64_t block) {
    follow(*f, *leg, block, theta, theta + 2 * PARAMETERS, theta + PARAMETERS, *passes.get());
  });
}

int lanes() { return LANES; }
}
