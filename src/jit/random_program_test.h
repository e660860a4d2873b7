// jit tests: structured programs made at random. They end, stay in their memory and read nothing that was not written.
#pragma once
#include <array>
#include <random>

#include "isa/asm_test.h"
#include "progtypes/func_ids.h"

namespace skep::jit::test {

using skep::test::Prog;
using skep::test::operator+;

/// r9 points to MEMORY bytes of shared memory, r8 and the stack below -256 count turns of loops; the rest is scalars.
class RandomProgram {
 public:
  static constexpr s32 MEMORY = 64;

  explicit RandomProgram(u32 seed) : rng_(seed) {}

  /// `memory`: what r9 points to. `map`: an array map with MEMORY bytes a value, or null.
  Prog make(const void* memory, const void* map) {
    using namespace skep::test;
    memory_ = memory;
    map_ = map;
    Prog p = ldptr(9, memory, BPF_PSEUDO_MAP_VALUE);
    for (u32 r = 0; r <= 7; ++r) p = p + ldimm64(r, any64());
    for (s32 off = -8; off >= -SLOTS * 8; off -= 8) p.push_back(stx(BPF_DW, 10, off, pick(8)));
    p = p + sequence(3, 4 + pick(12));
    Prog hash = {movr(0, 0)};
    for (u32 r = 1; r <= 7; ++r) hash = hash + Prog{alu64k(BPF_MUL, 0, 31), alu64x(BPF_ADD, 0, r)};
    for (s32 off = -8; off >= -SLOTS * 8; off -= 8)
      hash = hash + Prog{ldx(BPF_DW, 1, 10, off), alu64k(BPF_MUL, 0, 31), alu64x(BPF_XOR, 0, 1)};
    return p + hash + Prog{exit_()};
  }

 private:
  static constexpr s32 SLOTS = 6;

  u32 pick(u32 n) { return static_cast<u32>(rng_() % n); }
  u32 reg() { return pick(8); }
  s32 any32() {
    static constexpr s32 edges[] = {0,   1,    -1,  2,      3,    4,      5,       7,          8,
                                    10,  16,   24,  31,     32,   33,     63,      64,         100,
                                    127, 128,  255, 256,    1000, 0xffff, 0x10000, 0x7fffffff, -0x7fffffff - 1,
                                    -2,  -128, 641, 1 << 20};
    return pick(3) == 0 ? static_cast<s32>(rng_()) : edges[pick(std::size(edges))];
  }
  u64 any64() {
    switch (pick(4)) {
      case 0:
        return rng_();
      case 1:
        return static_cast<u64>(static_cast<s64>(any32()));
      case 2:
        return u64{1} << pick(64);
      default:
        return static_cast<u32>(any32());
    }
  }
  u8 size() { return std::array<u8, 4>{BPF_B, BPF_H, BPF_W, BPF_DW}[pick(4)]; }

  Prog sequence(u32 depth, u32 n) {
    Prog p;
    for (u32 i = 0; i < n; ++i) p = p + statement(depth);
    return p;
  }

  Prog statement(u32 depth) {
    switch (pick(depth == 0 ? 16 : 22)) {
      default:
        return {arithmetic()};
      case 8:
        return idiom();
      case 9:
      case 10:
        return stack_access();
      case 11:
        return memory_access();
      case 12:
        return atomic_access();
      case 13:
        return idiom();
      case 14:
        return lookup();
      case 15:
        return call_away();
      case 16:
      case 17:
        return diamond(depth - 1);
      case 18:
        return hammock(depth - 1);
      case 19:
        return select();
      case 20:
        return loop(depth - 1);
      case 21:
        return diamond(depth - 1);
    }
  }

  bpf_insn arithmetic() {
    using namespace skep::test;
    static constexpr u8 ops[] = {BPF_ADD, BPF_SUB, BPF_MUL, BPF_DIV, BPF_OR,   BPF_AND,
                                 BPF_LSH, BPF_RSH, BPF_MOD, BPF_XOR, BPF_ARSH, BPF_MOV};
    const u8 cls = pick(2) == 0 ? BPF_ALU64 : BPF_ALU;
    switch (pick(14)) {
      case 0:
        return raw(cls | BPF_NEG, reg());
      case 1:
        return raw(static_cast<u8>((cls == BPF_ALU ? BPF_ALU | (pick(2) == 0 ? BPF_TO_BE : BPF_TO_LE) : BPF_ALU64) | BPF_END),
                   reg(), 0, 0, std::array<s32, 3>{16, 32, 64}[pick(3)]);
      case 2:
        return raw(cls | BPF_MOV | BPF_X, reg(), reg(), std::array<s32, 4>{0, 8, 16, cls == BPF_ALU64 ? 32 : 16}[pick(4)]);
      default:
        break;
    }
    const u8 op = ops[pick(std::size(ops))];
    const s32 off = (op == BPF_DIV || op == BPF_MOD) && pick(2) == 0 ? 1 : 0;
    if (pick(2) == 0) return raw(cls | op | BPF_X, reg(), reg(), off);
    const bool shifts = op == BPF_LSH || op == BPF_RSH || op == BPF_ARSH;
    return raw(cls | op | BPF_K, reg(), 0, off, shifts ? static_cast<s32>(pick(cls == BPF_ALU ? 32 : 64)) : any32());
  }

  /// What compilers write for what BPF has no instruction for.
  Prog idiom() {
    using namespace skep::test;
    const u32 a = reg(), b = (a + 1 + pick(7)) % 8;
    const s32 n = static_cast<s32>(1 + pick(31)), m = static_cast<s32>(1 + pick(63));
    switch (pick(9)) {
      case 0:
        return {alu64k(BPF_LSH, a, 32), alu64k(BPF_RSH, a, 32)};
      case 1:
        return {alu64k(BPF_LSH, a, 32), alu64k(BPF_ARSH, a, 32)};
      case 2:
        return {alu64k(BPF_LSH, a, 32), alu64k(BPF_RSH, a, m)};
      case 3:
        return {alu32x(BPF_MOV, b, a), alu32k(BPF_LSH, a, n), alu32k(BPF_RSH, b, 32 - n), alu32x(BPF_OR, a, b)};
      case 4:
        return {movr(b, a), alu64k(BPF_LSH, a, m), alu64k(BPF_RSH, b, 64 - m), alu64x(pick(2) == 0 ? BPF_OR : BPF_XOR, a, b)};
      case 5:
        return {alu64k(BPF_LSH, a, 56), alu64k(pick(2) == 0 ? BPF_ARSH : BPF_RSH, a, 56)};
      case 6:
        return {alu64k(BPF_LSH, a, m), alu64k(BPF_RSH, a, m)};
      case 7:
        return {alu32x(BPF_MOV, a, a),      movr(b, a),           alu64k(BPF_LSH, a, n),
                alu64k(BPF_RSH, b, 32 - n), alu64x(BPF_OR, a, b), alu32x(BPF_MOV, a, a)};
      default:
        return {alu64k(BPF_AND, a, 255), alu64k(BPF_LSH, a, 3), alu64x(BPF_ADD, a, b), alu64k(BPF_ADD, a, any32())};
    }
  }

  Prog access(u32 base, s32 low, s32 bytes) {
    using namespace skep::test;
    const u8 s = size();
    const s32 width = s == BPF_B ? 1 : s == BPF_H ? 2 : s == BPF_W ? 4 : 8;
    const s32 off = low + static_cast<s32>(pick(static_cast<u32>(bytes / width))) * width;
    switch (pick(4)) {
      case 0:
        return {st(s, base, off, any32())};
      case 1:
        return {stx(s, base, off, reg())};
      case 2:
        if (s != BPF_DW) return {ldsx(s, reg(), base, off)};
        [[fallthrough]];
      default:
        return {ldx(s, reg(), base, off)};
    }
  }
  /// Memory changed where it is, or nearly so: the operation's width, the load's and the store's size need not be the same.
  Prog change(u8 s, u32 base, s32 off, u32 v) {
    using namespace skep::test;
    static constexpr u8 ops[] = {BPF_ADD, BPF_SUB, BPF_AND, BPF_OR, BPF_XOR};
    const u8 op = ops[pick(std::size(ops))], cls = pick(2) == 0 ? BPF_ALU64 : BPF_ALU;
    const u32 other = (v + 1 + pick(7)) % 8;
    if (v == base || other == base) return {ldx(s, (base + 1) % 8, base, off), stx(s, base, off, (base + 1) % 8)};
    const bool turned = pick(4) == 0;
    Prog p = {ldx(base == 9 && pick(5) == 0 ? size() : s, v, base, off)};
    if (turned)
      p.push_back(raw(cls | op | BPF_X, other, v));
    else if (pick(2) == 0)
      p.push_back(raw(cls | op | BPF_X, v, other));
    else
      p.push_back(raw(cls | op | BPF_K, v, 0, 0, any32()));
    p.push_back(stx(s, base, off, turned ? other : v));
    p.push_back(mov(v, any32()));
    if (pick(2) == 0) p.push_back(movr(other, v));
    return p;
  }
  Prog stack_access() {
    using namespace skep::test;
    if (pick(4) != 0) {  // spills and fills
      const s32 off = -8 * static_cast<s32>(1 + pick(SLOTS));
      if (pick(2) == 0) return {stx(BPF_DW, 10, off, reg())};
      return {ldx(BPF_DW, reg(), 10, off)};
    }
    return access(10, -8 * SLOTS, 8 * static_cast<s32>(1 + pick(SLOTS)));
  }
  Prog memory_access() {
    using namespace skep::test;
    if (pick(2) == 0) return access(9, 0, MEMORY);
    if (pick(3) == 0) return change(size(), 9, 8 * static_cast<s32>(pick(MEMORY / 8)), reg());
    // An indexed one. The index is in range.
    const u32 i = reg(), v = (i + 1 + pick(7)) % 8;
    const u8 s = size();
    const s32 log = s == BPF_B ? 0 : s == BPF_H ? 1 : s == BPF_W ? 2 : 3;
    Prog p = {pick(2) == 0 ? alu64k(BPF_AND, i, (MEMORY >> log) / 2 - 1) : alu32k(BPF_AND, i, (MEMORY >> log) / 2 - 1),
              alu64k(BPF_LSH, i, log), alu64x(BPF_ADD, i, 9)};
    const s32 off = static_cast<s32>(pick(2)) * (MEMORY / 2);
    p.push_back(pick(2) == 0 ? ldx(s, v, i, off) : stx(s, i, off, v));
    if (pick(3) == 0) p = p + change(s, i, off, v);
    p.push_back(mov(i, any32()));
    return p;
  }
  Prog atomic_access() {
    using namespace skep::test;
    static constexpr s32 ops[] = {
        BPF_ADD,  BPF_AND,    BPF_OR, BPF_XOR, BPF_ADD | BPF_FETCH, BPF_AND | BPF_FETCH, BPF_OR | BPF_FETCH, BPF_XOR | BPF_FETCH,
        BPF_XCHG, BPF_CMPXCHG};
    const bool wide = pick(2) == 0;
    const s32 off = static_cast<s32>(pick(MEMORY / 8)) * 8;
    if (pick(3) == 0)
      return {atomic(wide ? BPF_DW : BPF_W, ops[pick(std::size(ops))], 10, -8 * static_cast<s32>(1 + pick(SLOTS)), reg())};
    return {atomic(wide ? BPF_DW : BPF_W, ops[pick(std::size(ops))], 9, off, reg())};
  }

  /// After a call r1 to r5 have something new.
  Prog refill() {
    using namespace skep::test;
    Prog p;
    for (u32 r = 1; r <= 5; ++r) p.push_back(pick(2) == 0 ? movr(r, 6 + pick(2)) : mov(r, any32()));
    return p;
  }
  Prog call_away() {
    using namespace skep::test;
    return Prog{call(func::get_smp_processor_id)} + refill();
  }
  Prog lookup() {
    using namespace skep::test;
    if (map_ == nullptr) return call_away();
    const s32 key = -8 * static_cast<s32>(1 + pick(SLOTS)) + 4;
    Prog p;
    if (pick(2) == 0)
      p = {st(BPF_W, 10, key, static_cast<s32>(pick(6)))};
    else
      p = {alu64k(BPF_AND, 6, 7), stx(BPF_W, 10, key, 6)};
    p = p + ldptr(1, map_) + Prog{movr(2, 10), alu64k(BPF_ADD, 2, key), call(func::map_lookup_elem)};
    const Prog hit = {ldx(BPF_DW, 1, 0, 8), alu64k(BPF_ADD, 1, 1), stx(BPF_DW, 0, 8, 1), ldx(BPF_W, 7, 0, 0), mov(0, any32())};
    p = p + Prog{jk(BPF_JEQ, 0, 0, static_cast<s32>(hit.size()))} + hit;
    return p + Prog{mov(0, any32())} + refill();
  }

  bpf_insn branch(s32 off) {
    using namespace skep::test;
    static constexpr u8 ops[] = {BPF_JEQ,  BPF_JNE,  BPF_JGT,  BPF_JGE,  BPF_JLT, BPF_JLE,
                                 BPF_JSGT, BPF_JSGE, BPF_JSLT, BPF_JSLE, BPF_JSET};
    const u8 op = ops[pick(std::size(ops))];
    const u32 a = reg(), b = reg();
    switch (pick(4)) {
      case 0:
        return jk(op, a, any32(), off);
      case 1:
        return jx(op, a, b, off);
      case 2:
        return j32k(op, a, any32(), off);
      default:
        return j32x(op, a, b, off);
    }
  }
  Prog diamond(u32 depth) {
    using namespace skep::test;
    const Prog yes = sequence(depth, 1 + pick(4)), no = sequence(depth, 1 + pick(3));
    return Prog{branch(static_cast<s32>(no.size()) + 1)} + no + Prog{ja(static_cast<s32>(yes.size()))} + yes;
  }
  Prog hammock(u32 depth) {
    const Prog body = sequence(depth, 1 + pick(3));
    return Prog{branch(static_cast<s32>(body.size()))} + body;
  }
  Prog select() {
    using namespace skep::test;
    const u32 a = reg(), b = reg();
    switch (pick(3)) {
      case 0:
        return {branch(1), movr(a, b)};
      case 1:
        return {branch(1), mov(a, any32())};
      default:
        return {jx(std::array<u8, 4>{BPF_JLT, BPF_JGT, BPF_JSGT, BPF_JSLE}[pick(4)], a, b, 1), movr(a, b)};
    }
  }
  Prog loop(u32 depth) {
    using namespace skep::test;
    const s32 turns = static_cast<s32>(1 + pick(depth == 0 && pick(4) == 0 ? 24 : 4)), counter = -264 - 8 * static_cast<s32>(depth);
    Prog body = sequence(depth, 1 + pick(4));
    if (pick(4) == 0) {  // values that go from register to register, turn by turn
      body = {movr(reg(), reg()), movr(reg(), reg())};
      for (u32 n = pick(4); n-- > 0;) body.push_back(arithmetic());
      body.push_back(movr(reg(), reg()));
    }
    const s32 length = static_cast<s32>(body.size());
    if (pick(2) == 0 && depth == 0)  // counted in a register
      return Prog{mov(8, 0)} + body + Prog{alu64k(BPF_ADD, 8, 1), jk(BPF_JLT, 8, turns, -length - 2)};
    return Prog{st(BPF_DW, 10, counter, turns)} + body +
           Prog{ldx(BPF_DW, 8, 10, counter), alu64k(BPF_SUB, 8, 1), stx(BPF_DW, 10, counter, 8), jk(BPF_JNE, 8, 0, -length - 4)};
  }

  std::mt19937_64 rng_;
  const void* memory_ = nullptr;
  const void* map_ = nullptr;
};

}  // namespace skep::jit::test
