// HASH and PERCPU_HASH as compiled programs call them. The answers are those of HASH_OPS and PERCPU_HASH_OPS: the same functions.
#include "maps/fast_kinds.h"
#include "maps/hash_op.h"

namespace skep {
namespace {

template <u32 K>
void* lookup(MapDesc* desc, const void* key) noexcept {
  return hash_lookup_value<K>(desc, key);
}
template <u32 K>
long update(const OpCtx* ctx, MapDesc* desc, const void* key, const void* value, u64 flags) noexcept {
  return hash_put<K>(*ctx, desc, key, {value, false, ctx->cpu}, flags);
}
template <u32 K>
long erase(const OpCtx* ctx, MapDesc* desc, const void* key) noexcept {
  return hash_delete<K>(*ctx, desc, key);
}

template <typename F>
const void* address(F* f) noexcept {
  return reinterpret_cast<const void*>(f);
}

u32 by_key_size(u32 first, u32 key_size) noexcept {
  return first + (key_size == 4 ? 0u : key_size == 8 ? 1u : key_size == 16 ? 2u : 3u);
}
static_assert(MAP_GATE_HASH_LOOKUP == MAP_GATE_HASH_LOOKUP_4 + 3 && MAP_GATE_HASH_UPDATE == MAP_GATE_HASH_UPDATE_4 + 3 &&
              MAP_GATE_HASH_DELETE == MAP_GATE_HASH_DELETE_4 + 3);

}  // namespace

u32 hash_map_gate(const MapDesc& desc, MapCall call) noexcept {
  switch (call) {
    case MapCall::Lookup:
      return by_key_size(MAP_GATE_HASH_LOOKUP_4, desc.key_size);
    case MapCall::Update:
      return by_key_size(MAP_GATE_HASH_UPDATE_4, desc.key_size);
    case MapCall::Delete:
      return by_key_size(MAP_GATE_HASH_DELETE_4, desc.key_size);
  }
  return NO_MAP_GATE;
}

const void* hash_map_gate_fn(u32 gate) noexcept {
  switch (gate) {
    case MAP_GATE_HASH_LOOKUP_4: return address(lookup<4>);
    case MAP_GATE_HASH_LOOKUP_8: return address(lookup<8>);
    case MAP_GATE_HASH_LOOKUP_16: return address(lookup<16>);
    case MAP_GATE_HASH_LOOKUP: return address(lookup<0>);
    case MAP_GATE_HASH_UPDATE_4: return address(update<4>);
    case MAP_GATE_HASH_UPDATE_8: return address(update<8>);
    case MAP_GATE_HASH_UPDATE_16: return address(update<16>);
    case MAP_GATE_HASH_UPDATE: return address(update<0>);
    case MAP_GATE_HASH_DELETE_4: return address(erase<4>);
    case MAP_GATE_HASH_DELETE_8: return address(erase<8>);
    case MAP_GATE_HASH_DELETE_16: return address(erase<16>);
    case MAP_GATE_HASH_DELETE: return address(erase<0>);
    default: return nullptr;
  }
}

}  // namespace skep
