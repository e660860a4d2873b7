// maps: kinds whose elements are objects: PROG_ARRAY (const ProgImage*), ARRAY_OF_MAPS and HASH_OF_MAPS (MapDesc*), CGROUP_ARRAY
// (a cgroup's id). Their elements stand in ROM: the host writes them, runs read them without a lock, and nothing hostile can stand there.
//
// Who holds the objects, and what user space sees of them, is objects/map_elems.h.
#pragma once
#include "maps/map_ops.h"

namespace skep {

/// Bytes of zeroed ROM that the kind wants at desc->elems (the arrays) or desc->buckets (HASH_OF_MAPS); 0 for all other kinds.
u64 object_map_rom_bytes(const MapDesc& desc) noexcept;

/// An element of PROG_ARRAY or ARRAY_OF_MAPS; null when it is empty or there is no such index. Any thread that owns a run slot: what it
/// points to stays until the slot is released.
void* object_at(const MapDesc& desc, u32 index) noexcept;
/// Host only.
void set_object_at(const MapDesc& desc, u32 index, void* object) noexcept;

/// CGROUP_ARRAY: the id of a cgroup; 0: the element is empty, or there is no such index. As object_at().
u64 cgroup_at(const MapDesc& desc, u32 index) noexcept;
/// Host only.
void set_cgroup_at(const MapDesc& desc, u32 index, u64 id) noexcept;

/// One element of a HASH_OF_MAPS, behind its bucket or another element.
struct InnerMapNode {
  InnerMapNode* next;
  MapDesc* inner;
  u32 hash, pad;
  u8 key[];
};
constexpr u64 inner_map_node_bytes(const MapDesc& desc) noexcept { return sizeof(InnerMapNode) + desc.key_size; }

/// Host only. Null: the key is not there.
InnerMapNode* inner_map_find(const MapDesc& desc, const void* key) noexcept;
/// Host only. REQUIRES: the key is not there; `node` is ROM of inner_map_node_bytes() that no run can see.
void inner_map_link(const MapDesc& desc, InnerMapNode* node, const void* key, MapDesc* inner) noexcept;
/// Host only. Runs may still stand on the node: its memory goes after a grace period. REQUIRES: it is linked.
void inner_map_unlink(const MapDesc& desc, InnerMapNode* node) noexcept;

}  // namespace skep
