// verifier: small things that arithmetic, spills and jumps share. Internal to the room.
#pragma once
#include "verifier/verifier_env.h"

namespace skep {

/// The scalar is no longer linked to others. Linux: verifier.c:clear_scalar_id()
inline void clear_scalar_id(RegState& reg) noexcept {
  reg.id = 0;
  reg.off = 0;
}

/// Before src is copied: gives it an id, so that what a jump teaches about one of the two is learnt for both. A constant needs none.
/// Linux: verifier.c:assign_scalar_id_before_mov()
inline void assign_scalar_id_before_mov(VerifierEnv& env, RegState& src) noexcept {
  if (src.type != SCALAR_VALUE) return;
  // Linked at a distance already: a second distance cannot be kept.
  if ((src.id & BPF_ADD_CONST) != 0) clear_scalar_id(src);
  if (src.id == 0 && !tnum_is_const(src.var_off)) src.id = env.new_id();
}

/// "+=" for BPF_ADD: the operator of an ALU operation as logs show it. Linux: kernel/bpf/disasm.c:bpf_alu_string
constexpr const char* alu_op_text(u8 op) noexcept {
  constexpr const char* TEXT[16] = {"+=", "-=", "*=", "/=", "|=", "&=", "<<=", ">>=", "neg", "%=", "^=", "=", "s>>=", "endian", "", ""};
  return TEXT[op >> 4];
}

}  // namespace skep
