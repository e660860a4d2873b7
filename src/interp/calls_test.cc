// What rewritten programs need: tail calls, callbacks, loads that may fault, the extra register, reads of what was never written.
#include "helpers/run_fixture_test.h"
#include "interp/interp.h"
#include "maps/object_maps.h"
#include "progtypes/func_ids.h"
#include "progtypes/kernel_ctx.h"

namespace skep::test {
namespace {

class Calls : public RunFixture {
 protected:
  u64 run(const Prog& p, u32 type = BPF_PROG_TYPE_KPROBE) { return interp_run(prepare(p, type)); }
  u64 good(const Prog& p, u32 type = BPF_PROG_TYPE_KPROBE) {
    const u64 r0 = run(p, type);
    EXPECT_EQ(run_->fault.kind, FaultKind::None) << "insn " << run_->fault.insn << " addr " << std::hex << run_->fault.addr;
    return r0;
  }
  void bad(const Prog& p, FaultKind kind, u32 insn) {
    EXPECT_EQ(run(p), 0u);
    EXPECT_EQ(run_->fault.kind, kind);
    EXPECT_EQ(run_->fault.insn, insn);
  }
  u64 value_of(MapDesc* desc, u32 key) { return *reinterpret_cast<u64*>(map_ops(desc->type)->lookup(op(), desc, &key)); }

  /// A program that others tail call; lives as long as the test.
  ProgImage* target(Prog insns) {
    programs_.push_back(std::make_unique<std::pair<Prog, ProgImage>>(std::move(insns), ProgImage{}));
    auto& [text, image] = *programs_.back();
    image.type = BPF_PROG_TYPE_KPROBE;
    image.insns = text.data();
    image.insn_cnt = static_cast<u32>(text.size());
    image.maps = maps_.data();
    image.n_maps = static_cast<u32>(maps_.size());
    image.stats = stats_;
    return &image;
  }
  MapDesc* prog_array(u32 entries) {
    MapDesc* desc = map(BPF_MAP_TYPE_PROG_ARRAY, 4, 4, entries);
    desc->elems = static_cast<u8*>(host_->rom_alloc(object_map_rom_bytes(*desc)).value());
    return desc;
  }
  /// tail_call(ctx, array, index); r1 is the context.
  static Prog tail(MapDesc* array, s32 index) { return ldptr(2, array) + Prog{mov(3, index), call(BPF_FUNC_tail_call)}; }

  std::vector<std::unique_ptr<std::pair<Prog, ProgImage>>> programs_;
};

TEST_F(Calls, TailCallGoesOnInTheOtherProgram) {
  MapDesc* array = prog_array(4);
  set_object_at(*array, 1, target({ldx(BPF_B, 0, 1, 0), ldx(BPF_DW, 2, 10, -8), alu64x(BPF_ADD, 0, 2), exit_()}));
  EXPECT_EQ(good(Prog{st(BPF_DW, 10, -8, 99)} + tail(array, 1) + Prog{mov(0, 1), exit_()}), 0x11u)
      << "the context, and a fresh frame";
  EXPECT_EQ(run_->prog, &image_) << "the run is the first program's";
  EXPECT_EQ(good(Prog{mov(6, 3)} + tail(array, 0) + Prog{movr(0, 6), exit_()}), 3u) << "nobody there";
  EXPECT_EQ(good(Prog{mov(6, 3)} + tail(array, 4) + Prog{movr(0, 6), exit_()}), 3u) << "no such index";
  // From a function: its caller goes on after the other program ends, with its own registers.
  EXPECT_EQ(good(Prog{mov(6, 5), call_pc(2), alu64x(BPF_ADD, 0, 6), exit_()} + tail(array, 1) + Prog{mov(0, 1), exit_()}),
            0x11u + 5);
}

TEST_F(Calls, ThirtyThreeTailCalls) {
  MapDesc* counter = map(BPF_MAP_TYPE_ARRAY, 4, 8, 1);
  MapDesc* array = prog_array(1);
  const u32 zero = 0;
  const void* value = map_ops(counter->type)->lookup(op(), counter, &zero);
  const Prog again = ldptr(6, value, BPF_PSEUDO_MAP_VALUE) + Prog{mov(7, 1), atomic(BPF_DW, BPF_ADD, 6, 0, 7)} + tail(array, 0) +
                     Prog{mov(0, 7), exit_()};
  set_object_at(*array, 0, target(again));
  EXPECT_EQ(good(again), 7u);
  EXPECT_EQ(value_of(counter, 0), 34u) << "the first run and 33 more";
}

TEST_F(Calls, Loop) {
  // The callback adds its index to *r2; stops at 5.
  const auto loop = [](s32 turns, s32 flags) {
    return Prog{st(BPF_DW, 10, -8, 0), mov(1, turns)} + ldimm64(2, 7, BPF_PSEUDO_FUNC) +
           Prog{movr(3, 10),
                alu64k(BPF_ADD, 3, -8),
                mov(4, flags),
                call(func::loop),
                ldx(BPF_DW, 1, 10, -8),
                exit_(),
                /* 10: callback */ ldx(BPF_DW, 3, 2, 0),
                alu64x(BPF_ADD, 3, 1),
                stx(BPF_DW, 2, 0, 3),
                mov(0, 0),
                jk(BPF_JNE, 1, 5, 1),
                mov(0, 1),
                exit_()};
  };
  EXPECT_EQ(good(loop(4, 0)), 4u);
  EXPECT_EQ(good(loop(100, 0)), 6u) << "stopped in the sixth turn";
  EXPECT_EQ(good(loop(0, 0)), 0u);
  EXPECT_EQ(static_cast<s64>(good(loop(4, 1))), -EINVAL);
  EXPECT_EQ(static_cast<s64>(good(loop(BPF_MAX_LOOPS + 1, 0))), -E2BIG);
}

TEST_F(Calls, AFaultInACallbackEndsTheRun) {
  bad(Prog{mov(1, 3)} + ldimm64(2, 5, BPF_PSEUDO_FUNC) +
          Prog{mov(3, 0), mov(4, 0), call(func::loop), exit_(), ldx(BPF_DW, 0, 2, 0), exit_()},
      FaultKind::BadRead, 7);
  step_limit_ = 1000;
  run(Prog{mov(1, 1000000)} + ldimm64(2, 5, BPF_PSEUDO_FUNC) +
      Prog{mov(3, 0), mov(4, 0), call(func::loop), exit_(), mov(0, 0), exit_()});
  EXPECT_EQ(run_->fault.kind, FaultKind::StepLimit);
}

/// Sums keys and values of all elements into *ctx; deletes each from a hash map on the way.
Prog visit(MapDesc* desc, bool erase) {
  Prog callback = {ldx(BPF_W, 6, 2, 0),  ldx(BPF_DW, 7, 3, 0),  alu64x(BPF_ADD, 7, 6),
                   ldx(BPF_DW, 6, 4, 0), alu64x(BPF_ADD, 6, 7), stx(BPF_DW, 4, 0, 6)};
  if (erase) callback = callback + Prog{call(BPF_FUNC_map_delete_elem)};
  return Prog{st(BPF_DW, 10, -8, 0)} + ldptr(1, desc) + ldimm64(2, 9, BPF_PSEUDO_FUNC) +
         Prog{movr(3, 10),
              alu64k(BPF_ADD, 3, -8),
              mov(4, 0),
              call(func::for_each_map_elem),
              alu64k(BPF_LSH, 0, 32),
              ldx(BPF_DW, 1, 10, -8),
              alu64x(BPF_ADD, 0, 1),
              exit_()} +
         Prog{mov(0, 0)} + callback + Prog{mov(0, 0), exit_()};
}

TEST_F(Calls, ForEachElement) {
  MapDesc* array = map(BPF_MAP_TYPE_ARRAY, 4, 8, 3);
  MapDesc* hash = map(BPF_MAP_TYPE_HASH, 4, 8, 300);
  u64 sum = 0;
  for (u32 i = 0; i < 3; ++i) {
    const u64 v = 100 + i;
    ASSERT_EQ(map_ops(array->type)->update(op(), array, &i, &v, 0), 0);
  }
  for (u32 i = 0; i < 300; ++i) {
    const u64 v = i * 7;
    sum += i + v;
    ASSERT_EQ(map_ops(hash->type)->update(op(), hash, &i, &v, 0), 0);
  }
  EXPECT_EQ(good(visit(array, false)), 3ULL << 32 | (303 + 3));
  EXPECT_EQ(good(visit(hash, false)), 300ULL << 32 | sum);
  EXPECT_EQ(good(visit(hash, true)), 300ULL << 32 | sum) << "each once, though each is deleted";
  EXPECT_EQ(good(visit(hash, false)), 0u);
}

TEST_F(Calls, InnerMapsAreTheProgramsOnceFound) {
  MapDesc* inner = map(BPF_MAP_TYPE_ARRAY, 4, 8, 2);
  maps_.pop_back();  // not one the program names
  MapDesc* outer = map(BPF_MAP_TYPE_ARRAY_OF_MAPS, 4, 4, 2);
  outer->elems = static_cast<u8*>(host_->rom_alloc(object_map_rom_bytes(*outer)).value());
  set_object_at(*outer, 1, inner);
  const u32 key = 1;
  const u64 v = 4711;
  ASSERT_EQ(map_ops(inner->type)->update(op(), inner, &key, &v, 0), 0);
  const Prog lookup = {movr(2, 10), alu64k(BPF_ADD, 2, -4), call(BPF_FUNC_map_lookup_elem)};
  EXPECT_EQ(
      good(Prog{st(BPF_W, 10, -4, 1)} + ldptr(1, outer) + lookup + Prog{movr(1, 0)} + lookup + Prog{ldx(BPF_DW, 0, 0, 0), exit_()}),
      4711u);
  bad(Prog{st(BPF_W, 10, -4, 1)} + ldptr(1, inner) + lookup + Prog{exit_()}, FaultKind::BadHelperArg, 5);
}

TEST_F(Calls, QueuesAndOtherCpus) {
  MapDesc* queue = map(BPF_MAP_TYPE_QUEUE, 0, 8, 2);
  MapDesc* percpu = map(BPF_MAP_TYPE_PERCPU_ARRAY, 4, 8, 1);
  const auto on_queue = [&](s32 helper) {
    return ldptr(1, queue) + Prog{movr(2, 10), alu64k(BPF_ADD, 2, -8), mov(3, 0), call(helper)};
  };
  EXPECT_EQ(good(Prog{st(BPF_DW, 10, -8, 8)} + on_queue(func::map_push_elem) + Prog{st(BPF_DW, 10, -8, 9)} +
                 on_queue(func::map_push_elem) + on_queue(func::map_peek_elem) + on_queue(func::map_pop_elem) +
                 Prog{ldx(BPF_DW, 0, 10, -8), exit_()}),
            8u);
  OpCtx other = op();
  other.cpu = 3;
  const u32 key = 0;
  *static_cast<u64*>(map_ops(percpu->type)->lookup(other, percpu, &key)) = 33;
  const auto of_cpu = [&](s32 cpu) {
    return Prog{st(BPF_W, 10, -4, 0)} + ldptr(1, percpu) +
           Prog{movr(2, 10),          alu64k(BPF_ADD, 2, -4), mov(3, cpu), call(func::map_lookup_percpu_elem),
                jk(BPF_JEQ, 0, 0, 1), ldx(BPF_DW, 0, 0, 0),   exit_()};
  };
  EXPECT_EQ(good(of_cpu(3)), 33u);
  EXPECT_EQ(good(of_cpu(static_cast<s32>(CPUS))), 0u);
}

TEST_F(Calls, LoadsThatMayFault) {
  const u64 kernel_word = 0x8899aabbccddeeffULL;
  extra_ = {reinterpret_cast<u64>(&kernel_word), 8};
  const auto load = [&](u8 mode, u8 size, u64 addr) {
    return ldimm64(1, addr) + Prog{mov(0, 1), raw(BPF_LDX | mode | size, 0, 1, 0), exit_()};
  };
  EXPECT_EQ(good(load(BPF_PROBE_MEM, BPF_DW, extra_.addr)), kernel_word);
  EXPECT_EQ(good(load(BPF_PROBE_MEM, BPF_W, extra_.addr)), 0xccddeeffu);
  EXPECT_EQ(good(load(BPF_PROBE_MEMSX, BPF_H, extra_.addr)), 0xffffffffffffeeffULL);
  EXPECT_EQ(good(load(BPF_PROBE_MEM, BPF_DW, extra_.addr + 1)), 0u) << "half outside";
  EXPECT_EQ(good(load(BPF_PROBE_MEM, BPF_DW, 0)), 0u);
  const u64 users = 5;
  EXPECT_EQ(good(load(BPF_PROBE_MEM, BPF_DW, reinterpret_cast<u64>(&users))), 0u) << "not the kernel's";
}

TEST_F(Calls, ReadsOfWhatWasNeverWritten) {
  const Prog reads = {ldx(BPF_DW, 0, 10, -8), exit_()};
  EXPECT_EQ(good(reads), 0u);
  check_uninit_ = true;
  bad(reads, FaultKind::UninitRead, 0);
  bad(Prog{st(BPF_W, 10, -8, 1)} + reads, FaultKind::UninitRead, 1);
  EXPECT_EQ(good(Prog{st(BPF_W, 10, -8, 1), st(BPF_W, 10, -4, 0)} + reads), 1u);
  bad({mov(1, 1), atomic(BPF_DW, BPF_ADD, 10, -8, 1), exit_()}, FaultKind::UninitRead, 1);
  // What a helper writes is written; what it reads must be.
  good({movr(1, 10), alu64k(BPF_ADD, 1, -16), mov(2, 16), call(BPF_FUNC_get_current_comm), ldx(BPF_DW, 0, 10, -16), exit_()});
  MapDesc* hash = map(BPF_MAP_TYPE_HASH, 4, 8, 1);
  bad(ldptr(1, hash) + Prog{movr(2, 10), alu64k(BPF_ADD, 2, -4), call(BPF_FUNC_map_lookup_elem), exit_()}, FaultKind::BadHelperArg,
      4);
  // A frame that is entered again is new.
  bad({call_pc(2), call_pc(3), exit_(), st(BPF_DW, 10, -8, 1), exit_(), ldx(BPF_DW, 0, 10, -8), exit_()}, FaultKind::UninitRead, 5);
}

TEST_F(Calls, SpinLocks) {
  MapDesc* desc = map(BPF_MAP_TYPE_ARRAY, 4, 16, 2);
  auto* fields = host_->rom_new<MapFields>().value();
  fields->count = 1;
  fields->spin_lock_off = 8;
  fields->refcount_off = -1;
  fields->at[0] = {8, 4};
  fields->n_locks = 512;
  fields->locks = reinterpret_cast<RobustLock*>(host_->ram_alloc(PAGE_SIZE).value());
  desc->fields = fields;
  const u32 zero = 0;
  const u64 value = reinterpret_cast<u64>(map_ops(desc->type)->lookup(op(), desc, &zero));
  const auto on_lock = [&](s32 helper, u64 off) { return ldimm64(1, value + off, BPF_PSEUDO_MAP_VALUE) + Prog{call(helper)}; };
  const Prog take = on_lock(func::spin_lock, 8), give = on_lock(func::spin_unlock, 8), end = {mov(0, 1), exit_()};
  EXPECT_EQ(good(take + give + take + give + end, BPF_PROG_TYPE_SCHED_CLS), 1u);
  EXPECT_EQ(good(take + end, BPF_PROG_TYPE_SCHED_CLS), 1u) << "given up at the end";
  for (const RobustLock* lock = fields->locks; lock < fields->locks + 512; ++lock) EXPECT_EQ(lock->word, 0u);
  EXPECT_EQ(run(take + take + end, BPF_PROG_TYPE_SCHED_CLS), 0u);
  EXPECT_EQ(run_->fault.kind, FaultKind::LockStuck);
  EXPECT_EQ(run_->fault.insn, 5u);
  EXPECT_EQ(run(on_lock(func::spin_lock, 4) + end, BPF_PROG_TYPE_SCHED_CLS), 0u);
  EXPECT_EQ(run_->fault.kind, FaultKind::BadHelperArg) << "no lock is there";
  EXPECT_EQ(run(give + end, BPF_PROG_TYPE_SCHED_CLS), 0u);
  EXPECT_EQ(run_->fault.kind, FaultKind::LockStuck);
}

TEST_F(Calls, FramesEndSomewhere) { bad({call_pc(-1), exit_()}, FaultKind::CallDepth, 0); }

}  // namespace
}  // namespace skep::test
