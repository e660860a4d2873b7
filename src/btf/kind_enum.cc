// btf: ENUM and ENUM64.
#include "btf/env.h"

namespace skep {

namespace {

void log_enumerator(BtfEnv& env, const btf_type* t, const btf_enum& e) {
  const std::string_view name = env.log_name(e.name_off);
  if (btf_kflag(t))
    env.log("\t{} val={}\n", name, e.val);
  else
    env.log("\t{} val={}\n", name, static_cast<u32>(e.val));
}
void log_enumerator(BtfEnv& env, const btf_type* t, const btf_enum64& e) {
  const std::string_view name = env.log_name(e.name_off);
  const u64 val = u64{e.val_hi32} << 32 | e.val_lo32;
  if (btf_kflag(t))
    env.log("\t{} val={}\n", name, static_cast<s64>(val));
  else
    env.log("\t{} val={}\n", name, val);
}

/// E is btf_enum or btf_enum64. Linux: btf.c:btf_enum_check_meta(), btf_enum64_check_meta()
template <typename E>
Result<u32> enum_check_meta(BtfEnv& env, const btf_type* t, u32 meta_left) {
  const u32 needed = btf_vlen(t) * static_cast<u32>(sizeof(E));
  TRY(env.need_meta(t, meta_left, needed));
  if (t->size != 1 && t->size != 2 && t->size != 4 && t->size != 8) return env.fail(t, "Unexpected size");
  if (t->name_off != 0 && !env.valid_identifier(t->name_off)) return env.fail(t, "Invalid name");
  env.log_type(t);
  for (u32 i = 0; i < btf_vlen(t); ++i) {
    const E& e = btf_tail<E>(t)[i];
    if (!env.name_offset_valid(e.name_off)) {
      env.log("\tInvalid name_offset:{}", e.name_off);
      return Errno(EINVAL);
    }
    if (e.name_off == 0 || !env.valid_identifier(e.name_off)) return env.fail(t, "Invalid name");
    log_enumerator(env, t, e);
  }
  return needed;
}

// Linux: btf.c:btf_enum_check_member()
Status enum_check_member(BtfEnv& env, const btf_type* parent, const btf_member& m, const btf_type* t) {
  if (bits_per_byte_masked(m.offset) != 0) return env.fail_member(parent, m, "Member is not byte aligned");
  if (parent->size - bits_rounddown_bytes(m.offset) < t->size) return env.fail_member(parent, m, "Member exceeds struct_size");
  return ok_status();
}

// Linux: btf.c:btf_enum_check_kflag_member(). A bit field of an enum is at most an int wide, whatever the enum's size.
Status enum_check_kflag_member(BtfEnv& env, const btf_type* parent, const btf_member& m, const btf_type*) {
  constexpr u32 INT_BITS = 32;
  const u32 bits_off = BTF_MEMBER_BIT_OFFSET(m.offset);
  u32 nr_bits = BTF_MEMBER_BITFIELD_SIZE(m.offset);
  if (nr_bits == 0) {
    if (bits_per_byte_masked(bits_off) != 0) return env.fail_member(parent, m, "Member is not byte aligned");
    nr_bits = INT_BITS;
  } else if (nr_bits > INT_BITS) {
    return env.fail_member(parent, m, "Invalid member bitfield_size");
  }
  if (parent->size < bits_roundup_bytes(bits_off + nr_bits)) return env.fail_member(parent, m, "Member exceeds struct_size");
  return ok_status();
}

}  // namespace

const KindOps ENUM_OPS = {enum_check_meta<btf_enum>, no_resolve, enum_check_member, enum_check_kflag_member, log_size_vlen};
const KindOps ENUM64_OPS = {enum_check_meta<btf_enum64>, no_resolve, enum_check_member, enum_check_kflag_member, log_size_vlen};

}  // namespace skep
