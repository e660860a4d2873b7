// jit: the form between BPF instructions and machine code: one function as a graph of blocks, values in static single assignment.
//
//   build (BPF -> IR) -> passes (IR -> IR) -> registers -> machine code
//
// A value is always a whole 64-bit quantity. `width` says on what an operation works: 8 bytes, or the low 4 of its operands, its result
// zero-extended then, as BPF's 32-bit operations are. So any value may be used anywhere and is moved as 64 bits.
#pragma once
#include <span>
#include <string>

#include "base/types.h"
#include "jit/scratch.h"

namespace skep::jit {

using ValueId = u32;
using BlockId = u32;
constexpr u32 NONE = ~0u;

enum class Op : u8 {
  // No operands.
  Const,      ///< imm
  FrameAddr,  ///< the frame pointer (r10: the end of this function's BPF stack) plus imm
  FuncAddr,   ///< address of function imm of the program
  Param,      ///< imm 0: the run (RunCtx*); 1 to 5: r1 to r5
  Phi,        ///< one operand a predecessor, in Function::phi_args from imm on, in the order of Block::preds

  // arg[0], arg[1]; a Const at arg[1] is an immediate where the machine has one.
  Add, Sub, Mul, And, Or, Xor,
  Shl, Shr, Sar, Rotl,  ///< by arg[1] modulo the width in bits
  UDiv, UMod, SDiv, SMod,  ///< total, as BPF has them: x / 0 is 0, x % 0 is x, the most negative / -1 is itself, % -1 is 0
  MulHiU, MulHiS,  ///< high half of the product

  // arg[0]
  Neg, Not,
  Bswap,  ///< of the low `size` (2, 4, 8) bytes, zero-extended
  Zext,   ///< of the low `size` (1, 2, 4) bytes
  Sext,   ///< of the low `size` (1, 2, 4) bytes to `width`

  Select,  ///< cond(arg[0], arg[1]) on `width` bytes ? arg[2] : arg[3], which are whole values
  Lea,     ///< address(base, index, scale, disp); width 4: its low half

  // Memory at base + (index << scale) + disp. base may be a FrameAddr (whose imm counts too), or NONE; index may be NONE.
  Load,    ///< `size` bytes, zero-extended, or where `sign`, sign-extended to `width`; where `probe`, zero if there is no such memory
  Store,   ///< the low `size` bytes of arg[2]
  Update,  ///< memory = memory `sub` arg[2], `size` bytes, not atomic; sub: Add, Sub, And, Or, Xor
  Atomic,  ///< as BPF: imm is the instruction's (BPF_ADD | BPF_FETCH, BPF_XCHG ...); arg[2] its operand; the result, if it fetches, is the old value
  Cmpxchg, ///< arg[2] the new, arg[3] the expected value (low `size` bytes); the result is the old value, zero-extended

  // Calls: arg[0] to arg[4], NONE where there is none. The result may be unused. Memory, the frame included, may change.
  CallHelper,  ///< helper imm on the run and r1 to r5; where `may_end`, the run may be over afterwards (run.fault)
  CallFunc,    ///< function imm of the program, on the run and r1 to r5
  CallGate,    ///< gate imm on its arguments alone
  TailCall,    ///< (ctx, map, index): leaves the function if there is a program; else goes on

  // Last in a block.
  Jump,    ///< to succs[0]
  Branch,  ///< cond(arg[0], arg[1]) on `width` bytes: to succs[0], else to succs[1]
  Ret,     ///< arg[0]
  Trap,    ///< never reached: a fault, which ends the run
};

enum class Cond : u8 { Eq, Ne, Ult, Ule, Ugt, Uge, Slt, Sle, Sgt, Sge, Test, TestZ };  ///< Test: (a & b) != 0; TestZ: == 0
constexpr Cond negate(Cond c) noexcept {
  constexpr Cond of[] = {Cond::Ne,  Cond::Eq,  Cond::Uge, Cond::Ugt, Cond::Ule,   Cond::Ult,
                         Cond::Sge, Cond::Sgt, Cond::Sle, Cond::Slt, Cond::TestZ, Cond::Test};
  return of[static_cast<u8>(c)];
}
/// The same question with its operands exchanged.
constexpr Cond swap_operands(Cond c) noexcept {
  constexpr Cond of[] = {Cond::Eq,  Cond::Ne,  Cond::Ugt, Cond::Uge, Cond::Ult,  Cond::Ule,
                         Cond::Sgt, Cond::Sge, Cond::Slt, Cond::Sle, Cond::Test, Cond::TestZ};
  return of[static_cast<u8>(c)];
}

struct Value {
  Op op = Op::Const;
  Op sub = Op::Const;     ///< Update
  Cond cond = Cond::Eq;   ///< Branch, Select
  u8 width = 8;           ///< 4 or 8
  u8 size = 8;            ///< bytes of memory, or of what is extended or swapped
  u8 scale = 0;           ///< 0 to 3: index is shifted by it
  bool sign = false, probe = false, may_end = false;
  /// A Load that is not done where it stands but as the memory operand of its only user, in the same block, with nothing between that
  /// might change what it reads. Users: arg[1] of Add, Sub, And, Or, Xor, Mul; arg[0] or arg[1] of Branch and of Select's comparison (one
  /// of them). Its size is the user's width; in comparisons with a Const that fits, unsigned or for equality, also 1 and 2.
  bool folded = false;
  bool nonzero = false;   ///< known not to be zero: an address
  bool marked = false;    ///< scratch of a pass
  BlockId block = NONE;
  u32 insn = 0;           ///< the BPF instruction it comes from
  u32 uses = 0;           ///< as counted by count_uses()
  ValueId arg[5] = {NONE, NONE, NONE, NONE, NONE};  ///< of Load, Store ...: arg[0] base, arg[1] index
  s32 disp = 0;
  s64 imm = 0;
};

/// Of a block, in their order.
struct ValueList : Vec<ValueId> {
  using Vec<ValueId>::Vec;
  ValueList& operator=(std::span<const ValueId> ids) {
    assign(ids.begin(), ids.end());
    return *this;
  }
};

struct Block {
  ValueList values;  ///< phis first, the terminator last
  Vec<BlockId> preds;
  BlockId succs[2] = {NONE, NONE};
  u32 loop_depth = 0;
  bool unlikely = false;  ///< laid out behind the others
};

/// Const, FrameAddr, FuncAddr and Param stand at the beginning of the entry, one value for each: they are made where they are needed.
/// One function of the program. Blocks stand in the order they are to be laid out in, the entry first; every value is reachable from it.
struct Function {
  Vec<Value> values;
  std::vector<Block> blocks;
  Vec<ValueId> phi_args;
  u32 stack_bytes = 0;  ///< of BPF stack that is still used as memory

  u32 n_succs(const Block& b) const noexcept { return b.succs[0] == NONE ? 0 : b.succs[1] == NONE ? 1 : 2; }
};

constexpr bool is_terminator(Op op) noexcept { return op >= Op::Jump; }
constexpr bool is_memory(Op op) noexcept { return op >= Op::Load && op <= Op::Cmpxchg; }
constexpr bool is_call(Op op) noexcept { return op >= Op::CallHelper && op <= Op::TailCall; }

void count_uses(Function& f);
/// One line a value, for tests and people.
std::string print(const Function& f);
/// Empty, or what is wrong: operands that do not dominate their use, phis that do not fit their predecessors, folded loads against the
/// rules above ... For tests, fuzzers and debug builds.
std::string check(const Function& f);

}  // namespace skep::jit
