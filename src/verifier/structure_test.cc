// The structural judgement: errno and words, each case also asked of the machine's kernel.
#include "verifier/structure.h"

#include <set>

#include "isa/asm_test.h"
#include "isa/linux_bpf_test.h"

namespace skep::test {
namespace {

struct Judged {
  int err;
  std::string log;
};

constexpr s32 HASH_FD = 100, ARRAY_FD = 101, RODATA_FD = 102, WIDE_ARRAY_FD = 103;

Result<MapInfo> fake_map(s32 fd) {
  switch (fd) {
    case HASH_FD: return MapInfo{1, BPF_MAP_TYPE_HASH, 4, 8, 16, 0};
    case ARRAY_FD: return MapInfo{2, BPF_MAP_TYPE_ARRAY, 4, 64, 1, 0};
    case RODATA_FD: return MapInfo{3, BPF_MAP_TYPE_ARRAY, 4, 16, 1, BPF_F_RDONLY_PROG};
    case WIDE_ARRAY_FD: return MapInfo{4, BPF_MAP_TYPE_ARRAY, 4, 8, 2, 0};
    default:
      if (fd >= 1000) return MapInfo{static_cast<u64>(fd), BPF_MAP_TYPE_HASH, 4, 8, 16, 0};
      return Errno(EBADF);
  }
}

StructureInput input(const Prog& p, u32 type = BPF_PROG_TYPE_SOCKET_FILTER, bool gpl = true) {
  StructureInput in;
  in.insns = p;
  in.prog_type = type;
  in.gpl_compatible = gpl;
  in.map_by_fd = fake_map;
  in.read_frozen = [](u64 identity, u32 off, u32 size, u64* value) {
    if (identity != 3) return false;
    *value = off == 0 ? 0 : 0x80 + size;
    return true;
  };
  return in;
}

Judged judge(const StructureInput& in, u32 level = 1) {
  VerifierLog log(level, 1u << 20);
  const Result<CheckedProg> r = check_structure(in, log);
  auto o = std::move(log).finish();
  return {r.ok() ? 0 : r.error().value(), o.bytes.substr(0, o.bytes.find('\0'))};
}
Judged judge(const Prog& p, u32 type = BPF_PROG_TYPE_SOCKET_FILTER, bool gpl = true) { return judge(input(p, type, gpl)); }

StructureReport report(const StructureInput& in) {
  VerifierLog log(1, 1u << 16);
  const Result<CheckedProg> r = check_structure(in, log);
  const auto o = std::move(log).finish();
  EXPECT_TRUE(r.ok()) << o.bytes;
  return r.ok() ? r->report() : StructureReport{};
}

struct Case {
  const char* name;
  Prog prog;
  int err;
  std::string words;  ///< a line of the log
  bool drift = false;   ///< newer kernels say it otherwise: compare the errno only
  int newer_err = -1;   ///< and what they answer, where the errno moved too
};

Prog chain_of_calls(int n) {
  Prog p = {call_pc(1), exit_()};
  for (int i = 1; i < n; ++i) p = p + Prog{call_pc(1), exit_()};
  return p + Prog{mov(0, 0), exit_()};
}

/// main and n - 1 callees in a row, each with `bytes` of stack.
Prog stacked_calls(int n, s32 bytes) {
  Prog p;
  for (int i = 1; i < n; ++i) p = p + Prog{st(BPF_DW, 10, -bytes, 0), call_pc(1), exit_()};
  return p + Prog{st(BPF_DW, 10, -bytes, 0), mov(0, 0), exit_()};
}

const std::vector<Case>& cases() {
  static const std::vector<Case> all = {
      {"the least", {mov(0, 0), exit_()}, 0, ""},
      // subprograms and jumps
      {"no exit", {mov(0, 0)}, EINVAL, "last insn is not an exit or jmp"},
      {"jump too far", {mov(0, 0), jk(BPF_JEQ, 0, 1, 5), exit_()}, EINVAL, "jump out of range from insn 1 to 7"},
      {"jump before the start", {mov(0, 0), ja(-3), exit_()}, EINVAL, "jump out of range from insn 1 to -1"},
      {"gotol too far", {gotol(100000), exit_()}, EINVAL, "jump out of range from insn 0 to 100001"},
      {"call outside", {call_pc(7), exit_()}, EINVAL, "call to invalid destination"},
      {"call backwards outside", {call_pc(-2), exit_()}, EINVAL, "call to invalid destination"},
      {"jump into another subprogram", {call_pc(1), exit_(), mov(0, 0), ja(-4)}, EINVAL, "jump out of range from insn 3 to 0"},
      {"fall into another subprogram",
       {mov(0, 0), call_pc(1), mov(0, 1), mov(0, 0), exit_()},
       EINVAL,
       "last insn is not an exit or jmp"},
      {"jumps before opcodes", {raw(0xff), ja(10), exit_()}, EINVAL, "jump out of range from insn 1 to 12"},
      // opcodes and LD_IMM64
      {"unknown opcode", {raw(0xff), exit_()}, EINVAL, "unknown opcode ff"},
      {"zero opcode", {raw(0), exit_()}, EINVAL, "unknown opcode 00"},
      {"opcodes before reachability", {exit_(), raw(0xff), exit_()}, EINVAL, "unknown opcode ff"},
      {"LDX of a bad mode", {raw(BPF_LDX | BPF_IND | BPF_W), exit_()}, EINVAL, "BPF_LDX uses reserved fields"},
      {"LDX with imm", {raw(BPF_LDX | BPF_MEM | BPF_W, 0, 1, 0, 1), exit_()}, EINVAL, "BPF_LDX uses reserved fields"},
      {"half an ldimm64", {raw(LDIMM64_CODE, 0), exit_()}, EINVAL, "invalid bpf_ld_imm64 insn"},
      {"second half with off", {raw(LDIMM64_CODE, 0), raw(0, 0, 0, 1), exit_()}, EINVAL, "invalid bpf_ld_imm64 insn"},
      {"second half with a register", {raw(LDIMM64_CODE, 0), raw(0, 1), exit_()}, EINVAL, "invalid bpf_ld_imm64 insn"},
      {"ldimm64 of an unknown source", ldimm64(0, 0, 7) + Prog{exit_()}, EINVAL, "unrecognized bpf_ld_imm64 insn"},
      {"map fd with a high half", ldimm64(0, 1ULL << 32, 1) + Prog{exit_()}, EINVAL, "unrecognized bpf_ld_imm64 insn"},
      {"no such map", ldimm64(0, 77, 1) + Prog{exit_()}, EBADF, "fd 77 is not pointing to valid bpf_map"},
      {"fd_idx without fd_array", ldimm64(0, 0, BPF_PSEUDO_MAP_IDX) + Prog{exit_()}, EPROTO, "fd_idx without fd_array is invalid"},
      {"BTF id", ldimm64(0, 0x7fffffff, BPF_PSEUDO_BTF_ID) + Prog{exit_()}, ENOENT,
       "ldimm64 insn specifies invalid btf_id 2147483647."},
      {"ldimm64 with off", {raw(LDIMM64_CODE, 0, 0, 1), raw(0), exit_()}, EINVAL, "BPF_LD_IMM64 uses reserved fields"},
      {"function reference outside", ldimm64(1, 50, BPF_PSEUDO_FUNC) + Prog{mov(0, 0), exit_(), mov(0, 0), exit_()}, EINVAL,
       "call to invalid destination"},
      {"function reference", ldimm64(1, 3, BPF_PSEUDO_FUNC) + Prog{mov(0, 0), exit_(), mov(0, 0), exit_()}, EINVAL,
       "missing btf func_info"},
      // control flow
      {"unreachable", {mov(0, 0), exit_(), mov(0, 1), exit_()}, EINVAL, "unreachable insn 2"},
      {"unreachable behind ja", {mov(0, 0), ja(1), mov(0, 1), exit_()}, EINVAL, "unreachable insn 2"},
      {"into an ldimm64", Prog{mov(0, 0), jk(BPF_JEQ, 0, 0, 1)} + ldimm64(0, 1) + Prog{exit_()}, EINVAL,
       "jump into the middle of ldimm64 insn 2"},
      // arithmetic
      {"bad destination", {mov(11, 0), exit_()}, EINVAL, "R11 is invalid"},
      {"bad source", {movr(0, 12), exit_()}, EINVAL, "R12 is invalid"},
      {"frame pointer", {mov(10, 0), exit_()}, EACCES, "frame pointer is read only"},
      {"frame pointer by arithmetic", {alu64k(BPF_ADD, 10, 8), exit_()}, EACCES, "frame pointer is read only"},
      {"frame pointer by load", {ldx(BPF_DW, 10, 1, 0), exit_()}, EACCES, "frame pointer is read only"},
      {"frame pointer by ldimm64", ldimm64(10, 5) + Prog{exit_()}, EACCES, "frame pointer is read only"},
      {"NEG with imm", {mov(0, 0), alu64k(BPF_NEG, 0, 1), exit_()}, EINVAL, "BPF_NEG uses reserved fields"},
      {"NEG with a source", {mov(0, 0), raw(BPF_ALU | BPF_NEG, 0, 1), exit_()}, EINVAL, "BPF_NEG uses reserved fields"},
      {"END of 8 bits", {mov(0, 0), raw(BPF_ALU | BPF_END, 0, 0, 0, 8), exit_()}, EINVAL, "BPF_END uses reserved fields"},
      {"bswap with off", {mov(0, 0), raw(BPF_ALU64 | BPF_END, 0, 0, 1, 16), exit_()}, EINVAL, "BPF_END uses reserved fields"},
      {"MOV with imm and source",
       {mov(0, 0), raw(BPF_ALU64 | BPF_MOV | BPF_X, 0, 0, 0, 1), exit_()},
       EINVAL,
       "BPF_MOV uses reserved fields"},
      {"MOV32 of 32 bits", {mov(1, 0), alu32x(BPF_MOV, 0, 1, 32), exit_()}, EINVAL, "BPF_MOV uses reserved fields"},
      {"MOV of 24 bits", {mov(1, 0), alu64x(BPF_MOV, 0, 1, 24), exit_()}, EINVAL, "BPF_MOV uses reserved fields"},
      {"MOV K with off", {raw(BPF_ALU64 | BPF_MOV, 0, 0, 8), exit_()}, EINVAL, "BPF_MOV uses reserved fields"},
      {"address space cast",
       {mov(1, 0), raw(BPF_ALU64 | BPF_MOV | BPF_X, 0, 1, 1, 1), exit_()},
       EINVAL,
       "addr_space_cast insn can only be used in a program that has an associated arena"},
      {"address space cast of spaces that are not",
       {mov(1, 0), raw(BPF_ALU64 | BPF_MOV | BPF_X, 0, 1, 1, 2), exit_()},
       EINVAL,
       "addr_space_cast insn can only convert between address space 1 and 0"},
      {"ADD with off", {mov(0, 0), alu64k(BPF_ADD, 0, 1, 1), exit_()}, EINVAL, "BPF_ALU uses reserved fields"},
      {"DIV with off 2", {mov(0, 0), alu64k(BPF_DIV, 0, 1, 2), exit_()}, EINVAL, "BPF_ALU uses reserved fields"},
      {"ADD K with a source", {mov(0, 0), raw(BPF_ALU64 | BPF_ADD, 0, 1), exit_()}, EINVAL, "BPF_ALU uses reserved fields"},
      {"ADD X with imm",
       {mov(0, 0), raw(BPF_ALU64 | BPF_ADD | BPF_X, 0, 0, 0, 1), exit_()},
       EINVAL,
       "BPF_ALU uses reserved fields"},
      {"division by zero", {mov(0, 0), alu64k(BPF_DIV, 0, 0), exit_()}, EINVAL, "div by zero"},
      {"signed remainder by zero", {mov(0, 0), alu32k(BPF_MOD, 0, 0, 1), exit_()}, EINVAL, "div by zero"},
      {"shift by 64", {mov(0, 0), alu64k(BPF_LSH, 0, 64), exit_()}, EINVAL, "invalid shift 64"},
      {"shift by -1", {mov(0, 0), alu64k(BPF_ARSH, 0, -1), exit_()}, EINVAL, "invalid shift -1"},
      {"32-bit shift by 32", {mov(0, 0), alu32k(BPF_RSH, 0, 32), exit_()}, EINVAL, "invalid shift 32"},
      {"widest shifts", {mov(0, 0), alu64k(BPF_LSH, 0, 63), alu32k(BPF_RSH, 0, 31), exit_()}, 0, ""},
      // memory
      {"STX with imm", {raw(BPF_STX | BPF_MEM | BPF_W, 10, 1, -8, 1), mov(0, 0), exit_()}, EINVAL, "BPF_STX uses reserved fields"},
      {"ST with a source",
       {raw(BPF_ST | BPF_MEM | BPF_W, 10, 1, -8, 1), mov(0, 0), exit_()},
       EINVAL,
       "BPF_ST uses reserved fields"},
      {"atomic operation that is none",
       {mov(1, 0), st(BPF_DW, 10, -8, 0), atomic(BPF_DW, 0x33, 10, -8, 1), mov(0, 0), exit_()},
       EINVAL,
       "BPF_ATOMIC uses invalid atomic opcode 33"},
      {"fetch into the frame pointer",
       {st(BPF_DW, 10, -8, 0), atomic(BPF_DW, BPF_ADD | BPF_FETCH, 10, -8, 10), mov(0, 0), exit_()},
       EACCES,
       "frame pointer is read only",
       true},
      {"stack beyond its end", {st(BPF_DW, 10, 8, 0), mov(0, 0), exit_()}, EACCES, "invalid write to stack R10 off=8 size=8"},
      {"stack at its end", {st(BPF_DW, 10, 0, 0), mov(0, 0), exit_()}, EACCES, "invalid write to stack R10 off=0 size=8"},
      {"stack too deep", {st(BPF_DW, 10, -520, 0), mov(0, 0), exit_()}, EACCES, "invalid write to stack R10 off=-520 size=8"},
      {"deepest stack", {st(BPF_DW, 10, -512, 0), mov(0, 0), exit_()}, 0, ""},
      {"read beyond the stack", {ldx(BPF_B, 0, 10, 3), exit_()}, EACCES, "invalid read from stack R10 off=3 size=1"},
      {"misaligned stack",
       {st(BPF_DW, 10, -12, 0), mov(0, 0), exit_()},
       EACCES,
       "misaligned stack access off (0x0; 0x0)+0+-12 size 8",
       true},
      {"stack through a copy",
       {movr(2, 10), alu64k(BPF_ADD, 2, -504), st(BPF_DW, 2, -16, 0), mov(0, 0), exit_()},
       EACCES,
       "invalid write to stack R2 off=-520 size=8"},
      {"stack through a sum",
       {movr(2, 10), alu64k(BPF_ADD, 2, -8), mov(3, 16), alu64x(BPF_ADD, 2, 3), st(BPF_DW, 2, 0, 0), mov(0, 0), exit_()},
       EACCES,
       "invalid write to stack R2 off=8 size=8"},
      {"legacy packet load", {movr(6, 1), raw(BPF_LD | BPF_ABS | BPF_DW), mov(0, 0), exit_()}, EINVAL, "unknown opcode 38"},
      // jumps
      {"JA with a register", {raw(BPF_JMP | BPF_JA, 1), mov(0, 0), exit_()}, EINVAL, "BPF_JA uses reserved fields"},
      {"JA with imm", {raw(BPF_JMP | BPF_JA, 0, 0, 0, 1), mov(0, 0), exit_()}, EINVAL, "BPF_JA uses reserved fields"},
      {"gotol with off", {raw(BPF_JMP32 | BPF_JA, 0, 0, 1, 0), mov(0, 0), exit_()}, EINVAL, "BPF_JA uses reserved fields"},
      {"EXIT with imm", {mov(0, 0), raw(BPF_JMP | BPF_EXIT, 0, 0, 0, 1)}, EINVAL, "BPF_EXIT uses reserved fields"},
      {"JEQ K with a source",
       {mov(0, 0), raw(BPF_JMP | BPF_JEQ, 0, 1, 0, 0), exit_()},
       EINVAL,
       "BPF_JMP/JMP32 uses reserved fields"},
      {"JEQ X with imm",
       {mov(0, 0), raw(BPF_JMP | BPF_JEQ | BPF_X, 0, 0, 0, 1), exit_()},
       EINVAL,
       "BPF_JMP/JMP32 uses reserved fields"},
      {"jump on a bad register", {mov(0, 0), jk(BPF_JEQ, 13, 0, 0), exit_()}, EINVAL, "R13 is invalid"},
      {"may_goto nowhere", {mov(0, 0), may_goto(0), exit_()}, EINVAL, "invalid may_goto off 0 imm 0", true, 0},
      {"may_goto with imm",
       {mov(0, 0), raw(BPF_JMP | BPF_JCOND, 0, 0, 1, 1), mov(0, 0), exit_()},
       EINVAL,
       "invalid may_goto off 1 imm 1",
       true},
      {"JCOND that is none",
       {mov(0, 0), raw(BPF_JMP | BPF_JCOND, 0, 1, 1, 0), mov(0, 0), exit_()},
       EINVAL,
       "invalid may_goto off 1 imm 0",
       true},
      {"bounded loop", {mov(0, 10), alu64k(BPF_SUB, 0, 1), jk(BPF_JNE, 0, 0, -2), exit_()}, 0, ""},
      // calls
      {"CALL with a destination", {raw(BPF_JMP | BPF_CALL, 1, 0, 0, 7), exit_()}, EINVAL, "BPF_CALL uses reserved fields"},
      {"CALL with off", {raw(BPF_JMP | BPF_CALL, 0, 0, 1, 7), exit_()}, EINVAL, "BPF_CALL uses reserved fields"},
      {"CALL of an unknown kind", {raw(BPF_JMP | BPF_CALL, 0, 3, 0, 7), exit_()}, EINVAL, "BPF_CALL uses reserved fields"},
      {"no such helper", {call(1234567), exit_()}, EINVAL, "invalid func unknown#1234567"},
      {"negative helper", {call(-1), exit_()}, EINVAL, "invalid func unknown#-1"},
      {"another type's helper", {call(27), exit_()}, EINVAL, "program of this type cannot use helper bpf_get_stackid#27"},
      {"kfunc that is none",
       {raw(BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_KFUNC_CALL, 0, 0x7fffffff), exit_()},
       EINVAL,
       "kernel btf_id 2147483647 is not a function",
       true},
      {"kfunc zero, reached",
       {raw(BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_KFUNC_CALL), mov(0, 0), exit_()},
       EINVAL,
       "invalid kernel function call not eliminated in verifier pass"},
      {"kfunc of a module that is not",
       {raw(BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_KFUNC_CALL, 5, 9), exit_()},
       EPROTO,
       "kfunc offset > 0 without fd_array is invalid",
       true},
      {"eight frames", chain_of_calls(7), 0, ""},
      {"nine frames", chain_of_calls(8), E2BIG, "the call stack of 9 frames is too deep"},
      {"recursion", {call_pc(1), exit_(), call_pc(-1), exit_()}, E2BIG, "the call stack of 9 frames is too deep"},
      {"stack of two calls", stacked_calls(2, 256), 0, ""},
      {"too much stack of two calls", stacked_calls(2, 264), EACCES, "combined stack size of 2 calls is 544. Too large"},
      {"too much stack of five calls", stacked_calls(5, 104), EACCES, "combined stack size of 5 calls is 560. Too large"},
      // what constants rule out is only decoded
      {"poisoned call, never reached", {mov(0, 0), jk(BPF_JEQ, 0, 0, 1), call(195896080), exit_()}, 0, ""},
      {"poisoned call, reached",
       {mov(0, 0), jk(BPF_JNE, 0, 0, 1), call(195896080), exit_()},
       EINVAL,
       "invalid func unknown#195896080"},
      {"kfunc zero, never reached",
       {mov(0, 0), jk(BPF_JEQ, 0, 0, 1), raw(BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_KFUNC_CALL), exit_()},
       0,
       ""},
      {"constants through arithmetic",
       {mov(0, 5), alu64k(BPF_LSH, 0, 2), alu32k(BPF_SUB, 0, 20), j32k(BPF_JEQ, 0, 0, 1), call(99999), exit_()},
       0,
       ""},
      {"constants that meet",
       {call(BPF_FUNC_get_prandom_u32), mov(1, 1), jk(BPF_JEQ, 0, 0, 1), mov(1, 2), mov(0, 0), jk(BPF_JEQ, 1, 1, 1), call(99999),
        exit_()},
       EINVAL,
       "invalid func unknown#99999"},
      {"calls forget constants",
       {mov(1, 0), mov(6, 0), call(BPF_FUNC_get_prandom_u32), jk(BPF_JEQ, 6, 0, 1), call(99999), exit_()},
       0,
       ""},
      {"unreachable even so", {mov(0, 0), jk(BPF_JEQ, 0, 0, 1), raw(0xff), exit_()}, EINVAL, "unknown opcode ff"},
  };
  return all;
}

TEST(Structure, Cases) {
  for (const Case& c : cases()) {
    const Judged j = judge(c.prog);
    EXPECT_EQ(j.err, c.err) << c.name << "\n" << j.log;
    EXPECT_TRUE(c.words.empty() || j.log.find(c.words + "\n") != std::string::npos) << c.name << "\n" << j.log;
  }
}

TEST(Structure, CasesAsTheKernelJudgesThem) {
  SKIP_WITHOUT_LINUX_BPF();
  for (const Case& c : cases()) {
    const LinuxVerdict v = linux_prog_load(c.prog, BPF_PROG_TYPE_SOCKET_FILTER, 1);
    EXPECT_TRUE(v.err == c.err || v.err == c.newer_err) << c.name << ": " << v.err << "\n" << v.log;
    EXPECT_TRUE(c.drift || c.words.empty() || v.log.find(c.words + "\n") != std::string::npos) << c.name << "\n" << v.log;
  }
}

TEST(Structure, EmptyAndHuge) {
  EXPECT_EQ(judge(Prog{}).err, E2BIG);
  Prog p(BPF_COMPLEXITY_LIMIT_INSNS + 1, mov(0, 0));
  EXPECT_EQ(judge(p).err, E2BIG);
  p.resize(BPF_COMPLEXITY_LIMIT_INSNS);
  p.back() = exit_();
  EXPECT_EQ(judge(input(p), 0).err, 0);
}

TEST(Structure, TooManySubprograms) {
  Prog p;
  for (u32 i = 0; i < BPF_MAX_SUBPROGS; ++i) p.push_back(call_pc(static_cast<s32>(BPF_MAX_SUBPROGS + i)));
  p.push_back(exit_());
  for (u32 i = 0; i < BPF_MAX_SUBPROGS; ++i) p = p + Prog{mov(0, 0), exit_()};
  // Call i goes to i + 1 + 256 + i: every second slot from the first subprogram on.
  const Judged j = judge(p);
  EXPECT_EQ(j.err, E2BIG);
  EXPECT_NE(j.log.find("too many subprograms\n"), std::string::npos) << j.log;
}

TEST(Structure, GplHelpersNeedAGplProgram) {
  const Prog p = {mov(1, 0), call(BPF_FUNC_get_current_task), mov(0, 0), exit_()};
  EXPECT_EQ(judge(p, BPF_PROG_TYPE_KPROBE, true).err, 0);
  const Judged j = judge(p, BPF_PROG_TYPE_KPROBE, false);
  EXPECT_EQ(j.err, EINVAL);
  EXPECT_NE(j.log.find("cannot call GPL-restricted function from non-GPL compatible program\n"), std::string::npos);
  if (!linux_bpf_refusal().empty()) return;
  const LinuxVerdict v = linux_prog_load(p, BPF_PROG_TYPE_SOCKET_FILTER, 1, "Proprietary");
  EXPECT_EQ(v.err, EINVAL);
  EXPECT_NE(v.log.find("cannot call GPL-restricted function from non-GPL compatible program\n"), std::string::npos) << v.log;
}

/// Every helper of ours, in program types of both kinds: the kernel's get_func_proto() must agree about who may call what.
TEST(Structure, HelpersOfProgramTypesAsInTheKernel) {
  SKIP_WITHOUT_LINUX_BPF();
  const std::set<s32> moved = {BPF_FUNC_perf_event_output, BPF_FUNC_get_current_uid_gid, BPF_FUNC_get_current_comm};
  for (u32 type :
       {u32{BPF_PROG_TYPE_SOCKET_FILTER}, u32{BPF_PROG_TYPE_XDP}, u32{BPF_PROG_TYPE_SCHED_CLS}, u32{BPF_PROG_TYPE_KPROBE},
        u32{BPF_PROG_TYPE_TRACEPOINT}, u32{BPF_PROG_TYPE_PERF_EVENT}, u32{BPF_PROG_TYPE_RAW_TRACEPOINT},
        u32{BPF_PROG_TYPE_CGROUP_SKB}, u32{BPF_PROG_TYPE_CGROUP_SOCK}, u32{BPF_PROG_TYPE_SK_MSG}}) {
    const LinuxVerdict probe = linux_prog_load({mov(0, 0), exit_()}, type, 0);
    if (probe.err != 0) continue;
    for (s32 id = 1; id < static_cast<s32>(MAX_BPF_FUNC_ID_); ++id) {
      const Prog p = {call(id), mov(0, 0), exit_()};
      const char* refusal = "cannot use helper";
      const LinuxVerdict v = linux_prog_load(p, type, 1);
      const bool linux_has = v.log.find(refusal) == std::string::npos;
      const bool we_have = judge(p, type).err == 0;
      const bool ours_anywhere = judge(p, BPF_PROG_TYPE_KPROBE).err == 0;
      // What we allow Linux allows. What Linux allows we do, if it is in our table at all; but packet programs have a
      // perf_event_output of their own, and later kernels gave uid_gid and comm to all.
      EXPECT_TRUE(linux_has || !we_have) << "type " << type << " helper " << id;
      EXPECT_TRUE(we_have || !linux_has || !ours_anywhere || moved.count(id) != 0) << "type " << type << " helper " << id;
    }
  }
}

TEST(Structure, MapsAreResolvedOnceAndInOrder) {
  const Prog p = ldimm64(1, HASH_FD, BPF_PSEUDO_MAP_FD) + ldimm64(2, u64{8} << 32 | ARRAY_FD, BPF_PSEUDO_MAP_VALUE) +
                 ldimm64(3, HASH_FD, BPF_PSEUDO_MAP_FD) + Prog{mov(0, 0), exit_()};
  const StructureReport r = report(input(p));
  ASSERT_EQ(r.used_maps.size(), 2u);
  EXPECT_EQ(r.used_maps[0].type, BPF_MAP_TYPE_HASH);
  ASSERT_EQ(r.map_refs.size(), 3u);
  EXPECT_EQ(r.map_refs[1].insn, 2u);
  EXPECT_EQ(r.map_refs[1].map, 1u);
  EXPECT_TRUE(r.map_refs[1].is_value);
  EXPECT_EQ(r.map_refs[1].off, 8u);
  EXPECT_EQ(r.map_refs[2].map, 0u);
  EXPECT_EQ(r.live, std::vector<bool>(8, true));
}

TEST(Structure, FdArray) {
  StructureInput in = input({});
  const Prog p = ldimm64(1, 1, BPF_PSEUDO_MAP_IDX) + ldimm64(2, 0, BPF_PSEUDO_MAP_IDX_VALUE) + Prog{mov(0, 0), exit_()};
  in.insns = p;
  in.fd_array = [](u32 index) -> Result<s32> { return index == 0 ? ARRAY_FD : HASH_FD; };
  EXPECT_EQ(report(in).used_maps.size(), 2u);
  in.fd_array = [](u32) -> Result<s32> { return Errno(EFAULT); };
  EXPECT_EQ(judge(in).err, EFAULT);
}

TEST(Structure, DirectValues) {
  const auto value = [](s32 fd, u32 off) {
    return ldimm64(1, u64{off} << 32 | static_cast<u32>(fd), BPF_PSEUDO_MAP_VALUE) + Prog{mov(0, 0), exit_()};
  };
  EXPECT_EQ(judge(value(ARRAY_FD, 63)).err, 0);
  Judged j = judge(value(ARRAY_FD, 64));
  EXPECT_EQ(j.err, EINVAL);
  EXPECT_NE(j.log.find("invalid access to map value pointer, value_size=64 off=64\n"), std::string::npos);
  j = judge(value(WIDE_ARRAY_FD, 0));
  EXPECT_EQ(j.err, ENOTSUPP_);
  j = judge(value(HASH_FD, 0));
  EXPECT_EQ(j.err, EINVAL);
  EXPECT_NE(j.log.find("no direct value access support for this map type\n"), std::string::npos);
  j = judge(value(ARRAY_FD, 1u << 29));
  EXPECT_NE(j.log.find("direct value offset of 536870912 is not allowed\n"), std::string::npos);
}

TEST(Structure, MapLimit) {
  Prog p;
  for (s32 fd = 1000; fd < 1064; ++fd) p = p + ldimm64(1, static_cast<u64>(fd), BPF_PSEUDO_MAP_FD);
  EXPECT_EQ(judge(p + Prog{mov(0, 0), exit_()}).err, 0);
  const Judged j = judge(p + ldimm64(1, 2000, BPF_PSEUDO_MAP_FD) + Prog{mov(0, 0), exit_()});
  EXPECT_EQ(j.err, E2BIG);
  EXPECT_NE(j.log.find("The total number of maps per program has reached the limit of 64\n"), std::string::npos);
}

TEST(Structure, FrozenReadOnlyDataIsConstant) {
  const auto guarded = [](s32 fd, s32 off, s32 expected) {
    return ldimm64(1, static_cast<u64>(fd), BPF_PSEUDO_MAP_VALUE) +
           Prog{ldx(BPF_W, 2, 1, static_cast<s16>(off)), mov(0, 0), jk(BPF_JEQ, 2, expected, 1), call(99999), exit_()};
  };
  EXPECT_EQ(judge(guarded(RODATA_FD, 0, 0)).err, 0);
  EXPECT_EQ(judge(guarded(RODATA_FD, 4, 0x84)).err, 0);
  EXPECT_EQ(judge(guarded(RODATA_FD, 4, 0)).err, EINVAL);
  EXPECT_EQ(judge(guarded(RODATA_FD, 13, 0x84)).err, EINVAL);  // runs off the value: not known
  EXPECT_EQ(judge(guarded(ARRAY_FD, 0, 0)).err, EINVAL);       // not frozen: not known
}

TEST(Structure, Report) {
  const Prog p = {st(BPF_DW, 10, -40, 0),
                  call_pc(4),
                  call(BPF_FUNC_ktime_get_ns),
                  call(BPF_FUNC_get_prandom_u32),
                  call(BPF_FUNC_ktime_get_ns),
                  exit_(),
                  st(BPF_B, 10, -3, 0),
                  mov(0, 0),
                  jk(BPF_JEQ, 0, 0, 1),
                  call(BPF_FUNC_get_smp_processor_id),
                  exit_()};
  const StructureReport r = report(input(p));
  EXPECT_EQ(r.subprog_starts, (std::vector<u32>{0, 6}));
  EXPECT_EQ(r.stack_depth, (std::vector<u32>{40, 3}));
  EXPECT_EQ(r.helpers, (std::vector<u32>{BPF_FUNC_ktime_get_ns, BPF_FUNC_get_prandom_u32}));
  EXPECT_FALSE(r.live[9]);
  EXPECT_EQ(r.insn_processed, 10u);
}

TEST(Structure, LogOfAProgramThatPasses) {
  EXPECT_EQ(judge(input({mov(0, 0), exit_()}), 1).log,
            "processed 2 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0\n");
  const Prog p = {mov(0, 0), exit_()};
  const std::string trace = judge(input(p), 2).log;
  EXPECT_EQ(trace.substr(0, trace.find("processed")), "func#0 @0\n0: R1=ctx() R10=fp0\n0: (b7) r0 = 0\n1: (95) exit\n");
  EXPECT_EQ(judge(input(p), 0).log, "");
  const Prog calls = stacked_calls(2, 16);
  EXPECT_EQ(judge(input(calls), BPF_LOG_STATS).log,
            "verification time 0 usec\nstack depth 16+16\n"
            "processed 6 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0\n");
}

TEST(Structure, BtfChecksStandWhereLinuxHasThem) {
  const Prog p = {call_pc(1), exit_(), mov(0, 0), exit_()};
  StructureInput in = input(p);
  std::vector<std::string> order;
  in.check_btf_early = [&](VerifierLog&) { order.push_back("early"); return ok_status(); };
  in.check_btf = [&](const std::vector<u32>& starts, VerifierLog& log) -> Status {
    order.push_back(fmt::format("late {}", starts.size()));
    log.append("invalid func info\n");
    return Errno(EINVAL);
  };
  const Judged j = judge(in);
  EXPECT_EQ(j.err, EINVAL);
  EXPECT_EQ(order, (std::vector<std::string>{"early", "late 2"}));
  EXPECT_EQ(j.log.substr(0, 18), "invalid func info\n");
}

TEST(Structure, AbnormalReturnsNeedFuncInfo) {
  const Prog p = {movr(6, 1), call_pc(1), exit_(), raw(BPF_LD | BPF_ABS | BPF_W), mov(0, 0), exit_()};
  EXPECT_NE(judge(p).log.find("LD_ABS is not allowed in subprogs without BTF\n"), std::string::npos);
  const Prog t = {call_pc(1), exit_(), call(BPF_FUNC_tail_call), mov(0, 0), exit_()};
  EXPECT_NE(judge(t).log.find("tail_call is not allowed in subprogs without BTF\n"), std::string::npos);
}

TEST(Structure, LargerFramesOfTracingProgramsStandApart) {
  EXPECT_EQ(judge(stacked_calls(2, 264), BPF_PROG_TYPE_KPROBE).err, 0);
  EXPECT_EQ(judge(stacked_calls(2, 264), BPF_PROG_TYPE_XDP).err, EACCES);
}

/// Seven layers of 36 subprograms, each calling all of the next layer: 36^7 paths, judged without trying each.
TEST(Structure, NoBlowUpInCallGraphs) {
  constexpr s32 LAYERS = 7, WIDTH = 36, BODY = WIDTH + 2;
  const auto start = [](s32 layer, s32 i) { return layer == 0 ? 0 : BODY + ((layer - 1) * WIDTH + i) * BODY; };
  Prog p;
  for (s32 layer = 0; layer <= LAYERS; ++layer)
    for (s32 i = 0; i < (layer == 0 ? 1 : WIDTH); ++i) {
      for (s32 c = 0; c < WIDTH; ++c)
        p.push_back(layer < LAYERS ? call_pc(start(layer + 1, c) - static_cast<s32>(p.size()) - 1) : mov(1, 0));
      p = p + Prog{mov(0, 0), exit_()};
    }
  const Judged j = judge(input(p), 0);
  EXPECT_EQ(j.err, 0);
}

/// Many conditional jumps that meet again: the paths double at each, the states do not.
TEST(Structure, NoBlowUpInBranches) {
  Prog p = {mov(0, 0), mov(1, 1), call(BPF_FUNC_get_prandom_u32), movr(6, 0)};
  for (s32 i = 0; i < 100000; ++i) p.insert(p.end(), {jk(BPF_JEQ, 6, i, 1), mov(static_cast<u32>(i % 6), i), mov(0, 0)});
  p.push_back(exit_());
  EXPECT_EQ(judge(input(p), 0).err, 0);
}

}  // namespace
}  // namespace skep::test
