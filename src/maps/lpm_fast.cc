// The gates of LPM tries: see fast_kinds.h.
#include "maps/fast_kinds.h"
#include "maps/lpm_find.h"
#include "maps/lpm_write.h"

namespace skep {
namespace {

long update(const OpCtx* ctx, MapDesc* desc, const void* key, const void* value, u64 flags) noexcept {
  return lpm_update(*ctx, desc, key, value, flags);
}
long erase(const OpCtx* ctx, MapDesc* desc, const void* key) noexcept { return lpm_erase(*ctx, desc, key); }

}  // namespace

u32 lpm_map_gate(const MapDesc&, MapCall call) noexcept {
  switch (call) {
    case MapCall::Lookup: return MAP_GATE_LPM_LOOKUP;
    case MapCall::Update: return MAP_GATE_LPM_UPDATE;
    case MapCall::Delete: return MAP_GATE_LPM_DELETE;
  }
  return NO_MAP_GATE;
}

const void* lpm_map_gate_fn(u32 gate) noexcept {
  switch (gate) {
    case MAP_GATE_LPM_LOOKUP: return reinterpret_cast<const void*>(lpm_lookup);
    case MAP_GATE_LPM_UPDATE: return reinterpret_cast<const void*>(update);
    case MAP_GATE_LPM_DELETE: return reinterpret_cast<const void*>(erase);
    default: return nullptr;
  }
}

}  // namespace skep
