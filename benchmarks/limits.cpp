// What this machine can do at most, measured: fused multiply-adds per second, and logistic functions per second.
// A step of a network cannot take less than the time of its multiply-adds plus that of its activations.

#include "../src/basinet/engines/native/elementary.h"

namespace {

template <int CHAINS>
V chains(V start, V factor, long rounds) {  // independent chains of fma, enough to fill the pipelines
  V c[CHAINS];
  for (int k = 0; k < CHAINS; ++k) c[k] = start + all(k);
  for (long round = 0; round < rounds; ++round)
#pragma GCC unroll 16
    for (int k = 0; k < CHAINS; ++k) c[k] = fma(c[k], factor, start);
  for (int k = 1; k < CHAINS; ++k) c[0] = c[0] + c[k];
  return c[0];
}

}  // namespace

extern "C" {

int lanes() { return LANES; }

void multiply_add(const Real* x, Real* y, long rounds) {  // rounds · 16 · LANES of them
  y[0] = chains<16>(V{} + x[0], V{} + x[1], rounds)[0];
}

void logistics(Real* values, long count, long rounds) {  // rounds · count · LANES of them, in place, from the L1 cache
  V* z = reinterpret_cast<V*>(values);
  for (long round = 0; round < rounds; ++round)
    for (long k = 0; k < count; ++k) z[k] = logistic(z[k]);
}
}
