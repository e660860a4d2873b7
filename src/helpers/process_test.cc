// Helpers that reach out to the process, and those of SYSCALL programs.
#include "helpers/helper_list.h"
#include "helpers/run_fixture_test.h"
#include "maps/object_maps.h"

namespace skep::test {
namespace {

class ProcessHelpers : public RunFixture {
 protected:
  RunCtx& run() { return prepare({}); }
  static u64 of(const void* p) { return reinterpret_cast<u64>(p); }
};

s64 number(u64 v) { return static_cast<s64>(v); }

TEST_F(ProcessHelpers, WritesUserMemoryOnly) {
  u64 target = 1;
  const u64 value = 2;
  EXPECT_EQ(bpf_probe_write_user(run(), of(&target), of(&value), 8, 0, 0), 0u);
  EXPECT_EQ(target, 2u);
  const HalfMapped half;
  EXPECT_EQ(number(bpf_probe_write_user(run(), of(half.unreadable()), of(&value), 8, 0, 0)), -EFAULT);
  EXPECT_EQ(number(bpf_probe_write_user(run(), of(&host_->view().ram->missed), of(&value), 8, 0, 0)), -EFAULT);
  EXPECT_EQ(host_->view().ram->missed, 0u);
  RunCtx& r = run();
  EXPECT_EQ(number(bpf_probe_write_user(r, of(r.stack), of(&value), 8, 0, 0)), -EFAULT);
  EXPECT_EQ(number(bpf_probe_write_user(r, ~3ULL, of(&value), 8, 0, 0)), -EFAULT);
}

TEST_F(ProcessHelpers, CopiesFromUserMemory) {
  const u64 source = 5;
  u64 to = 1;
  EXPECT_EQ(bpf_copy_from_user(run(), of(&to), 8, of(&source), 0, 0), 0u);
  EXPECT_EQ(to, 5u);
  EXPECT_EQ(number(bpf_copy_from_user(run(), of(&to), 8, 8, 0, 0)), -EFAULT);
  EXPECT_EQ(to, 0u);
  EXPECT_EQ(bpf_copy_from_user_task(run(), of(&to), 8, of(&source), env_.fake_task, 0), 0u);
  EXPECT_EQ(to, 5u);
  EXPECT_EQ(number(bpf_copy_from_user_task(run(), of(&to), 8, of(&source), env_.fake_task, 1)), -EINVAL);
  EXPECT_EQ(to, 5u);
  EXPECT_EQ(number(bpf_copy_from_user_task(run(), of(&to), 8, of(&source), 0x1234, 0)), -EFAULT);
  EXPECT_EQ(to, 0u);
}

TEST_F(ProcessHelpers, SignalsAreHandedOver) {
  EXPECT_EQ(bpf_send_signal(run(), 10, 0, 0, 0, 0), 0u);
  EXPECT_EQ(bpf_send_signal_thread(run(), 64, 0, 0, 0, 0), 0u);
  EXPECT_EQ(env_.signals, (std::vector<std::pair<u32, bool>>{{10, false}, {64, true}}));
  EXPECT_EQ(number(bpf_send_signal(run(), 10, 0, 0, 0, 0)), -EBUSY);
  EXPECT_EQ(number(bpf_send_signal(run(), 65, 0, 0, 0, 0)), -EINVAL);
  EXPECT_EQ(bpf_send_signal(run(), 1ULL << 32, 0, 0, 0, 0), 0u) << "a u32, and none";
  env_.fake_pid_tgid = 1ULL << 32 | 1;
  EXPECT_EQ(number(bpf_send_signal(run(), 10, 0, 0, 0, 0)), -EPERM) << "never to init";
}

TEST_F(ProcessHelpers, OverridesAtTheEntryOfAFunctionOnly) {
  for (const ProbeKind kind : {ProbeKind::Kprobe, ProbeKind::Kretprobe, ProbeKind::TpEnter}) {
    probe_.kind = kind;
    RunCtx& r = run();
    r.overrides = false;
    EXPECT_EQ(bpf_override_return(r, 0, static_cast<u64>(-EPERM), 0, 0, 0), 0u);
    EXPECT_EQ(r.overrides, kind == ProbeKind::Kprobe);
    if (r.overrides) {
      EXPECT_EQ(r.override_ret, -EPERM);
    }
  }
}

TEST_F(ProcessHelpers, ArgumentsOfTheProbedFunction) {
  const u64 ctx[2] = {0x1111, 0x2222};
  u64 value = 0;
  EXPECT_EQ(bpf_get_func_ip(run(), of(ctx), 0, 0, 0, 0), probe_.symbol_addr);
  EXPECT_EQ(bpf_get_func_arg_cnt(run(), of(ctx), 0, 0, 0, 0), 1u);
  EXPECT_EQ(bpf_get_func_arg(run(), of(ctx), 0, of(&value), 0, 0), 0u);
  EXPECT_EQ(value, 0x1111u);
  EXPECT_EQ(number(bpf_get_func_arg(run(), of(ctx), 1, of(&value), 0, 0)), -EINVAL);
  probe_.kind = ProbeKind::Fentry;
  EXPECT_EQ(number(bpf_get_func_ret(run(), of(ctx), of(&value), 0, 0, 0)), -EOPNOTSUPP);
  probe_.kind = ProbeKind::Fexit;
  EXPECT_EQ(bpf_get_func_ret(run(), of(ctx), of(&value), 0, 0, 0), 0u);
  EXPECT_EQ(value, 0x2222u);
}

TEST_F(ProcessHelpers, Cgroups) {
  EXPECT_EQ(bpf_get_current_cgroup_id(run(), 0, 0, 0, 0, 0), 300u);
  EXPECT_EQ(bpf_get_current_ancestor_cgroup_id(run(), 1, 0, 0, 0, 0), 20u);
  EXPECT_EQ(bpf_get_current_ancestor_cgroup_id(run(), 3, 0, 0, 0, 0), 0u);
  EXPECT_EQ(bpf_get_current_ancestor_cgroup_id(run(), static_cast<u64>(-1), 0, 0, 0, 0), 0u);
  MapDesc* m = map(BPF_MAP_TYPE_CGROUP_ARRAY, 4, 4, 3);
  m->elems = static_cast<u8*>(host_->rom_alloc(object_map_rom_bytes(*m)).value());
  set_cgroup_at(*m, 1, 20);
  set_cgroup_at(*m, 2, 21);
  const auto under = [&](u64 index) { return number(bpf_current_task_under_cgroup(run(), of(m), index, 0, 0, 0)); };
  EXPECT_EQ(under(0), -EAGAIN);
  EXPECT_EQ(under(1), 1);
  EXPECT_EQ(under(2), 0);
  EXPECT_EQ(under(3), -E2BIG);
  env_.fake_cgroups.levels = 0;
  EXPECT_EQ(under(1), 0);
  EXPECT_EQ(bpf_get_current_cgroup_id(run(), 0, 0, 0, 0, 0), 0u);
}

TEST_F(ProcessHelpers, PidNamespace) {
  u32 ids[3] = {7, 7, 7};
  EXPECT_EQ(bpf_get_ns_current_pid_tgid(run(), 4, 4026531836, of(ids), 8, 0), 0u);
  EXPECT_EQ(ids[0], 1001u);
  EXPECT_EQ(ids[1], 1000u);
  EXPECT_EQ(number(bpf_get_ns_current_pid_tgid(run(), 5, 4026531836, of(ids), 8, 0)), -EINVAL);
  EXPECT_EQ(ids[0] + ids[1], 0u);
  EXPECT_EQ(ids[2], 7u);
}

TEST_F(ProcessHelpers, CallsOfBpf) {
  EXPECT_EQ(bpf_sys_bpf(run(), BPF_MAP_CREATE, 0x1000, 72, 0, 0), 33u);
  EXPECT_EQ(env_.bpf_calls, (std::vector<std::tuple<u32, u64, u32>>{{BPF_MAP_CREATE, 0x1000, 72}}));
  for (const u32 cmd : {u32{BPF_MAP_LOOKUP_ELEM}, u32{BPF_PROG_TEST_RUN}, u32{BPF_OBJ_PIN}, 99u})
    EXPECT_EQ(number(bpf_sys_bpf(run(), cmd, 0x1000, 72, 0, 0)), -EINVAL) << cmd;
  EXPECT_EQ(env_.bpf_calls.size(), 1u);
  EXPECT_EQ(bpf_sys_close(run(), 33, 0, 0, 0, 0), 0u);
  EXPECT_EQ(number(bpf_sys_close(run(), 34, 0, 0, 0, 0)), -EBADF);
}

TEST_F(ProcessHelpers, Symbols) {
  const char known[] = "known", other[] = "other";
  u64 at = 1;
  EXPECT_EQ(bpf_kallsyms_lookup_name(run(), of(known), sizeof known, 0, of(&at), 0), 0u);
  EXPECT_EQ(at, 0xffffffff81000000u);
  EXPECT_EQ(number(bpf_kallsyms_lookup_name(run(), of(other), sizeof other, 0, of(&at), 0)), -ENOENT);
  EXPECT_EQ(at, 0u);
  EXPECT_EQ(number(bpf_kallsyms_lookup_name(run(), of(known), sizeof known - 1, 0, of(&at), 0)), -EINVAL) << "no end";
  EXPECT_EQ(number(bpf_kallsyms_lookup_name(run(), of(known), sizeof known, 1, of(&at), 0)), -EINVAL);
  EXPECT_EQ(bpf_btf_find_by_name_kind(run(), of(known), sizeof known, 4, 0, 0), 77u);
  EXPECT_EQ(number(bpf_btf_find_by_name_kind(run(), of(other), sizeof other, 4, 0, 0)), -ENOENT);
  EXPECT_EQ(number(bpf_btf_find_by_name_kind(run(), of(known), 1, 4, 0, 0)), -EINVAL);
}

TEST_F(ProcessHelpers, CountersThatAreNotThere) {
  MapDesc* m = perf_array(4);
  m->perf_events[2] = perf_ring(2, 0);
  u64 value[3] = {7, 7, 7};
  EXPECT_EQ(number(bpf_perf_event_read(run(), of(m), 0, 0, 0, 0)), -ENOENT);
  EXPECT_EQ(number(bpf_perf_event_read(run(), of(m), 4, 0, 0, 0)), -E2BIG);
  EXPECT_EQ(number(bpf_perf_event_read(run(), of(m), 1ULL << 32, 0, 0, 0)), -EINVAL);
  EXPECT_EQ(number(bpf_perf_event_read(run(), of(m), BPF_F_CURRENT_CPU, 0, 0, 0)), -EINVAL);
  EXPECT_EQ(number(bpf_perf_event_read_value(run(), of(m), 0, of(value), 24, 0)), -ENOENT);
  EXPECT_EQ(value[0] + value[1] + value[2], 0u);
  EXPECT_EQ(number(bpf_perf_event_read_value(run(), of(m), 0, of(value), 16, 0)), -EINVAL);
  EXPECT_EQ(number(bpf_read_branch_records(run(), 0, 0, 0, 0, 0)), -ENOENT);
  EXPECT_EQ(number(bpf_read_branch_records(run(), 0, 0, 0, 2, 0)), -EINVAL);
}

}  // namespace
}  // namespace skep::test
