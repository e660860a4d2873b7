// Links, and the events that programs are attached to, as the window shows them.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "objects/describe.h"
#include "probes/events.h"
#include "probes/syscalls.h"
#include "syscall/instance_test.h"
#include "syscall/perf_calls.h"

namespace skep {
namespace {

constexpr u32 GETPPID = 110, GETPID = 39, READ = 0;

template <typename T>
u64 address(const T& of) {
  return reinterpret_cast<u64>(&of);
}

class Links : public testing::Test {
 protected:
  u32 btf_id(const std::string& name, u32 kind) {
    const Result<u32> id = k.kernel().vmlinux->find_by_name_kind(name, kind);
    EXPECT_TRUE(id.ok()) << name;
    return id.ok() ? *id : 0;
  }
  s64 load_tracing(u32 attach_type, u32 id) { return k.load({mov0(), exit_insn()}, BPF_PROG_TYPE_TRACING, attach_type, id); }
  s64 load_fentry(u32 attach_type = BPF_TRACE_FENTRY, const char* function = "__x64_sys_getppid") {
    return load_tracing(attach_type, btf_id(function, BTF_KIND_FUNC));
  }
  s64 raw_open(s64 prog, const char* name, u64 cookie = 0) {
    bpf_attr a{};
    a.raw_tracepoint.name = reinterpret_cast<u64>(name);
    a.raw_tracepoint.prog_fd = static_cast<u32>(prog);
    a.raw_tracepoint.cookie = cookie;
    return k.bpf(BPF_RAW_TRACEPOINT_OPEN, a);
  }
  s64 link(s64 prog, u32 attach_type, u64 cookie = 0, s64 target = 0, u32 target_btf_id = 0) {
    bpf_attr a{};
    a.link_create.prog_fd = static_cast<u32>(prog);
    a.link_create.target_fd = static_cast<u32>(target);
    a.link_create.attach_type = attach_type;
    a.link_create.tracing.target_btf_id = target_btf_id;
    a.link_create.tracing.cookie = cookie;
    return k.bpf(BPF_LINK_CREATE, a);
  }
  s64 perf_link(s64 prog, s64 event, u64 cookie = 0) {
    bpf_attr a{};
    a.link_create.prog_fd = static_cast<u32>(prog);
    a.link_create.target_fd = static_cast<u32>(event);
    a.link_create.attach_type = BPF_PERF_EVENT;
    a.link_create.bpf_cookie = cookie;
    return k.bpf(BPF_LINK_CREATE, a);
  }
  s64 info(s64 fd, bpf_link_info& i) {
    bpf_attr a{};
    a.info.bpf_fd = static_cast<u32>(fd);
    a.info.info_len = sizeof i;
    a.info.info = address(i);
    return k.bpf(BPF_OBJ_GET_INFO_BY_FD, a);
  }
  s64 open_tracepoint(u64 id) {
    perf_event_attr pe{};
    pe.type = PERF_TYPE_TRACEPOINT;
    pe.size = sizeof pe;
    pe.config = id;
    return k.with([&](CallContext& c) { return skep_perf_event_open(c, address(pe), -1, 0, -1, 0); });
  }
  s64 ioctl(s64 fd, u64 request, u64 arg) {
    return k.with([&](CallContext& c) { return skep_ioctl(c, static_cast<s32>(fd), request, arg); });
  }
  const ProbeList* at(EventPlace place) { return k.kernel().window().rom()->events[static_cast<u32>(place)]; }
  const RomHeader* rom() { return k.kernel().window().rom(); }
  bool told(const std::string& what) {
    for (const auto& [line, count] : k.kernel().doctor.lines())
      if (line.find(what) != std::string::npos) return true;
    return false;
  }
  /// r0 = the u64 at byte `off` of the context
  std::vector<bpf_insn> reader(s16 off) { return {bpf_insn{BPF_LDX | BPF_MEM | BPF_DW, 0, 1, off, 0}, mov0(), exit_insn()}; }
  Instance k;
  std::string info_text;
};

TEST_F(Links, RawTracepointOfEverySystemCall) {
  const s64 prog = k.load(reader(8), BPF_PROG_TYPE_RAW_TRACEPOINT);
  ASSERT_GE(prog, 0);
  EXPECT_EQ(rom()->interest[READ], 0);
  const s64 fd = raw_open(prog, "sys_enter", 77);
  ASSERT_GE(fd, 0);
  ASSERT_NE(at(EventPlace::SysEnter), nullptr);
  EXPECT_EQ(at(EventPlace::SysEnter)->count, 1u);
  EXPECT_EQ(at(EventPlace::SysEnter)->entries[0].kind, ProbeKind::RawTp);
  EXPECT_EQ(at(EventPlace::SysEnter)->entries[0].cookie, 77u);
  EXPECT_EQ(rom()->interest[READ], INTEREST_ENTER);
  EXPECT_EQ(rom()->interest[GETPPID], INTEREST_ENTER);
  const s64 exit = raw_open(prog, "sys_exit");
  ASSERT_GE(exit, 0);
  EXPECT_EQ(rom()->interest[READ], INTEREST_ENTER | INTEREST_EXIT);
  k.close(prog);
  EXPECT_EQ(k.kernel().progs.size(), 1u) << "the links hold it";
  k.close(fd);
  k.close(exit);
  EXPECT_EQ(k.kernel().progs.size(), 0u);
  EXPECT_EQ(at(EventPlace::SysEnter), nullptr);
  EXPECT_EQ(rom()->interest[READ], 0);
}

TEST_F(Links, RawTracepointsByName) {
  const s64 prog = k.load({mov0(), exit_insn()}, BPF_PROG_TYPE_RAW_TRACEPOINT);
  for (const EventInfo& e : event_table()) {
    const s64 fd = raw_open(prog, e.name);
    ASSERT_GE(fd, 0) << e.name;
    EXPECT_NE(at(e.place), nullptr) << e.name;
    k.close(fd);
    EXPECT_EQ(at(e.place), nullptr) << e.name;
  }
}

TEST_F(Links, RawTracepointRefusals) {
  const s64 prog = k.load({mov0(), exit_insn()}, BPF_PROG_TYPE_RAW_TRACEPOINT);
  EXPECT_EQ(raw_open(-1, "sys_enter"), -EBADF);
  EXPECT_EQ(raw_open(prog, nullptr), -EFAULT);
  EXPECT_EQ(raw_open(prog, "sched_switch"), -ENOENT);
  EXPECT_TRUE(told("raw tracepoint sched_switch"));
  EXPECT_EQ(raw_open(prog, std::string(300, 'x').c_str()), -ENOENT);
  EXPECT_EQ(raw_open(k.load(reader(16), BPF_PROG_TYPE_RAW_TRACEPOINT), "sys_enter"), -EINVAL) << "it has two arguments";
  EXPECT_GE(raw_open(k.load(reader(16), BPF_PROG_TYPE_RAW_TRACEPOINT), "signal_generate"), 0) << "it has more";
  EXPECT_EQ(raw_open(prog, "signal_deliver"), -ENOENT) << "nobody can tell of these";
  EXPECT_EQ(raw_open(k.load({mov0(), exit_insn()}), "sys_enter"), -EINVAL) << "a TRACEPOINT program";
  const s64 writes = k.load({bpf_insn{BPF_LDX | BPF_MEM | BPF_DW, 6, 1, 0, 0}, bpf_insn{BPF_LDX | BPF_MEM | BPF_DW, 0, 6, 0, 0}, mov0(), exit_insn()},
                            BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE);
  ASSERT_GE(writes, 0);
  EXPECT_EQ(raw_open(writes, "sys_enter"), -EINVAL) << "nothing is writable there";
}

TEST_F(Links, BtfTracepointsByBothCommands) {
  const s64 prog = load_tracing(BPF_TRACE_RAW_TP, btf_id("btf_trace_sched_process_exit", BTF_KIND_TYPEDEF));
  ASSERT_GE(prog, 0);
  const s64 opened = raw_open(prog, nullptr, 5), created = link(prog, BPF_TRACE_RAW_TP, 6);
  ASSERT_GE(opened, 0);
  ASSERT_GE(created, 0);
  ASSERT_NE(at(EventPlace::SchedProcessExit), nullptr);
  ASSERT_EQ(at(EventPlace::SchedProcessExit)->count, 2u);
  EXPECT_EQ(at(EventPlace::SchedProcessExit)->entries[0].cookie, 5u);
  EXPECT_EQ(at(EventPlace::SchedProcessExit)->entries[1].cookie, 6u);
  EXPECT_EQ(raw_open(prog, "sched_process_exit"), -EINVAL) << "it has named its target at load";
  const s64 absent = load_tracing(BPF_TRACE_RAW_TP, btf_id("btf_trace_sched_switch", BTF_KIND_TYPEDEF));
  ASSERT_GE(absent, 0);
  EXPECT_EQ(link(absent, BPF_TRACE_RAW_TP), -ENOENT);
  bpf_link_info i{};
  ASSERT_EQ(info(created, i), 0);
  EXPECT_EQ(i.type, u32{BPF_LINK_TYPE_RAW_TRACEPOINT});
  EXPECT_EQ(i.raw_tracepoint.tp_name_len, 19u);
}

TEST_F(Links, RawTracepointInfoCopiesItsName) {
  const s64 fd = raw_open(k.load({mov0(), exit_insn()}, BPF_PROG_TYPE_RAW_TRACEPOINT), "sys_enter");
  char name[10] = {};
  bpf_link_info i{};
  i.raw_tracepoint.tp_name = address(name);
  EXPECT_EQ(info(fd, i), -EINVAL) << "a buffer without a length";
  i = {};
  i.raw_tracepoint.tp_name = address(name);
  i.raw_tracepoint.tp_name_len = sizeof name;
  ASSERT_EQ(info(fd, i), 0);
  EXPECT_STREQ(name, "sys_enter");
  EXPECT_EQ(i.raw_tracepoint.tp_name_len, 10u);
  i.raw_tracepoint.tp_name_len = 4;
  EXPECT_EQ(info(fd, i), -ENOSPC);
  EXPECT_STREQ(name, "sys");
}

TEST_F(Links, FunctionsByBtf) {
  const s64 entry = load_fentry(), exit = load_fentry(BPF_TRACE_FEXIT), modify = load_fentry(BPF_MODIFY_RETURN);
  ASSERT_GE(entry, 0);
  ASSERT_GE(exit, 0);
  ASSERT_GE(modify, 0);
  const s64 on_entry = raw_open(entry, nullptr), on_exit = link(exit, BPF_TRACE_FEXIT, 9), on_modify = link(modify, BPF_MODIFY_RETURN);
  ASSERT_GE(on_entry, 0);
  ASSERT_GE(on_exit, 0);
  ASSERT_GE(on_modify, 0);
  ASSERT_NE(rom()->enter[GETPPID], nullptr);
  ASSERT_EQ(rom()->enter[GETPPID]->count, 2u) << "what modifies the result runs before the call";
  EXPECT_EQ(rom()->enter[GETPPID]->entries[0].kind, ProbeKind::Fentry);
  EXPECT_EQ(rom()->enter[GETPPID]->entries[1].kind, ProbeKind::ModifyReturn);
  ASSERT_NE(rom()->exit[GETPPID], nullptr);
  EXPECT_EQ(rom()->exit[GETPPID]->entries[0].cookie, 9u);
  EXPECT_EQ(rom()->exit[GETPPID]->entries[0].symbol_addr, syscall_symbol_addr(*syscall_by_nr(GETPPID)));
  EXPECT_EQ(link(entry, BPF_TRACE_FENTRY), -EBUSY) << "the same program once more";
  EXPECT_EQ(link(entry, BPF_TRACE_FEXIT), -EINVAL) << "not what it was loaded for";
  EXPECT_EQ(link(exit, BPF_TRACE_FEXIT, 0, 3), -EINVAL) << "a target fd without a target id";
  EXPECT_EQ(link(exit, BPF_TRACE_FEXIT, 0, 3, 4), -EINVAL) << "a target for a program that is no EXT";

  bpf_link_info i{};
  ASSERT_EQ(info(on_exit, i), 0);
  EXPECT_EQ(i.type, u32{BPF_LINK_TYPE_TRACING});
  EXPECT_EQ(i.tracing.attach_type, u32{BPF_TRACE_FEXIT});
  EXPECT_EQ(i.tracing.target_obj_id, VMLINUX_BTF_ID);
  EXPECT_EQ(i.tracing.target_btf_id, btf_id("__x64_sys_getppid", BTF_KIND_FUNC));
  k.close(on_entry);
  EXPECT_GE(link(entry, BPF_TRACE_FENTRY), 0) << "again, once it has gone";
}

TEST_F(Links, FunctionsThatCannotBeWatched) {
  const s64 prog = load_fentry(BPF_TRACE_FENTRY, "bpf_lsm_file_open");
  if (prog < 0) GTEST_SKIP() << "the verifier refuses it";
  EXPECT_EQ(link(prog, BPF_TRACE_FENTRY), -ENOENT);
  EXPECT_TRUE(told("bpf_lsm_file_open"));
}

TEST_F(Links, LsmProgramsAreNotRun) {
  const s64 prog = k.load({mov0(), exit_insn()}, BPF_PROG_TYPE_LSM, BPF_LSM_MAC, btf_id("bpf_lsm_file_open", BTF_KIND_FUNC));
  ASSERT_GE(prog, 0);
  EXPECT_EQ(link(prog, BPF_LSM_MAC), -ENOTSUPP_);
  EXPECT_EQ(raw_open(prog, nullptr), -ENOTSUPP_);
  EXPECT_EQ(raw_open(prog, "file_open"), -EINVAL);
  EXPECT_TRUE(told("program type"));
}

struct Multi {
  u32 flags = 0, cnt = 0;
  const char* const* syms = nullptr;
  const u64* addrs = nullptr;
  const u64* cookies = nullptr;
  u32 link_flags = 0;
};

class KprobeMulti : public Links {
 protected:
  s64 attach(s64 prog, const Multi& m) {
    bpf_attr a{};
    a.link_create.prog_fd = static_cast<u32>(prog);
    a.link_create.attach_type = BPF_TRACE_KPROBE_MULTI;
    a.link_create.flags = m.link_flags;
    a.link_create.kprobe_multi.flags = m.flags;
    a.link_create.kprobe_multi.cnt = m.cnt;
    a.link_create.kprobe_multi.syms = reinterpret_cast<u64>(m.syms);
    a.link_create.kprobe_multi.addrs = reinterpret_cast<u64>(m.addrs);
    a.link_create.kprobe_multi.cookies = reinterpret_cast<u64>(m.cookies);
    return k.bpf(BPF_LINK_CREATE, a);
  }
  s64 load_multi() { return k.load({mov0(), exit_insn()}, BPF_PROG_TYPE_KPROBE, BPF_TRACE_KPROBE_MULTI); }
  u64 addr(u32 nr) { return syscall_symbol_addr(*syscall_by_nr(nr)); }
  u64 cookie_at(u32 nr) { return rom()->enter[nr] == nullptr ? ~0ULL : rom()->enter[nr]->entries[0].cookie; }
  const char* const syms[3] = {"__x64_sys_read", "__x64_sys_getppid", "__x64_sys_getpid"};
  const u64 cookies[3] = {10, 20, 30};
};

TEST_F(KprobeMulti, SymbolsKeepTheirCookies) {
  const s64 fd = attach(load_multi(), {.cnt = 3, .syms = syms, .cookies = cookies});
  ASSERT_GE(fd, 0);
  EXPECT_EQ(cookie_at(READ), 10u);
  EXPECT_EQ(cookie_at(GETPPID), 20u);
  EXPECT_EQ(cookie_at(GETPID), 30u);
  EXPECT_EQ(rom()->enter[READ]->entries[0].symbol_addr, addr(READ));
  bpf_link_info i{};
  u64 addrs[3] = {}, got[3] = {};
  i.kprobe_multi.addrs = address(addrs);
  i.kprobe_multi.cookies = address(got);
  i.kprobe_multi.count = 3;
  ASSERT_EQ(info(fd, i), 0);
  EXPECT_EQ(i.type, u32{BPF_LINK_TYPE_KPROBE_MULTI});
  EXPECT_EQ(i.kprobe_multi.count, 3u);
  EXPECT_EQ(i.kprobe_multi.flags, 0u);
  EXPECT_EQ((std::vector<u64>{addrs, addrs + 3}), (std::vector<u64>{addr(READ), addr(GETPID), addr(GETPPID)})) << "ascending";
  EXPECT_EQ((std::vector<u64>{got, got + 3}), (std::vector<u64>{10, 30, 20}));
  i.kprobe_multi.count = 2;
  EXPECT_EQ(info(fd, i), -ENOSPC);
  i.kprobe_multi.count = 0;
  EXPECT_EQ(info(fd, i), -EINVAL);
  k.close(fd);
  EXPECT_EQ(rom()->enter[READ], nullptr);
  EXPECT_EQ(rom()->interest[GETPPID], 0);
}

TEST_F(KprobeMulti, ReturnsByAddressEachOnce) {
  const u64 addrs[] = {addr(GETPID), addr(READ), addr(GETPID)};
  const s64 fd = attach(load_multi(), {.flags = BPF_F_KPROBE_MULTI_RETURN, .cnt = 3, .addrs = addrs});
  ASSERT_GE(fd, 0);
  EXPECT_EQ(rom()->enter[GETPID], nullptr);
  ASSERT_NE(rom()->exit[GETPID], nullptr);
  EXPECT_EQ(rom()->exit[GETPID]->count, 1u);
  EXPECT_EQ(rom()->exit[GETPID]->entries[0].kind, ProbeKind::Kretprobe);
  bpf_link_info i{};
  ASSERT_EQ(info(fd, i), 0);
  EXPECT_EQ(i.kprobe_multi.count, 3u) << "as they were given";
  EXPECT_EQ(i.kprobe_multi.flags, BPF_F_KPROBE_MULTI_RETURN);
}

TEST_F(KprobeMulti, EverySystemCallByName) {
  std::vector<std::string> names;
  for (const SyscallInfo& s : syscall_table()) names.push_back(fmt::format("__x64_sys_{}", s.name));
  std::vector<const char*> all;
  for (const std::string& n : names) all.push_back(n.c_str());
  const s64 fd = attach(load_multi(), {.cnt = static_cast<u32>(all.size()), .syms = all.data()});
  ASSERT_GE(fd, 0);
  for (const SyscallInfo& s : syscall_table()) EXPECT_NE(rom()->enter[s.nr], nullptr) << s.name;
}

TEST_F(KprobeMulti, Refusals) {
  const s64 prog = load_multi();
  const u64 addrs[] = {addr(READ), 0x1234};
  const char* const twice[] = {syms[0], syms[1], syms[0]};
  const char* const unknown[] = {syms[0], "tcp_connect"};
  const char* const nowhere[] = {syms[0], nullptr};
  EXPECT_EQ(attach(prog, {.cnt = 3, .syms = syms, .link_flags = 1}), -EINVAL);
  EXPECT_EQ(attach(prog, {.flags = 2, .cnt = 3, .syms = syms}), -EINVAL);
  EXPECT_EQ(attach(prog, {.cnt = 3}), -EINVAL) << "neither";
  EXPECT_EQ(attach(prog, {.cnt = 1, .syms = syms, .addrs = addrs}), -EINVAL) << "both";
  EXPECT_EQ(attach(prog, {.cnt = 0, .syms = syms}), -EINVAL);
  EXPECT_EQ(attach(prog, {.cnt = (1u << 20) + 1, .syms = syms}), -E2BIG);
  EXPECT_EQ(attach(prog, {.cnt = 3, .syms = twice}), -ESRCH);
  EXPECT_EQ(attach(prog, {.cnt = 2, .syms = unknown}), -ESRCH);
  EXPECT_TRUE(told("tcp_connect"));
  EXPECT_EQ(attach(prog, {.cnt = 2, .syms = nowhere}), -EFAULT);
  EXPECT_EQ(attach(prog, {.cnt = 2, .addrs = addrs}), -EINVAL);
  EXPECT_EQ(rom()->enter[READ], nullptr) << "nothing is left of it";
  EXPECT_EQ(attach(k.load({mov0(), exit_insn()}, BPF_PROG_TYPE_KPROBE), {.cnt = 3, .syms = syms}), -EINVAL) << "not loaded for it";
  const s64 session = k.load({mov0(), exit_insn()}, BPF_PROG_TYPE_KPROBE, BPF_TRACE_KPROBE_SESSION);
  EXPECT_EQ(link(session, BPF_TRACE_KPROBE_SESSION), -EINVAL);
  EXPECT_EQ(k.kernel().links.size(), 0u);
}

TEST_F(Links, TracepointsOfTheTable) {
  const s64 prog = k.load(reader(56));
  for (const EventInfo& e : event_table()) {
    const s64 event = open_tracepoint(e.id);
    ASSERT_GE(event, 0) << e.name;
    const s64 rc = ioctl(event, PERF_EVENT_IOC_SET_BPF, static_cast<u64>(prog));
    if (e.record_size() < 64) {
      EXPECT_EQ(rc, -EACCES) << e.name;
    } else {
      ASSERT_EQ(rc, 0) << e.name;
      ASSERT_NE(at(e.place), nullptr) << e.name;
      EXPECT_EQ(at(e.place)->entries[0].kind, ProbeKind::Tracepoint);
      EXPECT_EQ(at(e.place)->entries[0].event_id, e.id);
    }
    k.close(event);
  }
  EXPECT_EQ(open_tracepoint(1), -EINVAL);
}

struct Query {
  u32 ids_len = 0, prog_cnt = 0;
  u32 ids[3] = {7, 7, 7};
};

TEST_F(Links, QueryTellsAllProgramsOfATracepoint) {
  const u64 id = event_by_name("sched", "sched_process_fork")->id;
  const s64 a = open_tracepoint(id), b = open_tracepoint(id), prog = k.load({mov0(), exit_insn()});
  ASSERT_EQ(ioctl(a, PERF_EVENT_IOC_SET_BPF, static_cast<u64>(prog)), 0);
  ASSERT_GE(perf_link(prog, b), 0);
  Query q;
  EXPECT_EQ(ioctl(a, PERF_EVENT_IOC_QUERY_BPF, address(q)), 0);
  EXPECT_EQ(q.prog_cnt, 2u);
  EXPECT_EQ(q.ids[0], 7u) << "no room was given";
  q.ids_len = 1;
  EXPECT_EQ(ioctl(a, PERF_EVENT_IOC_QUERY_BPF, address(q)), -ENOSPC);
  q.ids_len = 3;
  EXPECT_EQ(ioctl(a, PERF_EVENT_IOC_QUERY_BPF, address(q)), 0);
  EXPECT_GT(q.ids[0], 0u);
  EXPECT_EQ(q.ids[1], q.ids[0]);
  EXPECT_EQ(q.ids[2], 0u);
  q.ids_len = 65;
  EXPECT_EQ(ioctl(a, PERF_EVENT_IOC_QUERY_BPF, address(q)), -E2BIG);
}

/// A clock, as perf_event_open() is going to make it.
class Clocks : public Links {
 protected:
  static perf_event_attr attr(u64 period, bool freq = false) {
    perf_event_attr a{};
    a.type = PERF_TYPE_SOFTWARE;
    a.size = sizeof a;
    a.config = PERF_COUNT_SW_CPU_CLOCK;
    a.sample_period = period;
    a.freq = freq ? 1 : 0;
    return a;
  }
  s64 open(const perf_event_attr& a, s32 pid, s32 cpu, bool enabled) {
    return k.with([&](CallContext& c) -> s64 {
      event = std::make_shared<PerfEvent>();
      event->kernel = &c.kernel;
      event->id = c.kernel.next_event_id();
      event->type = a.type;
      event->config = a.config;
      event->samples = a.sample_period != 0;
      event->freq = a.freq != 0;
      event->enabled = enabled;
      const Status s = make_clock(c, event.get(), a, pid, cpu);
      return s.ok() ? c.install(event, FILE_READ | FILE_WRITE) : -s64{s.error().value()};
    });
  }
  s64 load_clock() { return k.load({mov0(), exit_insn()}, BPF_PROG_TYPE_PERF_EVENT); }
  void TearDown() override { event = nullptr; }
  std::shared_ptr<PerfEvent> event;
};

TEST_F(Clocks, RunOnlyWhileEnabled) {
  const s64 fd = open(attr(99, true), -1, 1, false);
  ASSERT_GE(fd, 0);
  EXPECT_EQ(event->clock_period_ns, 1000000000u / 99);
  EXPECT_EQ(event->clock_cpu, 1);
  const s64 prog = load_clock(), link = perf_link(prog, fd, 3);
  ASSERT_GE(prog, 0);
  ASSERT_GE(link, 0);
  EXPECT_EQ(at(EventPlace::Clock), nullptr) << "it was opened disabled";
  EXPECT_EQ(ioctl(fd, PERF_EVENT_IOC_ENABLE, 0), 0);
  ASSERT_NE(at(EventPlace::Clock), nullptr);
  EXPECT_EQ(at(EventPlace::Clock)->entries[0].event_id, event->id);
  EXPECT_EQ(at(EventPlace::Clock)->entries[0].cookie, 3u);
  EXPECT_EQ(at(EventPlace::Clock)->entries[0].kind, ProbeKind::Clock);
  EXPECT_EQ(ioctl(fd, PERF_EVENT_IOC_DISABLE, 0), 0);
  EXPECT_EQ(at(EventPlace::Clock), nullptr);
  bpf_link_info i{};
  ASSERT_EQ(info(link, i), 0);
  EXPECT_EQ(i.perf_event.type, u32{BPF_PERF_EVENT_EVENT});
  EXPECT_EQ(i.perf_event.event.type, u32{PERF_TYPE_SOFTWARE});
  EXPECT_EQ(i.perf_event.event.config, u64{PERF_COUNT_SW_CPU_CLOCK});
  EXPECT_EQ(i.perf_event.event.cookie, 3u);
}

TEST_F(Clocks, OfOneProcess) {
  const s64 fd = open(attr(1), 0, -1, true);
  ASSERT_GE(fd, 0);
  EXPECT_EQ(event->clock_period_ns, 10000u) << "no shorter";
  ASSERT_EQ(ioctl(fd, PERF_EVENT_IOC_SET_BPF, static_cast<u64>(load_clock())), 0);
  ASSERT_NE(at(EventPlace::Clock), nullptr);
  EXPECT_EQ(at(EventPlace::Clock)->entries[0].tgid, 1) << "the caller's";
  EXPECT_EQ(open(attr(1), 0x7ffffff0, -1, true), -ESRCH);
}

TEST_F(Clocks, PeriodsAndPrograms) {
  const s64 fd = open(attr(50, true), -1, 0, true);
  u64 value = 100;
  EXPECT_EQ(ioctl(fd, PERF_EVENT_IOC_PERIOD, address(value)), 0);
  EXPECT_EQ(event->clock_period_ns, 10000000u);
  value = 100001;
  EXPECT_EQ(ioctl(fd, PERF_EVENT_IOC_PERIOD, address(value)), -EINVAL);
  value = 0;
  EXPECT_EQ(ioctl(fd, PERF_EVENT_IOC_PERIOD, address(value)), -EINVAL);
  EXPECT_EQ(ioctl(fd, PERF_EVENT_IOC_SET_BPF, static_cast<u64>(k.load({mov0(), exit_insn()}))), -EINVAL) << "a TRACEPOINT program";
  const s64 counts = open(attr(0), -1, 0, true);
  value = 5;
  EXPECT_EQ(ioctl(counts, PERF_EVENT_IOC_PERIOD, address(value)), -EINVAL);
}

TEST_F(Links, FeatureProbesWithFdsThatAreNotOpen) {
  EXPECT_EQ(perf_link(k.load({mov0(), exit_insn()}), -1), -EBADF);
  EXPECT_EQ(link(k.load({mov0(), exit_insn()}, BPF_PROG_TYPE_CGROUP_SKB, BPF_CGROUP_INET_INGRESS), BPF_CGROUP_INET_INGRESS, 0, -1), -EBADF);
  const s64 uprobes = k.load({mov0(), exit_insn()}, BPF_PROG_TYPE_KPROBE, BPF_TRACE_UPROBE_MULTI);
  ASSERT_GE(uprobes, 0);
  EXPECT_EQ(link(uprobes, BPF_TRACE_UPROBE_MULTI, 0, -1), -EOPNOTSUPP);
  EXPECT_EQ(link(k.load({mov0(), exit_insn()}, BPF_PROG_TYPE_SCHED_CLS), BPF_TCX_INGRESS, 0, 0x7fffffff), -EINVAL);
  EXPECT_EQ(link(k.load({mov0(), exit_insn()}, BPF_PROG_TYPE_XDP), BPF_XDP, 0, -1), -EINVAL);
  EXPECT_EQ(link(-1, BPF_STRUCT_OPS), -EBADF);
}

TEST_F(Links, NeitherUpdatedNorDetached) {
  const s64 prog = k.load({mov0(), exit_insn()}, BPF_PROG_TYPE_RAW_TRACEPOINT), fd = raw_open(prog, "sys_enter");
  bpf_attr a{};
  a.link_update.link_fd = static_cast<u32>(fd);
  a.link_update.new_prog_fd = static_cast<u32>(prog);
  EXPECT_EQ(k.bpf(BPF_LINK_UPDATE, a), -EINVAL);
  a.link_update.new_prog_fd = 99;
  EXPECT_EQ(k.bpf(BPF_LINK_UPDATE, a), -EBADF);
  a.link_update.flags = 1;
  a.link_update.link_fd = 99;
  EXPECT_EQ(k.bpf(BPF_LINK_UPDATE, a), -EINVAL) << "flags first";
  bpf_attr d{};
  d.link_detach.link_fd = static_cast<u32>(fd);
  EXPECT_EQ(k.bpf(BPF_LINK_DETACH, d), -EOPNOTSUPP);
}

TEST_F(Links, FdinfoOfEachKind) {
  const auto text = [&](s64 fd) {
    return k.with([&](CallContext& c) -> s64 {
      info_text = fdinfo_text(**c.file(static_cast<s32>(fd)));
      return 0;
    });
  };
  text(raw_open(k.load({mov0(), exit_insn()}, BPF_PROG_TYPE_RAW_TRACEPOINT), "sys_exit"));
  EXPECT_NE(info_text.find("link_type:\traw_tracepoint\n"), std::string::npos);
  EXPECT_NE(info_text.find("tp_name:\tsys_exit\n"), std::string::npos);
  text(raw_open(load_fentry(), nullptr));
  EXPECT_NE(info_text.find("link_type:\ttracing\n"), std::string::npos);
  EXPECT_NE(info_text.find(fmt::format("attach_type:\t{}\ntarget_obj_id:\t1\ntarget_btf_id:\t", u32{BPF_TRACE_FENTRY})), std::string::npos);
}

}  // namespace
}  // namespace skep
