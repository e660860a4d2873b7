// Random programs of arithmetic, jumps and stack accesses: the kernel's result of BPF_PROG_TEST_RUN is ours.
#include "helpers/run_fixture_test.h"
#include "interp/interp.h"
#include "isa/linux_bpf_test.h"

namespace skep::test {
namespace {

constexpr u8 ALU_OPS[] = {BPF_ADD, BPF_SUB, BPF_MUL, BPF_DIV, BPF_OR,  BPF_AND,
                          BPF_LSH, BPF_RSH, BPF_MOD, BPF_XOR, BPF_MOV, BPF_ARSH};
constexpr u8 JMP_OPS[] = {BPF_JEQ, BPF_JGT, BPF_JGE, BPF_JSET, BPF_JNE, BPF_JSGT, BPF_JSGE, BPF_JLT, BPF_JLE, BPF_JSLT, BPF_JSLE};

/// Deterministic: a failing seed can be run again.
class Generator {
 public:
  explicit Generator(u64 seed) : state_(seed * 0x9e3779b97f4a7c15ULL + 1) {}

  /// Registers r0 to r9 and eight stack slots set, `length` random instructions, then all of it mixed into r0's low half.
  Prog program(u32 length) {
    Prog p;
    for (u32 r = 0; r < 10; ++r) p = p + ldimm64(r, interesting());
    for (s32 slot = 1; slot <= 8; ++slot) p.push_back(stx(BPF_DW, 10, -8 * slot, static_cast<u32>(slot)));
    const Prog body = this->body(length);
    p = p + body;
    for (s32 slot = 1; slot <= 8; ++slot) p = p + Prog{ldx(BPF_DW, 1, 10, -8 * slot)} + mix(1);
    for (u32 r = 2; r < 10; ++r) p = p + mix(r);
    return p + Prog{movr(1, 0), alu64k(BPF_RSH, 1, 32), alu64x(BPF_XOR, 0, 1), exit_()};
  }

 private:
  u64 next() {
    state_ ^= state_ << 13;
    state_ ^= state_ >> 7;
    state_ ^= state_ << 17;
    return state_ * 0x2545f4914f6cdd1dULL >> 8;
  }
  u32 below(u32 n) { return static_cast<u32>(next() % n); }
  u32 reg() { return below(10); }
  u64 interesting() {
    constexpr u64 edges[] = {0, 1, ~0ULL, 0x80000000, 0x7fffffff, 0xffffffff, 1ULL << 63, ~(1ULL << 63), 0xffffffff80000000};
    return below(2) != 0 ? edges[below(std::size(edges))] : next() << 20 ^ next();
  }
  s32 imm() { return static_cast<s32>(static_cast<u32>(interesting())); }

  static Prog mix(u32 r) { return {alu64k(BPF_MUL, 0, 0x01000193), alu64x(BPF_XOR, 0, r)}; }

  bpf_insn alu() {
    const u8 op = ALU_OPS[below(std::size(ALU_OPS))];
    const u8 cls = below(2) != 0 ? BPF_ALU64 : BPF_ALU;
    const bool divides = op == BPF_DIV || op == BPF_MOD, shifts = op == BPF_LSH || op == BPF_RSH || op == BPF_ARSH;
    s32 off = divides ? static_cast<s32>(below(2)) : 0;
    if (below(2) != 0) {
      if (op == BPF_MOV) off = static_cast<s32>(8 << below(cls == BPF_ALU64 ? 3 : 2)) * static_cast<s32>(below(2));
      return raw(cls | op | BPF_X, reg(), reg(), off);
    }
    s32 k = imm();
    if (divides && k == 0) k = 3;
    if (shifts) k = static_cast<s32>(below(cls == BPF_ALU64 ? 64 : 32));
    return raw(cls | op | BPF_K, reg(), 0, off, k);
  }

  bpf_insn unary() {
    constexpr s32 bits[] = {16, 32, 64};
    switch (below(5)) {
      case 0: return alu64k(BPF_NEG, reg(), 0);
      case 1: return alu32k(BPF_NEG, reg(), 0);
      case 2: return raw(BPF_ALU | BPF_END | BPF_TO_LE, reg(), 0, 0, bits[below(3)]);
      case 3: return raw(BPF_ALU | BPF_END | BPF_TO_BE, reg(), 0, 0, bits[below(3)]);
      default: return raw(BPF_ALU64 | BPF_END, reg(), 0, 0, bits[below(3)]);
    }
  }

  bpf_insn memory() {
    const s32 slot = -8 * static_cast<s32>(1 + below(8));
    constexpr u8 sizes[] = {BPF_B, BPF_H, BPF_W, BPF_DW};
    constexpr s32 widths[] = {1, 2, 4, 8};
    const u32 s = below(4);
    const s32 off = slot + static_cast<s32>(below(static_cast<u32>(8 / widths[s]))) * widths[s];
    constexpr s32 ops[] = {
        BPF_ADD,  BPF_AND,    BPF_OR, BPF_XOR, BPF_ADD | BPF_FETCH, BPF_AND | BPF_FETCH, BPF_OR | BPF_FETCH, BPF_XOR | BPF_FETCH,
        BPF_XCHG, BPF_CMPXCHG};
    switch (below(5)) {
      case 0: return ldx(sizes[s], reg(), 10, off);
      case 1: return s == 3 ? ldx(BPF_DW, reg(), 10, off) : ldsx(sizes[s], reg(), 10, off);
      case 2: return stx(sizes[s], 10, off, reg());
      case 3: return st(sizes[s], 10, off, imm());
      default: return atomic(below(2) != 0 ? BPF_DW : BPF_W, ops[below(std::size(ops))], 10, slot, reg());
    }
  }

  /// Forward, over at most what is left of the body.
  bpf_insn jump(u32 left) {
    const s32 off = static_cast<s32>(below(std::min(left, 6u)));
    const u8 cls = below(2) != 0 ? BPF_JMP : BPF_JMP32;
    const u8 op = JMP_OPS[below(std::size(JMP_OPS))];
    if (below(2) != 0) return raw(cls | op | BPF_X, reg(), reg(), off);
    return raw(cls | op | BPF_K, reg(), 0, off, imm());
  }

  Prog body(u32 length) {
    Prog p;
    for (u32 i = 0; i < length; ++i) switch (below(8)) {
        case 0: p.push_back(unary()); break;
        case 1: p.push_back(memory()); break;
        case 2: p.push_back(jump(length - i)); break;
        default: p.push_back(alu()); break;
      }
    return p;
  }

  u64 state_;
};

class LinuxFuzz : public RunFixture {};

TEST_F(LinuxFuzz, SameResultsAsTestRun) {
  SKIP_WITHOUT_LINUX_BPF();
  int compared = 0;
  for (u64 seed = 1; seed <= 150; ++seed) {
    const Prog p = Generator(seed).program(20 + static_cast<u32>(seed % 60));
    const LinuxVerdict v = linux_prog_load(p, BPF_PROG_TYPE_SOCKET_FILTER, 0);
    ASSERT_EQ(v.err, 0) << "seed " << seed << "\n" << linux_prog_load(p, BPF_PROG_TYPE_SOCKET_FILTER, 1).log;
    u32 want = 0;
    if (!linux_test_run(v.fd, &want)) GTEST_SKIP() << "BPF_PROG_TEST_RUN: " << std::strerror(errno);
    const u64 got = interp_run(prepare(p, BPF_PROG_TYPE_SOCKET_FILTER));
    ASSERT_EQ(run_->fault.kind, FaultKind::None) << "seed " << seed << " insn " << run_->fault.insn;
    ASSERT_EQ(static_cast<u32>(got), want) << "seed " << seed;
    ++compared;
  }
  EXPECT_EQ(compared, 150);
}

/// Any bytes at all: the interpreter ends, within its limit, and touches nothing outside (the sanitizers watch).
TEST_F(LinuxFuzz, GarbageEndsInAFaultOrAnExit) {
  u64 state = 7;
  const auto rnd = [&] { return state = state * 6364136223846793005ULL + 1442695040888963407ULL, state >> 24; };
  map(BPF_MAP_TYPE_ARRAY, 4, 16, 4);
  ringbuf(4096);
  step_limit_ = 2000;
  int faults = 0;
  for (int round = 0; round < 20000; ++round) {
    Prog p;
    for (int i = 0; i < 30; ++i) {
      bpf_insn insn = raw(static_cast<u8>(rnd()), static_cast<u32>(rnd() % 12), static_cast<u32>(rnd() % 11),
                          static_cast<s32>(rnd() % 40) - 20, static_cast<s32>(rnd() % 200));
      p.push_back(insn);
      if (rnd() % 8 == 0) p = p + ldptr(static_cast<u32>(1 + rnd() % 5), maps_[rnd() % maps_.size()]);
    }
    interp_run(prepare(p));
    EXPECT_LE(run_->steps, step_limit_);
    faults += run_->fault.kind != FaultKind::None;
  }
  EXPECT_GT(faults, 10000);
}

}  // namespace
}  // namespace skep::test
