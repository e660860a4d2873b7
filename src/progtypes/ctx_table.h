// progtypes: how a context is written down: one row per field, or per way to access it; and the code that stands for an access.
// Internal to the room. An access is allowed when some row allows it; rows of one field may overlap.
#pragma once
#include <span>
#include <vector>

#include "progtypes/ctx_access.h"
#include "progtypes/kernel_ctx.h"

namespace skep {

struct CtxConv;

/// Emits the instructions that stand for one access.
struct CtxEmitter {
  const bpf_insn& insn;
  AccessType type;
  u32 delta;  ///< of the access from the row's start
  bool tstamp_type_access;
  std::vector<bpf_insn>* out;
  u32 target_size;

  void emit(u32 code, u32 dst, u32 src, u32 off, s32 imm = 0);
  void load(u32 size, u32 dst, u32 src, u32 off);
  /// What the program stores, a register or a constant, to another place.
  void store(u32 size, u32 base, u32 off);
  void save(u32 base, u32 off, u32 reg);
  void alu32(u32 op, u32 dst, s32 imm);
  void jump(u32 op, u32 dst, s32 imm, u32 distance);
  /// A register that the access does not use: r9 to r7.
  u32 spare_reg() const;
};

/// A member of one of our kernel structures.
struct KernField {
  u16 off = 0;
  u8 size = 0;
};

/// Where a field really is: behind up to two pointers, or by code of its own.
struct CtxConv {
  KernField field;
  u16 hop[2] = {0, 0};
  u8 hops = 0;
  bool null_ok = false;   ///< a null first pointer reads as 0
  bool own_size = false;  ///< moves as much as the access does, not the field's size
  bool lsh16 = false;     ///< a port: 16 bits in network order become the upper half, as the uapi has it
  u16 temp = 0;           ///< stores behind pointers: where a register is saved meanwhile
  void (*special)(CtxEmitter&, const CtxConv&) = nullptr;

  constexpr bool exists() const { return field.size != 0 || special != nullptr; }
  constexpr CtxConv or_null() const {
    CtxConv c = *this;
    c.null_ok = true;
    return c;
  }
  constexpr CtxConv as_accessed() const {
    CtxConv c = *this;
    c.own_size = true;
    return c;
  }
  constexpr CtxConv as_port() const {
    CtxConv c = *this;
    c.lsh16 = true;
    return c;
  }
  constexpr CtxConv saving_at(KernField where) const {
    CtxConv c = *this;
    c.temp = where.off;
    return c;
  }
};

constexpr CtxConv at(KernField f) { return {.field = f}; }
constexpr CtxConv via(KernField pointer, KernField f) { return {.field = f, .hop = {pointer.off, 0}, .hops = 1}; }
constexpr CtxConv via(KernField first, KernField second, KernField f) {
  return {.field = f, .hop = {first.off, second.off}, .hops = 2};
}
constexpr CtxConv by(void (*special)(CtxEmitter&, const CtxConv&), KernField f = {}) { return {.field = f, .special = special}; }
/// A field of a structure that lies inside another one.
constexpr KernField in(KernField outer, KernField inner) { return {static_cast<u16>(outer.off + inner.off), inner.size}; }

struct CtxSpan {
  u32 off, end;
};

// Who accesses: program types by their number, pointers to sockets by bits above.
constexpr u64 by_type(u32 prog_type) { return 1ULL << prog_type; }
constexpr u64 BY_SOCKET = 1ULL << 40, BY_SOCK_COMMON = 1ULL << 41, BY_ANY = ~0ULL;
constexpr u64 for_attach(auto... attach_type) { return ((1ULL << attach_type) | ...); }

/// Sizes of accesses, or-ed.
constexpr u8 NARROW4 = 1 | 2 | 4, ANY_SIZE = 1 | 2 | 4 | 8;

struct CtxField {
  CtxSpan span;            ///< accesses that begin in here
  u8 read = 0, write = 0;  ///< sizes allowed
  u8 whole = 0;            ///< CtxAccessInfo::ctx_field_size
  bool at_start_only = false;
  bool no_ldsx = false;
  bool needs_cap_bpf = false;
  bool marks_tstamp_type = false;
  u32 reg_type = SCALAR_VALUE;
  u64 readers = BY_ANY, writers = BY_ANY;
  u64 attach = 0;  ///< only for these expected attach types; 0: for all
  const char* btf_struct = nullptr;
  CtxConv conv = {};

  constexpr CtxField reads(u8 sizes, u8 whole_size = 0) const {
    CtxField f = *this;
    f.read = sizes;
    f.whole = whole_size;
    return f;
  }
  constexpr CtxField writes(u8 sizes) const {
    CtxField f = *this;
    f.write = sizes;
    return f;
  }
  constexpr CtxField only_at_start() const {
    CtxField f = *this;
    f.at_start_only = true;
    return f;
  }
  constexpr CtxField unsigned_only() const {
    CtxField f = *this;
    f.no_ldsx = true;
    return f;
  }
  constexpr CtxField with_cap_bpf() const {
    CtxField f = *this;
    f.needs_cap_bpf = true;
    return f;
  }
  constexpr CtxField tells_tstamp_type() const {
    CtxField f = *this;
    f.marks_tstamp_type = true;
    return f;
  }
  constexpr CtxField as(u32 type) const {
    CtxField f = *this;
    f.reg_type = type;
    return f;
  }
  constexpr CtxField as_btf(u32 type, const char* name) const {
    CtxField f = *this;
    f.reg_type = type;
    f.btf_struct = name;
    return f;
  }
  constexpr CtxField read_by(u64 who) const {
    CtxField f = *this;
    f.readers = who;
    return f;
  }
  constexpr CtxField written_by(u64 who) const {
    CtxField f = *this;
    f.writers = who;
    return f;
  }
  constexpr CtxField only_for(u64 attach_types) const {
    CtxField f = *this;
    f.attach = attach_types;
    return f;
  }
  constexpr CtxField is(const CtxConv& where) const {
    CtxField f = *this;
    f.conv = where;
    return f;
  }
};

constexpr CtxField field(CtxSpan span) { return {.span = span}; }
/// The usual four-byte field: read as a whole or in parts.
constexpr CtxField narrow(CtxSpan span) { return field(span).reads(NARROW4, 4); }
/// Four bytes or nothing.
constexpr CtxField word(CtxSpan span) { return field(span).reads(4); }
/// A pointer, or another field of eight bytes or nothing.
constexpr CtxField dword(CtxSpan span) { return field(span).reads(8); }
constexpr CtxSpan till(CtxSpan first, CtxSpan last) { return {first.off, last.end}; }

// A member of a uapi structure; of a kernel structure.
#define SKEP_UAPI(type, member) (::skep::CtxSpan{offsetof(type, member), offsetof(type, member) + sizeof(type::member)})
#define SKEP_KERN(type, member) \
  (::skep::KernField{static_cast<::skep::u16>(offsetof(type, member)), static_cast<::skep::u8>(sizeof(type::member))})

using CtxFields = std::span<const CtxField>;
struct CtxKind {
  u32 size = 0;  ///< of the uapi structure; 0: none fixed
  bool converted = false;
  CtxFields fields;
};

// The tables. Null kind: no such program type, or one judged by BTF.
CtxKind skb_ctx();
CtxKind flow_dissector_ctx();
CtxKind xdp_ctx();
CtxKind sk_lookup_ctx();
CtxKind sk_reuseport_ctx();
CtxKind sk_msg_ctx();
CtxKind netfilter_ctx();
CtxKind sock_ctx();  ///< also PTR_TO_SOCKET, PTR_TO_SOCK_COMMON
CtxKind tcp_sock_ctx();
CtxKind xdp_sock_ctx();
CtxKind sock_ops_ctx();
CtxKind sock_addr_ctx();
CtxKind cgroup_dev_ctx();
CtxKind sysctl_ctx();
CtxKind sockopt_ctx();
CtxKind trace_ctx(u32 prog_type);  ///< KPROBE, TRACEPOINT, RAW_TRACEPOINT*, PERF_EVENT, SYSCALL, LIRC_MODE2
/// The table of a program type.
CtxKind ctx_kind(u32 prog_type);

/// dst = the packet's SkbSharedInfo. Linux: filter.c:bpf_convert_shinfo_access()
void emit_shinfo(CtxEmitter& e, u32 dst, u32 skb);

}  // namespace skep
