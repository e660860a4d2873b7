// progtypes tests: what the verifier does around convert_ctx_access(): widening, shifting, masking, extending.
// Linux: verifier.c:convert_ctx_accesses()
#pragma once
#include "progtypes/ctx_kernel_test.h"

namespace skep::test {

/// The instructions that stand for `insn`, an access of the context. REQUIRES: allowed. Empty: not convertible.
inline Prog rewrite(const CtxCase& c, bpf_insn insn, bool tstamp_type_access = false) {
  if (!ctx_is_converted(c.type)) return {insn};
  const u32 size = access_bytes(insn.code);
  const u8 mode = bpf_mode(insn.code);
  const AccessType type = bpf_class(insn.code) == BPF_LDX ? BPF_READ : BPF_WRITE;
  CtxAccessInfo info;
  info.is_ldsx = mode == BPF_MEMSX;
  EXPECT_TRUE(is_valid_ctx_access(insn.off, size, type, traits_of(c), &info, nullptr));
  const u32 whole = info.ctx_field_size;
  const u32 within = whole != 0 ? static_cast<u32>(insn.off) & (whole - 1) : 0;
  const bool narrower = size < whole;
  if (narrower) {
    insn.off = static_cast<s16>(insn.off & ~static_cast<s32>(whole - 1));
    insn.code = BPF_LDX | BPF_MEM | code_of_size(whole);
  }
  Prog out;
  u32 target = 0;
  if (!convert_ctx_access(type, insn, traits_of(c), &out, &target, tstamp_type_access)) return {};
  if (whole != 0 && target == 0) return {};
  if (narrower && size < target) {
    const s32 shift = static_cast<s32>(within * 8);
    if (shift != 0) out.push_back(whole <= 4 ? alu32k(BPF_RSH, insn.dst_reg, shift) : alu64k(BPF_RSH, insn.dst_reg, shift));
    out.push_back(alu32k(BPF_AND, insn.dst_reg, static_cast<s32>((1ull << size * 8) - 1)));
  }
  if (mode == BPF_MEMSX) out.push_back(alu64x(BPF_MOV, insn.dst_reg, insn.dst_reg, static_cast<s32>(size * 8)));
  return out;
}

/// Calls `use(how, off, size)` for each allowed access of the context.
template <typename Use>
void for_each_allowed(const CtxCase& c, Use use) {
  for (s32 off = 0; off < c.end; ++off) {
    if (off >= c.skip_from && off < c.skip_to) continue;
    for (u32 size : {1u, 2u, 4u, 8u})
      for (How how : {How::LOAD, How::LOAD_SIGNED, How::STORE_CONST, How::STORE_REG}) {
        CtxAccessInfo info;
        info.is_ldsx = how == How::LOAD_SIGNED;
        if (info.is_ldsx && size == 8) continue;
        if (is_valid_ctx_access(off, size, is_store(how) ? BPF_WRITE : BPF_READ, traits_of(c), &info, nullptr)) use(how, off, size);
      }
  }
}

}  // namespace skep::test
