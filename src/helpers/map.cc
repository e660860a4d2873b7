// helpers: maps. Linux: kernel/bpf/helpers.c
#include <cerrno>

#include "helpers/protos.h"
#include "maps/map_ops.h"

namespace skep {
namespace {

MapDesc* as_map(u64 arg) noexcept { return reinterpret_cast<MapDesc*>(arg); }
const void* as_mem(u64 arg) noexcept { return reinterpret_cast<const void*>(arg); }
u64 ret(long value) noexcept { return static_cast<u64>(value); }

u64 map_lookup_elem(RunCtx& run, u64 map, u64 key, u64, u64, u64) noexcept {
  const MapOps* ops = map_ops(as_map(map)->type);
  if (ops == nullptr || ops->lookup == nullptr) return 0;
  return reinterpret_cast<u64>(ops->lookup(run.op, as_map(map), as_mem(key)));
}

u64 map_update_elem(RunCtx& run, u64 map, u64 key, u64 value, u64 flags, u64) noexcept {
  const MapOps* ops = map_ops(as_map(map)->type);
  if (ops == nullptr || ops->update == nullptr) return ret(-EOPNOTSUPP);
  return ret(ops->update(run.op, as_map(map), as_mem(key), as_mem(value), flags));
}

u64 map_delete_elem(RunCtx& run, u64 map, u64 key, u64, u64, u64) noexcept {
  const MapOps* ops = map_ops(as_map(map)->type);
  if (ops == nullptr || ops->erase == nullptr) return ret(-EOPNOTSUPP);
  return ret(ops->erase(run.op, as_map(map), as_mem(key)));
}

}  // namespace

constinit const FuncProto bpf_map_lookup_elem_proto = {
    BPF_FUNC_map_lookup_elem, "bpf_map_lookup_elem", false, RET_PTR_TO_MAP_VALUE_OR_NULL, {ARG_CONST_MAP_PTR, ARG_PTR_TO_MAP_KEY},
    BASE_AND_LIRC_PROG_TYPES, map_lookup_elem};
constinit const FuncProto bpf_map_update_elem_proto = {
    BPF_FUNC_map_update_elem, "bpf_map_update_elem", false, RET_INTEGER,
    {ARG_CONST_MAP_PTR, ARG_PTR_TO_MAP_KEY, ARG_PTR_TO_MAP_VALUE, ARG_ANYTHING}, BASE_AND_LIRC_PROG_TYPES, map_update_elem};
constinit const FuncProto bpf_map_delete_elem_proto = {
    BPF_FUNC_map_delete_elem, "bpf_map_delete_elem", false, RET_INTEGER, {ARG_CONST_MAP_PTR, ARG_PTR_TO_MAP_KEY},
    BASE_AND_LIRC_PROG_TYPES, map_delete_elem};

}  // namespace skep
