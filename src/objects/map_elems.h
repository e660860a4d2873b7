// objects: maps whose elements are programs or maps: who may become an element, and who holds it. What runs see of it stands in ROM, see
// maps/object_maps.h; both sides are changed together here.
#pragma once
#include <span>

#include "objects/objects.h"

namespace skep {

/// True when `prog` fits the programs of a program array, as an element or as one that tail-calls into it; the first that asks decides
/// for all that follow. A program that is loaded must ask every PROG_ARRAY it uses (EINVAL). Linux: kernel/bpf/core.c:bpf_prog_map_compatible()
bool prog_map_compatible(Map& map, const Prog& prog);

/// PROG_ARRAY, by fd. REQUIRES of all that follow: the map is of that kind.
/// E2BIG (no such index); then EINVAL. Linux: arraymap.c:prog_fd_array_get_ptr()
Status set_prog(Map& map, u32 index, std::shared_ptr<Prog> prog);
/// E2BIG, ENOENT. Linux: arraymap.c:__fd_array_map_delete_elem()
Status erase_prog(Map& map, u32 index);
/// The program's id; ENOENT.
Result<u32> prog_id_at(const Map& map, u32 index);
/// Linux: arraymap.c:prog_array_map_clear(). Nothing for other kinds.
void clear_progs(Map& map);

/// What a map of maps that is made with `inner` will hold its inner maps to: EINVAL (a map of maps), ENOTSUPP (a kind that cannot be
/// one). Linux: map_in_map.c:bpf_map_meta_alloc()
Result<InnerMapMeta> inner_map_meta(const Map& inner);
/// Linux: map_in_map.c:bpf_map_meta_equal(), arraymap.c:array_map_meta_equal()
bool inner_map_fits(const InnerMapMeta& meta, const Map& inner);

/// ARRAY_OF_MAPS and HASH_OF_MAPS. `key` has key_size bytes. EINVAL (does not fit), then of the hash EEXIST, ENOENT, E2BIG, ENOMEM.
/// REQUIRES: an array's index is below max_entries; `flags` were checked.
Status set_inner_map(Map& map, std::span<const u8> key, std::shared_ptr<Map> inner, u64 flags);
/// E2BIG (an array's index), ENOENT.
Status erase_inner_map(Map& map, std::span<const u8> key);
/// The inner map's id; ENOENT.
Result<u32> inner_map_id(const Map& map, std::span<const u8> key);
/// Takes all of them out. Nothing for other kinds.
void clear_inner_maps(Map& map);

}  // namespace skep
