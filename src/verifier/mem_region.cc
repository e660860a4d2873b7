// verifier: accesses to memory of a known size: map keys and values, packets, buffers, helpers' memory.
// Linux: kernel/bpf/verifier.c, the functions named in verifier_env.h and mem_access.h
#include <algorithm>

#include "uapi/contexts.h"
#include "verifier/mem_access.h"

namespace skep {
namespace {

Errno negative_min(VerifierEnv& env, u32 regno) {
  return env.refuse(EACCES, "R{} min value is negative, either use unsigned index or do a if (index >=0) check.", regno);
}

/// Bytes [off, off + size) of a region of mem_size bytes. Linux: __check_mem_access()
Status check_region_bytes(VerifierEnv& env, u32 regno, s32 off, s32 size, u32 mem_size, bool zero_size_allowed) {
  const bool size_ok = size > 0 || (size == 0 && zero_size_allowed);
  if (off >= 0 && size_ok && static_cast<u64>(off) + static_cast<u64>(size) <= mem_size) return ok_status();

  const RegState& reg = env.cur_regs()[regno];
  const auto signed_size = static_cast<s32>(mem_size);
  switch (reg.type) {
    case PTR_TO_MAP_KEY:
      return env.refuse(EACCES, "invalid access to map key, key_size={} off={} size={}", signed_size, off, size);
    case PTR_TO_MAP_VALUE:
      return env.refuse(EACCES, "invalid access to map value, value_size={} off={} size={}", signed_size, off, size);
    case PTR_TO_PACKET:
    case PTR_TO_PACKET_META:
    case PTR_TO_PACKET_END:
      return env.refuse(EACCES, "invalid access to packet, off={} size={}, R{}(id={},off={},r={})", off, size, regno,
                        static_cast<s32>(reg.id), off, signed_size);
    default:
      return env.refuse(EACCES, "invalid access to memory, mem_size={} off={} size={}", mem_size, off, size);
  }
}

/// Buffers of unknown size: only constant offsets, whose greatest is kept for attach time. Linux: __check_buffer_access()
Status check_buffer_offset(VerifierEnv& env, const char* buf_info, const RegState& reg, u32 regno, s32 off, s32 size) {
  if (off < 0) return env.refuse(EACCES, "R{} invalid {} buffer access: off={}, size={}", regno, buf_info, off, size);
  if (!tnum_equals_const(reg.var_off, 0))
    return env.refuse(EACCES, "R{} invalid variable buffer offset: off={}, var_off={}", regno, off, tnum_strn(reg.var_off));
  return ok_status();
}

/// A direct access to a map value that touches a special field. Pointers to kernel objects may be loaded and stored whole.
Status check_field_access(VerifierEnv& env, const BtfField& field, const RegState& reg, s32 off, s32 size, bool from_helper) {
  if ((field.type & BPF_KPTR) == 0)
    return env.refuse(EACCES, "{} cannot be accessed directly by load/store", btf_field_type_name(field.type));
  if (from_helper) return env.refuse(EACCES, "kptr cannot be accessed indirectly by helper");
  if (!tnum_is_const(reg.var_off)) return env.refuse(EACCES, "kptr access cannot have variable offset");
  const u64 at = static_cast<u64>(s64{off}) + reg.var_off.value;
  if (field.offset != at) return env.refuse(EACCES, "kptr access misaligned expected={} off={}", field.offset, at);
  if (size != 8) return env.refuse(EACCES, "kptr access size must be BPF_DW");
  return ok_status();
}

}  // namespace

Status check_mem_region_access(VerifierEnv& env, u32 regno, s32 off, u32 size, u32 mem_size, bool zero_size_allowed) {
  const RegState& reg = env.cur_regs()[regno];
  const auto bytes = static_cast<s32>(size);
  // The offset is what was added to the pointer plus `off`: both ends of what it may be must lie in the region. A negative minimum
  // is good only if `off` makes up for it.
  const auto least = static_cast<s64>(static_cast<u64>(reg.smin_value) + static_cast<u64>(s64{off}));
  if (reg.smin_value < 0) {
    if (reg.smin_value == S64_MIN || least != s64{static_cast<s32>(least)} || least < 0) return negative_min(env, regno);
  }
  const auto min_off = static_cast<s32>(least);
  if (const Status s = check_region_bytes(env, regno, min_off, bytes, mem_size, zero_size_allowed); !s.ok()) {
    env.verbose("R{} min value is outside of the allowed memory range\n", regno);
    return s.error();
  }
  if (reg.umax_value >= BPF_MAX_VAR_OFF)
    return env.refuse(EACCES, "R{} unbounded memory access, make sure to bounds check any such access", regno);
  const auto max_off = static_cast<s32>(reg.umax_value + static_cast<u64>(s64{off}));
  if (const Status s = check_region_bytes(env, regno, max_off, bytes, mem_size, zero_size_allowed); !s.ok()) {
    env.verbose("R{} max value is outside of the allowed memory range\n", regno);
    return s.error();
  }
  return ok_status();
}

Status check_map_access_type(VerifierEnv& env, u32 regno, s32 off, u32 size, AccessType type) {
  const VerifierMap& map = *env.cur_regs()[regno].map_ptr;
  const auto value_size = static_cast<s32>(map.value_size);
  const auto bytes = static_cast<s32>(size);
  // A map has one of the two flags at most.
  const bool rdonly = (map.map_flags & BPF_F_RDONLY_PROG) != 0;
  const bool wronly = !rdonly && (map.map_flags & BPF_F_WRONLY_PROG) != 0;
  if (type == BPF_WRITE && rdonly)
    return env.refuse(EACCES, "write into map forbidden, value_size={} off={} size={}", value_size, off, bytes);
  if (type == BPF_READ && wronly)
    return env.refuse(EACCES, "read from map forbidden, value_size={} off={} size={}", value_size, off, bytes);
  return ok_status();
}

Status check_map_access(VerifierEnv& env, u32 regno, s32 off, u32 size, bool zero_size_allowed, bool from_helper) {
  const RegState& reg = env.cur_regs()[regno];
  const VerifierMap& map = *reg.map_ptr;
  TRY(check_mem_region_access(env, regno, off, size, map.value_size, zero_size_allowed));
  if (map.record == nullptr) return ok_status();
  const auto bytes = static_cast<s32>(size);
  const s64 first = reg.smin_value + off;
  const u64 end = reg.umax_value + static_cast<u64>(s64{off}) + static_cast<u64>(s64{bytes});
  for (const BtfField& field : map.record->fields) {
    if (first < s64{field.offset + field.size} && field.offset < end)
      TRY(check_field_access(env, field, reg, off, bytes, from_helper));
  }
  return ok_status();
}

Status check_packet_access(VerifierEnv& env, u32 regno, s32 off, u32 size, bool zero_size_allowed) {
  const RegState& reg = env.cur_regs()[regno];
  // The range counts from behind the variable part, so only the fixed offset is checked. Negative variable parts are not tracked
  // well enough to be safe.
  if (reg.smin_value < 0) return negative_min(env, regno);
  const Status s =
      reg.range < 0 ? Status(Errno(EINVAL))
                    : check_region_bytes(env, regno, off, static_cast<s32>(size), static_cast<u32>(reg.range), zero_size_allowed);
  if (!s.ok()) {
    env.verbose("R{} offset is outside of the packet\n", regno);
    return s.error();
  }
  // A range was given only to pointers with a variable part of at most 0xffff: no overflow.
  const auto last = static_cast<u32>(static_cast<u64>(s64{off}) + reg.umax_value + size - 1);
  env.max_pkt_offset = std::max(env.max_pkt_offset, last);
  return ok_status();
}

Status check_buffer_access(VerifierEnv& env, const RegState& reg, u32 regno, s32 off, u32 size, bool, u32* max_access) {
  const char* const buf_info = type_is_rdonly_mem(reg.type) ? "rdonly" : "rdwr";
  TRY(check_buffer_offset(env, buf_info, reg, regno, off, static_cast<s32>(size)));
  *max_access = std::max(*max_access, static_cast<u32>(off) + size);
  return ok_status();
}

Status check_tp_buffer_access(VerifierEnv& env, const RegState& reg, u32 regno, s32 off, s32 size) {
  TRY(check_buffer_offset(env, "tracepoint", reg, regno, off, size));
  env.max_tp_access = std::max(env.max_tp_access, static_cast<u32>(off) + static_cast<u32>(size));
  return ok_status();
}

Status check_flow_keys_access(VerifierEnv& env, s32 off, s32 size) {
  if (size < 0 || off < 0 || static_cast<u64>(off) + static_cast<u64>(size) > sizeof(bpf_flow_keys))
    return env.refuse(EACCES, "invalid access to flow keys off={} size={}", off, size);
  return ok_status();
}

Status check_sock_access(VerifierEnv& env, u32 insn_idx, u32 regno, s32 off, u32 size, AccessType t) {
  const RegState& reg = env.cur_regs()[regno];
  if (reg.smin_value < 0) return negative_min(env, regno);
  CtxAccessInfo info;
  if (!is_valid_sock_access(reg.type, off, size, t, &info))
    return env.refuse(EACCES, "R{} invalid {} access off={} size={}", regno, reg_type_str(env, reg.type), off, size);
  env.aux[insn_idx].ctx_field_size = info.ctx_field_size;
  return ok_status();
}

Status check_ptr_off_reg_fixed(VerifierEnv& env, const RegState& reg, u32 regno, bool fixed_off_ok) {
  if (reg.off < 0)
    return env.refuse(EACCES, "negative offset {} ptr R{} off={} disallowed", reg_type_str(env, reg.type), regno, reg.off);
  if (!fixed_off_ok && reg.off != 0)
    return env.refuse(EACCES, "dereference of modified {} ptr R{} off={} disallowed", reg_type_str(env, reg.type), regno, reg.off);
  if (!tnum_equals_const(reg.var_off, 0))
    return env.refuse(EACCES, "variable {} access var_off={} disallowed", reg_type_str(env, reg.type), tnum_strn(reg.var_off));
  return ok_status();
}

Status check_ptr_off_reg(VerifierEnv& env, const RegState& reg, u32 regno) {
  return check_ptr_off_reg_fixed(env, reg, regno, false);
}

bool may_access_direct_pkt_data(VerifierEnv& env, const CallArgMeta* meta, AccessType t) {
  if (!may_access_direct_pkt_data(env.prog, meta == nullptr || meta->pkt_access, t)) return false;
  const bool direct_write = env.prog.type == BPF_PROG_TYPE_CGROUP_SOCKOPT ? t == BPF_WRITE : meta == nullptr;
  if (direct_write) env.seen_direct_write = true;
  return true;
}

const BtfField* btf_record_find(const BtfRecord* record, u32 offset, u32 field_mask) {
  if (record == nullptr || !record->has_field(field_mask)) return nullptr;
  for (const BtfField& field : record->fields)
    if (field.offset == offset) return (field.type & field_mask) != 0 ? &field : nullptr;
  return nullptr;
}

bool bpf_map_is_rdonly(const VerifierMap& map) { return (map.map_flags & BPF_F_RDONLY_PROG) != 0 && map.frozen; }

Result<bool> bpf_map_direct_read(const VerifierEnv& env, const VerifierMap& map, u32 off, u32 size, bool is_ldsx, u64* value) {
  // Arrays are the only maps with values that Linux takes the address of.
  if (!bpf_map_is_rdonly(map) || map.type != BPF_MAP_TYPE_ARRAY) return false;
  // Linux: arraymap.c:array_map_direct_value_addr()
  if (map.max_entries != 1) return Errno(ENOTSUPP_);
  if (off >= map.value_size) return Errno(EINVAL);
  if (!env.input.read_frozen || !env.input.read_frozen(map, off, size, value)) return false;
  if (is_ldsx && size < 8) {
    const u32 shift = 64 - 8 * size;
    *value = static_cast<u64>(static_cast<s64>(*value << shift) >> shift);
  }
  return true;
}

}  // namespace skep
