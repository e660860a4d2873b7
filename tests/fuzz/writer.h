// tests/fuzz: what the generator believes of registers and stack at the place where it writes. A coarse verifier of its own: it
// errs to either side, which is what makes the programs interesting.
#pragma once
#include <array>
#include <bitset>

#include "isa/asm_test.h"
#include "program.h"
#include "rng.h"

namespace skep::fuzz {

enum class Kind : u8 { None, Scalar, Ctx, Stack, MapPtr, Value, ValueOrNull, Packet, PacketEnd, Meta, Mem, MemOrNull };

struct Reg {
  Kind kind = Kind::None;
  u32 map = 0;      ///< of values
  s32 off = 0;      ///< fixed distance from the start of the object (stack: from r10)
  u32 size = 0;     ///< Mem: bytes of it; Packet: bytes known to be there
  u64 max = ~0ULL;  ///< Scalar: greatest value, as far as known
  bool read_only = false;
  bool operator==(const Reg&) const = default;
};

struct Beliefs {
  std::array<Reg, 11> regs;
  std::bitset<512> written;     ///< stack bytes, [0] is r10 - 512
  std::array<Reg, 64> spilled;  ///< [i]: at r10 - 512 + 8 * i

  /// What holds whichever of two ways was taken.
  void meet(const Beliefs& other) {
    for (u32 i = 0; i < regs.size(); ++i) regs[i] = both(regs[i], other.regs[i]);
    for (u32 i = 0; i < spilled.size(); ++i) spilled[i] = both(spilled[i], other.spilled[i]);
    written &= other.written;
  }

 private:
  static Reg both(Reg a, const Reg& b) {
    if (a.kind != b.kind) return {};
    const u64 max = a.max > b.max ? a.max : b.max;
    if (a.kind == Kind::Scalar) return {.kind = Kind::Scalar, .max = max};
    return a == b ? a : Reg{};
  }
};

}  // namespace skep::fuzz
