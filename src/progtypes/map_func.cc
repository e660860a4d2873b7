// progtypes: which helper takes which kind of map. Freestanding. Linux: verifier.c:check_map_func_compatibility()
#include "progtypes/func_ids.h"
#include "progtypes/func_proto.h"

namespace skep {
namespace {

/// Map types that only these helpers take; types that are not here take any that does not choose itself.
struct MapTakes {
  bpf_map_type type;
  u8 funcs[7];  ///< ends at 0
};
constexpr MapTakes MAP_TAKES[] = {
    {BPF_MAP_TYPE_PROG_ARRAY, {func::tail_call}},
    {BPF_MAP_TYPE_PERF_EVENT_ARRAY,
     {func::perf_event_read, func::perf_event_output, func::skb_output, func::perf_event_read_value, func::xdp_output}},
    {BPF_MAP_TYPE_RINGBUF,
     {func::ringbuf_output, func::ringbuf_reserve, func::ringbuf_query, func::ringbuf_reserve_dynptr, func::ringbuf_submit_dynptr,
      func::ringbuf_discard_dynptr}},
    {BPF_MAP_TYPE_USER_RINGBUF, {func::user_ringbuf_drain}},
    {BPF_MAP_TYPE_STACK_TRACE, {func::get_stackid}},
    {BPF_MAP_TYPE_CGROUP_ARRAY, {func::skb_under_cgroup, func::current_task_under_cgroup}},
    {BPF_MAP_TYPE_CGROUP_STORAGE, {func::get_local_storage}},
    {BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE, {func::get_local_storage}},
    {BPF_MAP_TYPE_DEVMAP, {func::redirect_map, func::map_lookup_elem}},
    {BPF_MAP_TYPE_DEVMAP_HASH, {func::redirect_map, func::map_lookup_elem}},
    {BPF_MAP_TYPE_CPUMAP, {func::redirect_map}},
    {BPF_MAP_TYPE_XSKMAP, {func::redirect_map, func::map_lookup_elem}},
    {BPF_MAP_TYPE_ARRAY_OF_MAPS, {func::map_lookup_elem}},
    {BPF_MAP_TYPE_HASH_OF_MAPS, {func::map_lookup_elem}},
    {BPF_MAP_TYPE_SOCKMAP,
     {func::sk_redirect_map, func::sock_map_update, func::msg_redirect_map, func::sk_select_reuseport, func::map_lookup_elem,
      func::map_update_elem, func::map_delete_elem}},
    {BPF_MAP_TYPE_SOCKHASH,
     {func::sk_redirect_hash, func::sock_hash_update, func::msg_redirect_hash, func::sk_select_reuseport, func::map_lookup_elem,
      func::map_update_elem, func::map_delete_elem}},
    {BPF_MAP_TYPE_REUSEPORT_SOCKARRAY, {func::sk_select_reuseport}},
    {BPF_MAP_TYPE_QUEUE, {func::map_peek_elem, func::map_pop_elem, func::map_push_elem}},
    {BPF_MAP_TYPE_STACK, {func::map_peek_elem, func::map_pop_elem, func::map_push_elem}},
    {BPF_MAP_TYPE_SK_STORAGE, {func::sk_storage_get, func::sk_storage_delete, func::kptr_xchg}},
    {BPF_MAP_TYPE_INODE_STORAGE, {func::inode_storage_get, func::inode_storage_delete, func::kptr_xchg}},
    {BPF_MAP_TYPE_TASK_STORAGE, {func::task_storage_get, func::task_storage_delete, func::kptr_xchg}},
    {BPF_MAP_TYPE_CGRP_STORAGE, {func::cgrp_storage_get, func::cgrp_storage_delete, func::kptr_xchg}},
    {BPF_MAP_TYPE_BLOOM_FILTER, {func::map_peek_elem, func::map_push_elem}},
};

/// Helpers that take only these types of map; helpers that are not here take any that does not choose itself.
struct FuncTakes {
  u8 func;
  u8 types[4];  ///< ends at 0
};
constexpr FuncTakes FUNC_TAKES[] = {
    {func::tail_call, {BPF_MAP_TYPE_PROG_ARRAY}},
    {func::perf_event_read, {BPF_MAP_TYPE_PERF_EVENT_ARRAY}},
    {func::perf_event_output, {BPF_MAP_TYPE_PERF_EVENT_ARRAY}},
    {func::perf_event_read_value, {BPF_MAP_TYPE_PERF_EVENT_ARRAY}},
    {func::skb_output, {BPF_MAP_TYPE_PERF_EVENT_ARRAY}},
    {func::xdp_output, {BPF_MAP_TYPE_PERF_EVENT_ARRAY}},
    {func::ringbuf_output, {BPF_MAP_TYPE_RINGBUF}},
    {func::ringbuf_reserve, {BPF_MAP_TYPE_RINGBUF}},
    {func::ringbuf_query, {BPF_MAP_TYPE_RINGBUF}},
    {func::ringbuf_reserve_dynptr, {BPF_MAP_TYPE_RINGBUF}},
    {func::ringbuf_submit_dynptr, {BPF_MAP_TYPE_RINGBUF}},
    {func::ringbuf_discard_dynptr, {BPF_MAP_TYPE_RINGBUF}},
    {func::user_ringbuf_drain, {BPF_MAP_TYPE_USER_RINGBUF}},
    {func::get_stackid, {BPF_MAP_TYPE_STACK_TRACE}},
    {func::current_task_under_cgroup, {BPF_MAP_TYPE_CGROUP_ARRAY}},
    {func::skb_under_cgroup, {BPF_MAP_TYPE_CGROUP_ARRAY}},
    {func::redirect_map, {BPF_MAP_TYPE_DEVMAP, BPF_MAP_TYPE_DEVMAP_HASH, BPF_MAP_TYPE_CPUMAP, BPF_MAP_TYPE_XSKMAP}},
    {func::sk_redirect_map, {BPF_MAP_TYPE_SOCKMAP}},
    {func::msg_redirect_map, {BPF_MAP_TYPE_SOCKMAP}},
    {func::sock_map_update, {BPF_MAP_TYPE_SOCKMAP}},
    {func::sk_redirect_hash, {BPF_MAP_TYPE_SOCKHASH}},
    {func::msg_redirect_hash, {BPF_MAP_TYPE_SOCKHASH}},
    {func::sock_hash_update, {BPF_MAP_TYPE_SOCKHASH}},
    {func::get_local_storage, {BPF_MAP_TYPE_CGROUP_STORAGE, BPF_MAP_TYPE_PERCPU_CGROUP_STORAGE}},
    {func::sk_select_reuseport, {BPF_MAP_TYPE_REUSEPORT_SOCKARRAY, BPF_MAP_TYPE_SOCKMAP, BPF_MAP_TYPE_SOCKHASH}},
    {func::map_pop_elem, {BPF_MAP_TYPE_QUEUE, BPF_MAP_TYPE_STACK}},
    {func::map_peek_elem, {BPF_MAP_TYPE_QUEUE, BPF_MAP_TYPE_STACK, BPF_MAP_TYPE_BLOOM_FILTER}},
    {func::map_push_elem, {BPF_MAP_TYPE_QUEUE, BPF_MAP_TYPE_STACK, BPF_MAP_TYPE_BLOOM_FILTER}},
    {func::map_lookup_percpu_elem, {BPF_MAP_TYPE_PERCPU_ARRAY, BPF_MAP_TYPE_PERCPU_HASH, BPF_MAP_TYPE_LRU_PERCPU_HASH}},
    {func::sk_storage_get, {BPF_MAP_TYPE_SK_STORAGE}},
    {func::sk_storage_delete, {BPF_MAP_TYPE_SK_STORAGE}},
    {func::inode_storage_get, {BPF_MAP_TYPE_INODE_STORAGE}},
    {func::inode_storage_delete, {BPF_MAP_TYPE_INODE_STORAGE}},
    {func::task_storage_get, {BPF_MAP_TYPE_TASK_STORAGE}},
    {func::task_storage_delete, {BPF_MAP_TYPE_TASK_STORAGE}},
    {func::cgrp_storage_get, {BPF_MAP_TYPE_CGRP_STORAGE}},
    {func::cgrp_storage_delete, {BPF_MAP_TYPE_CGRP_STORAGE}},
};

constexpr u64 ALL_TYPES = ((1ULL << MAX_BPF_MAP_TYPE_) - 1) & ~1ULL;

/// Both tables in one: for each helper the map types that it goes with, a bit each.
struct Masks {
  u64 types[func::max_id];
};
constinit const Masks MASKS = [] {
  Masks m{};
  for (u64& types : m.types) types = ALL_TYPES;
  for (const MapTakes& row : MAP_TAKES)
    for (u32 f = 0; f < func::max_id; ++f) {
      bool takes = false;
      for (const u8 func : row.funcs) takes |= func == f && func != 0;
      if (!takes) m.types[f] &= ~(1ULL << row.type);
    }
  for (const FuncTakes& row : FUNC_TAKES) {
    u64 types = 0;
    for (const u8 type : row.types) types |= 1ULL << type;
    m.types[row.func] &= types;
  }
  return m;
}();

}  // namespace

bool map_func_compatible(u32 map_type, u64 id) noexcept {
  return id < func::max_id && map_type < MAX_BPF_MAP_TYPE_ && (MASKS.types[id] >> map_type & 1) != 0;
}

bool func_writes_map(u64 id) noexcept {
  return id == func::map_update_elem || id == func::map_delete_elem || id == func::map_push_elem || id == func::map_pop_elem;
}

bool may_update_sockmap(u64 id, const ProgTraits& prog) noexcept {
  if (id != func::map_update_elem && id != func::map_delete_elem) return false;
  switch (prog.type) {
    case BPF_PROG_TYPE_TRACING:
      return prog.expected_attach_type == BPF_TRACE_ITER;
    case BPF_PROG_TYPE_SOCK_OPS:
      return id == func::map_delete_elem;  // updates go through helpers that look at the event
    case BPF_PROG_TYPE_SOCKET_FILTER:
    case BPF_PROG_TYPE_SCHED_CLS:
    case BPF_PROG_TYPE_SCHED_ACT:
    case BPF_PROG_TYPE_XDP:
    case BPF_PROG_TYPE_SK_REUSEPORT:
    case BPF_PROG_TYPE_FLOW_DISSECTOR:
    case BPF_PROG_TYPE_SK_LOOKUP:
      return true;
    default:
      return false;
  }
}

}  // namespace skep
