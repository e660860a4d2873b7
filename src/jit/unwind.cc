#include "jit/unwind.h"

#include <Zydis/Zydis.h>

#include <algorithm>

namespace skep {
namespace {

constexpr u32 NONE = ~0u;
constexpr u32 RETURN_ADDRESS = 8;
/// The machine's number for each of UNWIND_REGS.
constexpr s8 MACHINE_REGS[] = {3, 5, 12, 13, 14, 15};
constexpr s8 MACHINE_RSP = 4;

struct Frame {
  u32 cfa = RETURN_ADDRESS;
  std::array<u32, std::size(UNWIND_REGS)> saved{};
  bool operator==(const Frame&) const = default;
};

struct Insn {
  ZydisDecodedInstruction head;
  ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
};

/// The machine's number of a general register, whatever part of it is named; negative: it is none.
s8 register_of(const ZydisDecodedOperand& o) {
  if (o.type != ZYDIS_OPERAND_TYPE_REGISTER) return -1;
  const ZydisRegister whole = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, o.reg.value);
  return ZydisRegisterGetClass(whole) == ZYDIS_REGCLASS_GPR64 ? ZydisRegisterGetId(whole) : s8{-1};
}

/// Its index in UNWIND_REGS.
u32 kept_index(s8 reg) {
  const auto* found = std::find(std::begin(MACHINE_REGS), std::end(MACHINE_REGS), reg);
  return found == std::end(MACHINE_REGS) ? NONE : static_cast<u32>(found - MACHINE_REGS);
}

bool writes(const ZydisDecodedOperand& o) { return (o.actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) != 0; }

/// False: rsp is not followed any further, or a register of the caller's is lost.
bool push(Frame& f, const Insn& in) {
  if (in.operands[0].size != 64) return false;
  f.cfa += 8;
  const u32 i = kept_index(register_of(in.operands[0]));
  if (i != NONE && f.saved[i] == 0) f.saved[i] = f.cfa;
  return true;
}

bool pop(Frame& f, const Insn& in) {
  if (in.operands[0].size != 64 || f.cfa <= RETURN_ADDRESS || register_of(in.operands[0]) == MACHINE_RSP) return false;
  const u32 i = kept_index(register_of(in.operands[0]));
  if (i != NONE && f.saved[i] == 0) return false;
  if (i != NONE && f.saved[i] == f.cfa) f.saved[i] = 0;
  f.cfa -= 8;
  // What was saved there is gone.
  return std::all_of(f.saved.begin(), f.saved.end(), [&](u32 s) { return s <= f.cfa; });
}

/// add and sub with a constant, lea from rsp.
bool move_rsp(Frame& f, const Insn& in) {
  s64 by = 0;
  const ZydisDecodedOperand &to = in.operands[0], &from = in.operands[1];
  if (to.size != 64) return false;
  if (in.head.mnemonic == ZYDIS_MNEMONIC_LEA) {
    if (from.mem.base != ZYDIS_REGISTER_RSP || from.mem.index != ZYDIS_REGISTER_NONE) return false;
    by = from.mem.disp.value;
  } else if (from.type == ZYDIS_OPERAND_TYPE_IMMEDIATE && in.head.mnemonic == ZYDIS_MNEMONIC_ADD) {
    by = from.imm.value.s;
  } else if (from.type == ZYDIS_OPERAND_TYPE_IMMEDIATE && in.head.mnemonic == ZYDIS_MNEMONIC_SUB) {
    by = -from.imm.value.s;
  } else {
    return false;
  }
  const s64 cfa = s64{f.cfa} - by;
  if (cfa < RETURN_ADDRESS || cfa > INT32_MAX) return false;
  f.cfa = static_cast<u32>(cfa);
  return std::all_of(f.saved.begin(), f.saved.end(), [&](u32 s) { return s <= f.cfa; });
}

bool any_other(Frame& f, const Insn& in) {
  for (u32 i = 0; i < in.head.operand_count; ++i) {
    if (!writes(in.operands[i])) continue;
    const s8 reg = register_of(in.operands[i]);
    if (reg == MACHINE_RSP) return move_rsp(f, in);
    const u32 kept = kept_index(reg);
    if (kept != NONE && f.saved[kept] == 0) return false;
  }
  return true;
}

class Walk {
 public:
  Walk(std::span<const u8> code, u32 begin, u32 end, std::span<const CodeFault> faults)
      : code_(code), begin_(begin), end_(end), faults_(faults), frame_at_(end - begin, NONE) {
    ZydisDecoderInit(&decoder_, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
  }

  bool all() {
    bool good = reach(begin_, Frame{});
    while (good && !work_.empty()) {
      const u32 at = work_.back();
      work_.pop_back();
      good = from(at);
    }
    return good;
  }

  std::vector<UnwindRow> rows() const {
    std::vector<UnwindRow> out;
    u32 last = NONE;
    for (u32 i = 0; i < frame_at_.size(); ++i) {
      if (frame_at_[i] == NONE || frame_at_[i] == last) continue;
      last = frame_at_[i];
      out.push_back({begin_ + i, frames_[last].cfa, frames_[last].saved});
    }
    return out;
  }

 private:
  u32 number_of(const Frame& f) {
    const auto found = std::find(frames_.begin(), frames_.end(), f);
    const u32 number = static_cast<u32>(found - frames_.begin());
    if (found == frames_.end()) frames_.push_back(f);
    return number;
  }

  /// A way comes to `at` with this frame. What lies outside of the function is left for good, as at a return.
  bool reach(u64 at, const Frame& f) {
    if (at < begin_ || at >= end_) return f == Frame{};
    u32& here = frame_at_[at - begin_];
    const u32 number = number_of(f);
    if (here == NONE) {
      here = number;
      work_.push_back(static_cast<u32>(at));
    }
    return here == number;
  }

  bool from(u32 at) {
    Insn in;
    if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder_, code_.data() + at, end_ - at, &in.head, in.operands))) return false;
    Frame f = frames_[frame_at_[at - begin_]];
    const auto fault = std::lower_bound(faults_.begin(), faults_.end(), at, [](const CodeFault& x, u32 y) { return x.at < y; });
    if (fault != faults_.end() && fault->at == at && !reach(fault->fixup, f)) return false;
    const u32 next = at + in.head.length;
    const bool relative = in.operands[0].type == ZYDIS_OPERAND_TYPE_IMMEDIATE && in.operands[0].imm.is_relative;
    const u64 target = relative ? next + in.operands[0].imm.value.u : 0;
    switch (in.head.meta.category) {
      case ZYDIS_CATEGORY_RET:
        return in.head.operand_count_visible == 0 && f == Frame{};
      case ZYDIS_CATEGORY_UNCOND_BR:
        return relative ? reach(target, f) : f == Frame{};
      case ZYDIS_CATEGORY_COND_BR:
        return reach(target, f) && falls_to(next, f);
      case ZYDIS_CATEGORY_CALL:
        return falls_to(next, f);
      default:
        break;
    }
    if (in.head.mnemonic == ZYDIS_MNEMONIC_HLT) return true;
    const bool followed = in.head.mnemonic == ZYDIS_MNEMONIC_PUSH  ? push(f, in)
                          : in.head.mnemonic == ZYDIS_MNEMONIC_POP ? pop(f, in)
                                                                   : any_other(f, in);
    return followed && falls_to(next, f);
  }

  bool falls_to(u32 next, const Frame& f) { return next < end_ && reach(next, f); }

  ZydisDecoder decoder_;
  std::span<const u8> code_;
  u32 begin_, end_;
  std::span<const CodeFault> faults_;
  std::vector<u32> frame_at_;  ///< by offset from begin_: number of the frame, where an instruction begins that can be reached
  std::vector<Frame> frames_;
  std::vector<u32> work_;
};

}  // namespace

Result<std::vector<UnwindRow>> unwind_rows(std::span<const u8> code, u32 begin, u32 end, std::span<const CodeFault> faults) {
  if (begin >= end || end > code.size()) return Errno(EINVAL);
  Walk walk(code, begin, end, faults);
  if (!walk.all()) return Errno(EINVAL);
  return walk.rows();
}

}  // namespace skep
