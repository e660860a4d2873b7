// BPF_PROG_LOAD: what the call itself judges, and the verifier's plainest verdicts. Linux: kernel/bpf/syscall.c:bpf_prog_load(),
// kernel/bpf/verifier.c. The log is read loosely: tools look for words, not for lines.
#include <fcntl.h>

#include <algorithm>

#include "bpf_calls.h"
#include "program_text.h"

namespace skep::test {
namespace {

using testing::HasSubstr;

class ProgLoadTest : public BpfTest {
 protected:
  static union bpf_attr small() {
    static const ProgSpec spec = {.insns = return_program(0)};
    return prog_attr(spec);
  }
};

TEST_F(ProgLoadTest, TypesAndNames) {
  for (const std::uint32_t type : {BPF_PROG_TYPE_SOCKET_FILTER, BPF_PROG_TYPE_KPROBE, BPF_PROG_TYPE_TRACEPOINT, BPF_PROG_TYPE_XDP,
                                   BPF_PROG_TYPE_RAW_TRACEPOINT, BPF_PROG_TYPE_PERF_EVENT}) {
    const Fd prog(prog_load({.type = type, .insns = return_program(0), .name = "a_name.1"}));
    ASSERT_THAT(prog.get(), SyscallSucceeds()) << type;
    EXPECT_EQ(fcntl(prog.get(), F_GETFD), FD_CLOEXEC);
    EXPECT_EQ(read_link("/proc/self/fd/" + std::to_string(prog.get())), "anon_inode:bpf-prog");
    EXPECT_EQ(fdinfo(prog.get(), "prog_type"), std::to_string(type));
    EXPECT_EQ(fdinfo(prog.get(), "prog_id"), std::to_string(prog_id(prog.get())));
    EXPECT_EQ(fdinfo(prog.get(), "prog_tag").size(), 16u);
  }
  for (const char* name : {"a b", "a-b", "sixteen__letters", "\x80"})
    EXPECT_THAT(prog_load({.insns = return_program(0), .name = name}), SyscallFailsWithErrno(EINVAL)) << name;
}

TEST_F(ProgLoadTest, UnknownTypes) {
  EXPECT_THAT(prog_load({.type = BPF_PROG_TYPE_UNSPEC, .insns = return_program(0)}), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(prog_load({.type = 1000, .insns = return_program(0)}), SyscallFailsWithErrno(EINVAL));
}

TEST_F(ProgLoadTest, InstructionCount) {
  union bpf_attr attr = small();
  attr.insn_cnt = 0;
  EXPECT_THAT(bpf(BPF_PROG_LOAD, attr), SyscallFailsWithErrno(E2BIG));
  attr.insn_cnt = 1000001;
  EXPECT_THAT(bpf(BPF_PROG_LOAD, attr), SyscallFailsWithErrno(E2BIG));
  attr.insn_cnt = 0xffffffff;
  EXPECT_THAT(bpf(BPF_PROG_LOAD, attr), SyscallFailsWithErrno(E2BIG));
}

TEST_F(ProgLoadTest, LongPrograms) {
  ProgramText text;
  for (int i = 0; i < 20000; ++i) text.mov(R0, i);
  const Fd prog(prog_load({.insns = text.mov(R0, 0).exit().build()}));
  EXPECT_THAT(prog.get(), SyscallSucceeds());
}

TEST_F(ProgLoadTest, BadPointersFault) {
  union bpf_attr attr = small();
  attr.insns = user_ptr(bad_pointer());
  EXPECT_THAT(bpf(BPF_PROG_LOAD, attr), SyscallFailsWithErrno(EFAULT));
  attr = small();
  attr.license = user_ptr(bad_pointer());
  EXPECT_THAT(bpf(BPF_PROG_LOAD, attr), SyscallFailsWithErrno(EFAULT));
  attr = small();
  attr.log_level = 1;
  attr.log_size = 1 << 16;
  attr.log_buf = user_ptr(bad_pointer());
  EXPECT_THAT(bpf(BPF_PROG_LOAD, attr), SyscallFailsWithErrno(EFAULT));
}

TEST_F(ProgLoadTest, Flags) {
  union bpf_attr attr = small();
  attr.prog_flags = 1u << 31;
  EXPECT_THAT(bpf(BPF_PROG_LOAD, attr), SyscallFailsWithErrno(EINVAL));
  for (const std::uint32_t flag : {BPF_F_STRICT_ALIGNMENT, BPF_F_ANY_ALIGNMENT, BPF_F_TEST_RND_HI32, BPF_F_TEST_STATE_FREQ}) {
    attr.prog_flags = flag;
    const Fd prog(bpf(BPF_PROG_LOAD, attr));
    EXPECT_THAT(prog.get(), SyscallSucceeds()) << flag;
  }
}

TEST_F(ProgLoadTest, ExpectedAttachType) {
  // Linux: syscall.c:bpf_prog_load_check_attach() looks at it for some types only.
  EXPECT_THAT(prog_load({.type = BPF_PROG_TYPE_CGROUP_SOCK_ADDR, .insns = return_program(1), .expected_attach_type = 0}),
              SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(prog_load({.type = BPF_PROG_TYPE_SYSCALL, .insns = return_program(0), .expected_attach_type = BPF_XDP}),
              SyscallFailsWithErrno(EINVAL));
  const Fd kprobe(prog_load({.type = BPF_PROG_TYPE_KPROBE, .insns = return_program(0), .expected_attach_type = BPF_XDP}));
  EXPECT_THAT(kprobe.get(), SyscallSucceeds());
}

TEST_F(ProgLoadTest, FieldsBehindTheLastMustBeZero) {
  unsigned char bytes[152] = {};
  const union bpf_attr attr = small();
  std::memcpy(bytes, &attr, std::min(sizeof bytes, sizeof attr));
  bytes[151] = 1;  // prog_token_fd ends at 148. drift: 6.18 has fd_array_cnt there and misses its fd_array.
  EXPECT_THAT(bpf(BPF_PROG_LOAD, bytes, sizeof bytes), SyscallFailsWithErrnoOrDrift(EINVAL, EFAULT));
}

// ---- the verifier
// -------------------------------------------------------------------------------------------------------------------

struct Refusal {
  const char* name;
  std::vector<struct bpf_insn> insns;
  int error;
  const char* words;
};

void PrintTo(const Refusal& refusal, std::ostream* os) { *os << refusal.name; }

class ProgRefusedTest : public BpfTest, public testing::WithParamInterface<Refusal> {};

TEST_P(ProgRefusedTest, WithItsErrnoAndWords) {
  std::string log;
  EXPECT_THAT(prog_load({.type = BPF_PROG_TYPE_KPROBE, .insns = GetParam().insns}, &log), SyscallFailsWithErrno(GetParam().error))
      << log;
  EXPECT_THAT(log, HasSubstr(GetParam().words));
  EXPECT_THAT(prog_load({.type = BPF_PROG_TYPE_KPROBE, .insns = GetParam().insns}), SyscallFailsWithErrno(GetParam().error))
      << "no log";
}

std::vector<Refusal> refusals() {
  return {
      {"NoExit", ProgramText().mov(R0, 0).build(), EINVAL, "last insn is not an exit or jmp"},
      {"BadOpcode", {insn(0xff, 0, 0, 0, 0), insn(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)}, EINVAL, "unknown opcode ff"},
      {"ReservedFields", ProgramText().mov(R0, 0).raw(insn(BPF_JMP | BPF_EXIT, 0, 0, 0, 5)).build(), EINVAL,
       "BPF_EXIT uses reserved fields"},
      {"JumpForwardOut", ProgramText().mov(R0, 0).raw(insn(BPF_JMP | BPF_JA, 0, 0, 5, 0)).exit().build(), EINVAL,
       "jump out of range"},
      {"JumpBackwardOut", ProgramText().mov(R0, 0).raw(insn(BPF_JMP | BPF_JA, 0, 0, -5, 0)).exit().build(), EINVAL,
       "jump out of range"},
      {"Unreachable", ProgramText().mov(R0, 0).exit().mov(R0, 1).exit().build(), EINVAL, "unreachable insn 2"},
      {"BadRegister",
       {insn(BPF_ALU64 | BPF_MOV | BPF_K, 12, 0, 0, 0), insn(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)},
       EINVAL,
       "R12 is invalid"},
      {"FrameIsReadOnly", ProgramText().mov(R10, 0).mov(R0, 0).exit().build(), EACCES, "frame pointer is read only"},
      {"UnsetRegister", ProgramText().mov(R0, R3).exit().build(), EACCES, "R3 !read_ok"},
      {"UnsetReturn", ProgramText().exit().build(), EACCES, "R0 !read_ok"},
      {"UnknownHelper", ProgramText().call(100000).exit().build(), EINVAL, "invalid func unknown#100000"},
      {"HelperOfAnotherType", ProgramText().call(BPF_FUNC_redirect).exit().build(), EINVAL, ""},
      {"EndlessLoop", ProgramText().mov(R0, 0).raw(insn(BPF_JMP | BPF_JA, 0, 0, -1, 0)).exit().build(), EINVAL, ""},
      {"StackOverflow", ProgramText().store(BPF_DW, R10, -520, 1).mov(R0, 0).exit().build(), EACCES, "invalid write to stack"},
      {"StackUnderflow", ProgramText().store(BPF_DW, R10, 0, 1).mov(R0, 0).exit().build(), EACCES, "invalid write to stack"},
      {"ReadOfANumber", ProgramText().mov(R1, 0).load(BPF_DW, R0, R1, 0).exit().build(), EACCES, "invalid mem access 'scalar'"},
      {"ContextTooFar", ProgramText().load(BPF_DW, R0, R1, 10000).exit().build(), EACCES, "invalid bpf_context access"},
      {"HalfOfALoad64", ProgramText().raw(insn(BPF_LD | BPF_DW | BPF_IMM, 0, 0, 0, 0)).mov(R0, 0).exit().build(), EINVAL,
       "invalid bpf_ld_imm64 insn"},
      {"JumpIntoALoad64", ProgramText().mov(R0, 0).raw(insn(BPF_JMP | BPF_JEQ | BPF_K, 0, 0, 1, 0)).imm64(R0, 1).exit().build(),
       EINVAL, ""},
      {"NegativeShift", ProgramText().mov(R0, 0).alu(BPF_LSH, R0, 64).exit().build(), EINVAL, "invalid shift 64"},
      {"DivisionByZero", ProgramText().mov(R0, 1).alu(BPF_DIV, R0, 0).exit().build(), EINVAL, "div by zero"},
      {"BadMapFd", ProgramText().map_fd(R1, 9999).mov(R0, 0).exit().build(), EBADF, "fd 9999 is not pointing to valid bpf_map"},
  };
}

INSTANTIATE_TEST_SUITE_P(Verifier, ProgRefusedTest, testing::ValuesIn(refusals()),
                         [](const testing::TestParamInfo<Refusal>& param) { return std::string(param.param.name); });

class ProgVerdictTest : public BpfTest {};

TEST_F(ProgVerdictTest, AnFdThatIsNoMap) {
  const Fd null(open("/dev/null", O_RDWR | O_CLOEXEC));
  ASSERT_GE(null.get(), 0);
  EXPECT_THAT(prog_load({.insns = ProgramText().map_fd(R1, null.get()).mov(R0, 0).exit().build()}), SyscallFailsWithErrno(EINVAL));
}

TEST_F(ProgVerdictTest, LookupMustBeTested) {
  const Fd map(map_create({}));
  ASSERT_THAT(map.get(), SyscallSucceeds());
  const auto program = [&](bool tested) {
    ProgramText text;
    text.store(BPF_W, R10, -4, 1).mov(R2, R10).alu(BPF_ADD, R2, -4).map_fd(R1, map.get()).call(BPF_FUNC_map_lookup_elem);
    if (tested) text.jump_if(BPF_JEQ, R0, 0, "out");
    return text.store(BPF_DW, R0, 0, 1).out().build();
  };
  std::string log;
  EXPECT_THAT(prog_load({.insns = program(false)}, &log), SyscallFailsWithErrno(EACCES));
  EXPECT_THAT(log, HasSubstr("map_value_or_null"));
  const Fd prog(prog_load({.insns = program(true)}));
  EXPECT_THAT(prog.get(), SyscallSucceeds());
}

TEST_F(ProgVerdictTest, ValueHasItsBounds) {
  const Fd map(map_create({.type = BPF_MAP_TYPE_ARRAY, .value_size = 16, .max_entries = 1}));
  ASSERT_THAT(map.get(), SyscallSucceeds());
  const auto program = [&](int off) {
    return ProgramText().map_value(R1, map.get()).store(BPF_DW, R1, off, 1).mov(R0, 0).exit().build();
  };
  const Fd prog(prog_load({.insns = program(8)}));
  EXPECT_THAT(prog.get(), SyscallSucceeds());
  std::string log;
  EXPECT_THAT(prog_load({.insns = program(9)}, &log), SyscallFailsWithErrno(EACCES));
  EXPECT_THAT(log, HasSubstr("invalid access to map value"));
  EXPECT_THAT(prog_load({.insns = program(-8)}), SyscallFailsWithErrno(EACCES));
}

TEST_F(ProgVerdictTest, GplHelpersNeedAGplLicense) {
  const auto insns = ProgramText()
                         .store(BPF_DW, R10, -8, 0)
                         .mov(R1, R10)
                         .alu(BPF_ADD, R1, -8)
                         .mov(R2, 8)
                         .call(BPF_FUNC_trace_printk)
                         .mov(R0, 0)
                         .exit()
                         .build();
  for (const char* license : {"GPL", "GPL v2", "Dual BSD/GPL", "Dual MIT/GPL"}) {
    const Fd prog(prog_load({.type = BPF_PROG_TYPE_KPROBE, .insns = insns, .license = license}));
    EXPECT_THAT(prog.get(), SyscallSucceeds()) << license;
  }
  for (const char* license : {"", "MIT", "gpl", "GPL2"}) {
    std::string log;
    EXPECT_THAT(prog_load({.type = BPF_PROG_TYPE_KPROBE, .insns = insns, .license = license}, &log), SyscallFailsWithErrno(EINVAL))
        << license;
    EXPECT_THAT(log, HasSubstr("cannot call GPL-restricted function from non-GPL compatible program"));
  }
  const Fd free_one(prog_load({.type = BPF_PROG_TYPE_KPROBE, .insns = return_program(0), .license = "MIT"}));
  EXPECT_THAT(free_one.get(), SyscallSucceeds());
}

TEST_F(ProgVerdictTest, LoopsThatEndAreFine) {
  const auto insns =
      ProgramText().mov(R0, 0).label("again").alu(BPF_ADD, R0, 1).jump_if(BPF_JLT, R0, 100, "again").mov(R0, 0).exit().build();
  const Fd prog(prog_load({.insns = insns}));
  EXPECT_THAT(prog.get(), SyscallSucceeds());
}

TEST_F(ProgVerdictTest, RingBufferReferenceMustBeGivenBack) {
  const Fd ring(map_create({.type = BPF_MAP_TYPE_RINGBUF, .key_size = 0, .value_size = 0, .max_entries = 4096}));
  ASSERT_THAT(ring.get(), SyscallSucceeds());
  const auto insns =
      ProgramText().map_fd(R1, ring.get()).mov(R2, 8).mov(R3, 0).call(BPF_FUNC_ringbuf_reserve).mov(R0, 0).exit().build();
  std::string log;
  EXPECT_THAT(prog_load({.type = BPF_PROG_TYPE_KPROBE, .insns = insns}, &log), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(log, HasSubstr("Unreleased reference"));
}

// ---- the log
// ------------------------------------------------------------------------------------------------------------------------

class ProgLogTest : public BpfTest {
 protected:
  void SetUp() override {
    BpfTest::SetUp();
    attr_ = prog_attr(spec_);
  }
  void log_to(std::uint32_t level, void* buffer, std::uint32_t size) {
    attr_.log_level = level;
    attr_.log_buf = user_ptr(buffer);
    attr_.log_size = size;
  }
  ProgSpec spec_ = {.insns = return_program(0)};
  union bpf_attr attr_;
};

TEST_F(ProgLogTest, SuccessLeavesAWordAboutTheWork) {
  GuardedBuffer log(4096);
  log_to(1, log.data(), 4096);
  const Fd prog(bpf(BPF_PROG_LOAD, attr_));
  ASSERT_THAT(prog.get(), SyscallSucceeds());
  EXPECT_THAT(reinterpret_cast<char*>(log.data()), HasSubstr("processed 2 insns"));
}

TEST_F(ProgLogTest, LevelTwoTellsEveryInstruction) {
  GuardedBuffer log(4096);
  log_to(2, log.data(), 4096);
  const Fd prog(bpf(BPF_PROG_LOAD, attr_));
  ASSERT_THAT(prog.get(), SyscallSucceeds());
  EXPECT_THAT(reinterpret_cast<char*>(log.data()), HasSubstr("exit"));
}

TEST_F(ProgLogTest, TooSmallABufferIsNoSpace) {
  GuardedBuffer log(8);
  log_to(1, log.data(), 8);
  EXPECT_THAT(bpf(BPF_PROG_LOAD, attr_), SyscallFailsWithErrno(ENOSPC));
  EXPECT_NE(std::memchr(log.data(), '\0', 8), nullptr) << "what is there ends with a zero";
}

TEST_F(ProgLogTest, ImpossibleRequests) {
  char buffer[64];
  log_to(0, buffer, sizeof buffer);
  EXPECT_THAT(bpf(BPF_PROG_LOAD, attr_), SyscallFailsWithErrno(EINVAL)) << "a buffer at level 0";
  log_to(1, buffer, 0);
  EXPECT_THAT(bpf(BPF_PROG_LOAD, attr_), SyscallFailsWithErrno(EINVAL)) << "a buffer of no size";
  log_to(1, nullptr, 64);
  EXPECT_THAT(bpf(BPF_PROG_LOAD, attr_), SyscallFailsWithErrno(EINVAL)) << "a size of no buffer";
  log_to(1u << 30, buffer, sizeof buffer);
  EXPECT_THAT(bpf(BPF_PROG_LOAD, attr_), SyscallFailsWithErrno(EINVAL)) << "an unknown level";
}

TEST_F(ProgLogTest, TrueSizeComesBack) {
  // log_true_size, at byte 140 since 6.4, is how much room the whole log takes.
  unsigned char bytes[152] = {};
  log_to(1, nullptr, 0);
  std::memcpy(bytes, &attr_, std::min(sizeof bytes, sizeof attr_));
  const Fd measured(bpf(BPF_PROG_LOAD, bytes, sizeof bytes));
  ASSERT_THAT(measured.get(), SyscallSucceeds());
  std::uint32_t room = 0;
  std::memcpy(&room, bytes + 140, sizeof room);
  ASSERT_GT(room, 10u);
  ASSERT_LT(room, 4096u);

  GuardedBuffer log(4096);
  log_to(1, log.data(), 4096);
  const Fd prog(bpf(BPF_PROG_LOAD, attr_));
  ASSERT_THAT(prog.get(), SyscallSucceeds());
  EXPECT_NEAR(static_cast<double>(std::strlen(reinterpret_cast<char*>(log.data())) + 1), room, 8) << "but for the time taken";
}

}  // namespace
}  // namespace skep::test
