#include "jit/blocks.h"

namespace skep::jit {
namespace {

bool ends_block(const bpf_insn& insn) { return is_plain_jump(insn) || is_cond_jump(insn) || is_exit(insn); }

}  // namespace

void split_blocks(const Program& program, u32 function, Function* f, Vec<InsnRange>* ranges) {
  const auto insns = program.input().insns;
  const u32 start = program.start(function), end = program.end(function);
  Vec<u32> block_of(end - start, NONE);  // first a mark at each leader, then its block
  bool entry_is_target = false;
  block_of[0] = 0;
  for (u32 pc = start; pc < end; pc += insn_slots(insns[pc])) {
    const bpf_insn& insn = insns[pc];
    if (!ends_block(insn)) continue;
    if (pc + 1 < end) block_of[pc + 1 - start] = 0;
    if (is_exit(insn)) continue;
    const u32 to = static_cast<u32>(jump_target(insn, pc));
    block_of[to - start] = 0;
    entry_is_target |= to == start;
  }
  if (entry_is_target) ranges->push_back({start, start});
  for (u32 pc = start; pc < end; ++pc) {
    if (block_of[pc - start] == NONE) continue;
    if (pc != start) ranges->back().end = pc;
    block_of[pc - start] = static_cast<u32>(ranges->size());
    ranges->push_back({pc, end});
  }
  f->blocks.resize(ranges->size());
  for (BlockId b = 0; b < ranges->size(); ++b) {
    auto& succs = f->blocks[b].succs;
    const InsnRange range = (*ranges)[b];
    if (range.begin == range.end) {
      succs[0] = b + 1;
      continue;
    }
    // The second half of a 64-bit load never looks like one that ends a block: its code is 0.
    const u32 last = range.end - 1;
    const bpf_insn& insn = insns[last];
    if (is_exit(insn)) continue;
    if (!ends_block(insn)) {
      succs[0] = b + 1;
      continue;
    }
    succs[0] = block_of[static_cast<u32>(jump_target(insn, last)) - start];
    // To itself: what is left of dead code.
    if (is_plain_jump(insn) && range.begin == last && succs[0] == b) succs[0] = NONE;
    if (is_cond_jump(insn) && b + 1 != succs[0]) succs[1] = b + 1;
  }
}

}  // namespace skep::jit
