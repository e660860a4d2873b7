// verifier: which bytes of a stack an access may name at all, and ranges of it that calls read or fill.
// Linux: kernel/bpf/verifier.c, the functions named below
#include "verifier/stack_bytes.h"

namespace skep {
namespace {

/// 0, or the errno for the bytes [min_off, max_off). Linux: check_stack_slot_within_bounds() and what surrounds it
int bounds_error(const VerifierEnv& env, const FuncState& func, s64 min_off, s64 max_off, s32 access_size, AccessType type) {
  const bool may_grow = type == BPF_WRITE || env.allow_uninit_stack;
  const s64 lowest = may_grow ? -s64{MAX_BPF_STACK} : -s64{func.allocated_stack};
  if (min_off < lowest || min_off > -1) return EACCES;
  if (max_off > 0) return EINVAL;
  return access_size < 0 ? EFAULT : 0;
}

const char* access_words(bool from_helper, AccessType type) {
  // Helpers may read, write or both.
  if (from_helper) return " indirect access to";
  return type == BPF_READ ? " read from" : " write to";
}

/// A helper is about to fill [min_off, max_off + size). Its caller goes through these bytes one by one later, so a dynptr among
/// them would be gone before the helper that may have it as another argument has run.
Status check_raw_range(VerifierEnv& env, const FuncState& func, s32 min_off, s32 end_off) {
  for (s32 i = min_off; i < end_off; ++i) {
    if (static_cast<s32>(func.allocated_stack) <= -i - 1) continue;  // not grown to there yet
    if (func.stack[get_spi(i)].slot_type[stack_byte(i)] == STACK_DYNPTR)
      return env.refuse(EACCES, "potential write to dynptr at off={} disallowed", i);
  }
  return ok_status();
}

/// Whether one byte may be read; with `clobber` nothing is known of it from now on.
bool read_byte(VerifierEnv& env, StackSlot& slot, u8& type, bool clobber) {
  if (type == STACK_MISC) return true;
  if (type == STACK_ZERO || (type == STACK_INVALID && env.allow_uninit_stack)) {
    if (clobber) type = STACK_MISC;
    return true;
  }
  if (!is_spilled_reg(slot) || (slot.spilled_ptr.type != SCALAR_VALUE && !env.allow_ptr_leaks)) return false;
  if (clobber) {
    mark_reg_unknown_reg(env, slot.spilled_ptr);
    for (u8& t : slot.slot_type) scrub_spilled_byte(t);
  }
  return true;
}

struct StackRange {
  s32 min_off, max_off;  ///< where the first byte may lie
};

/// In raw mode a variable offset is refused the mode: it is not known which bytes the helper fills.
StackRange range_of(const RegState& reg, s32 off) {
  if (tnum_is_const(reg.var_off)) {
    const auto at = static_cast<s32>(reg.var_off.value + static_cast<u64>(s64{off}));
    return {at, at};
  }
  return {static_cast<s32>(reg.smin_value + off), static_cast<s32>(reg.smax_value + off)};
}

Status check_range_readable(VerifierEnv& env, u32 regno, StackRange range, s32 size, bool from_helper) {
  const RegState& reg = env.cur_regs()[regno];
  FuncState& func = env.func(reg);
  for (s32 i = range.min_off; i < range.max_off + size; ++i) {
    if (static_cast<s32>(func.allocated_stack) <= -i - 1) {
      env.verbose("verifier bug: allocated_stack too small");
      return Errno(EFAULT);
    }
    StackSlot& slot = func.stack[get_spi(i)];
    if (!read_byte(env, slot, slot.slot_type[stack_byte(i)], from_helper)) {
      const char* extra = from_helper ? " indirect" : "";
      if (tnum_is_const(reg.var_off))
        return env.refuse(EACCES, "invalid{} read from stack R{} off {}+{} size {}", extra, regno, range.min_off, i - range.min_off,
                          size);
      return env.refuse(EACCES, "invalid{} read from stack R{} var_off {}+{} size {}", extra, regno, tnum_strn(reg.var_off),
                        i - range.min_off, size);
    }
    // One byte read is a slot read. It is not marked written, whatever a helper does: it may leave bytes alone.
    static_cast<void>(mark_reg_read(env, slot.spilled_ptr, slot.spilled_ptr.parent, REG_LIVE_READ64));
  }
  return ok_status();
}

}  // namespace

Status check_stack_access_within_bounds(VerifierEnv& env, u32 regno, s32 off, u32 access_size, bool from_helper, AccessType type) {
  const RegState& reg = env.cur_regs()[regno];
  FuncState& func = env.func(reg);
  const auto size = static_cast<s32>(access_size);
  const char* extra = access_words(from_helper, type);
  const bool var_off = !tnum_is_const(reg.var_off);
  s64 min_off = 0, max_off = 0;
  if (!var_off) {
    min_off = static_cast<s64>(reg.var_off.value + static_cast<u64>(s64{off}));
    max_off = min_off + size;
  } else {
    if (reg.smax_value >= s64{BPF_MAX_VAR_OFF} || reg.smin_value <= -s64{BPF_MAX_VAR_OFF})
      return env.refuse(EACCES, "invalid unbounded variable-offset{} stack R{}", extra, regno);
    min_off = reg.smin_value + off;
    max_off = reg.smax_value + off + size;
  }
  if (const int err = bounds_error(env, func, min_off, max_off, size, type); err != 0) {
    if (!var_off) return env.refuse(err, "invalid{} stack R{} off={} size={}", extra, regno, off, size);
    return env.refuse(err, "invalid variable-offset{} stack R{} var_off={} off={} size={}", extra, regno, tnum_strn(reg.var_off),
                      off, size);
  }
  // There is no byte at offset zero, so -min_off bytes are needed and not one more.
  return grow_stack_state(env, func, static_cast<u32>(-min_off));
}

Status check_stack_range_initialized(VerifierEnv& env, u32 regno, s32 off, u32 access_size, bool zero_size_allowed,
                                     bool from_helper, CallArgMeta* meta) {
  const auto size = static_cast<s32>(access_size);
  if (size == 0 && !zero_size_allowed) return env.refuse(EACCES, "invalid zero-sized read");
  // Bounds are those of writes for helpers; what is not initialized is found below, unless it need not be.
  TRY(check_stack_access_within_bounds(env, regno, off, access_size, from_helper, from_helper ? BPF_WRITE : BPF_READ));

  const RegState& reg = env.cur_regs()[regno];
  const bool var_off = !tnum_is_const(reg.var_off);
  if (var_off && !env.bypass_spec_v1)
    return env.refuse(EACCES, "R{}{} variable offset stack access prohibited for !root, var_off={}", regno,
                      from_helper ? " indirect" : "", tnum_strn(reg.var_off));
  const StackRange range = range_of(reg, off);
  if (meta != nullptr && meta->raw_mode && !var_off) {
    TRY(check_raw_range(env, env.func(reg), range.min_off, range.max_off + size));
    meta->access_size = size;
    meta->regno = static_cast<s32>(regno);
    return ok_status();
  }
  return check_range_readable(env, regno, range, size, from_helper);
}

}  // namespace skep
