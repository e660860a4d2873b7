// helpers and interp tests: a window of their own with real maps and rings, programs made of instructions, and a process that is a
// fake.
#pragma once
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "buffers/perf_ring.h"
#include "buffers/ringbuf.h"
#include "helpers/run_ctx.h"
#include "isa/asm_test.h"
#include "maps/map_ops.h"
#include "shm/window.h"

namespace skep::test {

/// A process with fixed answers, whose memory is the test's own.
struct FakeEnv : RunEnv {
  u64 fake_pid_tgid = 1000ULL << 32 | 1001, fake_uid_gid = 6ULL << 32 | 5, fake_task = 0x7000, fake_ktime = 123456789,
      fake_boot = 987654321, fake_coarse = 123000000, fake_tai = 37123456789;
  u32 fake_node = 3;
  std::string fake_comm = "fake-process";
  int futex_wakes = 0;
  CgroupPath fake_cgroups{3, {1, 20, 300}};
  std::vector<std::pair<u32, bool>> signals;
  std::vector<std::tuple<u32, u64, u32>> bpf_calls;

  FakeEnv() : RunEnv{} {
    pid_tgid = [](RunEnv* e) noexcept { return self(e)->fake_pid_tgid; };
    uid_gid = [](RunEnv* e) noexcept { return self(e)->fake_uid_gid; };
    comm = [](RunEnv* e, char out[16]) noexcept {
      std::memset(out, 0, 16);
      self(e)->fake_comm.copy(out, 15);
    };
    current_task = [](RunEnv* e) noexcept { return self(e)->fake_task; };
    ktime_ns = [](RunEnv* e) noexcept { return self(e)->fake_ktime; };
    boot_ns = [](RunEnv* e) noexcept { return self(e)->fake_boot; };
    coarse_ns = [](RunEnv* e) noexcept { return self(e)->fake_coarse; };
    tai_ns = [](RunEnv* e) noexcept { return self(e)->fake_tai; };
    numa_node = [](RunEnv* e) noexcept { return self(e)->fake_node; };
    read_memory = [](RunEnv*, void* dst, const void* src, u64 len) noexcept { return guarded(dst, src, len); };
    read_string = [](RunEnv*, void* dst, u64 size, const void* src) noexcept -> long {
      char* out = static_cast<char*>(dst);
      for (u64 i = 0; i < size; ++i) {
        if (guarded(&out[i], static_cast<const char*>(src) + i, 1) != 0) return -EFAULT;
        if (out[i] == 0) return static_cast<long>(i + 1);
      }
      out[size - 1] = 0;
      return static_cast<long>(size);
    };
    futex_wake_host = [](RunEnv* e) noexcept { ++self(e)->futex_wakes; };
    write_memory = [](RunEnv*, void* dst, const void* src, u64 len) noexcept -> long {
      iovec from{const_cast<void*>(src), len}, to{dst, len};
      return process_vm_writev(getpid(), &from, 1, &to, 1, 0) == static_cast<ssize_t>(len) ? 0 : -EFAULT;
    };
    send_signal = [](RunEnv* e, u32 sig, bool to_thread) noexcept -> long {
      if (self(e)->signals.size() == 2) return -EBUSY;
      self(e)->signals.push_back({sig, to_thread});
      return 0;
    };
    pid_namespace = [](RunEnv*, u64* dev, u64* ino) noexcept { return *dev = 4, *ino = 4026531836, true; };
    cgroups = [](RunEnv* e) noexcept -> const CgroupPath* { return &self(e)->fake_cgroups; };
    sys_bpf = [](RunEnv* e, u32 cmd, u64 attr, u32 size) noexcept -> s64 {
      self(e)->bpf_calls.push_back({cmd, attr, size});
      return 33;
    };
    close_fd = [](RunEnv*, s32 fd) noexcept -> long { return fd == 33 ? 0 : -EBADF; };
    find_symbol = [](RunEnv*, const char* name, u32 kind, u64* address) noexcept -> s64 {
      if (std::string_view(name) != "known") return -ENOENT;
      *address = 0xffffffff81000000;
      return kind == 0 ? 0 : 77;
    };
  }

 private:
  static FakeEnv* self(RunEnv* e) { return static_cast<FakeEnv*>(e); }
  static long guarded(void* dst, const void* src, u64 len) noexcept {
    iovec to{dst, len}, from{const_cast<void*>(src), len};
    return process_vm_readv(getpid(), &to, 1, &from, 1, 0) == static_cast<ssize_t>(len) ? 0 : -EFAULT;
  }
};

class RunFixture : public ::testing::Test {
 protected:
  static constexpr u32 CPUS = 4;

  void SetUp() override {
    auto made = WindowHost::create(CPUS);
    ASSERT_TRUE(made.ok()) << made.error().value();
    host_ = std::move(made).value();
    slot_ = slot_acquire_cpu(host_->view(), 77, 2);
    ASSERT_NE(slot_, nullptr);
    run_ = std::make_unique<RunCtx>();
    stats_ = static_cast<ProgStats*>(static_cast<void*>(host_->ram_alloc(PAGE_SIZE).value()));
  }
  void TearDown() override {
    for (const auto& r : slot_->reserved) EXPECT_EQ(r.ring, 0u) << "a reservation outlived its run";
    slot_release(slot_);
  }

  MapDesc* map(u32 type, u32 key_size, u32 value_size, u32 max_entries, u32 flags = 0) {
    const MapSpec spec{.type = type, .key_size = key_size, .value_size = value_size, .max_entries = max_entries, .map_flags = flags,
                       .map_extra = 0, .numa_node = NUMA_NO_NODE};
    const MapOps* ops = map_ops(type);
    EXPECT_EQ(ops->alloc_check(spec), 0);
    MapDesc* desc = host_->rom_new<MapDesc>().value();
    EXPECT_EQ(ops->layout(spec, CPUS, desc), 0);
    if (desc->ram_bytes != 0) desc->ram = host_->ram_alloc(desc->ram_bytes).value();
    ops->init(host_->view(), desc);
    maps_.push_back(desc);
    return desc;
  }
  /// The first ring made is the session's trace ring.
  RingDesc* bpf_ring(u32 size) {
    RingDesc* ring = host_->ring_register(RingKind::Bpf).value();
    EXPECT_TRUE(host_->ring_map_doubled(ring, host_->ram_alloc(2 * PAGE_SIZE + size).value(), size).ok());
    return ring;
  }
  MapDesc* ringbuf(u32 size) {
    MapDesc* desc = map(BPF_MAP_TYPE_RINGBUF, 0, 0, size);
    desc->ring = bpf_ring(size);
    return desc;
  }
  RingDesc* perf_ring(u32 cpu, u64 sample_type) {
    RingDesc* ring = host_->ring_register(RingKind::Perf).value();
    ring->user_page = host_->ram_alloc(2 * PAGE_SIZE).value();
    ring->data = ring->user_page + PAGE_SIZE;
    ring->data_size = PAGE_SIZE;
    ring->cpu = cpu;
    ring->sample_type = sample_type;
    ring->enabled = 1;
    perf_ring_init_page(ring);
    return ring;
  }
  MapDesc* perf_array(u32 entries) {
    MapDesc* desc = map(BPF_MAP_TYPE_PERF_EVENT_ARRAY, 4, 4, entries);
    desc->perf_events = static_cast<RingDesc**>(host_->rom_alloc(entries * sizeof(RingDesc*)).value());
    return desc;
  }

  OpCtx op() { return {host_->view(), slot_, 2}; }

  /// A run context ready for interp_run() or for calling a helper directly. All maps made so far are the program's.
  RunCtx& prepare(const Prog& insns, u32 type = BPF_PROG_TYPE_KPROBE) {
    insns_ = insns;
    image_ = ProgImage{};
    image_.type = type;
    image_.insns = insns_.data();
    image_.insn_cnt = static_cast<u32>(insns_.size());
    image_.maps = maps_.data();
    image_.n_maps = static_cast<u32>(maps_.size());
    image_.stats = stats_;
    image_.step_limit = step_limit_;
    std::memset(static_cast<void*>(run_.get()), 0xa5, sizeof *run_);
    run_->op = op();
    run_->prog = &image_;
    run_->probe = &probe_;
    run_->ctx = ctx_.data();
    run_->ctx_size = static_cast<u32>(ctx_.size());
    run_->env = &env_;
    run_->extra = extra_;
    run_->kernel = kernel_;
    run_->packet = packet_;
    run_->ctx_writable = false;
    run_->check_uninit = check_uninit_;
    run_->frame = 0;
    run_->prandom_calls = 0;
    run_->last_map = 0;
    run_->fault = {};
    run_->held_lock = nullptr;
    run_->keys = nullptr;
    run_->n_inner_maps = 0;
    run_->native_sp = 0;
    run_->pid_tgid = run_->task = 0;
    return *run_;
  }

  std::unique_ptr<WindowHost> host_;
  RunSlot* slot_ = nullptr;
  std::vector<MapDesc*> maps_;
  std::unique_ptr<RunCtx> run_;
  ProgImage image_{};
  ProbeEntry probe_{
      .prog = nullptr, .cookie = 0xc001e, .kind = ProbeKind::Kprobe, .event_id = 0, .symbol_addr = 0xffffffff81234567, .tgid = 0, .pad = 0};
  ProgStats* stats_ = nullptr;
  Prog insns_;
  std::vector<u8> ctx_ = std::vector<u8>(64, 0x11);
  AddrRange extra_{0, 0}, kernel_{0, 0};
  PacketKind packet_ = PacketKind::None;
  bool check_uninit_ = false;
  FakeEnv env_;
  u32 step_limit_ = 100000;
};

/// Two pages of the test's memory, of which the second cannot be read.
class HalfMapped {
 public:
  HalfMapped() : p_(static_cast<char*>(mmap(nullptr, 2 * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0))) {
    if (p_ == MAP_FAILED || mprotect(p_ + PAGE_SIZE, PAGE_SIZE, PROT_NONE) != 0) std::abort();
  }
  ~HalfMapped() { munmap(p_, 2 * PAGE_SIZE); }
  HalfMapped(const HalfMapped&) = delete;
  HalfMapped& operator=(const HalfMapped&) = delete;
  /// The last n readable bytes.
  char* tail(u64 n) const { return p_ + PAGE_SIZE - n; }
  char* unreadable() const { return p_ + PAGE_SIZE; }

 private:
  char* p_;
};

}  // namespace skep::test
