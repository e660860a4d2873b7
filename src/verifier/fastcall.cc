// verifier: calls that clobber few registers, with the spills and fills that compilers put around them for kernels that do not know
// better; those are taken out later if the stack slots serve nothing else. Linux: verifier.c:mark_fastcall_patterns()
#include <algorithm>

#include "verifier/verifier_env.h"

namespace skep {
namespace {

constexpr u32 CALLER_SAVED_REGS = 6;
constexpr u32 ALL_CALLER_SAVED_REGS = (1u << CALLER_SAVED_REGS) - 1;
constexpr u8 STX_DW = BPF_STX | BPF_MEM | BPF_DW, LDX_DW = BPF_LDX | BPF_MEM | BPF_DW;

u32 helper_clobbers(const FuncProto& fn) {
  u32 mask = fn.ret != RET_VOID ? 1u : 0u;
  for (u32 i = 0; i < 5; ++i)
    if (fn.args[i] != ARG_DONTCARE) mask |= 2u << i;
  return mask;
}

/// Helpers that this executor or the rewriting replaces inline on x86-64. Linux: verifier_inlines_helper_call(),
/// arch/x86/net/bpf_jit_comp.c:bpf_jit_inlines_helper_call()
bool helper_is_inlined(s32 id) { return id == BPF_FUNC_get_smp_processor_id; }

struct Clobbers {
  u32 regs = ALL_CALLER_SAVED_REGS;
  bool can_be_inlined = false;
};

Clobbers call_clobbers(VerifierEnv& env, const bpf_insn& call) {
  Clobbers out;
  if (is_helper_call(call)) {
    const FuncProto* fn = get_func_proto(call.imm, env.prog);
    if (fn != nullptr) out = {helper_clobbers(*fn), fn->allow_fastcall && helper_is_inlined(call.imm)};
  } else if (is_kfunc_call(call)) {
    u32 regs = 0;
    bool inlined = false;
    if (kfunc_fastcall(env, call, &regs, &inlined)) out = {regs, inlined};
  }
  return out;
}

/// Is `stx; ...; ldx` a spill and fill of one register at fp + off?
bool is_pair(const bpf_insn& stx, const bpf_insn& ldx, s32 off) {
  return stx.code == STX_DW && ldx.code == LDX_DW && stx.dst_reg == BPF_REG_FP && ldx.src_reg == BPF_REG_FP &&
         stx.src_reg == ldx.dst_reg && stx.off == off && ldx.off == off;
}

void mark_pattern(VerifierEnv& env, SubprogInfo& subprog, u32 call_idx, s32 lowest_off) {
  // No pair around the call: no need to know what it clobbers.
  if (call_idx == 0 || call_idx + 1 >= env.insn_cnt()) return;
  if (env.insns[call_idx - 1].code != STX_DW || env.insns[call_idx + 1].code != LDX_DW) return;
  const Clobbers clobbers = call_clobbers(env, env.insns[call_idx]);
  if (clobbers.regs == ALL_CALLER_SAVED_REGS) return;
  u32 expected = ~clobbers.regs & ALL_CALLER_SAVED_REGS;
  s32 off = lowest_off;
  u32 i = 1;
  for (; i <= CALLER_SAVED_REGS; ++i, off += static_cast<s32>(BPF_REG_SIZE)) {
    if (call_idx < i || call_idx + i >= env.insn_cnt()) break;
    // Nobody may jump into the pattern behind its first spill.
    if (env.aux[call_idx - i + 1].jump_target || env.aux[call_idx + i].jump_target) break;
    const bpf_insn& stx = env.insns[call_idx - i];
    if (!is_pair(stx, env.insns[call_idx + i], off) || (1u << stx.src_reg & expected) == 0) break;
    expected &= ~(1u << stx.src_reg);
    env.aux[call_idx - i].fastcall_pattern = true;
    env.aux[call_idx + i].fastcall_pattern = true;
  }
  if (i == 1) return;
  if (clobbers.can_be_inlined)
    env.aux[call_idx].fastcall_spills_num = static_cast<u8>(i - 1);
  else
    subprog.keep_fastcall_stack = true;
  subprog.fastcall_stack_off = std::min(subprog.fastcall_stack_off, off);
}

s32 lowest_spill(const VerifierEnv& env, u32 start, u32 end) {
  s32 lowest = 0;
  for (u32 i = start; i < end; ++i)
    if (env.insns[i].code == STX_DW && env.insns[i].dst_reg == BPF_REG_FP) lowest = std::min<s32>(lowest, env.insns[i].off);
  return lowest;
}

}  // namespace

void mark_fastcall_patterns(VerifierEnv& env) {
  for (u32 s = 0; s < env.subprog_cnt; ++s) {
    const u32 start = env.subprogs[s].start, end = env.subprogs[s + 1].start;
    s32 lowest = 1;  // not known yet
    for (u32 i = start; i < end; ++i) {
      if (!is_call(env.insns[i])) continue;
      if (lowest > 0) lowest = lowest_spill(env, start, end);
      mark_pattern(env, env.subprogs[s], i, lowest);
    }
  }
}

/// Somebody else uses the region of the spills: all patterns of the subprogram stay as they are. Linux: check_fastcall_stack_contract()
void check_fastcall_stack_contract(VerifierEnv& env, FuncState& func, u32 insn_idx, s32 off) {
  SubprogInfo& subprog = env.subprogs[func.subprogno];
  if (subprog.fastcall_stack_off <= off || env.aux[insn_idx].fastcall_pattern) return;
  // Access to the region of the patterns outside of one.
  subprog.fastcall_stack_off = std::numeric_limits<s16>::min();
  for (u32 i = subprog.start; i < env.subprogs[func.subprogno + 1].start; ++i) {
    env.aux[i].fastcall_spills_num = 0;
    env.aux[i].fastcall_pattern = false;
  }
}

}  // namespace skep
