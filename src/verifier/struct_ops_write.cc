// verifier: members of kernel structs that STRUCT_OPS programs may store to.
#include "verifier/struct_ops_write.h"

#include <string_view>

#include "verifier/mem_access.h"

namespace skep {
namespace {

/// A member that may be written, by the struct that has it; that struct lies at the start of tcp_sock.
struct WritableMember {
  std::string_view in_struct, member;
  std::string_view submember;  ///< of the struct that the member is; empty: the member itself
  bool anywhere;               ///< stores may begin inside, not only at its start
};
/// Linux: net/ipv4/bpf_tcp_ca.c:bpf_tcp_ca_btf_struct_access()
constexpr WritableMember TCP_SOCK_WRITABLE[] = {
    {"sock", "sk_pacing_rate", "", false},
    {"sock", "sk_pacing_status", "", false},
    {"inet_connection_sock", "icsk_ca_priv", "", true},
    {"inet_connection_sock", "icsk_ack", "pending", false},
    {"tcp_sock", "snd_cwnd", "", false},
    {"tcp_sock", "snd_cwnd_cnt", "", false},
    {"tcp_sock", "snd_cwnd_stamp", "", false},
    {"tcp_sock", "snd_ssthresh", "", false},
    {"tcp_sock", "ecn_flags", "", false},
    {"tcp_sock", "app_limited", "", false},
};

struct ByteRange {
  u32 start, end;
};

struct FoundMember {
  ByteRange bytes;
  u32 type_id;
};

/// A member by name, also one of an anonymous struct or union inside (`depth` of them).
Result<FoundMember> find_member(const Btf& btf, const btf_type* t, std::string_view name, u32 depth) {
  for (u32 i = 0; i < btf_vlen(t); ++i) {
    const btf_member& m = btf_members(t)[i];
    const u32 at = btf_member_bit_offset(t, &m) / 8;
    if (m.name_off != 0) {
      if (!btf.name_is(m.name_off, name)) continue;
      const u32 size = TRY(btf.type_size(m.type));
      return FoundMember{{at, at + size}, m.type};
    }
    const btf_type* const inner = btf.skip_modifiers(m.type);
    if (inner == nullptr || !btf_is_composite(inner) || depth == 0) continue;
    Result<FoundMember> found = find_member(btf, inner, name, depth - 1);
    if (!found.ok()) continue;
    found->bytes.start += at;
    found->bytes.end += at;
    return found;
  }
  return Errno(ENOENT);
}

Result<ByteRange> bytes_of(const Btf& btf, const WritableMember& w) {
  constexpr u32 DEPTH = 8;
  const u32 id = TRY(btf.find_by_name_kind(w.in_struct, BTF_KIND_STRUCT));
  const FoundMember member = TRY(find_member(btf, btf.type_by_id(id), w.member, DEPTH));
  if (w.submember.empty()) return member.bytes;
  const btf_type* const t = btf.skip_modifiers(member.type_id);
  if (t == nullptr || !btf_is_composite(t)) return Errno(ENOENT);
  const FoundMember sub = TRY(find_member(btf, t, w.submember, DEPTH));
  return ByteRange{member.bytes.start + sub.bytes.start, member.bytes.start + sub.bytes.end};
}

Status check_tcp_sock_write(VerifierEnv& env, const RegState& reg, s32 off, u32 size) {
  const btf_type* const t = reg.btf->type_by_id(reg.btf_id);
  if (t == nullptr || !btf_is_struct(t) || !reg.btf->name_is(t->name_off, "tcp_sock"))
    return env.refuse(EACCES, "only read is supported");
  const auto at = static_cast<u32>(off);
  for (const WritableMember& w : TCP_SOCK_WRITABLE) {
    const Result<ByteRange> bytes = bytes_of(*reg.btf, w);
    if (!bytes.ok()) continue;
    const bool here = w.anywhere ? at >= bytes->start && at < bytes->end : at == bytes->start;
    if (!here) continue;
    if (at + size <= bytes->end) return ok_status();
    return env.refuse(EACCES, "write access at off {} with size {} beyond the member of tcp_sock ended at {}", off, size,
                      bytes->end);
  }
  return env.refuse(EACCES, "no write support to tcp_sock at off {}", off);
}

Status check_dummy_write(VerifierEnv& env, const RegState& reg, s32 off, u32 size) {
  const Result<u32> state = reg.btf->find_by_name_kind("bpf_dummy_ops_state", BTF_KIND_STRUCT);
  if (!state.ok()) return Errno(EINVAL);
  if (reg.btf_id != *state) return env.refuse(EACCES, "only access to bpf_dummy_ops_state is supported");
  if (static_cast<u32>(off) + size > reg.btf->type_by_id(*state)->size)
    return env.refuse(EACCES, "write access at off {} with size {}", off, size);
  return ok_status();
}

std::string_view ops_struct(const VerifierEnv& env) {
  return env.vmlinux() == nullptr ? std::string_view() : env.vmlinux()->type_name(env.prog.attach_btf_id);
}

}  // namespace

bool struct_ops_writes_kernel_structs(const VerifierEnv& env) {
  const std::string_view ops = ops_struct(env);
  return ops == "tcp_congestion_ops" || ops == "bpf_dummy_ops";
}

Status check_struct_ops_write(VerifierEnv& env, const RegState& reg, s32 off, u32 size) {
  return ops_struct(env) == "tcp_congestion_ops" ? check_tcp_sock_write(env, reg, off, size)
                                                 : check_dummy_write(env, reg, off, size);
}

}  // namespace skep
