// Each helper called as the interpreter calls it, on a fake process.
#include "helpers/helper.h"

#include "helpers/memory.h"
#include "helpers/run_fixture_test.h"
#include "helpers/runnable.h"
#include "helpers/trace_record.h"
#include "isa/func_names.h"
#include "progtypes/ctx_access.h"
#include "progtypes/func_proto.h"

namespace skep::test {
namespace {

class Helpers : public RunFixture {
 protected:
  void SetUp() override {
    RunFixture::SetUp();
    trace_ = bpf_ring(8192);
    prepare({exit_()});
  }
  template <typename... Args>
  u64 call(u32 id, Args... args) {
    const u64 all[5] = {as_arg(args)...};
    return helper_fn(id)(*run_, all[0], all[1], all[2], all[3], all[4]);
  }
  template <typename... Args>
  s64 scall(u32 id, Args... args) { return static_cast<s64>(call(id, args...)); }

  static u64 as_arg(const void* p) { return reinterpret_cast<u64>(p); }
  template <typename T>
    requires std::is_integral_v<T>
  static u64 as_arg(T v) { return static_cast<u64>(v); }

  std::vector<std::string> records(RingDesc* ring) {
    std::vector<std::string> out;
    ringbuf_consume(
        ring,
        [](void* arg, const void* data, u32 size) {
          static_cast<std::vector<std::string>*>(arg)->emplace_back(static_cast<const char*>(data), size);
          return true;
        },
        &out, 1000);
    return out;
  }

  RingDesc* trace_ = nullptr;
};

/// Everything that can run has a proto, and takes only what the interpreter can check.
TEST_F(Helpers, AllHaveProtos) {
  int count = 0;
  for (u64 id = 0; id < MAX_BPF_FUNC_ID_ + 10; ++id) {
    if (helper_fn(id) == nullptr) continue;
    ++count;
    EXPECT_TRUE(helper_is_runnable(id)) << id;
    const FuncProto* p = nullptr;
    for (u32 type = 1; type < MAX_BPF_PROG_TYPE_ && p == nullptr; ++type)
      if (prog_type_is_runnable(type)) p = run_func_proto(id, type);
    ASSERT_NE(p, nullptr) << id;
    EXPECT_EQ(p->id, id);
    bool map_seen = false;
    for (u32 type : p->args) {
      map_seen |= type == ARG_CONST_MAP_PTR;
      const bool needs_map = base_type(type) == ARG_PTR_TO_MAP_KEY || base_type(type) == ARG_PTR_TO_MAP_VALUE;
      EXPECT_TRUE(!needs_map || map_seen) << func_id_name(static_cast<s64>(id));
      static constexpr u32 MORE[] = {ARG_SCALAR,      ARG_PTR_TO_RINGBUF_MEM, ARG_CONST_ALLOC_SIZE_OR_ZERO, ARG_PTR_TO_SPIN_LOCK,
                                     ARG_PTR_TO_FUNC, ARG_PTR_TO_STACK,       ARG_PTR_TO_CONST_STR,         ARG_PTR_TO_BTF_ID};
      const bool checkable = needs_map || base_type(type) <= ARG_ANYTHING ||
                             std::find(std::begin(MORE), std::end(MORE), base_type(type)) != std::end(MORE);
      EXPECT_TRUE(checkable && base_type(type) != ARG_PTR_TO_ARENA) << func_id_name(static_cast<s64>(id));
    }
  }
  EXPECT_EQ(count, 86);
  EXPECT_TRUE(helper_is_runnable(BPF_FUNC_tail_call)) << "the interpreter's own";
  EXPECT_FALSE(helper_is_runnable(66 /* fib_lookup */));
  // What the verifier's rewriting calls is what we have.
  static_assert(SKB_LOAD_HELPERS == SKB_LOAD_HELPER_8 && SKB_LOAD_HELPERS + 1 == SKB_LOAD_HELPER_16 &&
                SKB_LOAD_HELPERS + 2 == SKB_LOAD_HELPER_32);
}

TEST_F(Helpers, Current) {
  EXPECT_EQ(call(BPF_FUNC_get_current_pid_tgid), 1000ULL << 32 | 1001);
  EXPECT_EQ(call(BPF_FUNC_get_current_uid_gid), 6ULL << 32 | 5);
  EXPECT_EQ(call(BPF_FUNC_get_current_task), 0x7000u);
  EXPECT_EQ(call(BPF_FUNC_ktime_get_ns), 123456789u);
  EXPECT_EQ(call(BPF_FUNC_ktime_get_boot_ns), 987654321u);
  EXPECT_EQ(call(160 /* ktime_get_coarse_ns */), 123000000u);
  EXPECT_EQ(call(208 /* ktime_get_tai_ns */), 37123456789u);
  EXPECT_EQ(call(42 /* get_numa_node_id */), 3u);
  EXPECT_EQ(call(118 /* jiffies64 */), 4294892296u + 123456789 / 4000000);
  EXPECT_EQ(call(BPF_FUNC_get_smp_processor_id), 2u);
  EXPECT_EQ(call(BPF_FUNC_get_attach_cookie, ctx_.data()), 0xc001eu);
  run_->probe = nullptr;
  EXPECT_EQ(call(BPF_FUNC_get_attach_cookie, ctx_.data()), 0u);
}

TEST_F(Helpers, CommIsCutAndPadded) {
  char buf[24];
  for (u32 size : {1u, 5u, 13u, 16u, 20u}) {
    std::memset(buf, 'x', sizeof buf);
    EXPECT_EQ(scall(BPF_FUNC_get_current_comm, buf, size), 0);
    const std::string want = std::string("fake-process").substr(0, size - 1);
    EXPECT_EQ(std::string(buf, size), want + std::string(size - want.size(), '\0'));
    EXPECT_EQ(buf[size], 'x');
  }
}

TEST_F(Helpers, PrandomVaries) {
  std::vector<u64> seen;
  for (int i = 0; i < 1000; ++i) {
    seen.push_back(call(BPF_FUNC_get_prandom_u32));
    EXPECT_LE(seen.back(), 0xffffffffu);
  }
  std::sort(seen.begin(), seen.end());
  EXPECT_GE(std::unique(seen.begin(), seen.end()) - seen.begin(), 999);
}

TEST_F(Helpers, ProbeReadUser) {
  HalfMapped mem;
  std::memcpy(mem.tail(8), "12345678", 8);
  char buf[16];
  std::memset(buf, 'x', sizeof buf);
  EXPECT_EQ(scall(BPF_FUNC_probe_read_user, buf, 8, mem.tail(8)), 0);
  EXPECT_EQ(std::string(buf, 9), "12345678x");
  // Runs into what cannot be read: nothing is left of the destination.
  EXPECT_EQ(scall(BPF_FUNC_probe_read_user, buf, 9, mem.tail(8)), -EFAULT);
  EXPECT_EQ(std::string(buf, 10), std::string(9, '\0') + 'x');
  EXPECT_EQ(scall(BPF_FUNC_probe_read_user, buf, 0, nullptr), 0);
  EXPECT_EQ(scall(BPF_FUNC_probe_read_user, buf, 8, nullptr), -EFAULT);
  EXPECT_EQ(scall(BPF_FUNC_probe_read_user, buf, 8, ~0ULL - 3), -EFAULT);
}

TEST_F(Helpers, KernelAndUserHalvesAreApart) {
  u64 mine = 42, got = 0;
  MapDesc* array = map(BPF_MAP_TYPE_ARRAY, 4, 8, 1);
  const u32 zero = 0;
  auto* value = static_cast<u64*>(map_ops(array->type)->lookup(op(), array, &zero));
  *value = 43;
  EXPECT_EQ(scall(BPF_FUNC_probe_read_user, &got, 8, &mine), 0);
  EXPECT_EQ(scall(BPF_FUNC_probe_read_kernel, &got, 8, &mine), -EFAULT);
  EXPECT_EQ(got, 0u);
  EXPECT_EQ(scall(BPF_FUNC_probe_read_kernel, &got, 8, value), 0);
  EXPECT_EQ(got, 43u);
  EXPECT_EQ(scall(BPF_FUNC_probe_read_user, &got, 8, value), -EFAULT);
  EXPECT_EQ(scall(BPF_FUNC_probe_read, &got, 8, value), 0);
  EXPECT_EQ(scall(BPF_FUNC_probe_read, &got, 8, &mine), 0);
  EXPECT_EQ(got, 42u);
  // The run's context and stack are the kernel's.
  EXPECT_EQ(scall(BPF_FUNC_probe_read_kernel, &got, 8, ctx_.data()), 0);
  EXPECT_EQ(got, 0x1111111111111111u);
  EXPECT_EQ(scall(BPF_FUNC_probe_read_user, &got, 8, ctx_.data()), -EFAULT);
  EXPECT_EQ(scall(BPF_FUNC_probe_read_kernel, &got, 8, run_->stack[0]), 0);
  EXPECT_EQ(scall(BPF_FUNC_probe_read_kernel, &got, 8, run_->stack[1]), -EFAULT);  // not entered
}

TEST_F(Helpers, ExtraRangeIsTheKernels) {
  u64 regs[4] = {1, 2, 3, 4}, got = 0;
  extra_ = {reinterpret_cast<u64>(regs), sizeof regs};
  prepare({exit_()});
  EXPECT_EQ(scall(BPF_FUNC_probe_read_kernel, &got, 8, &regs[3]), 0);
  EXPECT_EQ(got, 4u);
  EXPECT_EQ(scall(BPF_FUNC_probe_read_user, &got, 8, &regs[3]), -EFAULT);
  u64 two[2];
  EXPECT_EQ(scall(BPF_FUNC_probe_read_kernel, two, 16, &regs[3]), -EFAULT);  // leaves the range
}

TEST_F(Helpers, UserReadsDoNotRunIntoTheWindow) {
  // A page of the test's, right below the window.
  const u64 below = host_->rom()->rom_base - PAGE_SIZE;
  char* page = static_cast<char*>(mmap(reinterpret_cast<void*>(below), PAGE_SIZE, PROT_READ | PROT_WRITE,
                                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0));
  ASSERT_NE(page, MAP_FAILED);
  std::memset(page, 'a', PAGE_SIZE);
  char buf[16];
  EXPECT_EQ(scall(BPF_FUNC_probe_read_user, buf, 8, page + PAGE_SIZE - 8), 0);
  EXPECT_EQ(scall(BPF_FUNC_probe_read_user, buf, 9, page + PAGE_SIZE - 8), -EFAULT);
  EXPECT_EQ(scall(BPF_FUNC_probe_read_user_str, buf, 4, page + PAGE_SIZE - 4), 4);
  EXPECT_EQ(scall(BPF_FUNC_probe_read_user_str, buf, 8, page + PAGE_SIZE - 4), -EFAULT);
  page[PAGE_SIZE - 1] = 0;
  EXPECT_EQ(scall(BPF_FUNC_probe_read_user_str, buf, 8, page + PAGE_SIZE - 4), 4);
  EXPECT_STREQ(buf, "aaa");
  munmap(page, PAGE_SIZE);
}

TEST_F(Helpers, ProbeReadString) {
  HalfMapped mem;
  std::memcpy(mem.tail(6), "hello", 6);
  char buf[16];
  std::memset(buf, 'x', sizeof buf);
  EXPECT_EQ(scall(BPF_FUNC_probe_read_user_str, buf, 16, mem.tail(6)), 6);
  EXPECT_EQ(std::string(buf, 7), std::string("hello\0x", 7));  // nothing behind the NUL is touched
  EXPECT_EQ(scall(BPF_FUNC_probe_read_user_str, buf, 4, mem.tail(6)), 4);
  EXPECT_STREQ(buf, "hel");
  EXPECT_EQ(scall(BPF_FUNC_probe_read_user_str, buf, 1, mem.tail(6)), 1);
  EXPECT_STREQ(buf, "");
  EXPECT_EQ(scall(BPF_FUNC_probe_read_user_str, buf, 0, mem.tail(6)), 0);
  std::memcpy(mem.tail(6), "nonul!", 6);
  std::memset(buf, 'x', sizeof buf);
  EXPECT_EQ(scall(BPF_FUNC_probe_read_user_str, buf, 15, mem.tail(6)), -EFAULT);
  EXPECT_EQ(std::string(buf, 16), std::string(15, '\0') + 'x');
  EXPECT_EQ(scall(BPF_FUNC_probe_read_kernel_str, buf, 15, mem.tail(6)), -EFAULT);
  EXPECT_EQ(scall(BPF_FUNC_probe_read_str, buf, 6, mem.tail(6)), 6);
  EXPECT_STREQ(buf, "nonul");
}

TEST_F(Helpers, MapElements) {
  MapDesc* hash = map(BPF_MAP_TYPE_HASH, 4, 8, 2);
  const u32 a = 1, b = 2, c = 3;
  u64 v = 7;
  EXPECT_EQ(call(BPF_FUNC_map_lookup_elem, hash, &a), 0u);
  EXPECT_EQ(scall(BPF_FUNC_map_update_elem, hash, &a, &v, BPF_EXIST), -ENOENT);
  EXPECT_EQ(scall(BPF_FUNC_map_update_elem, hash, &a, &v, BPF_ANY), 0);
  EXPECT_EQ(scall(BPF_FUNC_map_update_elem, hash, &a, &v, BPF_NOEXIST), -EEXIST);
  EXPECT_EQ(scall(BPF_FUNC_map_update_elem, hash, &b, &v, BPF_ANY), 0);
  EXPECT_EQ(scall(BPF_FUNC_map_update_elem, hash, &c, &v, BPF_ANY), -E2BIG);
  EXPECT_EQ(*reinterpret_cast<u64*>(call(BPF_FUNC_map_lookup_elem, hash, &a)), 7u);
  EXPECT_EQ(scall(BPF_FUNC_map_delete_elem, hash, &a), 0);
  EXPECT_EQ(scall(BPF_FUNC_map_delete_elem, hash, &a), -ENOENT);
}

TEST_F(Helpers, RingBuffer) {
  MapDesc* ring = ringbuf(4096);
  EXPECT_EQ(scall(BPF_FUNC_ringbuf_output, ring, "payload", 7, 0), 0);
  EXPECT_EQ(scall(BPF_FUNC_ringbuf_output, ring, "payload", 7, 4), -EINVAL);
  EXPECT_EQ(scall(BPF_FUNC_ringbuf_output, ring, "payload", 5000, 0), -EAGAIN);
  EXPECT_EQ(call(BPF_FUNC_ringbuf_reserve, ring, 8, 1), 0u);
  char* record = reinterpret_cast<char*>(call(BPF_FUNC_ringbuf_reserve, ring, 8, 0));
  ASSERT_NE(record, nullptr);
  std::memcpy(record, "reserved", 8);
  EXPECT_EQ(call(BPF_FUNC_ringbuf_query, ring, BPF_RB_AVAIL_DATA), 32u);
  EXPECT_EQ(call(BPF_FUNC_ringbuf_query, ring, BPF_RB_RING_SIZE), 4096u);
  EXPECT_EQ(call(BPF_FUNC_ringbuf_submit, record, 0), 0u);
  const u64 dropped = call(BPF_FUNC_ringbuf_reserve, ring, 8, 0);
  EXPECT_EQ(call(BPF_FUNC_ringbuf_discard, dropped, 0), 0u);
  EXPECT_EQ(records(ring->ring), (std::vector<std::string>{"payload", "reserved"}));
}

TEST_F(Helpers, RingBufferRingsTheDoorbellOfASleeper) {
  MapDesc* ring = ringbuf(4096);
  ring->ring->ctl->armed = 1;
  host_->ram()->doorbell_waiting = 1;
  EXPECT_EQ(scall(BPF_FUNC_ringbuf_output, ring, "x", 1, 0), 0);
  EXPECT_EQ(env_.futex_wakes, 1);
  EXPECT_EQ(scall(BPF_FUNC_ringbuf_output, ring, "x", 1, 0), 0);
  EXPECT_EQ(env_.futex_wakes, 1) << "woken while awake";
}

TEST_F(Helpers, PerfEventOutput) {
  MapDesc* array = perf_array(3);
  RingDesc* here = perf_ring(2, PERF_SAMPLE_RAW | PERF_SAMPLE_IP | PERF_SAMPLE_TID | PERF_SAMPLE_TIME);
  array->perf_events[2] = here;
  array->perf_events[1] = perf_ring(1, PERF_SAMPLE_RAW);
  const auto output = [&](u64 flags, const void* data, u64 size) {
    return scall(BPF_FUNC_perf_event_output, ctx_.data(), array, flags, data, size);
  };
  EXPECT_EQ(output(1ULL << 32, "x", 1), -EINVAL);
  EXPECT_EQ(output(3, "x", 1), -E2BIG);
  EXPECT_EQ(output(0, "x", 1), -ENOENT);
  EXPECT_EQ(output(1, "x", 1), -EOPNOTSUPP);  // another CPU's
  EXPECT_EQ(output(BPF_F_CURRENT_CPU, "12345678", 8), 0);
  EXPECT_EQ(output(2, "12345678", 8), 0);
  const std::vector<u8> big(0x10000);
  EXPECT_EQ(output(BPF_F_CURRENT_CPU, big.data(), big.size()), -E2BIG);
  here->enabled = 0;
  EXPECT_EQ(output(2, "12345678", 8), -EOPNOTSUPP);
  const struct {
    perf_event_header header;
    u64 ip;
    u32 pid, tid;
    u64 time;
    u32 raw_size;
    char raw[8];
  }* sample = reinterpret_cast<decltype(sample)>(here->data);
  EXPECT_EQ(sample->header.type, u32{PERF_RECORD_SAMPLE});
  EXPECT_EQ(sample->ip, 0xffffffff81234567u);
  EXPECT_EQ(sample->pid, 1000u);
  EXPECT_EQ(sample->tid, 1001u);
  EXPECT_EQ(sample->time, 123456789u);
  EXPECT_EQ(sample->raw_size, 12u);
  EXPECT_EQ(std::string(sample->raw, 8), "12345678");
}

TEST_F(Helpers, TracePrintk) {
  const char fmt[] = "pid %d says %s";
  EXPECT_EQ(scall(BPF_FUNC_trace_printk, fmt, sizeof fmt, 42, "hello"), 17);
  const auto got = records(trace_);
  ASSERT_EQ(got.size(), 1u);
  TraceRecord head;
  std::memcpy(&head, got[0].data(), sizeof head);
  EXPECT_EQ(head.ts_ns, 123456789u);
  EXPECT_EQ(head.pid, 1001u);
  EXPECT_EQ(head.cpu, 2u);
  EXPECT_STREQ(head.comm, "fake-process");
  EXPECT_EQ(head.len, 17u);
  EXPECT_EQ(got[0].substr(sizeof head), "pid 42 says hello");
  EXPECT_EQ(scall(BPF_FUNC_trace_printk, fmt, sizeof fmt - 1, 42, "hello"), -EINVAL);  // no NUL within
  EXPECT_EQ(scall(BPF_FUNC_trace_printk, "a%cb", 5, 0), 3);                            // a NUL ends the text
  const auto cut = records(trace_);
  ASSERT_EQ(cut.size(), 1u);
  EXPECT_EQ(cut[0].substr(sizeof head), "a");
}

TEST_F(Helpers, TracePrintkWithoutARingIsDropped) {
  RingDesc* kept = host_->rom()->rings[0];
  host_->rom()->rings[0] = nullptr;
  EXPECT_EQ(scall(BPF_FUNC_trace_printk, "hi", 3), 2);
  host_->rom()->rings[0] = kept;
  EXPECT_TRUE(records(trace_).empty());
}

}  // namespace
}  // namespace skep::test
