// The restarts that a thread has not begun, one after the other. Included behind backprop.h.

#pragma once

namespace {

enum Status : std::int8_t { RUNNING = 0, ARRIVED = 1, BUDGET = 2, DIVERGED = 3, STALLED = 4 };

struct Supply {  // a thread takes a block at a time
  const Function& f;
  const std::int8_t* status;  // [restart]
  std::int64_t at = 0, end = 0;
  bool dry = false;

  std::int64_t take() {  // the next restart that is running; -1 if there are no more
    for (; !dry; ++at) {
      if (at == end) {
        at = __atomic_fetch_add(f.next, 1, __ATOMIC_RELAXED) * LANES;
        end = at + LANES < f.restarts ? at + LANES : f.restarts;
        dry = at >= f.restarts;
      }
      if (!dry && status[at] == RUNNING) return at++;
    }
    return -1;
  }
};

}  // namespace
