// testrun: one request under way. Internal to the room.
#pragma once
#include <cerrno>

#include "helpers/packet.h"
#include "testrun/test_run.h"

namespace skep {

constexpr long TEST_ENOTSUPP = 524;  ///< not in errno.h
constexpr u32 LOOPBACK_IFINDEX = 1;
constexpr u64 MAX_SYSCALL_CTX = 0xffff;

/// The kernel's structures of one run, all of them zero at first.
struct TestRunKernel {
  PacketSkb skb;
  PacketXdp xdp;
  NetDevice dev;
  Sock sk;
  XdpRxqInfo rxq;
  XdpTxqInfo txq;
  FlowDissectorKern flow;
  bpf_flow_keys flow_keys;
  SkLookupKern lookup;
  /// The context as the caller gave it and gets it back.
  union {
    __sk_buff skb;
    xdp_md xdp;
    bpf_flow_keys flow_keys;
    bpf_sk_lookup lookup;
  } user;
};

/// What TestRunEnv::memory holds. The shared info of a packet is the last part of its page, the structures stand right behind: one
/// stretch, beside the packet, that programs may look at.
struct TestRunMemory {
  alignas(PAGE_SIZE) u8 packet[PAGE_SIZE];
  TestRunKernel kernel;
  RunCtx run;
  alignas(64) u8 args[MAX_SYSCALL_CTX + 1];
  alignas(PAGE_SIZE) u8 frags[MAX_SKB_FRAGS * PAGE_SIZE];
};

class Job {
 public:
  Job(const TestRunPlan& what, TestRunEnv& where) noexcept
      : plan(what), attr(what.attr), env(where), mem(*reinterpret_cast<TestRunMemory*>(where.memory)), kernel(mem.kernel) {}

  const TestRunPlan& plan;
  const bpf_test_run_attr& attr;
  TestRunEnv& env;
  TestRunMemory& mem;
  TestRunKernel& kernel;

  /// Copies the packet in, `headroom` into its page. Linux: test_run.c:bpf_test_init()
  long copy_packet(u32 user_size, u32 headroom, u32 tailroom) noexcept;
  /// Copies the context in; *given: there is one, to be read or written. Linux: test_run.c:bpf_ctx_init()
  long copy_ctx(void* ctx, u32 max_size, bool* given) noexcept;
  /// Linux: test_run.c:bpf_test_finish(). `frags`: null, or what an XDP buffer has of them.
  long finish(const u8* data, u32 size, const u8* frags, u32 frags_size, u32 retval, u32 duration) noexcept;
  /// Linux: test_run.c:bpf_ctx_finish()
  long finish_ctx(bool given, const void* ctx, u32 size) noexcept;
  long write_retval(u32 retval) noexcept;

  /// What the program gets. REQUIRES: before the first run.
  void set_ctx(void* ctx, u32 size, PacketKind packet) noexcept;
  /// One run: its result, or -EIO.
  long run_once(u32* retval) noexcept;
  /// attr.repeat runs, calling before() and after(&retval) around each: 0, -EINTR, -EIO. *duration: of one, in ns.
  /// Linux: test_run.c:bpf_test_run(), bpf_test_timer_continue()
  template <typename Before, typename After>
  long run(u32* retval, u32* duration, Before&& before, After&& after) noexcept {
    const u32 repeat = attr.repeat == 0 ? 1 : attr.repeat;
    const u64 start = env.run->ktime_ns(env.run);
    asked_at_ = start;
    for (u32 left = repeat, until_ask = 1;;) {
      before();
      if (const long err = run_once(retval); err != 0) return err;
      after(retval);
      if (--left == 0) break;
      if (--until_ask != 0) continue;
      if (env.interrupted(&env)) return -EINTR;
      until_ask = runs_until_ask();
    }
    const u64 each = (env.run->ktime_ns(env.run) - start) / repeat;
    *duration = each > 0xffffffff ? 0xffffffff : static_cast<u32>(each);
    return 0;
  }
  long run(u32* retval, u32* duration) noexcept {
    return run(
        retval, duration, [] {}, [](u32*) {});
  }

 private:
  long put(u64 field, u32 value) noexcept;
  u32 runs_until_ask() noexcept;
  u64 asked_at_ = 0;
  u32 runs_ = 1;  ///< from one ask to the next
};

/// True when bytes [from, to) of `of` are zero.
bool range_is_zero(const void* of, u64 from, u64 to) noexcept;

long test_run_skb(Job& job) noexcept;
long test_run_xdp(Job& job) noexcept;
long test_run_flow_dissector(Job& job) noexcept;
long test_run_sk_lookup(Job& job) noexcept;
long test_run_raw_tp(Job& job) noexcept;
long test_run_syscall(Job& job) noexcept;

}  // namespace skep
