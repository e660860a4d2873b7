// shm: the context that every operation on shared state carries.
#pragma once
#include "shm/slot.h"

namespace skep {

/// One operation in flight: whose slot it holds and on which virtual CPU it is. `cpu` < nr_cpus.
struct OpCtx {
  Window window;
  RunSlot* slot;
  u32 cpu;
};

}  // namespace skep
