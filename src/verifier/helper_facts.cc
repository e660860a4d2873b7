// verifier: what is special about single helpers.
#include "isa/func_names.h"
#include "verifier/helper_call.h"

namespace skep {
namespace {

bool arg_type_is_raw_mem(u32 type) { return base_type(type) == ARG_PTR_TO_MEM && (type & MEM_UNINIT) != 0; }

/// Memory and size come in pairs. Linux: verifier.c:check_args_pair_invalid()
bool args_pair_invalid(const FuncProto& fn, u32 arg) {
  const bool is_fixed = (fn.args[arg] & MEM_FIXED_SIZE) != 0;
  const bool has_size = fn.arg_size[arg] != 0;
  const bool is_next_size = arg + 1 < 5 && arg_type_is_mem_size(fn.args[arg + 1]);
  if (base_type(fn.args[arg]) != ARG_PTR_TO_MEM) return is_next_size;
  return has_size == is_next_size || is_next_size == is_fixed;
}

/// A sockmap may be changed where no socket can be locked already. Linux: verifier.c:may_update_sockmap()
bool may_update_sockmap(VerifierEnv& env, u32 func_id) {
  switch (env.prog.type) {
    case BPF_PROG_TYPE_TRACING:
      if (env.prog.expected_attach_type == BPF_TRACE_ITER) return true;
      break;
    case BPF_PROG_TYPE_SOCK_OPS:
      if (func_id == func::map_delete_elem) return true;
      break;
    case BPF_PROG_TYPE_SOCKET_FILTER:
    case BPF_PROG_TYPE_SCHED_CLS:
    case BPF_PROG_TYPE_SCHED_ACT:
    case BPF_PROG_TYPE_XDP:
    case BPF_PROG_TYPE_SK_REUSEPORT:
    case BPF_PROG_TYPE_FLOW_DISSECTOR:
    case BPF_PROG_TYPE_SK_LOOKUP:
      return true;
    default:
      break;
  }
  env.verbose("cannot update sockmap in this context\n");
  return false;
}

}  // namespace

bool check_func_proto(const FuncProto& fn) {
  u32 raw = 0;
  for (const u32 type : fn.args) raw += arg_type_is_raw_mem(type) ? 1 : 0;
  if (raw > 1 || arg_type_is_mem_size(fn.args[0])) return false;
  for (u32 i = 0; i < 5; ++i) {
    if (args_pair_invalid(fn, i)) return false;
    if (base_type(fn.args[i]) == ARG_PTR_TO_BTF_ID && fn.arg_btf[i] == nullptr && fn.id != func::kptr_xchg) return false;
  }
  return true;
}

Status check_map_func_compatibility(VerifierEnv& env, const VerifierMap* map, u32 func_id) {
  if (map == nullptr) return ok_status();
  const bool updates_sockmap = (map->type == BPF_MAP_TYPE_SOCKMAP || map->type == BPF_MAP_TYPE_SOCKHASH) &&
                               (func_id == func::map_update_elem || func_id == func::map_delete_elem);
  if (updates_sockmap ? may_update_sockmap(env, func_id) : map_func_compatible(map->type, func_id)) return ok_status();
  return env.refuse(EINVAL, "cannot pass map_type {} into func {}#{}", map->type, func_id_name(func_id), func_id);
}

/// Linux: verifier.c:is_acquire_function()
bool is_acquire_function(u32 func_id, const VerifierMap* map) {
  switch (func_id) {
    case func::sk_lookup_tcp:
    case func::sk_lookup_udp:
    case func::skc_lookup_tcp:
    case func::ringbuf_reserve:
    case func::kptr_xchg:
      return true;
    case func::map_lookup_elem:
      return map != nullptr && (map->type == BPF_MAP_TYPE_SOCKMAP || map->type == BPF_MAP_TYPE_SOCKHASH);
    default:
      return false;
  }
}

/// The result is the argument, seen as another kind of socket: it lives as long. Linux: verifier.c:is_ptr_cast_function()
bool is_ptr_cast_function(u32 func_id) {
  switch (func_id) {
    case func::tcp_sock:
    case func::sk_fullsock:
    case func::skc_to_tcp_sock:
    case func::skc_to_tcp6_sock:
    case func::skc_to_udp6_sock:
    case func::skc_to_mptcp_sock:
    case func::skc_to_tcp_timewait_sock:
    case func::skc_to_tcp_request_sock:
      return true;
    default:
      return false;
  }
}

bool is_dynptr_ref_function(u32 func_id) { return func_id == func::dynptr_data; }

bool is_storage_get_function(u32 func_id) {
  return func_id == func::sk_storage_get || func_id == func::inode_storage_get || func_id == func::task_storage_get ||
         func_id == func::cgrp_storage_get;
}

bool helper_changes_pkt_data(u32 func_id) {
  switch (func_id) {
    case func::clone_redirect:
    case func::l3_csum_replace:
    case func::l4_csum_replace:
    case func::lwt_push_encap:
    case func::lwt_seg6_action:
    case func::lwt_seg6_adjust_srh:
    case func::lwt_seg6_store_bytes:
    case func::msg_pop_data:
    case func::msg_pull_data:
    case func::msg_push_data:
    case func::skb_adjust_room:
    case func::skb_change_head:
    case func::skb_change_proto:
    case func::skb_change_tail:
    case func::skb_pull_data:
    case func::skb_store_bytes:
    case func::skb_vlan_pop:
    case func::skb_vlan_push:
    case func::store_hdr_opt:
    case func::xdp_adjust_head:
    case func::xdp_adjust_meta:
    case func::xdp_adjust_tail:
    case func::tail_call:  // who knows what the other program calls
      return true;
    default:
      return false;
  }
}

}  // namespace skep
