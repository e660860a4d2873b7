#include "maps/fast.h"

#include "maps/fast_kinds.h"

namespace skep {

u32 map_gate(const MapDesc& desc, MapCall call) noexcept {
  switch (desc.type) {
    case BPF_MAP_TYPE_HASH:
    case BPF_MAP_TYPE_PERCPU_HASH:
      return hash_map_gate(desc, call);
    case BPF_MAP_TYPE_LRU_HASH:
    case BPF_MAP_TYPE_LRU_PERCPU_HASH:
      return lru_map_gate(desc, call);
    case BPF_MAP_TYPE_LPM_TRIE:
      return lpm_map_gate(desc, call);
    default:
      return NO_MAP_GATE;
  }
}

const void* map_gate_fn(u32 gate) noexcept {
  if (const void* fn = hash_map_gate_fn(gate)) return fn;
  if (const void* fn = lru_map_gate_fn(gate)) return fn;
  return lpm_map_gate_fn(gate);
}

}  // namespace skep
