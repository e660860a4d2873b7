// What a run may touch, and each way of being stopped.
#include "helpers/memory.h"

#include "helpers/run_fixture_test.h"
#include "interp/interp.h"

namespace skep::test {
namespace {

class Memory : public RunFixture {
 protected:
  u64 run(const Prog& p, u32 type = BPF_PROG_TYPE_KPROBE) { return interp_run(prepare(p, type)); }
  u64 good(const Prog& p) {
    const u64 r0 = run(p);
    EXPECT_EQ(run_->fault.kind, FaultKind::None) << "insn " << run_->fault.insn << " addr " << std::hex << run_->fault.addr;
    return r0;
  }
  /// The run must end at `insn` for that reason, answer 0 and be counted.
  void bad(const Prog& p, FaultKind kind, u32 insn, u32 type = BPF_PROG_TYPE_KPROBE) {
    const u64 before = stats_->faults;
    EXPECT_EQ(run(p, type), 0u);
    EXPECT_EQ(run_->fault.kind, kind);
    EXPECT_EQ(run_->fault.insn, insn);
    EXPECT_EQ(stats_->faults, before + 1);
  }
  u64 map_value(MapDesc* desc, u32 key) { return reinterpret_cast<u64>(map_ops(desc->type)->lookup(op(), desc, &key)); }
};

TEST_F(Memory, StackEndsAtItsFrame) {
  bad({mov(0, 1), stx(BPF_DW, 10, 0, 0), exit_()}, FaultKind::BadWrite, 1);
  bad({mov(0, 1), ldx(BPF_DW, 0, 10, -4), exit_()}, FaultKind::BadRead, 1);  // the last four bytes and four beyond
  // A frame is what programs may use and what rewriting adds.
  bad({mov(0, 1), stx(BPF_B, 10, -static_cast<s32>(RUN_FRAME_BYTES) - 1, 0), exit_()}, FaultKind::BadWrite, 1);
  good({mov(0, 1), stx(BPF_B, 10, -static_cast<s32>(RUN_FRAME_BYTES), 0), stx(BPF_B, 10, -1, 0), exit_()});
}

TEST_F(Memory, CalleeMayUseItsCallersFramesButNotAcrossTheirEdges) {
  // frame 1 gets the caller's r10 in r1.
  const auto in_callee = [](const bpf_insn& insn) { return Prog{movr(1, 10), call_pc(1), exit_(), mov(0, 3), insn, exit_()}; };
  EXPECT_EQ(good(in_callee(stx(BPF_DW, 1, -8, 0))), 3u);
  EXPECT_EQ(good(in_callee(stx(BPF_DW, 1, -512, 0))), 3u);
  bad(in_callee(stx(BPF_DW, 1, -4, 0)), FaultKind::BadWrite, 4);  // half in frame 0, half in frame 1
  bad(in_callee(stx(BPF_DW, 10, 0, 0)), FaultKind::BadWrite, 4);  // frame 2, not entered
}

TEST_F(Memory, AReturnedFrameIsGone) {
  bad({call_pc(3), mov(1, 1), stx(BPF_DW, 0, -8, 1), exit_(), movr(0, 10), exit_()}, FaultKind::BadWrite, 2);
}

TEST_F(Memory, ContextCannotBeWrittenNorLeft) {
  bad({st(BPF_B, 1, 0, 0), exit_()}, FaultKind::BadWrite, 0);
  bad({ldx(BPF_B, 0, 1, 64), exit_()}, FaultKind::BadRead, 0);
  bad({ldx(BPF_B, 0, 1, -1), exit_()}, FaultKind::BadRead, 0);
  bad({ldx(BPF_DW, 0, 1, 57), exit_()}, FaultKind::BadRead, 0);
  bad({mov(2, 1), atomic(BPF_DW, BPF_ADD, 1, 0, 2), exit_()}, FaultKind::BadWrite, 1);
}

TEST_F(Memory, NullTheTestsMemoryAndTheWindowAreOutOfReach) {
  bad({mov(1, 0), ldx(BPF_DW, 0, 1, 0), exit_()}, FaultKind::BadRead, 1);
  bad({mov(1, -8), ldx(BPF_DW, 0, 1, 0), exit_()}, FaultKind::BadRead, 1);  // wraps
  u64 secret = 5;
  bad(ldptr(1, &secret) + Prog{ldx(BPF_DW, 0, 1, 0), exit_()}, FaultKind::BadRead, 2);
  MapDesc* array = map(BPF_MAP_TYPE_ARRAY, 4, 8, 4);
  bad(ldptr(1, array) + Prog{ldx(BPF_DW, 0, 1, 0), exit_()}, FaultKind::BadRead, 2);  // the descriptor itself
  bad(ldptr(1, host_->ram()) + Prog{st(BPF_DW, 1, 0, 0), exit_()}, FaultKind::BadWrite, 2);
}

TEST_F(Memory, MapValuesToTheirEdges) {
  MapDesc* array = map(BPF_MAP_TYPE_ARRAY, 4, 12, 4);  // 12 bytes of a stride of 16
  map(BPF_MAP_TYPE_HASH, 4, 8, 4);
  const u64 value = map_value(array, 1);
  EXPECT_EQ(good(ldimm64(1, value) + Prog{st(BPF_W, 1, 8, 77), ldx(BPF_W, 0, 1, 8), exit_()}), 77u);
  EXPECT_EQ(good(ldimm64(1, value) + Prog{mov(2, 5), atomic(BPF_W, BPF_ADD | BPF_FETCH, 1, 8, 2), movr(0, 2), exit_()}), 77u);
  bad(ldimm64(1, value) + Prog{ldx(BPF_DW, 0, 1, 8), exit_()}, FaultKind::BadRead, 2);
  bad(ldimm64(1, value) + Prog{ldx(BPF_W, 0, 1, 12), exit_()}, FaultKind::BadRead, 2);
  bad(ldimm64(1, value) + Prog{ldx(BPF_B, 0, 1, -1), exit_()}, FaultKind::BadRead, 2);
}

TEST_F(Memory, ValuesOfMapsThatAreNotTheProgramsAreOutOfReach) {
  MapDesc* array = map(BPF_MAP_TYPE_ARRAY, 4, 8, 1);
  const u64 value = map_value(array, 0);
  maps_.clear();
  bad(ldimm64(1, value) + Prog{ldx(BPF_DW, 0, 1, 0), exit_()}, FaultKind::BadRead, 2);
}

TEST_F(Memory, ProgramAccessFlagsOfMaps) {
  MapDesc* ro = map(BPF_MAP_TYPE_ARRAY, 4, 8, 1, BPF_F_RDONLY_PROG);
  MapDesc* wo = map(BPF_MAP_TYPE_ARRAY, 4, 8, 1, BPF_F_WRONLY_PROG);
  good(ldimm64(1, map_value(ro, 0)) + Prog{ldx(BPF_DW, 0, 1, 0), exit_()});
  bad(ldimm64(1, map_value(ro, 0)) + Prog{st(BPF_DW, 1, 0, 0), exit_()}, FaultKind::BadWrite, 2);
  good(ldimm64(1, map_value(wo, 0)) + Prog{st(BPF_DW, 1, 0, 0), mov(0, 0), exit_()});
  bad(ldimm64(1, map_value(wo, 0)) + Prog{ldx(BPF_DW, 0, 1, 0), exit_()}, FaultKind::BadRead, 2);
  bad(ldimm64(1, map_value(wo, 0)) + Prog{mov(2, 1), atomic(BPF_DW, BPF_ADD, 1, 0, 2), exit_()}, FaultKind::BadWrite, 3);
  const Prog update = Prog{st(BPF_W, 10, -4, 0), st(BPF_DW, 10, -16, 0), movr(2, 10), alu64k(BPF_ADD, 2, -4), movr(3, 10),
                           alu64k(BPF_ADD, 3, -16), mov(4, 0)};
  bad(update + ldptr(1, ro) + Prog{call(BPF_FUNC_map_update_elem), exit_()}, FaultKind::BadHelperArg, 9);
  good(update + ldptr(1, wo) + Prog{call(BPF_FUNC_map_update_elem), exit_()});
}

TEST_F(Memory, AtomicsMustBeAligned) {
  bad({mov(1, 1), atomic(BPF_DW, BPF_ADD, 10, -12, 1), exit_()}, FaultKind::Misaligned, 1);
  bad({mov(1, 1), atomic(BPF_W, BPF_ADD, 10, -6, 1), exit_()}, FaultKind::Misaligned, 1);
}

TEST_F(Memory, BadInstructions) {
  bad({raw(0xff), exit_()}, FaultKind::BadOpcode, 0);
  bad({raw(BPF_LD | BPF_ABS | BPF_W), exit_()}, FaultKind::BadOpcode, 0);
  bad(ldimm64(1, 5, BPF_PSEUDO_FUNC) + Prog{exit_()}, FaultKind::BadPc, 0);
  bad({raw(BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_KFUNC_CALL, 0, 1), exit_()}, FaultKind::BadOpcode, 0);
  bad({raw(BPF_ALU64 | BPF_MOV | BPF_X, 1, 2, 1, 1), exit_()}, FaultKind::BadOpcode, 0);
  bad({raw(BPF_ALU64 | BPF_MOV | BPF_X, 1, 2, -1), exit_()}, FaultKind::BadOpcode, 0);
  bad({atomic(BPF_DW, 0x33, 10, -8, 1), exit_()}, FaultKind::BadOpcode, 0);
  bad({raw(BPF_JMP | BPF_JCOND, 0, 1, 1), exit_(), exit_()}, FaultKind::BadOpcode, 0);
  bad({mov(12, 0), exit_()}, FaultKind::BadRegister, 0);
  EXPECT_EQ(good({mov(11, 7), movr(0, 11), exit_()}), 7u) << "BPF_REG_AX";
  bad({movr(0, 15), exit_()}, FaultKind::BadRegister, 0);
  bad({mov(10, 0), exit_()}, FaultKind::BadRegister, 0);
  bad({ldx(BPF_B, 10, 1, 0), exit_()}, FaultKind::BadRegister, 0);
  bad({atomic(BPF_DW, BPF_XCHG, 10, -8, 10), exit_()}, FaultKind::BadRegister, 0);
}

TEST_F(Memory, ProgramCounterStaysInside) {
  bad({ja(-2)}, FaultKind::BadPc, 0);
  bad({ja(0)}, FaultKind::BadPc, 0);
  bad({mov(0, 0)}, FaultKind::BadPc, 1);
  bad({call_pc(5), exit_()}, FaultKind::BadPc, 0);
  bad({raw(LDIMM64_CODE, 1)}, FaultKind::BadPc, 0);
}

TEST_F(Memory, StepLimitEndsLoops) {
  step_limit_ = 1000;
  bad({ja(-1)}, FaultKind::StepLimit, 0);
  EXPECT_EQ(run_->steps, 1000u);
  Prog just = Prog(999, mov(0, 5));
  just.push_back(exit_());
  EXPECT_EQ(good(just), 5u);
}

TEST_F(Memory, HelpersMustExistForTheProgramType) {
  bad({call(9999), exit_()}, FaultKind::UnknownHelper, 0);
  bad({call(-1), exit_()}, FaultKind::UnknownHelper, 0);
  bad({call(BPF_FUNC_tail_call), exit_()}, FaultKind::BadHelperArg, 0);
  bad({call(66 /* fib_lookup */), exit_()}, FaultKind::UnknownHelper, 0, BPF_PROG_TYPE_XDP);
  bad({call(BPF_FUNC_get_current_comm), exit_()}, FaultKind::UnknownHelper, 0, BPF_PROG_TYPE_XDP);
  good({call(BPF_FUNC_get_current_uid_gid), exit_()});
}

TEST_F(Memory, HelperArguments) {
  MapDesc* hash = map(BPF_MAP_TYPE_HASH, 8, 8, 4);
  MapDesc* ring = ringbuf(4096);
  MapDesc* foreign = map(BPF_MAP_TYPE_HASH, 8, 8, 4);
  maps_.pop_back();
  const auto lookup = [](const void* m, s32 key_off) {
    return ldptr(1, m) + Prog{movr(2, 10), alu64k(BPF_ADD, 2, key_off), call(BPF_FUNC_map_lookup_elem), exit_()};
  };
  EXPECT_EQ(good(lookup(hash, -8)), 0u);
  bad(lookup(hash, -4), FaultKind::BadHelperArg, 4);     // key runs off the stack
  bad(lookup(foreign, -8), FaultKind::BadHelperArg, 4);  // a map, but not the program's
  bad(lookup(ring, -8), FaultKind::BadHelperArg, 4);     // a map of the wrong kind
  bad(lookup(&env_, -8), FaultKind::BadHelperArg, 4);

  const auto probe_read = [](s32 off, s32 size) {
    return Prog{movr(1, 10), alu64k(BPF_ADD, 1, off), mov(2, size), mov(3, 0), call(BPF_FUNC_probe_read_user), exit_()};
  };
  good(probe_read(-8, 8));
  good(probe_read(100, 0));  // nothing is written
  bad(probe_read(-8, 9), FaultKind::BadHelperArg, 4);
  bad(probe_read(-8, -1), FaultKind::BadHelperArg, 4);
  bad({mov(2, 16), mov(3, 0), call(BPF_FUNC_probe_read_user), exit_()}, FaultKind::BadHelperArg,
      2);  // r1: the context, not writable
  bad({movr(1, 10), mov(2, 0), call(BPF_FUNC_get_current_comm), exit_()}, FaultKind::BadHelperArg, 2);  // ARG_CONST_SIZE: not zero
  bad({movr(1, 10), call(BPF_FUNC_get_attach_cookie), exit_()}, FaultKind::BadHelperArg, 1);
  EXPECT_EQ(good({call(BPF_FUNC_get_attach_cookie), exit_()}), 0xc001eu);
}

TEST_F(Memory, Reservations) {
  MapDesc* ring = ringbuf(4096);
  const Prog reserve = ldptr(1, ring) + Prog{mov(2, 16), mov(3, 0), call(BPF_FUNC_ringbuf_reserve), movr(6, 0)};
  const Prog submit = {movr(1, 6), mov(2, 0), call(BPF_FUNC_ringbuf_submit), mov(0, 1), exit_()};
  EXPECT_EQ(good(reserve + Prog{st(BPF_DW, 6, 8, 5)} + submit), 1u);
  EXPECT_EQ(ringbuf_query(ring->ring, BPF_RB_AVAIL_DATA), 24u);
  bad(reserve + Prog{st(BPF_DW, 6, 9, 5)} + submit, FaultKind::BadWrite, 6);                 // beyond the record
  bad(reserve + Prog{st(BPF_B, 6, -1, 5)} + submit, FaultKind::BadWrite, 6);                 // its header
  bad(reserve + Prog{movr(1, 6), alu64k(BPF_ADD, 1, 8), mov(2, 0), call(BPF_FUNC_ringbuf_submit), exit_()}, FaultKind::BadHelperArg,
      9);
  bad(reserve + Prog{movr(1, 6), mov(2, 0), call(BPF_FUNC_ringbuf_discard), movr(1, 6), mov(2, 0), call(BPF_FUNC_ringbuf_submit),
                     exit_()},
      FaultKind::BadHelperArg, 11);  // twice
  bad(reserve + Prog{movr(1, 6), mov(2, 0), call(BPF_FUNC_ringbuf_submit), st(BPF_DW, 6, 0, 1), exit_()}, FaultKind::BadWrite, 9);
}

TEST_F(Memory, WhatIsStillReservedAtTheEndIsDiscarded) {
  MapDesc* ring = ringbuf(4096);
  const Prog reserve = ldptr(1, ring) + Prog{mov(2, 16), mov(3, 0), call(BPF_FUNC_ringbuf_reserve), mov(0, 4)};
  EXPECT_EQ(good(reserve + reserve + Prog{exit_()}), 4u);
  bad(reserve + Prog{raw(0xff), exit_()}, FaultKind::BadOpcode, 6);
  int seen = 0;
  EXPECT_EQ(ringbuf_consume(ring->ring, [](void* n, const void*, u32) { return ++*static_cast<int*>(n) > 0; }, &seen, 100), 0);
  EXPECT_EQ(ringbuf_query(ring->ring, BPF_RB_AVAIL_DATA), 0u) << "a record was left busy";
}

TEST_F(Memory, ScribbledReservationsDoNotReachOutside) {
  MapDesc* ring = ringbuf(4096);
  prepare({exit_()});
  for (u32 r : {1u, 2u, MAX_RINGS, MAX_RINGS + 1, ~0u})
    for (u64 pos : {0ULL, 3ULL, 8ULL, ~0ULL, 0x123456789ULL}) {
      slot_->reserved[0].ring = r;
      slot_->reserved[0].pos = pos;
      run_may_write(*run_, reinterpret_cast<u64>(ring->ring->data), 8);
      run_discard_reservations(*run_);
      EXPECT_EQ(slot_->reserved[0].ring, 0u);
    }
}

}  // namespace
}  // namespace skep::test
