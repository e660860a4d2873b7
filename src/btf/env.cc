// btf: the kinds' table, names, and the lines of the log.
#include "btf/env.h"

#include <cstring>

namespace skep {

namespace {

// The kernel's own character classes are Latin-1: letters and printable characters beyond ASCII pass. Linux: lib/ctype.c
bool kernel_isalpha(u8 c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= 0xc0 && c != 0xd7 && c != 0xf7); }
bool kernel_isprint(u8 c) { return (c >= 0x20 && c <= 0x7e) || c >= 0xa0; }
bool name_char_ok(u8 c, bool first) { return kernel_isalpha(c) || (!first && c >= '0' && c <= '9') || c == '_' || c == '.'; }
constexpr u32 KSYM_NAME_LEN = 512;

/// All characters up to the terminator pass, and that lies within KSYM_NAME_LEN of the start.
template <typename Ok>
bool chars_ok(const char* s, u32 from, Ok ok) {
  u32 i = from;
  for (; s[i] != 0 && i < KSYM_NAME_LEN; ++i)
    if (!ok(static_cast<u8>(s[i]))) return false;
  return s[i] == 0;
}

constexpr std::array<const char*, NR_BTF_KINDS> KIND_STR = {
    "UNKNOWN", "INT",      "PTR",  "ARRAY",      "STRUCT", "UNION",   "ENUM",  "FWD",      "TYPEDEF",  "VOLATILE",
    "CONST",   "RESTRICT", "FUNC", "FUNC_PROTO", "VAR",    "DATASEC", "FLOAT", "DECL_TAG", "TYPE_TAG", "ENUM64"};

}  // namespace

const char* btf_kind_str(u32 kind) noexcept { return kind < NR_BTF_KINDS ? KIND_STR[kind] : "UNKNOWN"; }

const KindOps& kind_ops(const btf_type* t) {
  // REQUIRES: check_meta() has let the kind through, so UNKN never comes here.
  static const std::array<const KindOps*, NR_BTF_KINDS> TABLE = {
      nullptr,  &INT_OPS,      &PTR_OPS,      &ARRAY_OPS,    &STRUCT_OPS,   &STRUCT_OPS, &ENUM_OPS,
      &FWD_OPS, &MODIFIER_OPS, &MODIFIER_OPS, &MODIFIER_OPS, &MODIFIER_OPS, &FUNC_OPS,   &FUNC_PROTO_OPS,
      &VAR_OPS, &DATASEC_OPS,  &FLOAT_OPS,    &DECL_TAG_OPS, &MODIFIER_OPS, &ENUM64_OPS};
  return *TABLE[btf_kind_of(t)];
}

// Linux: btf.c:btf_name_valid_identifier()
bool BtfEnv::valid_identifier(u32 off) const {
  const char* s = btf.name(off);
  return name_char_ok(static_cast<u8>(s[0]), true) && chars_ok(s, 1, [](u8 c) { return name_char_ok(c, false); });
}

// Linux: btf.c:btf_name_valid_section()
bool BtfEnv::valid_section(u32 off) const {
  const char* s = btf.name(off);
  return s[0] != 0 && chars_ok(s, 0, kernel_isprint);
}

std::string_view BtfEnv::log_name(u32 off) const {
  const char* s = btf.name_or_word(off);
  return {s, strnlen(s, BtfLog::MAX_MESSAGE)};
}

void BtfEnv::log_head(const btf_type* t, bool details, std::string_view message) {
  if (text == nullptr) return;
  log("[{}] {} {}{}", log_type_id, btf_kind_str(btf_kind_of(t)), log_name(t->name_off), details ? " " : "");
  if (details) kind_ops(t).log_details(*this, t);
  if (!message.empty()) {
    log(" ");
    log("{}", message);
  }
  log("\n");
}

void BtfEnv::log_type(const btf_type* t, std::string_view message) { log_head(t, true, message); }
void BtfEnv::log_basic(const btf_type* t, std::string_view message) { log_head(t, false, message); }

void BtfEnv::log_member(const btf_type* parent, const btf_member& m, std::string_view message) {
  if (text == nullptr) return;
  if (phase != Phase::CHECK_META) log_type(parent);  // the dump of the first pass is far above: say whose member it is
  if (btf_kflag(parent)) {
    log("\t{} type_id={} bitfield_size={} bits_offset={}", log_name(m.name_off), m.type, BTF_MEMBER_BITFIELD_SIZE(m.offset),
        BTF_MEMBER_BIT_OFFSET(m.offset));
  } else {
    log("\t{} type_id={} bits_offset={}", log_name(m.name_off), m.type, m.offset);
  }
  if (!message.empty()) {
    log(" ");
    log("{}", message);
  }
  log("\n");
}

void BtfEnv::log_vsi(const btf_type* datasec, const btf_var_secinfo& vsi, std::string_view message) {
  if (text == nullptr) return;
  if (phase != Phase::CHECK_META) log_type(datasec);
  log("\t type_id={} offset={} size={}", vsi.type, vsi.offset, vsi.size);
  if (!message.empty()) {
    log(" ");
    log("{}", message);
  }
  log("\n");
}

void BtfEnv::log_hdr() {
  const btf_header& h = btf.hdr_;
  log("magic: 0x{:x}\n", h.magic);
  log("version: {}\n", h.version);
  log("flags: 0x{:x}\n", h.flags);
  log("hdr_len: {}\n", h.hdr_len);
  log("type_off: {}\n", h.type_off);
  log("type_len: {}\n", h.type_len);
  log("str_off: {}\n", h.str_off);
  log("str_len: {}\n", h.str_len);
  log("btf_total_size: {}\n", btf.size_);
}

Errno BtfEnv::fail(const btf_type* t, std::string_view message, int error) {
  log_type(t, message);
  return Errno(error);
}
Errno BtfEnv::fail_member(const btf_type* parent, const btf_member& m, std::string_view message) {
  log_member(parent, m, message);
  return Errno(EINVAL);
}
Errno BtfEnv::fail_vsi(const btf_type* datasec, const btf_var_secinfo& vsi, std::string_view message) {
  log_vsi(datasec, vsi, message);
  return Errno(EINVAL);
}

Status BtfEnv::need_meta(const btf_type* t, u32 left, u32 needed) {
  if (left >= needed) return ok_status();
  log_basic(t, fmt::format("meta_left:{} meta_needed:{}", left, needed));
  return Errno(EINVAL);
}
Status BtfEnv::need_no_vlen(const btf_type* t) { return btf_vlen(t) != 0 ? Status(fail(t, "vlen != 0")) : ok_status(); }
Status BtfEnv::need_no_kflag(const btf_type* t) {
  return btf_kflag(t) ? Status(fail(t, "Invalid btf_info kind_flag")) : ok_status();
}

Status no_resolve(BtfEnv& env, const ResolveVertex& v) {
  env.log_basic(v.t, "Unsupported resolve");
  return Errno(EINVAL);
}
Status no_member(BtfEnv& env, const btf_type* parent, const btf_member&, const btf_type*) {
  env.log_basic(parent, "Unsupported check_member");
  return Errno(EINVAL);
}
Status no_kflag_member(BtfEnv& env, const btf_type* parent, const btf_member&, const btf_type*) {
  env.log_basic(parent, "Unsupported check_kflag_member");
  return Errno(EINVAL);
}
Status generic_kflag_member(BtfEnv& env, const btf_type* parent, const btf_member& m, const btf_type* t) {
  if (BTF_MEMBER_BITFIELD_SIZE(m.offset) != 0) return env.fail_member(parent, m, "Invalid member bitfield_size");
  return kind_ops(t).check_member(env, parent, m, t);  // no width: the offset is a plain one
}
void log_ref(BtfEnv& env, const btf_type* t) { env.log("type_id={}", t->type); }
void log_size_vlen(BtfEnv& env, const btf_type* t) { env.log("size={} vlen={}", t->size, btf_vlen(t)); }

}  // namespace skep
