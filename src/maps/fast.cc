#include "maps/fast.h"

namespace skep {

u32 map_gate(const MapDesc&, MapCall) noexcept { return NO_MAP_GATE; }
const void* map_gate_fn(u32) noexcept { return nullptr; }

}  // namespace skep
