// Unwind tables of what the compiler emits: checked against the machine itself, one instruction after the other, and read back by readelf.
#include "jit/unwind.h"

#include <elf.h>
#include <fmt/format.h>
#include <signal.h>
#include <ucontext.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>

#include "jit/emit_fixture_test.h"
#include "jit/front_fixture_test.h"
#include "jit/random_program_test.h"

namespace skep::jit::test {
namespace {

using namespace skep::test;

std::vector<ShownFunction> shown(const JitCode& code, u64 at) {
  std::vector<ShownFunction> out;
  for (std::size_t i = 0; i < code.functions.size(); ++i) {
    const JitFunction& f = code.functions[i];
    auto rows = unwind_rows(code.bytes, f.begin, f.end, code.faults);
    EXPECT_TRUE(rows.ok()) << "function " << i;
    if (!rows.ok()) continue;
    for (UnwindRow& r : *rows) r.at -= f.begin;
    out.push_back({at + f.begin, f.end - f.begin, fmt::format("f{}", i), std::move(*rows)});
  }
  return out;
}

// --- Every step of a run against the tables: the trap flag is set, and the handler looks. ---

constexpr int GREG_OF[] = {REG_RBX, REG_RBP, REG_R12, REG_R13, REG_R14, REG_R15};

struct Stepper {
  const std::vector<ShownFunction>* functions = nullptr;
  /// Return addresses and the values that each active function was entered with, innermost last.
  struct Entered {
    u64 function, sp;
    std::array<u64, std::size(GREG_OF)> regs;
  };
  std::vector<Entered> active;
  u64 steps = 0, bad = 0, bad_at = 0;
};
Stepper stepper;

const UnwindRow* row_at(u64 ip, const ShownFunction** function) {
  for (const ShownFunction& f : *stepper.functions) {
    if (ip - f.addr >= f.size) continue;
    *function = &f;
    const UnwindRow* found = nullptr;
    for (const UnwindRow& r : f.rows)
      if (f.addr + r.at <= ip) found = &r;
    return found;
  }
  return nullptr;
}

void on_step(int, siginfo_t*, void* context) {
  const auto& regs = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  const u64 ip = static_cast<u64>(regs[REG_RIP]), sp = static_cast<u64>(regs[REG_RSP]);
  const ShownFunction* f = nullptr;
  const UnwindRow* row = row_at(ip, &f);
  if (row == nullptr) return;  // C++
  ++stepper.steps;
  auto& active = stepper.active;
  while (!active.empty() && active.back().sp < sp) active.pop_back();
  if (ip == f->addr && (active.empty() || active.back().sp != sp)) {
    Stepper::Entered e{f->addr, sp, {}};
    for (std::size_t i = 0; i < e.regs.size(); ++i) e.regs[i] = static_cast<u64>(regs[GREG_OF[i]]);
    active.push_back(e);
  }
  const u64 cfa = sp + row->cfa;
  bool good = !active.empty() && active.back().function == f->addr && active.back().sp + 8 == cfa;
  for (std::size_t i = 0; good && i < row->saved.size(); ++i) {
    const u64 value = row->saved[i] == 0 ? static_cast<u64>(regs[GREG_OF[i]]) : *reinterpret_cast<const u64*>(cfa - row->saved[i]);
    good = value == active.back().regs[i];
  }
  if (good) return;
  if (stepper.bad++ == 0) stepper.bad_at = ip;
}

u64 trap_flag(bool on) {
  u64 flags;
  asm volatile("pushfq\n pop %0" : "=r"(flags)::"memory");
  flags = on ? flags | 0x100 : flags & ~u64{0x100};
  asm volatile("push %0\n popfq" ::"r"(flags) : "memory", "cc");
  return flags;
}

class Unwind : public FrontFixture {
 protected:
  void step_through(const skep::test::Prog& p, const std::string& what) {
    auto made = jit_compile(input(p, true));
    ASSERT_TRUE(made.ok()) << what;
    Loaded loaded(*made);
    const auto functions = shown(*made, reinterpret_cast<u64>(loaded.code()));
    ASSERT_EQ(functions.size(), made->functions.size()) << what;
    RunCtx& run = prepare(p);
    stepper = Stepper{};
    stepper.functions = &functions;
    stepper.active.reserve(64);
    struct sigaction sa {}, before {};
    sa.sa_sigaction = on_step;
    sa.sa_flags = SA_SIGINFO;
    sigaction(SIGTRAP, &sa, &before);
    trap_flag(true);
    loaded.function()(&run, reinterpret_cast<u64>(run.ctx), 0, 0, 0, 0);
    trap_flag(false);
    sigaction(SIGTRAP, &before, nullptr);
    EXPECT_GT(stepper.steps, 0u) << what;
    EXPECT_EQ(stepper.bad, 0u) << what << ": first at " << stepper.bad_at - reinterpret_cast<u64>(loaded.code());
  }
};

TEST_F(Unwind, EachStepOfRandomPrograms) {
  MapDesc* array = map(BPF_MAP_TYPE_ARRAY, 4, RandomProgram::MEMORY, 4);
  for (u32 seed = 0; seed < 100 && !HasFailure(); ++seed) {
    RandomProgram random(seed);
    u8* value = array->ram;
    for (u32 i = 0; i < RandomProgram::MEMORY; ++i) value[i] = static_cast<u8>(seed * 7 + i * 31);
    step_through(random.make(value, array), fmt::format("seed {}", seed));
  }
}

TEST_F(Unwind, AllCodeOfRandomProgramsCanBeFollowed) {
  MapDesc* array = map(BPF_MAP_TYPE_ARRAY, 4, RandomProgram::MEMORY, 4);
  for (u32 seed = 0; seed < 1000 && !HasFailure(); ++seed) {
    RandomProgram random(seed);
    const auto p = random.make(array->ram, array);
    for (const bool optimise : {false, true}) {
      auto made = jit_compile(input(p, optimise));
      ASSERT_TRUE(made.ok()) << seed;
      for (const JitFunction& f : made->functions) {
        const auto rows = unwind_rows(made->bytes, f.begin, f.end, made->faults);
        ASSERT_TRUE(rows.ok()) << seed << " at " << f.begin;
        // What the compiler says of the frame is what its code does.
        const UnwindRow* at_body = nullptr;
        for (const UnwindRow& r : *rows)
          if (r.at <= f.body) at_body = &r;
        ASSERT_NE(at_body, nullptr);
        EXPECT_EQ(at_body->cfa, f.frame + 8) << seed;
      }
    }
  }
}

// --- What cannot be followed is refused. ---

bool can_follow(std::vector<u8> code) { return unwind_rows(code, 0, static_cast<u32>(code.size()), {}).ok(); }

TEST(UnwindRows, OnlyWhatKeepsTheCallersRegisters) {
  EXPECT_TRUE(can_follow({0xc3}));
  EXPECT_TRUE(can_follow({0x53, 0x31, 0xdb, 0x5b, 0xc3}));         // push rbx; xor ebx, ebx; pop rbx; ret
  EXPECT_FALSE(can_follow({0x31, 0xdb, 0xc3}));                    // xor ebx, ebx; ret
  EXPECT_FALSE(can_follow({0x53, 0x31, 0xdb, 0x58, 0xc3}));        // push rbx; xor ebx, ebx; pop rax; ret
  EXPECT_FALSE(can_follow({0x53, 0xc3}));                          // push rbx; ret
  EXPECT_FALSE(can_follow({0x48, 0x89, 0xec, 0xc3}));              // mov rsp, rbp; ret
  EXPECT_FALSE(can_follow({0x48, 0x83, 0xc4, 0x08, 0xc3}));        // add rsp, 8; ret
  EXPECT_FALSE(can_follow({0x74, 0x01, 0x50, 0x58, 0xc3}));        // two ways meet at `pop rax` with different frames
  EXPECT_TRUE(can_follow({0x74, 0x02, 0x50, 0x58, 0xc3}));         // je over push rax; pop rax
  EXPECT_FALSE(can_follow({0x90}));                                // runs out
  EXPECT_FALSE(can_follow({0x06, 0xc3}));                          // no instruction
  EXPECT_TRUE(can_follow({0xff, 0xe0}));                           // jmp rax: a tail call
  EXPECT_FALSE(can_follow({0x50, 0xff, 0xe0}));
}

TEST(UnwindRows, TheWayOfAFault) {
  // 0: push rbx  1: mov eax, [rdi]  3: pop rbx  4: ret  5: xor ebx, ebx  7: jmp 3
  const std::vector<u8> code = {0x53, 0x8b, 0x07, 0x5b, 0xc3, 0x31, 0xdb, 0xeb, 0xfa};
  const CodeFault faults[] = {{1, 5}};
  const auto rows = unwind_rows(code, 0, 9, faults);
  ASSERT_TRUE(rows.ok());
  const std::vector<std::pair<u32, u32>> want = {{0, 8}, {1, 16}, {4, 8}, {5, 16}};
  ASSERT_EQ(rows->size(), want.size());
  for (std::size_t i = 0; i < want.size(); ++i) {
    EXPECT_EQ((*rows)[i].at, want[i].first);
    EXPECT_EQ((*rows)[i].cfa, want[i].second);
    EXPECT_EQ((*rows)[i].saved[0], want[i].second == 16 ? 16u : 0u);
  }
}

// --- The bytes, as binutils read them. ---

std::string output_of(const std::string& command) {
  std::string out;
  FILE* f = popen(command.c_str(), "r");
  char part[4096];
  for (std::size_t n; f != nullptr && (n = fread(part, 1, sizeof part, f)) > 0;) out.append(part, n);
  if (f != nullptr) pclose(f);
  return out;
}

class File {
 public:
  explicit File(std::span<const u8> bytes) : path_(testing::TempDir() + fmt::format("unwind-{}.elf", getpid())) {
    std::ofstream(path_, std::ios::binary).write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  }
  ~File() { unlink(path_.c_str()); }
  std::string read(const std::string& options) const { return output_of("LC_ALL=C readelf -W " + options + " " + path_ + " 2>&1"); }

 private:
  std::string path_;
};

std::vector<ShownFunction> two_functions() {
  UnwindRow start{0, 8, {}}, pushed{1, 16, {16}}, framed{300, 0x400, {16, 0, 24}}, far{0x20000, 8, {}};
  return {{0x410000001000, 0x30000, "bpf_prog_0123456789abcdef_one", {start, pushed, framed, far}},
          {0x410000031000, 0x10, "bpf_prog_0123456789abcdef_F1", {start, pushed}}};
}

TEST(UnwindImage, ReadelfReadsIt) {
  const auto functions = two_functions();
  const File file(elf_image(".text", 0x410000001000, 0x30010, true, functions));
  const std::string symbols = file.read("-s"), sections = file.read("-S"), frames = file.read("--debug-dump=frames");
  EXPECT_NE(symbols.find("0000410000001000 0x30000 FUNC    GLOBAL DEFAULT    1 bpf_prog_0123456789abcdef_one"), std::string::npos) << symbols;
  EXPECT_NE(symbols.find("0000410000031000    16 FUNC    GLOBAL DEFAULT    1 bpf_prog_0123456789abcdef_F1"), std::string::npos) << symbols;
  EXPECT_NE(sections.find(".text             NOBITS          0000410000001000"), std::string::npos) << sections;
  for (const char* line :
       {"FDE cie=00000000 pc=0000410000001000..0000410000031000", "FDE cie=00000000 pc=0000410000031000..0000410000031010",
        "DW_CFA_def_cfa: r7 (rsp) ofs 8", "DW_CFA_offset: r16 (rip) at cfa-8", "DW_CFA_advance_loc: 1 to 0000410000001001",
        "DW_CFA_def_cfa_offset: 16", "DW_CFA_offset: r3 (rbx) at cfa-16", "DW_CFA_advance_loc2: 299 to 000041000000112c",
        "DW_CFA_def_cfa_offset: 1024", "DW_CFA_offset: r12 (r12) at cfa-24", "DW_CFA_advance_loc4: 130772 to 0000410000021000",
        "DW_CFA_restore: r3 (rbx)", "DW_CFA_restore: r12 (r12)", "ZERO terminator"})
    EXPECT_NE(frames.find(line), std::string::npos) << line << " is not in\n" << frames;
  EXPECT_EQ(frames.find("arning"), std::string::npos) << frames;
  EXPECT_EQ(symbols.find("arning"), std::string::npos) << symbols;
}

TEST(UnwindImage, Data) {
  const ShownFunction table[] = {{0x410000000000, 16384, "skep_gates", {}}};
  const File file(elf_image(".gates", 0x410000000000, 16384, false, table));
  const std::string all = file.read("-s -S");
  EXPECT_NE(all.find("0000410000000000 16384 OBJECT  GLOBAL DEFAULT    1 skep_gates"), std::string::npos) << all;
}

TEST(UnwindImage, RelativeToItsPlace) {
  auto functions = two_functions();
  const u64 at = 0x410000040000;
  const std::vector<u8> bytes = eh_frame(functions, EhPointer::Relative, at);
  // The first FDE stands behind the CIE: length, CIE pointer, then the function.
  u32 cie;
  std::memcpy(&cie, bytes.data(), 4);
  s32 distance, size;
  std::memcpy(&distance, &bytes[cie + 12], 4);
  std::memcpy(&size, &bytes[cie + 16], 4);
  EXPECT_EQ(at + cie + 12 + static_cast<u64>(s64{distance}), functions[0].addr);
  EXPECT_EQ(static_cast<u32>(size), functions[0].size);
}

}  // namespace
}  // namespace skep::jit::test
