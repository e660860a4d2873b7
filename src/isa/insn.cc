#include "isa/insn.h"

#include <initializer_list>

namespace skep {
namespace {

struct OpcodeSet {
  u64 bits[4] = {};
  constexpr void add(int code) { bits[code >> 6] |= 1ULL << (code & 63); }
  constexpr bool has(u8 code) const { return (bits[code >> 6] >> (code & 63) & 1) != 0; }
};

constexpr void add_alu(OpcodeSet& set, u8 cls) {
  for (u8 op : {BPF_ADD, BPF_SUB, BPF_MUL, BPF_DIV, BPF_OR, BPF_AND, BPF_LSH, BPF_RSH, BPF_MOD, BPF_XOR, BPF_MOV, BPF_ARSH}) {
    set.add(cls | op | BPF_K);
    set.add(cls | op | BPF_X);
  }
  set.add(cls | BPF_NEG);
  set.add(cls | BPF_END | BPF_TO_LE);
}

constexpr void add_cond_jumps(OpcodeSet& set, u8 cls) {
  for (u8 op : {BPF_JEQ, BPF_JNE, BPF_JGT, BPF_JLT, BPF_JGE, BPF_JLE, BPF_JSGT, BPF_JSLT, BPF_JSGE, BPF_JSLE, BPF_JSET}) {
    set.add(cls | op | BPF_K);
    set.add(cls | op | BPF_X);
  }
  set.add(cls | BPF_JA);
}

constexpr OpcodeSet make_known() {
  OpcodeSet set;
  add_alu(set, BPF_ALU);
  add_alu(set, BPF_ALU64);
  set.add(BPF_ALU | BPF_END | BPF_TO_BE);
  add_cond_jumps(set, BPF_JMP);
  add_cond_jumps(set, BPF_JMP32);
  set.add(BPF_JMP | BPF_CALL);
  set.add(BPF_JMP | BPF_EXIT);
  set.add(BPF_JMP | BPF_JCOND);
  for (u8 size : {BPF_B, BPF_H, BPF_W, BPF_DW}) {
    set.add(BPF_LDX | BPF_MEM | size);
    set.add(BPF_STX | BPF_MEM | size);
    set.add(BPF_ST | BPF_MEM | size);
  }
  for (u8 size : {BPF_B, BPF_H, BPF_W}) {
    set.add(BPF_LDX | BPF_MEMSX | size);
    // Left from classic BPF; Linux rewrites them at load.
    set.add(BPF_LD | BPF_ABS | size);
    set.add(BPF_LD | BPF_IND | size);
  }
  set.add(BPF_STX | BPF_ATOMIC | BPF_W);
  set.add(BPF_STX | BPF_ATOMIC | BPF_DW);
  set.add(LDIMM64_CODE);
  return set;
}

constexpr OpcodeSet KNOWN = make_known();

}  // namespace

bool opcode_known(u8 code) noexcept { return KNOWN.has(code); }

}  // namespace skep
