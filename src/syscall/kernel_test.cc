// The core as a library: bpf(2) without host, sockets or agent; two instances side by side.
#include <gtest/gtest.h>

#include <cstring>

#include "maps/map_ops.h"
#include "objects/attach.h"
#include "probes/syscalls.h"
#include "syscall/instance_test.h"
#include "uapi/perf_event.h"

namespace skep {
namespace {

TEST(KernelTest, TwoInstancesKnowNothingOfEachOther) {
  Instance a, b;
  const s64 in_a = a.create_hash("one"), in_b = b.create_hash("two");
  ASSERT_EQ(in_a, 3);
  ASSERT_EQ(in_b, 3);
  u32 key = 1, value = 10, out = 0;
  EXPECT_EQ(a.elem(BPF_MAP_UPDATE_ELEM, in_a, &key, &value), 0);
  EXPECT_EQ(b.elem(BPF_MAP_LOOKUP_ELEM, in_b, &key, &out), -ENOENT);
  EXPECT_EQ(a.elem(BPF_MAP_LOOKUP_ELEM, in_a, &key, &out), 0);
  EXPECT_EQ(out, 10u);
  EXPECT_EQ(a.kernel().maps.size(), 1u);
  a.close(in_a);
  EXPECT_EQ(a.kernel().maps.size(), 0u);
  EXPECT_EQ(b.kernel().maps.size(), 1u);
}

TEST(KernelTest, AbsentCommandsSayEinvalAndTellDoctor) {
  Instance k;
  for (const u32 cmd : {u32{BPF_PROG_ATTACH}, u32{BPF_ITER_CREATE}, u32{BPF_ENABLE_STATS}, u32{MAX_BPF_CMD_}, 4000u}) {
    bpf_attr a{};
    const std::size_t before = k.kernel().doctor.lines().size();
    EXPECT_EQ(k.bpf(cmd, a), -EINVAL) << cmd;
    EXPECT_EQ(k.kernel().doctor.lines().size(), before + 1) << cmd;
  }
}

TEST(KernelTest, AttrTails) {
  Instance k;
  struct {
    bpf_attr attr;
    u8 tail[16];
  } big{};
  big.attr.get_id.id = 0;
  EXPECT_EQ(k.bpf(BPF_MAP_GET_NEXT_ID, big.attr, sizeof big), -ENOENT);
  big.tail[3] = 1;
  EXPECT_EQ(k.bpf(BPF_MAP_GET_NEXT_ID, big.attr, sizeof big), -E2BIG);
  EXPECT_EQ(k.bpf(BPF_MAP_GET_NEXT_ID, big.attr, PAGE_SIZE + 1), -E2BIG);
  bpf_attr a{};
  a.bytes[100] = 1;
  EXPECT_EQ(k.bpf(BPF_MAP_GET_NEXT_ID, a), -EINVAL);
}

TEST(KernelTest, AProgramHoldsItsMaps) {
  Instance k;
  const s64 map = k.create_hash("held");
  const s64 prog = k.load({bpf_insn{BPF_LD | BPF_IMM | BPF_DW, 1, BPF_PSEUDO_MAP_FD, 0, static_cast<s32>(map)}, bpf_insn{}, mov0(), exit_insn()});
  ASSERT_GE(prog, 0);
  k.close(map);
  EXPECT_EQ(k.kernel().maps.size(), 1u);
  k.close(prog);
  EXPECT_EQ(k.kernel().progs.size(), 0u);
  EXPECT_EQ(k.kernel().maps.size(), 0u);
}

TEST(KernelTest, AnAttachedEventHoldsItsProgramAndShowsInRom) {
  Instance k;
  const s64 prog = k.load({mov0(), exit_insn()});
  ASSERT_GE(prog, 0);
  const SyscallInfo* getppid = syscall_by_nr(110);
  ASSERT_NE(getppid, nullptr);
  perf_event_attr pe{};
  pe.type = PERF_TYPE_TRACEPOINT;
  pe.size = sizeof pe;
  pe.config = getppid->enter_id;
  const s64 event = k.with([&](CallContext& c) { return skep_perf_event_open(c, reinterpret_cast<u64>(&pe), -1, 0, -1, 0); });
  ASSERT_GE(event, 0);
  const RomHeader* rom = k.kernel().window().rom();
  EXPECT_EQ(rom->interest[110], 0);
  const auto set_bpf = [&] {
    return k.with([&](CallContext& c) { return skep_ioctl(c, static_cast<s32>(event), PERF_EVENT_IOC_SET_BPF, static_cast<u64>(prog)); });
  };
  EXPECT_EQ(set_bpf(), 0);
  EXPECT_EQ(set_bpf(), -EEXIST);
  EXPECT_EQ(rom->interest[110], INTEREST_ENTER);
  ASSERT_NE(rom->enter[110], nullptr);
  EXPECT_EQ(rom->enter[110]->count, 1u);
  k.close(prog);
  EXPECT_EQ(k.kernel().progs.size(), 1u) << "the event holds it";
  k.close(event);
  EXPECT_EQ(k.kernel().progs.size(), 0u);
  EXPECT_EQ(rom->interest[110], 0);
  EXPECT_EQ(rom->enter[110], nullptr);
}

TEST(KernelTest, NothingIsLeftInTheWindow) {
  Instance k;
  for (int round = 0; round < 200; ++round) {
    const s64 map = k.create_hash("again", 1000);
    ASSERT_GE(map, 0);
    const s64 prog = k.load({bpf_insn{BPF_LD | BPF_IMM | BPF_DW, 1, BPF_PSEUDO_MAP_FD, 0, static_cast<s32>(map)}, bpf_insn{}, mov0(), exit_insn()});
    ASSERT_GE(prog, 0);
    k.close(prog);
    k.close(map);
  }
  EXPECT_FALSE(k.kernel().window().has_deferred());
  EXPECT_EQ(k.kernel().window().ram_in_use(), 0u);
  EXPECT_EQ(k.kernel().window().rom_in_use(), 0u);
}

TEST(KernelTest, WritesToRamOnlyCannotCrashIt) {
  Instance k;
  const s64 map = k.create_hash("scribbled", 64);
  MapDesc* d = (*k.kernel().maps.find(*k.kernel().maps.next_after(0)))->desc;
  u32 seed = 1;
  for (u32 key = 0; key < 64; ++key) k.elem(BPF_MAP_UPDATE_ELEM, map, &key, &key);
  for (int round = 0; round < 300; ++round) {
    for (u64 i = 0; i < d->ram_bytes; i += 7) {
      seed = seed * 1664525 + 1013904223;
      d->ram[i] = static_cast<u8>(seed >> 24);
    }
    u32 key = static_cast<u32>(round % 64), next = 0, value = 1;
    k.elem(BPF_MAP_LOOKUP_ELEM, map, &key, &value);
    k.elem(BPF_MAP_UPDATE_ELEM, map, &key, &value);
    k.elem(BPF_MAP_GET_NEXT_KEY, map, &key, &next);
    k.elem(BPF_MAP_DELETE_ELEM, map, &key, &value);
  }
  k.close(map);
  EXPECT_EQ(k.kernel().maps.size(), 0u);
}

/// BPF_PROG_TEST_RUN up to where the caller's memory is needed; the rest is testrun's.
TEST(KernelTest, TestRunHandsThePlanToWhoeverServesTheCall) {
  Instance k;
  const s64 prog = k.load({mov0(), exit_insn()}, BPF_PROG_TYPE_SCHED_CLS);
  const s64 probe = k.load({mov0(), exit_insn()}, BPF_PROG_TYPE_KPROBE);
  ASSERT_GE(prog, 0);
  ASSERT_GE(probe, 0);
  bpf_attr a{};
  std::vector<TestRunPlan> plans;
  const auto run = [&](s64 fd) {
    a.test.prog_fd = static_cast<u32>(fd);
    return k.with([&](CallContext& c) {
      c.run_test = [&](const TestRunPlan& plan) -> Result<s64> {
        plans.push_back(plan);
        return Errno(EXDEV);
      };
      return skep_bpf(c, BPF_PROG_TEST_RUN, reinterpret_cast<u64>(&a), sizeof a);
    });
  };
  a.test.repeat = 3;
  EXPECT_EQ(run(prog), -EXDEV) << "its answer is the call's";
  ASSERT_EQ(plans.size(), 1u);
  EXPECT_EQ(plans[0].prog->type, u32{BPF_PROG_TYPE_SCHED_CLS});
  EXPECT_EQ(plans[0].uattr, reinterpret_cast<u64>(&a));
  EXPECT_EQ(plans[0].attr.repeat, 3u);
  EXPECT_EQ(run(probe), -ENOTSUPP_);
  EXPECT_EQ(run(99), -EBADF);
  a.test.ctx_size_in = 1;
  EXPECT_EQ(run(99), -EINVAL) << "before the fd";
  EXPECT_EQ(plans.size(), 1u);
  a.test.ctx_size_in = 0;
  a.test.prog_fd = static_cast<u32>(prog);
  EXPECT_EQ(k.bpf(BPF_PROG_TEST_RUN, a), -ENOTSUPP_) << "nobody to run it";
}

TEST(KernelTest, WhatNothingCanRunIsLoadedButNeverRun) {
  Instance k;
  const auto mov = [](u32 reg, s32 value) { return bpf_insn{BPF_ALU64 | BPF_MOV | BPF_K, static_cast<u8>(reg & 15), 0, 0, value}; };
  const auto stack = [](u32 reg) { return bpf_insn{BPF_ALU64 | BPF_MOV | BPF_X, static_cast<u8>(reg & 15), 10, 0, 0}; };
  const auto add = [](u32 reg, s32 value) { return bpf_insn{BPF_ALU64 | BPF_ADD | BPF_K, static_cast<u8>(reg & 15), 0, 0, value}; };
  const auto zero = [](s16 at) { return bpf_insn{BPF_ST | BPF_MEM | BPF_DW, 10, 0, at, 0}; };
  const bpf_insn snprintf_btf{BPF_JMP | BPF_CALL, 0, 0, 0, 149};
  const s64 prog = k.load({zero(-8), zero(-16), stack(1), add(1, -24), mov(2, 8), stack(3), add(3, -16), mov(4, 16), mov(5, 0), snprintf_btf, mov0(),
                           exit_insn()},
                          BPF_PROG_TYPE_RAW_TRACEPOINT);
  ASSERT_GE(prog, 0);
  bpf_attr a{};
  a.test.prog_fd = static_cast<u32>(prog);
  const s64 rc = k.with([&](CallContext& c) {
    c.run_test = [](const TestRunPlan&) -> Result<s64> { return s64{0}; };
    return skep_bpf(c, BPF_PROG_TEST_RUN, reinterpret_cast<u64>(&a), sizeof a);
  });
  EXPECT_EQ(rc, -ENOTSUPP_);
  bool told = false;
  for (const auto& [line, count] : k.kernel().doctor.lines()) told |= line.find("bpf_snprintf_btf") != std::string::npos;
  EXPECT_TRUE(told);
}

s64 prog_info(Instance& k, s64 fd, bpf_prog_info& info) {
  bpf_attr a{};
  a.info.bpf_fd = static_cast<u32>(fd);
  a.info.info_len = sizeof info;
  a.info.info = reinterpret_cast<u64>(&info);
  return k.bpf(BPF_OBJ_GET_INFO_BY_FD, a);
}

bpf_insn call_next(s32 distance) { return bpf_insn{BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_CALL, 0, distance}; }

TEST(JitTest, ProgramsAreCompiledAndShown) {
  Instance k;
  if (!k.kernel().window().has_code()) GTEST_SKIP() << "nothing executable can be mapped here";
  const s64 fd = k.load({call_next(1), exit_insn(), mov0(), exit_insn()});
  ASSERT_GE(fd, 0);
  bpf_prog_info sizes{};
  ASSERT_EQ(prog_info(k, fd, sizes), 0);
  ASSERT_EQ(sizes.nr_jited_ksyms, 2u);
  EXPECT_EQ(sizes.nr_jited_func_lens, 2u);
  EXPECT_EQ(sizes.nr_prog_tags, 2u);
  ASSERT_GT(sizes.jited_prog_len, 4u);
  std::vector<u8> code(sizes.jited_prog_len + 1, 0xee);
  u64 addrs[2] = {};
  u32 lens[2] = {};
  bpf_prog_info info{};
  info.jited_prog_len = sizes.jited_prog_len;
  info.jited_prog_insns = reinterpret_cast<u64>(code.data());
  info.nr_jited_ksyms = info.nr_jited_func_lens = 2;
  info.jited_ksyms = reinterpret_cast<u64>(addrs);
  info.jited_func_lens = reinterpret_cast<u64>(lens);
  ASSERT_EQ(prog_info(k, fd, info), 0);
  EXPECT_EQ(lens[0] + lens[1], sizes.jited_prog_len);
  EXPECT_EQ(std::memcmp(code.data(), reinterpret_cast<const void*>(addrs[0]), lens[0]), 0);
  EXPECT_EQ(std::memcmp(code.data() + lens[0], reinterpret_cast<const void*>(addrs[1]), lens[1]), 0);
  EXPECT_EQ(code.back(), 0xee);
  for (const u64 addr : addrs) EXPECT_LT(addr - k.kernel().window().rom()->code_base, CODE_SIZE);
  k.close(fd);
  k.kernel().window().reclaim();
  EXPECT_EQ(k.kernel().window().code_in_use(), 0u);
  EXPECT_EQ(*reinterpret_cast<const u8*>(addrs[0]), 0xf4) << "hlt";
}

TEST(JitTest, SwitchedOffProgramsAreInterpreted) {
  Instance k;
  k.kernel().jit = false;
  const s64 fd = k.load({mov0(), exit_insn()});
  ASSERT_GE(fd, 0);
  bpf_prog_info info{};
  ASSERT_EQ(prog_info(k, fd, info), 0);
  EXPECT_EQ(info.jited_prog_len, 0u);
  EXPECT_EQ(info.nr_jited_ksyms, 1u);
  EXPECT_EQ(info.nr_jited_func_lens, 1u);
  EXPECT_EQ(info.nr_jited_line_info, 0u);
  EXPECT_EQ(k.kernel().window().code_in_use(), 0u);
}

TEST(JitTest, NoRoomForCodeIsEnomem) {
  Instance k;
  WindowHost& w = k.kernel().window();
  if (!w.has_code()) GTEST_SKIP() << "nothing executable can be mapped here";
  const u64 all = CODE_SIZE - GATES_SIZE - 1, block = *w.code_alloc(all);
  EXPECT_EQ(k.load({mov0(), exit_insn()}), -ENOMEM);
  EXPECT_EQ(k.kernel().progs.size(), 0u);
  w.code_free(block, all);
  EXPECT_GE(k.load({mov0(), exit_insn()}), 0);
}

}  // namespace
}  // namespace skep
