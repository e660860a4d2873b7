// Compiled code and what is around it: entry, ends in the middle, tail calls, faults, callbacks. The code is written by hand.
#include "jit/run.h"

#include <signal.h>
#include <ucontext.h>
#include <xbyak/xbyak.h>

#include "helpers/memory.h"
#include "helpers/run_fixture_test.h"
#include "jit/fault.h"
#include "jit/gates.h"
#include "jit/place.h"
#include "maps/object_maps.h"
#include "progtypes/func_ids.h"

namespace skep::test {
namespace {

using Xbyak::util::r12;
using Xbyak::util::r13;
using Xbyak::util::r14;
using Xbyak::util::r15;
using Xbyak::util::rax;
using Xbyak::util::rbp;
using Xbyak::util::rbx;
using Xbyak::util::rcx;
using Xbyak::util::rdi;
using Xbyak::util::rdx;
using Xbyak::util::rsi;
using Xbyak::util::rsp;
using Xbyak::util::r8;
using Xbyak::util::ptr;
using Xbyak::util::qword;

constexpr u32 helper_gate(u64 id) { return GATE_HELPER + static_cast<u32>(id); }
constexpr u64 NON_CANONICAL = 0x8000000000001000ULL;

/// One function of machine code, as a compiler would hand it over.
class Code : public Xbyak::CodeGenerator {
 public:
  Code() : CodeGenerator(PAGE_SIZE) {}
  void call_gate(u32 gate) {
    db(0xff);
    db(0x15);
    out_.gates.push_back({static_cast<u32>(getSize()), gate});
    dd(0);
  }
  u32 here() const { return static_cast<u32>(getSize()); }
  void may_fault(u32 at, u32 fixup) { out_.faults.push_back({at, fixup}); }
  JitCode take() {
    out_.bytes.assign(getCode(), getCode() + getSize());
    out_.functions.push_back({0, here(), 0, 0, 0});
    return std::move(out_);
  }

 private:
  JitCode out_;
};

void on_fault(int sig, siginfo_t*, void* context) {
  auto& regs = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  const Resume to = code_fault(static_cast<u64>(regs[REG_RIP]), static_cast<u64>(regs[REG_RSP]));
  if (to.rip == 0) {
    signal(sig, SIG_DFL);
    return;
  }
  regs[REG_RIP] = static_cast<greg_t>(to.rip);
  regs[REG_RSP] = static_cast<greg_t>(to.rsp);
}

class CompiledRun : public RunFixture {
 protected:
  void SetUp() override {
    RunFixture::SetUp();
    struct sigaction sa {};
    sa.sa_sigaction = on_fault;
    sa.sa_flags = SA_SIGINFO | SA_NODEFER;
    for (const int sig : {SIGSEGV, SIGBUS}) sigaction(sig, &sa, nullptr);
    if (!host_->has_code()) GTEST_SKIP() << "nothing executable can be mapped here";
  }
  void TearDown() override {
    for (const int sig : {SIGSEGV, SIGBUS}) signal(sig, SIG_DFL);
    RunFixture::TearDown();
  }
  /// Makes it the program of run_.
  void load(const JitCode& code, u32 cleanup = 0) {
    prepare({mov(0, 4711), exit_()});
    image_.cleanup = cleanup;
    image_.entry = image_.code = 0;
    ASSERT_TRUE(place_code(*host_, code, &image_).ok());
  }
  u64 run() {
    const u64 r0 = run_program(*run_);
    EXPECT_EQ(run_->prog, &image_);
    return r0;
  }
  u64 run(Code& code) {
    load(code.take());
    return run();
  }
};

TEST_F(CompiledRun, GetsItsRunAndItsContext) {
  Code c;
  c.mov(rax, rdi);
  c.xor_(rax, rsi);
  c.ret();
  EXPECT_EQ(run(c), reinterpret_cast<u64>(run_.get()) ^ reinterpret_cast<u64>(ctx_.data()));
  EXPECT_EQ(run_->fault.kind, FaultKind::None);
  EXPECT_EQ(run_->steps, 0u);
}

TEST_F(CompiledRun, IsInterpretedWhereCodeIsNotMapped) {
  Code c;
  c.mov(rax, 1);
  c.ret();
  load(c.take());
  code_is_mapped = false;
  EXPECT_EQ(run(), 4711u);
  code_is_mapped = true;
  EXPECT_EQ(run(), 1u);
}

/// True when run_program() gives back the registers that a called function keeps. rbp is told by the frame it leads to.
bool callee_saved_survive(RunCtx& run) {
  u64 kept[5] = {};
  u64* to = kept;
  auto* call = &run_program;
  RunCtx* with = &run;
  asm volatile(
      "lea -128(%%rsp), %%rsp\n push %%rbp\n push %%rsi\n"
      "mov $0x11, %%ebx\n mov $0x12, %%r12d\n mov $0x13, %%r13d\n mov $0x14, %%r14d\n mov $0x15, %%r15d\n"
      "mov %%rsp, %%rbp\n and $-16, %%rsp\n"
      "call *%%rax\n"
      "mov %%rbp, %%rsp\n pop %%rsi\n pop %%rbp\n lea 128(%%rsp), %%rsp\n"
      "mov %%rbx, (%%rsi)\n mov %%r12, 8(%%rsi)\n mov %%r13, 16(%%rsi)\n mov %%r14, 24(%%rsi)\n mov %%r15, 32(%%rsi)\n"
      : "+S"(to), "+a"(call), "+D"(with)
      :
      : "rbx", "rcx", "rdx", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "memory", "cc");
  return kept[0] == 0x11 && kept[1] == 0x12 && kept[2] == 0x13 && kept[3] == 0x14 && kept[4] == 0x15;
}

/// Clobbers everything, some calls deep, and leaves.
TEST_F(CompiledRun, EndsInTheMiddleWithEverythingRestored) {
  Code c;
  Xbyak::Label deep;
  c.push(rdi);
  c.call(deep);
  c.ud2();
  c.L(deep);
  for (const auto& r : {rbx, rbp, r12, r13, r14, r15}) c.mov(r, 0x5151515151515151);
  c.mov(qword[rdi + offsetof(RunCtx, fault)], static_cast<u32>(FaultKind::LockStuck));
  c.call_gate(GATE_END_RUN);
  c.ud2();
  load(c.take());
  EXPECT_TRUE(callee_saved_survive(*run_));
  EXPECT_EQ(run_->fault.kind, FaultKind::LockStuck);
  EXPECT_EQ(stats_->faults, 1u);
}

/// Counts in its context, and goes on with itself as long as it may.
JitCode counter(u64 map) {
  Code c;
  Xbyak::Label out;
  c.push(rdi);
  c.push(rsi);
  c.push(rax);
  c.inc(qword[rsi]);
  c.mov(rsi, map);
  c.xor_(rdx, rdx);
  c.call_gate(GATE_TAIL_CALL);
  c.pop(rcx);
  c.pop(rsi);
  c.pop(rdi);
  c.test(rax, rax);
  c.jz(out);
  c.jmp(rax);
  c.L(out);
  c.mov(rax, 77);
  c.ret();
  return c.take();
}

class TailCalls : public CompiledRun {
 protected:
  void SetUp() override {
    CompiledRun::SetUp();
    array_ = map(BPF_MAP_TYPE_PROG_ARRAY, 4, 4, 2);
    array_->elems = static_cast<u8*>(host_->rom_alloc(object_map_rom_bytes(*array_)).value());
    ctx_.assign(64, 0);
  }
  u64 count() const {
    u64 n;
    std::memcpy(&n, ctx_.data(), sizeof n);
    return n;
  }
  MapDesc* array_ = nullptr;
};

TEST_F(TailCalls, AreLimitedInARun) {
  load(counter(reinterpret_cast<u64>(array_)), 1);
  EXPECT_EQ(run(), 77u);
  EXPECT_EQ(count(), 1u) << "nobody there";
  set_object_at(*array_, 0, &image_);
  for (int i = 0; i < 2; ++i) {
    ctx_.assign(64, 0);
    EXPECT_EQ(run(), 77u);
    EXPECT_EQ(count(), 1u + MAX_TAIL_CALL_CNT);
  }
}

TEST_F(TailCalls, OfAProgramWithoutCodeAreInterpreted) {
  ProgImage other{};
  const Prog insns = {movr(6, 1), ldx(BPF_DW, 0, 6, 0), alu64k(BPF_ADD, 0, 1000), exit_()};
  load(counter(reinterpret_cast<u64>(array_)), 1);
  other = image_;
  other.entry = 0;
  other.insns = insns.data();
  other.insn_cnt = static_cast<u32>(insns.size());
  set_object_at(*array_, 0, &other);
  EXPECT_EQ(run(), 1001u);
  const Prog bad = {mov(1, 16), ldx(BPF_DW, 0, 1, 0), exit_()};
  other.insns = bad.data();
  other.insn_cnt = static_cast<u32>(bad.size());
  EXPECT_EQ(run(), 0u);
  EXPECT_EQ(run_->fault.kind, FaultKind::BadRead);
  EXPECT_EQ(stats_->faults, 1u) << "once";
}

/// Of a function that goes on in another program, its caller may hold something: that is not the other's to give up.
TEST_F(TailCalls, LeaveToCallersWhatTheyHold) {
  MapDesc* ring = ringbuf(PAGE_SIZE);
  Code c;
  c.push(rbx);
  c.mov(rbx, rdi);
  c.mov(rsi, reinterpret_cast<u64>(ring));
  c.mov(rdx, 16);
  c.xor_(rcx, rcx);
  c.call_gate(helper_gate(func::ringbuf_reserve));
  c.mov(rdi, rbx);
  c.mov(rsi, reinterpret_cast<u64>(array_));
  c.xor_(rdx, rdx);
  c.call_gate(GATE_TAIL_CALL);
  c.mov(rdi, rbx);
  c.xor_(rsi, rsi);
  c.call(rax);
  c.pop(rbx);
  c.ret();
  load(c.take());  // without cleanup, so that what is open at the end is seen
  ProgImage other = image_;
  const Prog insns = {mov(0, 7), exit_()};
  other.entry = 0;
  other.insns = insns.data();
  other.insn_cnt = static_cast<u32>(insns.size());
  set_object_at(*array_, 0, &other);
  EXPECT_EQ(run_program(*run_), 7u);
  u32 open = 0;
  for (const auto& r : slot_->reserved) open += r.ring != 0;
  EXPECT_EQ(open, 1u);
  run_discard_reservations(*run_);
}

/// Loads from what its context says: 5 if there is no such memory.
JitCode guarded_load(bool listed) {
  Code c;
  Xbyak::Label fixup;
  c.push(rbx);
  c.mov(rcx, ptr[rsi]);
  const u32 at = c.here();
  c.mov(rax, ptr[rcx]);
  c.pop(rbx);
  c.ret();
  const u32 to = c.here();
  c.mov(rax, 5);
  c.pop(rbx);
  c.ret();
  if (listed) c.may_fault(at, to);
  return c.take();
}

TEST_F(CompiledRun, AFaultThatIsListedGoesOn) {
  load(guarded_load(true));
  const u64 good = 99;
  u64 from[] = {reinterpret_cast<u64>(&good), 16, NON_CANONICAL, host_->rom()->ram_base - PAGE_SIZE};
  for (u64& a : from) {
    run_->ctx = reinterpret_cast<u8*>(&a);
    EXPECT_EQ(run(), &a == from ? 99u : 5u) << std::hex << a;
    EXPECT_EQ(run_->fault.kind, FaultKind::None);
  }
  EXPECT_EQ(stats_->faults, 0u);
}

TEST_F(CompiledRun, AFaultThatIsNotEndsTheRun) {
  load(guarded_load(false));
  u64 from[] = {16, NON_CANONICAL};
  for (u64& a : from) {
    run_->ctx = reinterpret_cast<u8*>(&a);
    EXPECT_EQ(run(), 0u);
    EXPECT_EQ(run_->fault.kind, FaultKind::BadCode);
    EXPECT_LT(run_->fault.addr - image_.code, image_.code_size);
  }
  EXPECT_EQ(stats_->faults, 2u);
}

/// Asks for the time and adds what its context says to load: 5 if there is no such memory.
JitCode time_and_load() {
  Code c;
  c.push(rsi);
  c.call_gate(helper_gate(func::ktime_get_ns));
  c.pop(rsi);
  c.mov(rcx, ptr[rsi]);
  const u32 at = c.here();
  c.add(rax, ptr[rcx]);
  c.ret();
  c.may_fault(at, c.here());
  c.add(rax, 5);
  c.ret();
  return c.take();
}

/// As a signal handler's does, in the middle of another's. After it the outer run's faults are its own still.
TEST_F(CompiledRun, ARunInARunLeavesItAsItWas) {
  struct Env : FakeEnv {
    RunCtx* inner;
  } env;
  const auto inner = std::make_unique<RunCtx>();
  env.inner = inner.get();
  env.ktime_ns = [](RunEnv* e) noexcept { return run_program(*static_cast<Env*>(e)->inner); };
  u64 addr = 16;
  for (const bool ends_badly : {false, true}) {
    load(guarded_load(!ends_badly));
    const ProgImage other = image_;
    load(time_and_load());
    run_->ctx = reinterpret_cast<u8*>(&addr);
    *inner = *run_;
    inner->prog = &other;
    run_->env = &env;
    EXPECT_EQ(run(), ends_badly ? 5u : 10u);
    EXPECT_EQ(run_->fault.kind, FaultKind::None);
    EXPECT_EQ(inner->fault.kind, ends_badly ? FaultKind::BadCode : FaultKind::None);
  }
}

/// Where code ends, and where there is none: hlt.
TEST_F(CompiledRun, GoingWhereNoCodeIsEndsTheRun) {
  Code c;
  c.nop();
  load(c.take());
  EXPECT_EQ(run(), 0u);
  EXPECT_EQ(run_->fault.kind, FaultKind::BadCode);
  image_.entry = host_->rom()->code_base + GATES_SIZE + 64 * 8;
  EXPECT_EQ(run(), 0u);
  EXPECT_EQ(run_->fault.kind, FaultKind::BadCode);
}

TEST_F(CompiledRun, ACallOfWhatIsNotThereEndsTheRun) {
  Code c;
  c.push(rax);
  c.call_gate(helper_gate(func::tail_call));  // that gate is empty
  c.pop(rax);
  c.ret();
  load(c.take());
  // The call itself faults at address 0: nothing tells whose fault that is.
  EXPECT_EXIT(run(), ::testing::KilledBySignal(SIGSEGV), "");
}

TEST_F(CompiledRun, FaultsOutsideOfARunAreNotOurs) {
  load(guarded_load(true));
  EXPECT_EQ(code_fault(image_.entry, 0).rip, 0u);
  u64 a = 16;
  run_->ctx = reinterpret_cast<u8*>(&a);
  run();
  EXPECT_EQ(code_fault(image_.entry, reinterpret_cast<u64>(&a)).rip, 0u);
}

TEST_F(CompiledRun, HelpersCallFunctionsOfTheProgram) {
  Code c;
  Xbyak::Label callback;
  c.push(rax);
  c.mov(rcx, rsi);  // r3: what the callback gets
  c.mov(rsi, 10);
  c.lea(rdx, ptr[Xbyak::util::rip + callback]);
  c.xor_(r8, r8);
  c.call_gate(helper_gate(func::loop));
  c.pop(rcx);
  c.ret();
  c.L(callback);  // (run, index, ctx): adds index to *ctx, stops behind 6
  c.add(ptr[rdx], rsi);
  c.xor_(rax, rax);
  c.cmp(rsi, 6);
  c.setae(Xbyak::util::al);
  c.ret();
  ctx_.assign(64, 0);
  EXPECT_EQ(run(c), 7u);
  EXPECT_EQ(ctx_[0], 21u);
}

TEST_F(CompiledRun, ARunThatEndsInACallbackIsOver) {
  Code c;
  Xbyak::Label callback;
  c.push(rax);
  c.mov(rcx, rsi);
  c.mov(rsi, 10);
  c.lea(rdx, ptr[Xbyak::util::rip + callback]);
  c.xor_(r8, r8);
  c.call_gate(helper_gate(func::loop));
  c.ud2();
  c.L(callback);
  c.mov(qword[rdi + offsetof(RunCtx, fault)], static_cast<u32>(FaultKind::LockStuck));
  c.push(rax);
  c.call_gate(GATE_END_RUN);
  EXPECT_EQ(run(c), 0u);
  EXPECT_EQ(run_->fault.kind, FaultKind::LockStuck);
}

/// What is left open goes where the program is one that may leave something open.
TEST_F(CompiledRun, ReservationsAreGivenUp) {
  MapDesc* ring = ringbuf(PAGE_SIZE);
  Code c;
  c.push(rax);
  c.mov(rsi, reinterpret_cast<u64>(ring));
  c.mov(rdx, 16);
  c.xor_(rcx, rcx);
  c.call_gate(helper_gate(func::ringbuf_reserve));
  c.pop(rcx);
  c.ret();
  load(c.take(), 1);
  EXPECT_NE(run(), 0u);
  for (const auto& r : slot_->reserved) EXPECT_EQ(r.ring, 0u);
}

/// Its stack is "kernel" memory, as on Linux.
TEST_F(CompiledRun, ItsStackIsNotTheUsers) {
  for (const u64 id : {u64{func::probe_read_kernel}, u64{func::probe_read_user}}) {
    Code c;
    c.sub(rsp, 24);
    c.mov(qword[rsp + 8], 123);
    c.mov(rsi, rsp);
    c.mov(rdx, 8);
    c.lea(rcx, ptr[rsp + 8]);
    c.call_gate(helper_gate(id));
    c.imul(rax, rax, 1000);
    c.add(rax, ptr[rsp]);
    c.add(rsp, 24);
    c.ret();
    EXPECT_EQ(run(c), id == func::probe_read_kernel ? 123u : static_cast<u64>(s64{-EFAULT} * 1000));
  }
}

TEST_F(CompiledRun, TheIndexNamesWhatIsThere) {
  std::vector<std::unique_ptr<ProgImage>> images;
  for (int i = 0; i < 20; ++i) {
    images.push_back(std::make_unique<ProgImage>());
    ASSERT_TRUE(place_code(*host_, guarded_load(true), images.back().get()).ok());
  }
  const u64 held = host_->code_in_use(), gone = images[7]->code, size = images[7]->code_size;
  host_->code_withdraw(gone);
  EXPECT_LT(host_->code_in_use(), held);
  for (u64 i = 0; i < size; ++i) EXPECT_EQ(reinterpret_cast<const u8*>(gone)[i], 0xf4);
  const CodeIndex& index = *host_->rom()->code_index;
  ASSERT_EQ(index.count, 20u);
  for (u32 i = 1; i < index.count; ++i) EXPECT_LT(index.blocks[i - 1].addr, index.blocks[i].addr);
  for (const auto& image : images) {
    const auto names = [&](const CodeBlock& b) { return b.size != 0 && b.prog == image.get(); };
    const bool listed = std::any_of(index.blocks, index.blocks + index.count, names);
    EXPECT_EQ(listed, image != images[7]);
  }
}

TEST_F(CompiledRun, CodeThatIsNotWholeIsRefused) {
  const auto place = [this](auto&& spoil) {
    JitCode code = guarded_load(true);
    spoil(code);
    ProgImage image{};
    const Status s = place_code(*host_, code, &image);
    EXPECT_EQ(image.entry, 0u);
    return s.ok() ? Errno(0) : s.error();
  };
  const u64 before = host_->code_in_use(), rom = host_->rom_in_use();
  EXPECT_EQ(place([](JitCode& c) { c.bytes.clear(); }), Errno(EINVAL));
  EXPECT_EQ(place([](JitCode& c) { c.functions.clear(); }), Errno(EINVAL));
  EXPECT_EQ(place([](JitCode& c) { c.gates.push_back({0, NR_GATES}); }), Errno(EINVAL));
  EXPECT_EQ(place([](JitCode& c) { c.gates.push_back({static_cast<u32>(c.bytes.size()) - 3, GATE_END_RUN}); }), Errno(EINVAL));
  EXPECT_EQ(place([](JitCode& c) { c.faults.push_back({0, 0}); }), Errno(EINVAL)) << "out of order";
  EXPECT_EQ(place([](JitCode& c) { c.bytes.resize(CODE_SIZE - GATES_SIZE); }), Errno(ENOMEM));
  EXPECT_EQ(host_->code_in_use(), before);
  EXPECT_EQ(host_->rom_in_use(), rom);
}

}  // namespace
}  // namespace skep::test
