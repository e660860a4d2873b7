#include "jit/gates.h"

#include "helpers/helper.h"
#include "jit/run.h"

namespace skep {
namespace {

template <typename F>
u64 address(F* fn) noexcept { return reinterpret_cast<u64>(fn); }

}  // namespace

void fill_gates(u64* gates) noexcept {
  constexpr u32 N_HELPERS = GATE_SKB_LOAD - GATE_HELPER;
  for (u32 id = 0; id < N_HELPERS; ++id) gates[GATE_HELPER + id] = address(helper_fn(id));
  for (u64 id = SKB_LOAD_HELPERS; id < SKB_LOAD_HELPERS_END; ++id) gates[GATE_SKB_LOAD + (id - SKB_LOAD_HELPERS)] = address(helper_fn(id));
  gates[GATE_END_RUN] = address(&end_run);
  gates[GATE_TAIL_CALL] = address(&tail_call);
  for (u32 i = 0; i < NR_MAP_GATES; ++i) gates[GATE_MAP + i] = reinterpret_cast<u64>(map_gate_fn(i));
}

}  // namespace skep
