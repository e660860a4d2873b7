// verifier: loads and stores: one rule for each kind of pointer. Linux: kernel/bpf/verifier.c:check_mem_access()
#include "verifier/mem_access.h"
#include "verifier/stack_bytes.h"

namespace skep {
namespace {

struct Access {
  u32 insn_idx;
  u32 regno;  ///< the pointer
  s32 off;    ///< with the pointer's fixed offset
  s32 size;
  AccessType t;
  s32 value_regno;  ///< -1: none
  bool is_ldsx;

  u32 bytes() const { return static_cast<u32>(size); }
  u32 value() const { return static_cast<u32>(value_regno); }
  bool loads() const { return t == BPF_READ && value_regno >= 0; }
};

/// A program without the right to see addresses may not store them where somebody else reads. `where`: Linux's word for that.
Status check_value_leak(VerifierEnv& env, const Access& a, const char* where) {
  if (a.t == BPF_WRITE && a.value_regno >= 0 && is_pointer_value(env, a.value()))
    return env.refuse(EACCES, "R{} leaks addr into {}", a.value_regno, where);
  return ok_status();
}

Errno cannot_write(VerifierEnv& env, const Access& a, const RegState& reg) {
  return env.refuse(EACCES, "R{} cannot write into {}", a.regno, reg_type_str(env, reg.type));
}

Errno invalid_mem_access(VerifierEnv& env, const Access& a, const RegState& reg) {
  return env.refuse(EACCES, "R{} invalid mem access '{}'", a.regno, reg_type_str(env, reg.type));
}

void load_unknown(VerifierEnv& env, const Access& a) {
  if (a.loads()) mark_reg_unknown(env, env.cur_regs(), a.value());
}

Status access_map_key(VerifierEnv& env, const Access& a, const RegState& reg) {
  if (a.t == BPF_WRITE) return env.refuse(EACCES, "write to change key R{} not allowed", a.regno);
  TRY(check_mem_region_access(env, a.regno, a.off, a.bytes(), reg.map_ptr->key_size, false));
  if (a.value_regno >= 0) mark_reg_unknown(env, env.cur_regs(), a.value());
  return ok_status();
}

/// Contents of maps that nobody can change any more are constants.
Status load_map_value(VerifierEnv& env, const Access& a, const RegState& reg) {
  RegState& dst = env.cur_regs()[a.value_regno];
  u64 value = 0;
  const auto map_off = static_cast<u32>(a.off) + static_cast<u32>(reg.var_off.value);
  if (tnum_is_const(reg.var_off) && TRY(bpf_map_direct_read(env, *reg.map_ptr, map_off, a.bytes(), a.is_ldsx, &value))) {
    dst.type = SCALAR_VALUE;
    mark_reg_known(dst, value);
  } else {
    mark_reg_unknown(env, env.cur_regs(), a.value());
  }
  return ok_status();
}

Status access_map_value(VerifierEnv& env, const Access& a, const RegState& reg) {
  TRY(check_value_leak(env, a, "map"));
  TRY(check_map_access_type(env, a.regno, a.off, a.bytes(), a.t));
  TRY(check_map_access(env, a.regno, a.off, a.bytes(), false, false));
  if (tnum_is_const(reg.var_off)) {
    const auto at = static_cast<u32>(a.off) + static_cast<u32>(reg.var_off.value);
    if (const BtfField* kptr = btf_record_find(reg.map_ptr->record, at, BPF_KPTR); kptr != nullptr)
      return check_map_kptr_access(env, a.value_regno, a.insn_idx, *kptr);
  }
  return a.loads() ? load_map_value(env, a, reg) : ok_status();
}

Status access_mem(VerifierEnv& env, const Access& a, const RegState& reg) {
  const bool rdonly = type_is_rdonly_mem(reg.type);
  if (type_may_be_null(reg.type)) return invalid_mem_access(env, a, reg);
  if (a.t == BPF_WRITE && rdonly) return cannot_write(env, a, reg);
  TRY(check_value_leak(env, a, "mem"));
  TRY(check_mem_region_access(env, a.regno, a.off, a.bytes(), reg.mem_size, false));
  if (a.value_regno >= 0 && (a.t == BPF_READ || rdonly)) mark_reg_unknown(env, env.cur_regs(), a.value());
  return ok_status();
}

/// What a load from the context leaves in its register.
Status load_ctx(VerifierEnv& env, const Access& a, const CtxAccessInfo& info, const Btf* btf, u32 btf_id) {
  RegState* const regs = env.cur_regs();
  RegState& dst = regs[a.value_regno];
  if (info.reg_type == SCALAR_VALUE) {
    mark_reg_unknown(env, regs, a.value());
    RetRange range{};
    if (info.is_retval && get_func_retval_range(env, &range))
      TRY(mark_reg_s32_range(env, regs, a.value(), range.minval, range.maxval));
  } else {
    mark_reg_known_zero(env, regs, a.value());
    if (type_may_be_null(info.reg_type)) dst.id = env.new_id();
    // The load may be converted to one of another size; a pointer is never half a register.
    dst.subreg_def = DEF_NOT_SUBREG;
    if (base_type(info.reg_type) == PTR_TO_BTF_ID) {
      dst.btf = btf;
      dst.btf_id = btf_id;
    }
  }
  dst.type = info.reg_type;
  return ok_status();
}

Status access_ctx(VerifierEnv& env, const Access& a, const RegState& reg) {
  TRY(check_value_leak(env, a, "ctx"));
  TRY(check_ptr_off_reg(env, reg, a.regno));
  CtxAccessInfo info;
  info.is_ldsx = a.is_ldsx;
  const Btf* btf = nullptr;
  u32 btf_id = 0;
  if (const Status s = check_ctx_access(env, a.insn_idx, a.off, a.bytes(), a.t, &info, &btf_id, &btf); !s.ok()) {
    verbose_linfo(env, a.insn_idx, "; ");
    return s.error();
  }
  return a.loads() ? load_ctx(env, a, info, btf, btf_id) : ok_status();
}

Status access_stack(VerifierEnv& env, const Access& a) {
  TRY(check_stack_access_within_bounds(env, a.regno, a.off, a.bytes(), false, a.t));
  if (a.t == BPF_READ) return check_stack_read(env, a.regno, a.off, a.size, a.value_regno);
  return check_stack_write(env, a.regno, a.off, a.size, a.value_regno, a.insn_idx);
}

Status access_packet(VerifierEnv& env, const Access& a) {
  if (a.t == BPF_WRITE && !may_access_direct_pkt_data(env, nullptr, a.t)) return env.refuse(EACCES, "cannot write into packet");
  TRY(check_value_leak(env, a, "packet"));
  TRY(check_packet_access(env, a.regno, a.off, a.bytes(), false));
  load_unknown(env, a);
  return ok_status();
}

Status access_flow_keys(VerifierEnv& env, const Access& a) {
  TRY(check_value_leak(env, a, "flow keys"));
  TRY(check_flow_keys_access(env, a.off, a.size));
  load_unknown(env, a);
  return ok_status();
}

Status access_sock(VerifierEnv& env, const Access& a, const RegState& reg) {
  if (a.t == BPF_WRITE) return cannot_write(env, a, reg);
  TRY(check_sock_access(env, a.insn_idx, a.regno, a.off, a.bytes(), a.t));
  load_unknown(env, a);
  return ok_status();
}

Status access_tp_buffer(VerifierEnv& env, const Access& a, const RegState& reg) {
  TRY(check_tp_buffer_access(env, reg, a.regno, a.off, a.size));
  load_unknown(env, a);
  return ok_status();
}

Status access_buf(VerifierEnv& env, const Access& a, const RegState& reg) {
  const bool rdonly = type_is_rdonly_mem(reg.type);
  if (rdonly && a.t == BPF_WRITE) return cannot_write(env, a, reg);
  TRY(check_buffer_access(env, reg, a.regno, a.off, a.bytes(), false, rdonly ? &env.max_rdonly_access : &env.max_rdwr_access));
  load_unknown(env, a);
  return ok_status();
}

Status dispatch(VerifierEnv& env, const Access& a, const RegState& reg) {
  // Exact types first: with a flag such as PTR_MAYBE_NULL they are other types, and refused below.
  switch (reg.type) {
    case PTR_TO_MAP_KEY:
      return access_map_key(env, a, reg);
    case PTR_TO_MAP_VALUE:
      return access_map_value(env, a, reg);
    case PTR_TO_CTX:
      return access_ctx(env, a, reg);
    case PTR_TO_STACK:
      return access_stack(env, a);
    case PTR_TO_FLOW_KEYS:
      return access_flow_keys(env, a);
    case PTR_TO_TP_BUFFER:
      return access_tp_buffer(env, a, reg);
    case CONST_PTR_TO_MAP:
      return check_ptr_to_map_access(env, a.regno, a.off, a.bytes(), a.t, a.value_regno);
    case PTR_TO_SOCKET:
    case PTR_TO_SOCK_COMMON:
    case PTR_TO_TCP_SOCK:
    case PTR_TO_XDP_SOCK:
      return access_sock(env, a, reg);
    case PTR_TO_ARENA:
      load_unknown(env, a);
      return ok_status();
    default:
      break;
  }
  const bool may_be_null = type_may_be_null(reg.type);
  switch (base_type(reg.type)) {
    case PTR_TO_MEM:
      return access_mem(env, a, reg);
    case PTR_TO_PACKET:
    case PTR_TO_PACKET_META:
      return access_packet(env, a);
    case PTR_TO_BTF_ID:
      if (!may_be_null) return check_ptr_to_btf_access(env, a.regno, a.off, a.bytes(), a.t, a.value_regno);
      break;
    case PTR_TO_BUF:
      if (!may_be_null) return access_buf(env, a, reg);
      break;
    default:
      break;
  }
  return invalid_mem_access(env, a, reg);
}

/// Linux: check_pkt_ptr_alignment(). Packets begin two bytes off alignment (NET_IP_ALIGN), so that the IP header is aligned.
Status check_pkt_ptr_alignment(VerifierEnv& env, const RegState& reg, s32 off, s32 size, bool strict) {
  if (!strict || size == 1) return ok_status();
  constexpr s32 IP_ALIGN = 2;
  const Tnum at = tnum_add(reg.var_off, tnum_const(static_cast<u64>(s64{IP_ALIGN + reg.off + off})));
  if (tnum_is_aligned(at, static_cast<u64>(size))) return ok_status();
  return env.refuse(EACCES, "misaligned packet access off {}+{}+{}+{} size {}", IP_ALIGN, tnum_strn(reg.var_off), reg.off, off,
                    size);
}

Status check_generic_ptr_alignment(VerifierEnv& env, const RegState& reg, const char* desc, s32 off, s32 size, bool strict) {
  if (!strict || size == 1) return ok_status();
  const Tnum at = tnum_add(reg.var_off, tnum_const(static_cast<u64>(s64{reg.off + off})));
  if (tnum_is_aligned(at, static_cast<u64>(size))) return ok_status();
  return env.refuse(EACCES, "misaligned {}access off {}+{}+{} size {}", desc, tnum_strn(reg.var_off), reg.off, off, size);
}

/// A type whose loads and stores are rewritten in a way of its own, so one instruction cannot serve two of them. Linux:
/// reg_type_mismatch_ok(), the other way round
bool needs_own_insn(u32 type) {
  switch (base_type(type)) {
    case PTR_TO_CTX:
    case PTR_TO_SOCKET:
    case PTR_TO_SOCK_COMMON:
    case PTR_TO_TCP_SOCK:
    case PTR_TO_XDP_SOCK:
    case PTR_TO_BTF_ID:
    case PTR_TO_ARENA:
      return true;
    default:
      return false;
  }
}

}  // namespace

Status check_ptr_alignment(VerifierEnv& env, const RegState& reg, s32 off, u32 size, bool strict_alignment_once) {
  const bool strict = env.strict_alignment || strict_alignment_once;
  const auto bytes = static_cast<s32>(size);
  switch (reg.type) {
    case PTR_TO_PACKET:
    case PTR_TO_PACKET_META:
      return check_pkt_ptr_alignment(env, reg, off, bytes, strict);
    case PTR_TO_FLOW_KEYS:
      return check_generic_ptr_alignment(env, reg, "flow keys ", off, bytes, strict);
    case PTR_TO_MAP_KEY:
      return check_generic_ptr_alignment(env, reg, "key ", off, bytes, strict);
    case PTR_TO_MAP_VALUE:
      return check_generic_ptr_alignment(env, reg, "value ", off, bytes, strict);
    case PTR_TO_CTX:
      return check_generic_ptr_alignment(env, reg, "context ", off, bytes, strict);
    // What is known of the stack is kept by aligned slots.
    case PTR_TO_STACK:
      return check_generic_ptr_alignment(env, reg, "stack ", off, bytes, true);
    case PTR_TO_SOCKET:
      return check_generic_ptr_alignment(env, reg, "sock ", off, bytes, strict);
    case PTR_TO_SOCK_COMMON:
      return check_generic_ptr_alignment(env, reg, "sock_common ", off, bytes, strict);
    case PTR_TO_TCP_SOCK:
      return check_generic_ptr_alignment(env, reg, "tcp_sock ", off, bytes, strict);
    case PTR_TO_XDP_SOCK:
      return check_generic_ptr_alignment(env, reg, "xdp_sock ", off, bytes, strict);
    case PTR_TO_ARENA:
      return ok_status();
    default:
      return check_generic_ptr_alignment(env, reg, "", off, bytes, strict);
  }
}

Status check_mem_access(VerifierEnv& env, u32 insn_idx, u32 regno, s32 off, u32 bpf_size, AccessType t, s32 value_regno,
                        bool strict_alignment_once, bool is_ldsx) {
  RegState* const regs = env.cur_regs();
  const RegState& reg = regs[regno];
  const u32 size = access_bytes(static_cast<u8>(bpf_size));
  TRY(check_ptr_alignment(env, reg, off, size, strict_alignment_once));  // adds reg.off itself
  const Access a{insn_idx, regno, off + reg.off, static_cast<s32>(size), t, value_regno, is_ldsx};
  TRY(dispatch(env, a, reg));
  if (size < BPF_REG_SIZE && a.loads() && regs[value_regno].type == SCALAR_VALUE) {
    if (is_ldsx) {
      // DIFFERS: Linux lets a fill that extends a sign keep the link to what was spilled, though it may be another number then, and
      // takes what is learned of one for true of the other. Same test as for moves that extend. Linux: check_alu_op(), no_sext
      if (regs[value_regno].umax_value >= 1ULL << (size * 8 - 1)) regs[value_regno].id = 0, regs[value_regno].off = 0;
      coerce_reg_to_size_sx(&regs[value_regno], size);
    } else {
      coerce_reg_to_size(&regs[value_regno], size);
    }
  }
  return ok_status();
}

Status save_aux_ptr_type(VerifierEnv& env, u32 type, bool allow_trust_mismatch) {
  u32& prev = env.cur_aux().ptr_type;
  if (prev == NOT_INIT) {
    prev = type;
    return ok_status();
  }
  if (type == prev || (!needs_own_insn(type) && !needs_own_insn(prev))) return ok_status();
  if (allow_trust_mismatch && base_type(type) == PTR_TO_BTF_ID && base_type(prev) == PTR_TO_BTF_ID) {
    // The careful kind of load serves both.
    prev = PTR_TO_BTF_ID | PTR_UNTRUSTED;
    return ok_status();
  }
  return env.refuse(EINVAL, "same insn cannot be used with different pointers");
}

Status check_load_mem(VerifierEnv& env, const bpf_insn& insn, bool strict_alignment_once, bool is_ldsx, bool allow_trust_mismatch,
                      const char* ctx) {
  TRY(check_reg_arg(env, insn.src_reg, SRC_OP));
  TRY(check_reg_arg(env, insn.dst_reg, DST_OP_NO_MARK));
  RegState* const regs = env.cur_regs();
  const u32 src_reg_type = regs[insn.src_reg].type;  // dst may be the same register
  TRY(check_mem_access(env, env.insn_idx, insn.src_reg, insn.off, bpf_size(insn.code), BPF_READ, insn.dst_reg,
                       strict_alignment_once, is_ldsx));
  TRY(save_aux_ptr_type(env, src_reg_type, allow_trust_mismatch));
  return reg_bounds_sanity_check(env, regs[insn.dst_reg], ctx);
}

Status check_store_reg(VerifierEnv& env, const bpf_insn& insn, bool strict_alignment_once) {
  TRY(check_reg_arg(env, insn.src_reg, SRC_OP));
  TRY(check_reg_arg(env, insn.dst_reg, SRC_OP));
  const u32 dst_reg_type = env.cur_regs()[insn.dst_reg].type;
  TRY(check_mem_access(env, env.insn_idx, insn.dst_reg, insn.off, bpf_size(insn.code), BPF_WRITE, insn.src_reg,
                       strict_alignment_once, false));
  return save_aux_ptr_type(env, dst_reg_type, false);
}

}  // namespace skep
