// verifier: loads and stores of contexts. Linux: verifier.c:convert_ctx_accesses()
#include "verifier/emit.h"
#include "verifier/insn_rewriter.h"
#include "verifier/rewrite.h"

namespace skep {
namespace {

bool is_load(const bpf_insn& insn) {
  if (bpf_class(insn.code) != BPF_LDX) return false;
  return bpf_mode(insn.code) == BPF_MEM || (bpf_mode(insn.code) == BPF_MEMSX && bpf_size(insn.code) != BPF_DW);
}
bool is_store(const bpf_insn& insn) {
  return (bpf_class(insn.code) == BPF_STX || bpf_class(insn.code) == BPF_ST) && bpf_mode(insn.code) == BPF_MEM;
}

/// One access to be converted, with what is known of it.
struct Access {
  VerifierEnv& env;
  u32 insn_idx;
  AccessType type;
  u32 ptr_type;

  Result<std::vector<bpf_insn>> convert() const;

 private:
  void narrow(const bpf_insn& insn, u32 size, u32 field_size, std::vector<bpf_insn>* out) const;
  bool call_table(const bpf_insn& insn, std::vector<bpf_insn>* out, u32* target_size) const;
};

bool Access::call_table(const bpf_insn& insn, std::vector<bpf_insn>* out, u32* target_size) const {
  if (ptr_type == PTR_TO_CTX) return convert_ctx_access(type, insn, env.prog, out, target_size, env.tstamp_type_access);
  return convert_sock_access(ptr_type, type, insn, out, target_size);
}

/// A part of a field: what was loaded is shifted and cut. Linux: bpf_ctx_narrow_access_offset(), little endian
void Access::narrow(const bpf_insn& insn, u32 size, u32 field_size, std::vector<bpf_insn>* out) const {
  const s32 shift = static_cast<s32>((static_cast<u32>(insn.off) & (field_size - 1)) * 8);
  if (shift != 0) out->push_back(alu_imm(field_size > 4, BPF_RSH, insn.dst_reg, shift));
  out->push_back(alu_imm(false, BPF_AND, insn.dst_reg, static_cast<s32>((1ull << size * 8) - 1)));
}

Result<std::vector<bpf_insn>> Access::convert() const {
  const bpf_insn& insn = env.insns[insn_idx];
  const u32 size = access_bytes(insn.code), field_size = env.aux[insn_idx].ctx_field_size;
  const bool narrower = size < field_size;
  bpf_insn whole = insn;
  if (narrower) {
    if (type == BPF_WRITE) return env.refuse(EINVAL, "bpf verifier narrow ctx access misconfigured");
    whole.off = static_cast<s16>(insn.off & ~static_cast<s32>(field_size - 1));
    whole.code = static_cast<u8>(BPF_LDX | BPF_MEM | (field_size == 4 ? BPF_W : field_size == 8 ? BPF_DW : BPF_H));
  }
  std::vector<bpf_insn> out;
  u32 target_size = 0;
  if (!call_table(whole, &out, &target_size) || out.empty() || (field_size != 0 && target_size == 0))
    return env.refuse(EINVAL, "bpf verifier is misconfigured");
  if (narrower && size < target_size) narrow(insn, size, field_size, &out);
  if (bpf_mode(insn.code) == BPF_MEMSX)
    out.push_back(make_insn(BPF_ALU64 | BPF_MOV | BPF_X, insn.dst_reg, insn.dst_reg, static_cast<s16>(size * 8), 0));
  return out;
}

/// Whether the access goes through a table, by the pointer it was made through.
bool is_converted(const VerifierEnv& env, u32 ptr_type) {
  switch (ptr_type) {
    case PTR_TO_CTX: return ctx_is_converted(env.prog.type);
    case PTR_TO_SOCKET:
    case PTR_TO_SOCK_COMMON:
    case PTR_TO_TCP_SOCK:
    case PTR_TO_XDP_SOCK: return true;
    default: return false;
  }
}

/// Loads through pointers of the kernel's: a fault reads zero. Linux trusts some of them; here each leads to memory that processes can
/// write, and some kernel objects are not there at all.
bool may_fault(u32 ptr_type) {
  return base_type(ptr_type) == PTR_TO_BTF_ID && ((ptr_type & MEM_ALLOC) == 0 || (ptr_type & PTR_UNTRUSTED) != 0);
}

/// What takes the place of an access; nothing: it stays.
Result<std::vector<bpf_insn>> patch_of(VerifierEnv& env, u32 i) {
  bpf_insn& insn = env.insns[i];
  const bool load = is_load(insn);
  if (!load && !is_store(insn)) return std::vector<bpf_insn>{};
  const u32 ptr_type = env.aux[i].ptr_type;
  if (load && may_fault(ptr_type))
    insn.code = static_cast<u8>(BPF_LDX | (bpf_mode(insn.code) == BPF_MEM ? BPF_PROBE_MEM : BPF_PROBE_MEMSX) | bpf_size(insn.code));
  if (!is_converted(env, ptr_type)) return std::vector<bpf_insn>{};
  return Access{env, i, load ? BPF_READ : BPF_WRITE, ptr_type}.convert();
}

/// The prologue goes on with the program's first instruction, which stands at its own end.
void emit_prologue(InsnRewriter& rw, const std::vector<bpf_insn>& prologue) {
  for (std::size_t p = 0; p + 1 < prologue.size(); ++p) rw.emit(prologue[p]);
  rw.end_prologue();
}

}  // namespace

Status convert_ctx_accesses(VerifierEnv& env) {
  InsnRewriter rw(env);
  std::vector<bpf_insn> prologue;
  gen_prologue(env.prog, env.seen_direct_write, env.insns[0], &prologue);
  for (u32 i = 0; i < env.insn_cnt(); ++i) {
    const bool first = i == 0 && !prologue.empty();
    const std::vector<bpf_insn> patch = TRY(patch_of(env, i));
    if (patch.empty() && !first) continue;
    rw.begin(i);
    if (first) emit_prologue(rw, prologue);
    if (patch.empty()) rw.keep();
    for (const bpf_insn& p : patch) rw.emit(p);
  }
  return rw.finish();
}

}  // namespace skep
