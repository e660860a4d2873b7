// maps: the gates of each kind, which fast.cc chooses from: a kind that has gates has two lines here and two there. Freestanding.
#pragma once
#include "maps/fast.h"

namespace skep {

/// map_gate() of a map of that kind.
u32 hash_map_gate(const MapDesc& desc, MapCall call) noexcept;
u32 lru_map_gate(const MapDesc& desc, MapCall call) noexcept;
u32 lpm_map_gate(const MapDesc& desc, MapCall call) noexcept;
/// map_gate_fn(), null for other kinds' gates.
const void* hash_map_gate_fn(u32 gate) noexcept;
const void* lru_map_gate_fn(u32 gate) noexcept;
const void* lpm_map_gate_fn(u32 gate) noexcept;

}  // namespace skep
