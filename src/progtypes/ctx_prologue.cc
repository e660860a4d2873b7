// progtypes: code that stands before a program, and for its LD_ABS and LD_IND.
#include "isa/insn.h"
#include "progtypes/ctx_table.h"

namespace skep {
namespace {

constexpr s32 TC_ACT_SHOT = 2, SK_DROP = 0, SKB_PULL_DATA = 39;  // 39: BPF_FUNC_skb_pull_data

/// A clone's bytes are shared: before a program writes into them it gets its own, or ends with `drop_verdict`.
/// Linux: filter.c:bpf_unclone_prologue()
void unclone(s32 drop_verdict, CtxEmitter& e) {
  e.load(1, 6, 1, offsetof(SkBuff, cloned));
  e.alu32(BPF_AND, 6, SKB_CLONED_MASK);
  e.jump(BPF_JEQ, 6, 0, 7);
  e.emit(BPF_ALU64 | BPF_MOV | BPF_X, 6, 1, 0);
  e.emit(BPF_ALU64 | BPF_XOR | BPF_X, 2, 2, 0);
  e.emit(BPF_JMP | BPF_CALL, 0, 0, 0, SKB_PULL_DATA);
  e.jump(BPF_JEQ, 0, 0, 2);
  e.alu32(BPF_MOV, 0, drop_verdict);
  e.emit(BPF_JMP | BPF_EXIT, 0, 0, 0);
  e.emit(BPF_ALU64 | BPF_MOV | BPF_X, 1, 6, 0);
}

constexpr s32 load_helper(u8 size) {
  return size == BPF_B ? SKB_LOAD_HELPER_8 : size == BPF_H ? SKB_LOAD_HELPER_16 : SKB_LOAD_HELPER_32;
}

}  // namespace

void gen_prologue(const ProgTraits& prog, bool direct_write, const bpf_insn& first, std::vector<bpf_insn>* out) {
  if (!direct_write) return;
  CtxEmitter e{first, BPF_READ, 0, false, out, 0};
  switch (prog.type) {
    case BPF_PROG_TYPE_SCHED_CLS:
    case BPF_PROG_TYPE_SCHED_ACT:
    case BPF_PROG_TYPE_LWT_XMIT:
      unclone(TC_ACT_SHOT, e);
      break;
    case BPF_PROG_TYPE_SK_SKB:
      unclone(SK_DROP, e);
      break;
    default:
      return;
  }
  out->push_back(first);
}

void gen_ld_abs(const bpf_insn& insn, std::vector<bpf_insn>* out) {
  CtxEmitter e{insn, BPF_READ, 0, false, out, 0};
  if (bpf_mode(insn.code) == BPF_ABS) {
    e.emit(BPF_ALU64 | BPF_MOV | BPF_K, 2, 0, 0, insn.imm);
  } else {
    e.emit(BPF_ALU64 | BPF_MOV | BPF_X, 2, insn.src_reg, 0);
    if (insn.imm != 0) e.emit(BPF_ALU64 | BPF_ADD | BPF_K, 2, 0, 0, insn.imm);
  }
  e.emit(BPF_ALU64 | BPF_MOV | BPF_X, 1, 6, 0);
  e.emit(BPF_JMP | BPF_CALL, 0, 0, 0, load_helper(bpf_size(insn.code)));
  // Beyond the packet: the program ends with 0.
  e.jump(BPF_JSGE, 0, 0, 2);
  e.emit(BPF_ALU | BPF_XOR | BPF_X, 0, 0, 0);
  e.emit(BPF_JMP | BPF_EXIT, 0, 0, 0);
}

}  // namespace skep
