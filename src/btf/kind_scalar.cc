// btf: INT and FLOAT.
#include "btf/env.h"

namespace skep {

bool btf_int_is_regular(const btf_type* t) noexcept {
  const u32 data = btf_int_data(t);
  const u32 bits = BTF_INT_BITS(data);
  if (bits_per_byte_masked(bits) != 0 || BTF_INT_OFFSET(data) != 0) return false;
  return bits == 8 || bits == 16 || bits == 32 || bits == 64 || bits == 128;
}

namespace {

const char* encoding_str(u32 encoding) {
  switch (encoding) {
    case 0:
      return "(none)";
    case BTF_INT_SIGNED:
      return "SIGNED";
    case BTF_INT_CHAR:
      return "CHAR";
    case BTF_INT_BOOL:
      return "BOOL";
    default:
      return "UNKN";
  }
}

void int_log(BtfEnv& env, const btf_type* t) {
  const u32 data = btf_int_data(t);
  env.log("size={} bits_offset={} nr_bits={} encoding={}", t->size, BTF_INT_OFFSET(data), BTF_INT_BITS(data),
          encoding_str(BTF_INT_ENCODING(data)));
}

// Linux: btf.c:btf_int_check_meta()
Result<u32> int_check_meta(BtfEnv& env, const btf_type* t, u32 meta_left) {
  constexpr u32 INT_MASK = 0x0fffffff;
  constexpr u32 NEEDED = sizeof(u32);
  TRY(env.need_meta(t, meta_left, NEEDED));
  TRY(env.need_no_vlen(t));
  TRY(env.need_no_kflag(t));
  const u32 data = btf_int_data(t);
  if ((data & ~INT_MASK) != 0) {
    env.log_basic(t, fmt::format("Invalid int_data:{:x}", data));
    return Errno(EINVAL);
  }
  const u32 nr_bits = BTF_INT_BITS(data) + BTF_INT_OFFSET(data);
  if (nr_bits > BITS_PER_U128) return env.fail(t, "nr_bits exceeds 128");
  if (bits_roundup_bytes(nr_bits) > t->size) return env.fail(t, "nr_bits exceeds type_size");
  const u32 encoding = BTF_INT_ENCODING(data);
  if (encoding != 0 && encoding != BTF_INT_SIGNED && encoding != BTF_INT_CHAR && encoding != BTF_INT_BOOL)
    return env.fail(t, "Unsupported encoding", ENOTSUPP_);
  env.log_type(t);
  return NEEDED;
}

/// The last common question of both kinds of int member: do nr_bits from struct_bits_off lie within the struct?
Status int_fits(BtfEnv& env, const btf_type* parent, const btf_member& m, u32 struct_bits_off, u32 nr_bits) {
  const u32 bytes_offset = bits_rounddown_bytes(struct_bits_off);
  const u32 nr_copy_bits = nr_bits + bits_per_byte_masked(struct_bits_off);
  if (nr_copy_bits > BITS_PER_U128) return env.fail_member(parent, m, "nr_copy_bits exceeds 128");
  if (parent->size < bytes_offset || parent->size - bytes_offset < bits_roundup_bytes(nr_copy_bits))
    return env.fail_member(parent, m, "Member exceeds struct_size");
  return ok_status();
}

// Linux: btf.c:btf_int_check_member()
Status int_check_member(BtfEnv& env, const btf_type* parent, const btf_member& m, const btf_type* t) {
  const u32 data = btf_int_data(t);
  if (~0u - m.offset < BTF_INT_OFFSET(data)) return env.fail_member(parent, m, "bits_offset exceeds U32_MAX");
  return int_fits(env, parent, m, m.offset + BTF_INT_OFFSET(data), BTF_INT_BITS(data));
}

// Linux: btf.c:btf_int_check_kflag_member()
Status int_check_kflag_member(BtfEnv& env, const btf_type* parent, const btf_member& m, const btf_type* t) {
  if (!btf_int_is_regular(t)) return env.fail_member(parent, m, "Invalid member base type");
  const u32 bits_off = BTF_MEMBER_BIT_OFFSET(m.offset);
  const u32 int_bits = BTF_INT_BITS(btf_int_data(t));
  u32 nr_bits = BTF_MEMBER_BITFIELD_SIZE(m.offset);
  if (nr_bits == 0) {
    if (bits_per_byte_masked(bits_off) != 0) return env.fail_member(parent, m, "Invalid member offset");
    nr_bits = int_bits;
  } else if (nr_bits > int_bits) {
    return env.fail_member(parent, m, "Invalid member bitfield_size");
  }
  return int_fits(env, parent, m, bits_off, nr_bits);
}

// Linux: btf.c:btf_float_check_meta()
Result<u32> float_check_meta(BtfEnv& env, const btf_type* t, u32) {
  TRY(env.need_no_vlen(t));
  TRY(env.need_no_kflag(t));
  const u32 size = t->size;
  if (size != 2 && size != 4 && size != 8 && size != 12 && size != 16) return env.fail(t, "Invalid type_size");
  env.log_type(t);
  return 0u;
}

// Linux: btf.c:btf_float_check_member()
Status float_check_member(BtfEnv& env, const btf_type* parent, const btf_member& m, const btf_type* t) {
  const u32 align_bits = std::min<u32>(sizeof(void*), t->size) * 8;
  if (m.offset % align_bits != 0) return env.fail_member(parent, m, "Member is not properly aligned");
  if (u64{m.offset / 8} + t->size > parent->size) return env.fail_member(parent, m, "Member exceeds struct_size");
  return ok_status();
}

void float_log(BtfEnv& env, const btf_type* t) { env.log("size={}", t->size); }

}  // namespace

const KindOps INT_OPS = {int_check_meta, no_resolve, int_check_member, int_check_kflag_member, int_log};
const KindOps FLOAT_OPS = {float_check_meta, no_resolve, float_check_member, generic_kflag_member, float_log};

}  // namespace skep
