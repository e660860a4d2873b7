// jit tests: programs at the edges of what the passes may do, against the interpreter.
#include "jit/front_fixture_test.h"
#include "progtypes/func_ids.h"

namespace skep::jit::test {
namespace {

using namespace skep::test;

class FrontEdges : public FrontFixture {
 protected:
  void SetUp() override {
    FrontFixture::SetUp();
    array_ = map(BPF_MAP_TYPE_ARRAY, 4, 64, 4);
    for (u32 i = 0; i < array_->ram_bytes; ++i) array_->ram[i] = static_cast<u8>(0xff - 7 * i);
    for (u32 i = 0; i < 64; ++i) ctx_[i] = static_cast<u8>(0x91 + 13 * i);
  }
  Prog values(u32 reg) { return ldptr(reg, array_->elems, BPF_PSEUDO_MAP_VALUE); }

  MapDesc* array_ = nullptr;
};

/// The upper half of the memory is zero afterwards, and gets no carry.
TEST_F(FrontEdges, A32BitOperationOnALoadOf64Bits) {
  for (const u8 op : {BPF_ADD, BPF_SUB, BPF_AND, BPF_OR, BPF_XOR})
    for (const u8 size : {BPF_B, BPF_H, BPF_W, BPF_DW}) {
      same(Prog{ldx(BPF_DW, 3, 1, 0)} + values(2) +
           Prog{ldx(size, 4, 2, 8), alu32x(op, 4, 3), stx(size, 2, 8, 4), ldx(BPF_DW, 0, 2, 8), exit_()});
      same(values(2) + Prog{ldx(size, 4, 2, 8), alu32k(op, 4, -3), stx(size, 2, 8, 4), ldx(BPF_DW, 0, 2, 8), exit_()});
      same(Prog{ldx(BPF_DW, 3, 1, 0)} + values(2) +
           Prog{ldx(size, 4, 2, 8), alu32x(op, 3, 4), stx(size, 2, 8, 3), ldx(BPF_DW, 0, 2, 8), exit_()});
    }
}

/// Two loops that are both made longer, the second of which names what the first one had at the beginning of its last turn.
TEST_F(FrontEdges, LoopsThatNameEachOthersPhis) {
  const Prog p = {ldx(BPF_DW, 2, 1, 0),
                  ldx(BPF_DW, 3, 1, 8),
                  mov(5, 0),
                  mov(4, 0),
                  movr(4, 2),  // the first loop: 4 is 2 as it was at the beginning of the turn
                  movr(0, 2),
                  alu64x(BPF_ADD, 0, 3),
                  movr(2, 3),
                  movr(3, 0),
                  alu64k(BPF_ADD, 5, 1),
                  jk(BPF_JNE, 5, 4, -7),
                  mov(0, 0),
                  mov(5, 0),
                  alu64k(BPF_MUL, 0, 31),
                  alu64x(BPF_XOR, 0, 4),
                  alu64x(BPF_ADD, 0, 2),
                  alu64k(BPF_ADD, 5, 1),
                  jk(BPF_JNE, 5, 12, -5),
                  exit_()};
  same(p);
}

/// A flag is read before what it stands for.
TEST_F(FrontEdges, LoadsOfSharedMemoryKeepTheirOrder) {
  const Prog p =
      values(2) + Prog{ldx(BPF_DW, 3, 2, 0), ldx(BPF_DW, 0, 2, 8), alu64k(BPF_MUL, 0, 3), jk(BPF_JEQ, 3, 7, 1), mov(0, 0), exit_()};
  same(p);
  const Function f = functions(p)[0];
  bool flag = false;
  for (const Block& b : f.blocks)
    for (const ValueId id : b.values) {
      const Value& v = f.values[id];
      if (v.op != Op::Load) continue;
      EXPECT_FALSE(v.folded && v.disp == 0) << print(f);
      EXPECT_TRUE(flag || v.disp == 0) << print(f);
      flag = true;
    }
  EXPECT_TRUE(flag);
}

/// An address is never 0, its low half may be.
TEST_F(FrontEdges, TheLowHalfOfAnAddress) {
  u8* const real = array_->elems;
  array_->elems = reinterpret_cast<u8*>((u64{7} << 32) - array_->elem_size);  // only looked up, never looked at
  ctx_[0] = 1;
  const Prog p = Prog{ldx(BPF_B, 3, 1, 0), stx(BPF_W, 10, -4, 3)} + ldptr(1, array_) +
                 Prog{movr(2, 10),
                      alu64k(BPF_ADD, 2, -4),
                      call(func::map_lookup_elem),
                      jk(BPF_JEQ, 0, 0, 5),
                      movr(1, 0),
                      alu32x(BPF_MOV, 1, 1),
                      jk(BPF_JEQ, 1, 0, 2),
                      mov(0, 1),
                      exit_(),
                      mov(0, 2),
                      exit_()};
  EXPECT_EQ(same(p), 2u);
  array_->elems = real;
}

/// What others may reach of the stack is not held in registers over them.
TEST_F(FrontEdges, TheStackSeenFromElsewhere) {
  // One of two slots, by an address that is chosen.
  const Prog chosen = {ldx(BPF_B, 3, 1, 0),
                       st(BPF_DW, 10, -8, 5),
                       st(BPF_DW, 10, -16, 6),
                       movr(2, 10),
                       alu64k(BPF_ADD, 2, -8),
                       jk(BPF_JGT, 3, 10, 2),
                       movr(2, 10),
                       alu64k(BPF_ADD, 2, -16),
                       st(BPF_W, 2, 4, 9),
                       ldx(BPF_DW, 0, 10, -8),
                       ldx(BPF_W, 4, 10, -12),
                       alu64x(BPF_ADD, 0, 4),
                       exit_()};
  for (const u8 first : {u8{3}, u8{200}}) {
    ctx_[0] = first;
    same(chosen);
  }
  // An address that is itself on the stack.
  EXPECT_EQ(same({st(BPF_DW, 10, -8, 5), movr(2, 10), alu64k(BPF_ADD, 2, -8), stx(BPF_DW, 10, -16, 2), ldx(BPF_DW, 3, 10, -16),
                  st(BPF_DW, 3, 0, 77), ldx(BPF_DW, 0, 10, -8), exit_()}),
            77u);
  // Pieces of a slot.
  same({ldx(BPF_DW, 2, 1, 0), stx(BPF_DW, 10, -8, 2), st(BPF_H, 10, -6, -2), ldx(BPF_W, 3, 10, -4), ldsx(BPF_W, 0, 10, -8),
        alu64x(BPF_XOR, 0, 3), ldsx(BPF_B, 4, 10, -5), alu64x(BPF_ADD, 0, 4), exit_()});
  // An atomic operation on the upper half.
  same({ldx(BPF_DW, 2, 1, 0), stx(BPF_DW, 10, -8, 2), mov(3, -5), atomic(BPF_W, BPF_ADD | BPF_FETCH, 10, -4, 3),
        ldx(BPF_DW, 0, 10, -8), alu64x(BPF_ADD, 0, 3), exit_()});
}

/// A function is given an address by its second argument alone, and writes below it.
TEST_F(FrontEdges, AFunctionWritesBelowWhatItIsGiven) {
  const Prog p = {st(BPF_DW, 10, -8, 5),
                  st(BPF_DW, 10, -16, 6),
                  movr(2, 10),
                  mov(1, 0),
                  call_pc(4),
                  ldx(BPF_DW, 0, 10, -16),
                  ldx(BPF_DW, 3, 10, -8),
                  alu64x(BPF_ADD, 0, 3),
                  exit_(),
                  st(BPF_DW, 2, -16, 40),
                  ldx(BPF_DW, 0, 2, -8),
                  stx(BPF_W, 2, -4, 0),
                  exit_()};
  starts_ = {0, 9};
  same(p);
}

/// Two maps by one register: neither is known.
TEST_F(FrontEdges, OneOfTwoMaps) {
  MapDesc* other = map(BPF_MAP_TYPE_ARRAY, 4, 8, 2);
  other->elems[8] = 55;
  const Prog tail = {movr(2, 10),
                     alu64k(BPF_ADD, 2, -4),
                     call(func::map_lookup_elem),
                     jk(BPF_JEQ, 0, 0, 2),
                     ldx(BPF_DW, 0, 0, 0),
                     exit_(),
                     mov(0, 99),
                     exit_()};
  const Prog p =
      Prog{ldx(BPF_B, 6, 1, 0), st(BPF_W, 10, -4, 1)} + ldptr(1, array_) + Prog{jk(BPF_JGT, 6, 10, 2)} + ldptr(1, other) + tail;
  ctx_[0] = 3;
  EXPECT_EQ(same(p), 55u);
  ctx_[0] = 200;
  same(p);
}

/// The helper writes eight bytes behind its last argument, of which the program looks at some.
TEST_F(FrontEdges, AHelperWritesTheStack) {
  const Prog p = {st(BPF_DW, 10, -8, 0x3231),
                  st(BPF_DW, 10, -16, -1),
                  st(BPF_DW, 10, -24, 4),
                  movr(1, 10),
                  alu64k(BPF_ADD, 1, -8),
                  mov(2, 8),
                  mov(3, 10),
                  movr(4, 10),
                  alu64k(BPF_ADD, 4, -16),
                  call(func::strtol),
                  ldx(BPF_W, 1, 10, -16),
                  ldx(BPF_W, 2, 10, -12),
                  ldx(BPF_DW, 3, 10, -24),
                  alu64x(BPF_ADD, 0, 1),
                  alu64x(BPF_ADD, 0, 2),
                  alu64x(BPF_ADD, 0, 3),
                  exit_()};
  EXPECT_EQ(same(p), 2u + 12 + 4);
}

}  // namespace
}  // namespace skep::jit::test
