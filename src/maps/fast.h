// maps: map operations as compiled programs call them: one function for a kind of map and a size of key, chosen when the program is
// compiled, so that nothing is looked up at run time. Freestanding: also compiled into the agent.
#pragma once
#include "maps/map_ops.h"

namespace skep {

enum MapGate : u32 {
  /// void*(MapDesc*, const void* key): address of the value (per-CPU kinds: of the first CPU's), or null. No lock, no write to shared
  /// memory, at most a use mark.
  MAP_GATE_HASH_LOOKUP_4,
  MAP_GATE_HASH_LOOKUP_8,
  MAP_GATE_HASH_LOOKUP_16,
  MAP_GATE_HASH_LOOKUP,
  MAP_GATE_LRU_LOOKUP_4,
  MAP_GATE_LRU_LOOKUP_8,
  MAP_GATE_LRU_LOOKUP_16,
  MAP_GATE_LRU_LOOKUP,
  MAP_GATE_LPM_LOOKUP,
  /// long(const OpCtx*, MapDesc*, const void* key, const void* value, u64 flags)
  MAP_GATE_HASH_UPDATE_4,
  MAP_GATE_HASH_UPDATE_8,
  MAP_GATE_HASH_UPDATE_16,
  MAP_GATE_HASH_UPDATE,
  MAP_GATE_LRU_UPDATE,
  MAP_GATE_LPM_UPDATE,
  /// long(const OpCtx*, MapDesc*, const void* key)
  MAP_GATE_HASH_DELETE_4,
  MAP_GATE_HASH_DELETE_8,
  MAP_GATE_HASH_DELETE_16,
  MAP_GATE_HASH_DELETE,
  MAP_GATE_LRU_DELETE,
  MAP_GATE_LPM_DELETE,
  NR_MAP_GATES,
  NO_MAP_GATE = ~0u,
};

enum class MapCall : u8 { Lookup, Update, Delete };
/// The gate for this map, or NO_MAP_GATE: the helper serves it.
u32 map_gate(const MapDesc& desc, MapCall call) noexcept;
/// Address of the function behind a gate; null: not there.
const void* map_gate_fn(u32 gate) noexcept;

}  // namespace skep
