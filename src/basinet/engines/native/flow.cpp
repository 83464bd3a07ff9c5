// The gradient flow in lanes: every restart by explicit steps or linearly implicit ones, as descents/switching.py says.
//
// A block of lanes makes steps of one kind. A restart that goes over to the other waits until its thread has no more of
// this kind; so no lane waits for steps that are not its own.

#include "flow_explicit.h"
#include "flow_implicit.h"

extern "C" {

void follow(const Function* f, const Flow* flow, const Rules* rules, const Explicit::Numbers* of_explicit,
            const Implicit::Numbers* of_implicit, const Turns* turns) {
  Queue queue{*f, *flow, {}};
  Explicit explicit_steps(*of_explicit);
  Implicit implicit_steps(*of_implicit);
  do {
    if (flow->turns) follow_by(explicit_steps, *rules, *turns, queue);
    follow_by(implicit_steps, *rules, *turns, queue);
  } while (!queue.is_empty() && __atomic_load_n(f->next, __ATOMIC_RELAXED) < STOP);
}

int lanes() { return LANES; }
}
