// progtypes: the code that stands for an access, from a row's description.
#include "isa/insn.h"
#include "progtypes/ctx_table.h"

namespace skep {
namespace {

constexpr u32 size_code(u32 bytes) { return bytes == 1 ? BPF_B : bytes == 2 ? BPF_H : bytes == 4 ? BPF_W : BPF_DW; }

}  // namespace

void CtxEmitter::emit(u32 code, u32 dst, u32 src, u32 off, s32 imm) {
  bpf_insn i{};
  i.code = static_cast<u8>(code);
  i.dst_reg = static_cast<u8>(dst & 15);
  i.src_reg = static_cast<u8>(src & 15);
  i.off = static_cast<s16>(off);
  i.imm = imm;
  out->push_back(i);
}

void CtxEmitter::load(u32 size, u32 dst, u32 src, u32 off) { emit(BPF_LDX | BPF_MEM | size_code(size), dst, src, off); }
void CtxEmitter::store(u32 size, u32 base, u32 off) {
  emit(bpf_class(insn.code) | BPF_MEM | size_code(size), base, insn.src_reg, off, insn.imm);
}
void CtxEmitter::save(u32 base, u32 off, u32 reg) { emit(BPF_STX | BPF_MEM | BPF_DW, base, reg, off); }
void CtxEmitter::alu32(u32 op, u32 dst, s32 imm) { emit(BPF_ALU | op | BPF_K, dst, 0, 0, imm); }
void CtxEmitter::jump(u32 op, u32 dst, s32 imm, u32 distance) { emit(BPF_JMP | op | BPF_K, dst, 0, distance, imm); }

u32 CtxEmitter::spare_reg() const {
  u32 reg = 9;
  for (int i = 0; i < 2; ++i)
    if (insn.dst_reg == reg || insn.src_reg == reg) --reg;
  return reg;
}

namespace {

/// Behind pointers there is no register left for a store: dst holds the context, src the value, both are needed later.
void store_behind(CtxEmitter& e, const CtxConv& c, u32 size) {
  const u32 reg = e.spare_reg();
  e.save(e.insn.dst_reg, c.temp, reg);
  e.load(8, reg, e.insn.dst_reg, c.hop[0]);
  if (c.hops == 2) e.load(8, reg, reg, c.hop[1]);
  e.store(size, reg, c.field.off + e.delta);
  e.load(8, reg, e.insn.dst_reg, c.temp);
}

void load_field(CtxEmitter& e, const CtxConv& c, u32 size) {
  const u32 dst = e.insn.dst_reg;
  u32 base = e.insn.src_reg;
  for (u32 hop = 0; hop < c.hops; ++hop) {
    e.load(8, dst, base, c.hop[hop]);
    base = dst;
    if (hop == 0 && c.null_ok) e.jump(BPF_JEQ, dst, 0, 1);
  }
  e.load(size, dst, base, c.field.off + e.delta);
  if (!c.lsh16) return;
  e.alu32(BPF_LSH, dst, 16);
  // DIFFERS: Linux says 2, so that a load of two bytes is not masked and holds more than the two bytes that the verifier believes
  // in.
  e.target_size = 4;
}

const CtxField* row_for(CtxFields fields, u64 who, u32 off) {
  for (const CtxField& f : fields) {
    if (off < f.span.off || off >= f.span.end || (f.at_start_only && off != f.span.off)) continue;
    const u64 accessors = (f.read != 0 ? f.readers : 0) | (f.write != 0 ? f.writers : 0);
    if ((accessors & who) != 0 && f.conv.exists()) return &f;
  }
  return nullptr;
}

bool convert(CtxFields fields, u64 who, AccessType type, const bpf_insn& insn, bool tstamp_type_access, std::vector<bpf_insn>* out,
             u32* target_size) {
  const CtxField* row = insn.off < 0 ? nullptr : row_for(fields, who, static_cast<u32>(insn.off));
  if (row == nullptr) return false;
  const CtxConv& c = row->conv;
  const u32 size = c.own_size ? access_bytes(insn.code) : c.field.size;
  CtxEmitter e{insn, type, static_cast<u32>(insn.off) - row->span.off, tstamp_type_access, out, size};
  if (c.special != nullptr)
    c.special(e, c);
  else if (type == BPF_READ)
    load_field(e, c, size);
  else if (c.hops == 0)
    e.store(size, insn.dst_reg, c.field.off + e.delta);
  else
    store_behind(e, c, size);
  *target_size = e.target_size;
  return true;
}

}  // namespace

bool convert_ctx_access(AccessType type, const bpf_insn& insn, const ProgTraits& prog, std::vector<bpf_insn>* out, u32* target_size,
                        bool tstamp_type_access) {
  return convert(ctx_kind(prog.type).fields, by_type(prog.type), type, insn, tstamp_type_access, out, target_size);
}

bool convert_sock_access(u32 reg_type, AccessType type, const bpf_insn& insn, std::vector<bpf_insn>* out, u32* target_size) {
  switch (base_type(reg_type)) {
    case PTR_TO_SOCKET:
    case PTR_TO_SOCK_COMMON:
      return convert(sock_ctx().fields, BY_SOCKET, type, insn, false, out, target_size);
    case PTR_TO_TCP_SOCK:
      return convert(tcp_sock_ctx().fields, BY_ANY, type, insn, false, out, target_size);
    case PTR_TO_XDP_SOCK:
      return convert(xdp_sock_ctx().fields, BY_ANY, type, insn, false, out, target_size);
    default:
      return false;
  }
}

}  // namespace skep
