#include "objects/map_elems.h"

#include <cstring>

#include "maps/map_ops.h"
#include "maps/object_maps.h"

namespace skep {
namespace {

bool uses_prog_array(const Prog& prog) {
  for (const auto& m : prog.maps)
    if (m->desc->type == BPF_MAP_TYPE_PROG_ARRAY) return true;
  return false;
}

ProgArrayOwner traits_of(const Prog& prog) {
  ProgArrayOwner o;
  o.type = prog.type;
  o.expected_attach_type = prog.expected_attach_type;
  o.xdp_has_frags = (prog.prog_flags & BPF_F_XDP_HAS_FRAGS) != 0;
  for (const auto& m : prog.maps) {
    if (m->desc->type == BPF_MAP_TYPE_CGROUP_STORAGE) o.storage_ids[0] = m->id;
    if (m->desc->type == BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE) o.storage_ids[1] = m->id;
  }
  return o;
}

bool same_field(const BtfField& a, const BtfField& b) {
  return a.offset == b.offset && a.size == b.size && a.type == b.type && a.btf == b.btf && a.btf_id == b.btf_id &&
         a.node_offset == b.node_offset;
}

/// Linux: syscall.c:btf_record_equal(): types of the maps' own BTF are the same only in the same BTF.
bool same_record(const BtfRecord& a, const BtfRecord& b) {
  if (a.fields.size() != b.fields.size()) return false;
  for (std::size_t i = 0; i < a.fields.size(); ++i)
    if (!same_field(a.fields[i], b.fields[i])) return false;
  return true;
}

u32 index_of(std::span<const u8> key) {
  u32 index;
  std::memcpy(&index, key.data(), sizeof index);
  return index;
}

bool is_array(const Map& map) { return map.desc->type == BPF_MAP_TYPE_ARRAY_OF_MAPS; }

/// Linux: hashtab.c:htab_map_update_elem(), as far as an element that is a map goes.
Status link_inner(Map& map, std::span<const u8> key, MapDesc* inner, u64 flags) {
  MapDesc& d = *map.desc;
  InnerMapNode* node = inner_map_find(d, key.data());
  if (node != nullptr && flags == BPF_NOEXIST) return Errno(EEXIST);
  if (node == nullptr && flags == BPF_EXIST) return Errno(ENOENT);
  if (node != nullptr) {
    store_release(&node->inner, inner);
    return ok_status();
  }
  if (map.inner_maps.size() >= d.max_entries) return Errno(E2BIG);
  Result<void*> rom = map.kernel->window().rom_alloc(inner_map_node_bytes(d));
  if (!rom.ok()) return Errno(ENOMEM);
  inner_map_link(d, new (*rom) InnerMapNode{}, key.data(), inner);
  return ok_status();
}

/// Takes the pointer that runs follow away. What it points to is held until the caller lets go.
void unlink_inner(Map& map, std::span<const u8> key) {
  MapDesc& d = *map.desc;
  if (is_array(map)) return set_object_at(d, index_of(key), nullptr);
  InnerMapNode* node = inner_map_find(d, key.data());
  inner_map_unlink(d, node);
  WindowHost& w = map.kernel->window();
  w.defer([&w, node, bytes = inner_map_node_bytes(d)] { w.rom_free(node, bytes); });
}

}  // namespace

bool prog_map_compatible(Map& map, const Prog& prog) {
  const ProgArrayOwner mine = traits_of(prog);
  if (!map.owner) {
    map.owner = mine;
    return true;
  }
  const ProgArrayOwner& o = *map.owner;
  if (o.type != mine.type || o.xdp_has_frags != mine.xdp_has_frags || o.expected_attach_type != mine.expected_attach_type) return false;
  for (u32 i = 0; i < 2; ++i)
    if (o.storage_ids[i] != mine.storage_ids[i] && (mine.storage_ids[i] != 0 || uses_prog_array(prog))) return false;
  return true;
}

Status set_prog(Map& map, u32 index, std::shared_ptr<Prog> prog) {
  if (index >= map.desc->max_entries) return Errno(E2BIG);
  if (prog->type == BPF_PROG_TYPE_EXT || !prog_map_compatible(map, *prog)) return Errno(EINVAL);
  set_object_at(*map.desc, index, prog->image);
  // The old one's image outlives the runs that have seen it: ~Prog frees it after a grace period.
  map.progs[index] = std::move(prog);
  return ok_status();
}

Status erase_prog(Map& map, u32 index) {
  if (index >= map.desc->max_entries) return Errno(E2BIG);
  const auto it = map.progs.find(index);
  if (it == map.progs.end()) return Errno(ENOENT);
  set_object_at(*map.desc, index, nullptr);
  const std::shared_ptr<Prog> last = std::move(it->second);
  map.progs.erase(it);
  return ok_status();
}

Result<u32> prog_id_at(const Map& map, u32 index) {
  const auto it = map.progs.find(index);
  if (it == map.progs.end()) return Errno(ENOENT);
  return it->second->id;
}

void clear_progs(Map& map) {
  const auto gone = std::move(map.progs);
  map.progs.clear();
  for (const auto& [index, prog] : gone) set_object_at(*map.desc, index, nullptr);
}

Result<InnerMapMeta> inner_map_meta(const Map& inner) {
  if (inner.inner_meta) return Errno(EINVAL);
  if (!inner.ops->inner) return Errno(ENOTSUPP_);
  const MapDesc& d = *inner.desc;
  return InnerMapMeta{inner.ops, d.type, d.key_size, d.value_size, d.max_entries, inner.map_flags, inner.record, inner.btf};
}

bool inner_map_fits(const InnerMapMeta& meta, const Map& inner) {
  const MapDesc& d = *inner.desc;
  if (meta.map_type != d.type || meta.key_size != d.key_size || meta.value_size != d.value_size || meta.map_flags != inner.map_flags)
    return false;
  if (!same_record(meta.record, inner.record)) return false;
  // BPF_F_INNER_MAP is only for arrays: their look-ups ask the map for its size.
  return !meta.ops->inner_same_size || (meta.map_flags & BPF_F_INNER_MAP) != 0 || meta.max_entries == d.max_entries;
}

Status set_inner_map(Map& map, std::span<const u8> key, std::shared_ptr<Map> inner, u64 flags) {
  if (!inner_map_fits(*map.inner_meta, *inner)) return Errno(EINVAL);
  if (is_array(map))
    set_object_at(*map.desc, index_of(key), inner->desc);
  else
    TRY(link_inner(map, key, inner->desc, flags));
  // The old one's memory outlives the runs that have seen it: ~Map frees it after a grace period.
  map.inner_maps[{key.begin(), key.end()}] = std::move(inner);
  return ok_status();
}

Status erase_inner_map(Map& map, std::span<const u8> key) {
  if (is_array(map) && index_of(key) >= map.desc->max_entries) return Errno(E2BIG);
  const auto it = map.inner_maps.find({key.begin(), key.end()});
  if (it == map.inner_maps.end()) return Errno(ENOENT);
  unlink_inner(map, key);
  const std::shared_ptr<Map> last = std::move(it->second);
  map.inner_maps.erase(it);
  return ok_status();
}

Result<u32> inner_map_id(const Map& map, std::span<const u8> key) {
  const auto it = map.inner_maps.find({key.begin(), key.end()});
  if (it == map.inner_maps.end()) return Errno(ENOENT);
  return it->second->id;
}

void clear_inner_maps(Map& map) {
  for (const auto& [key, inner] : map.inner_maps) unlink_inner(map, key);
  map.inner_maps.clear();
}

}  // namespace skep
