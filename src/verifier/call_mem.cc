// verifier: memory that is handed to a helper or kfunc: pointer alone (size known), or pointer and size in the next register.
#include "verifier/kfunc_meta.h"

namespace skep {
namespace {

Errno cannot_write(VerifierEnv& env, u32 regno, u32 type) {
  return env.refuse(EACCES, "R{} cannot write into {}", regno, reg_type_str(env, type));
}

/// Context of a program type whose context is not converted: bytes are judged by access, the last one first. For others: not memory.
Status check_other_mem(VerifierEnv& env, u32 regno, s32 access_size, AccessType access_type, bool zero_size_allowed) {
  const RegState& reg = env.cur_regs()[regno];
  if (base_type(reg.type) == PTR_TO_CTX && !ctx_is_converted(env.prog.type)) {
    if (access_size == 0) return zero_size_allowed ? ok_status() : Status(Errno(EACCES));
    return check_mem_access(env, env.insn_idx, regno, access_size - 1, BPF_B, access_type, -1, false, false);
  }
  if (zero_size_allowed && access_size == 0 && register_is_null(reg)) return ok_status();
  if (env.log.needed()) {
    env.verbose("R{} type={} ", regno, reg_type_str(env, reg.type));
    env.verbose("expected={}\n", reg_type_str(env, PTR_TO_STACK));
  }
  return Errno(EACCES);
}

/// Calls fn with the register as if its pointer had been found not NULL; afterwards it is as before.
template <typename Fn>
Status with_not_null(VerifierEnv& env, RegState& reg, Fn&& fn) {
  if (!type_may_be_null(reg.type)) return fn();
  const RegState saved = reg;
  mark_ptr_not_null_reg(env, reg);
  Status status = fn();
  reg = saved;
  return status;
}

}  // namespace

/// Linux: verifier.c:check_helper_mem_access()
Status check_helper_mem_access(VerifierEnv& env, u32 regno, s32 access_size, AccessType access_type, bool zero_size_allowed,
                               CallArgMeta* meta) {
  const RegState& reg = env.cur_regs()[regno];
  const u32 size = static_cast<u32>(access_size);
  switch (base_type(reg.type)) {
    case PTR_TO_PACKET:
    case PTR_TO_PACKET_META:
      return check_packet_access(env, regno, reg.off, size, zero_size_allowed);
    case PTR_TO_MAP_KEY:
      if (access_type == BPF_WRITE) return cannot_write(env, regno, reg.type);
      return check_mem_region_access(env, regno, reg.off, size, reg.map_ptr->key_size, false);
    case PTR_TO_MAP_VALUE:
      if (!check_map_access_type(env, regno, reg.off, size, access_type).ok()) return Errno(EACCES);
      return check_map_access(env, regno, reg.off, size, zero_size_allowed, true);
    case PTR_TO_MEM:
      if (type_is_rdonly_mem(reg.type) && access_type == BPF_WRITE) return cannot_write(env, regno, reg.type);
      return check_mem_region_access(env, regno, reg.off, size, reg.mem_size, zero_size_allowed);
    case PTR_TO_BUF: {
      const bool rdonly = type_is_rdonly_mem(reg.type);
      if (rdonly && access_type == BPF_WRITE) return cannot_write(env, regno, reg.type);
      u32* max_access = rdonly ? &env.max_rdonly_access : &env.max_rdwr_access;
      return check_buffer_access(env, reg, regno, reg.off, size, zero_size_allowed, max_access);
    }
    case PTR_TO_STACK:
      return check_stack_range_initialized(env, regno, reg.off, size, zero_size_allowed, true, meta);
    case PTR_TO_BTF_ID:
      return check_ptr_to_btf_access(env, regno, reg.off, size, BPF_READ, -1);
    default:
      return check_other_mem(env, regno, access_size, access_type, zero_size_allowed);
  }
}

/// regno holds a size, regno - 1 the pointer. The largest possible size is what counts; with a size that is not known the program must
/// have written all of the memory itself, so meta (raw mode) is then out of play. Linux: verifier.c:check_mem_size_reg()
Status check_mem_size_reg(VerifierEnv& env, RegState& reg, u32 regno, AccessType access_type, bool zero_size_allowed, CallArgMeta* meta) {
  meta->msize_max_value = reg.umax_value;  // bound of what some helpers return: refine_retval_range()
  if (!tnum_is_const(reg.var_off)) meta = nullptr;
  if (reg.smin_value < 0)
    return env.refuse(EACCES, "R{} min value is negative, either use unsigned or 'var &= const'", regno);
  if (reg.umin_value == 0 && !zero_size_allowed)
    return env.refuse(EACCES, "R{} invalid zero-sized read: u64=[{},{}]", regno, static_cast<s64>(reg.umin_value),
                      static_cast<s64>(reg.umax_value));
  if (reg.umax_value >= BPF_MAX_VAR_SIZ)
    return env.refuse(EACCES, "R{} unbounded memory access, use 'var &= const' or 'if (var < const)'", regno);
  TRY(check_helper_mem_access(env, regno - 1, static_cast<s32>(reg.umax_value), access_type, zero_size_allowed, meta));
  return mark_chain_precision(env, static_cast<s32>(regno));
}

/// Memory of a fixed size that may be read and written. NULL is for the caller to judge. Linux: verifier.c:check_mem_reg()
Status check_mem_reg(VerifierEnv& env, RegState& reg, u32 regno, u32 mem_size) {
  if (register_is_null(reg)) return ok_status();
  return with_not_null(env, reg, [&]() -> Status {
    TRY(check_helper_mem_access(env, regno, static_cast<s32>(mem_size), BPF_READ, true, nullptr));
    return check_helper_mem_access(env, regno, static_cast<s32>(mem_size), BPF_WRITE, true, nullptr);
  });
}

Status check_kfunc_mem_size_reg(VerifierEnv& env, RegState& reg, u32 regno) {
  return with_not_null(env, env.cur_regs()[regno - 1], [&]() -> Status {
    CallArgMeta meta;
    TRY(check_mem_size_reg(env, reg, regno, BPF_READ, true, &meta));
    return check_mem_size_reg(env, reg, regno, BPF_WRITE, true, &meta);
  });
}

}  // namespace skep
