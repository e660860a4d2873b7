// Loads through pointers to the kernel's structs, against the machine's types and its kernel's own verdicts.
#include <gtest/gtest.h>

#include <random>

#include "btf/blob_test.h"
#include "isa/asm_test.h"
#include "isa/linux_bpf_test.h"
#include "verifier/verifier.h"

namespace skep::test {
namespace {

struct Judged {
  int err;
  std::string log;
};

const Btf* machine_vmlinux() {
  static const MachineTypes types = machine_types();
  return types.vmlinux.get();
}

#define SKIP_WITHOUT_VMLINUX()                                                                    \
  do {                                                                                            \
    if (machine_vmlinux() == nullptr) GTEST_SKIP() << "the machine's types are not ours to read"; \
  } while (false)

Judged judge(const Prog& p, u32 attach_id, u32 attach_type, bool gpl = true) {
  VerifierInput in;
  in.insns = p;
  in.prog.type = BPF_PROG_TYPE_TRACING;
  in.prog.expected_attach_type = attach_type;
  in.prog.attach_btf_id = attach_id;
  in.prog.gpl_compatible = gpl;
  in.vmlinux = machine_vmlinux();
  in.map_by_fd = [](s32) -> Result<const VerifierMap*> { return Errno(EBADF); };
  VerifierLog log(1, 1u << 20);
  const auto r = verify(in, log);
  auto o = std::move(log).finish();
  return {r.ok() ? 0 : r.error().value(), o.bytes.substr(0, o.bytes.find('\0'))};
}

Judged ask_linux(const Prog& p, u32 attach_id, u32 attach_type, bool gpl = true) {
  std::string log(1u << 20, '\0');
  bpf_attr attr;
  std::memset(&attr, 0, sizeof attr);
  attr.prog_load.prog_type = BPF_PROG_TYPE_TRACING;
  attr.prog_load.expected_attach_type = attach_type;
  attr.prog_load.attach_btf_id = attach_id;
  attr.prog_load.insns = reinterpret_cast<u64>(p.data());
  attr.prog_load.insn_cnt = static_cast<u32>(p.size());
  attr.prog_load.license = reinterpret_cast<u64>(gpl ? "GPL" : "other");
  attr.prog_load.log_level = 1;
  attr.prog_load.log_size = static_cast<u32>(log.size());
  attr.prog_load.log_buf = reinterpret_cast<u64>(log.data());
  const long fd = linux_bpf(BPF_PROG_LOAD, &attr, sizeof attr);
  const int err = fd < 0 ? errno : 0;
  if (fd >= 0) close(static_cast<int>(fd));
  return {err, log.c_str()};
}

/// The last line before the figures.
std::string complaint(const std::string& log) {
  const std::size_t end = log.rfind("processed ");
  if (end == std::string::npos || end == 0) return log;
  const std::size_t line = log.rfind('\n', end - 2);
  const std::size_t start = line == std::string::npos ? 0 : line + 1;
  return log.substr(start, end - 1 - start);
}

u32 id_of(const char* name, u32 kind) {
  const Result<u32> id = machine_vmlinux()->find_by_name_kind(name, kind);
  return id.ok() ? *id : 0;
}

struct Case {
  const char* name;
  const char* target;
  u32 kind, attach_type;
  Prog prog;
  int err;
  std::string words;
  bool gpl = true;
};

constexpr u32 RAW = BPF_TRACE_RAW_TP;
constexpr const char* NEWTASK = "btf_trace_task_newtask";  // (struct task_struct *task, unsigned long clone_flags)

std::vector<Case> cases() {
  const Prog task = {ldx(BPF_DW, 1, 1, 0)};
  return {
      {"argument", NEWTASK, BTF_KIND_TYPEDEF, RAW, task + Prog{ldx(BPF_W, 0, 1, 0), mov(0, 0), exit_()}, 0, ""},
      {"number", NEWTASK, BTF_KIND_TYPEDEF, RAW, Prog{ldx(BPF_DW, 0, 1, 8), exit_()}, 0, ""},
      {"no such argument", NEWTASK, BTF_KIND_TYPEDEF, RAW, Prog{ldx(BPF_DW, 0, 1, 16), exit_()}, EACCES,
       "func 'task_newtask' doesn't have 3-th argument"},
      {"half a pointer", NEWTASK, BTF_KIND_TYPEDEF, RAW, Prog{ldx(BPF_W, 0, 1, 0), exit_()}, EACCES,
       "func 'task_newtask' size 4 must be 8"},
      {"off a word", NEWTASK, BTF_KIND_TYPEDEF, RAW, Prog{ldx(BPF_W, 0, 1, 4), exit_()}, EACCES,
       "func 'task_newtask' offset 4 is not multiple of 8"},
      {"store to the context", NEWTASK, BTF_KIND_TYPEDEF, RAW, Prog{st(BPF_DW, 1, 0, 0), mov(0, 0), exit_()}, EACCES,
       "invalid bpf_context access off=0 size=8"},
      {"negative", NEWTASK, BTF_KIND_TYPEDEF, RAW, task + Prog{ldx(BPF_W, 0, 1, -4), exit_()}, EACCES,
       "R1 is ptr_task_struct invalid negative access: off=-4"},
      {"beyond", NEWTASK, BTF_KIND_TYPEDEF, RAW, task + Prog{alu64k(BPF_ADD, 1, 1 << 20), ldx(BPF_W, 0, 1, 0), exit_()}, EACCES,
       "access beyond struct task_struct at off 1048576 size 4"},
      {"store", NEWTASK, BTF_KIND_TYPEDEF, RAW, task + Prog{st(BPF_W, 1, 0, 0), mov(0, 0), exit_()}, EACCES,
       "only read is supported"},
      {"licence", NEWTASK, BTF_KIND_TYPEDEF, RAW, task + Prog{ldx(BPF_W, 0, 1, 0), exit_()}, EINVAL,
       "Cannot access kernel 'struct task_struct' from non-GPL compatible program", false},
  };
}

TEST(VerifierBtfAccess, VerdictsAndWords) {
  SKIP_WITHOUT_VMLINUX();
  for (const Case& c : cases()) {
    const u32 id = id_of(c.target, c.kind);
    ASSERT_NE(id, 0u) << c.target;
    const Judged j = judge(c.prog, id, c.attach_type, c.gpl);
    EXPECT_EQ(j.err, c.err) << c.name << "\n" << j.log;
    EXPECT_NE(j.log.find(c.words), std::string::npos) << c.name << ": wants " << c.words << "\n" << j.log;
  }
}

TEST(VerifierBtfAccess, LinuxSaysTheSame) {
  SKIP_WITHOUT_VMLINUX();
  SKIP_WITHOUT_LINUX_BPF();
  for (const Case& c : cases()) {
    const Judged v = ask_linux(c.prog, id_of(c.target, c.kind), c.attach_type, c.gpl);
    EXPECT_EQ(v.err, c.err) << c.name << "\n" << v.log;
    EXPECT_NE(v.log.find(c.words), std::string::npos) << c.name << ": wants " << c.words << "\n" << v.log;
  }
}

/// Two loads in a row at random offsets of what the arguments of a tracepoint point to.
TEST(VerifierBtfAccess, RandomWalksAsLinux) {
  SKIP_WITHOUT_VMLINUX();
  SKIP_WITHOUT_LINUX_BPF();
  struct Target {
    const char* name;
    s32 arg;  ///< a pointer to a struct
    u32 span;
  };
  static constexpr Target TARGETS[] = {{NEWTASK, 0, 4000}, {"btf_trace_sched_switch", 8, 4000}, {"btf_trace_netif_rx", 0, 240}};
  std::mt19937_64 rng(1);
  u32 good = 0, bad = 0;
  for (u32 i = 0; i < 3000; ++i) {
    const Target& target = TARGETS[rng() % std::size(TARGETS)];
    const u32 id = id_of(target.name, BTF_KIND_TYPEDEF);
    if (id == 0) continue;
    const auto size = [&] { return static_cast<u8>(std::array{BPF_B, BPF_H, BPF_W, BPF_DW, BPF_DW}[rng() % 5]); };
    const auto off = [&](u32 span, u8 sz) { return static_cast<s32>(rng() % span / access_bytes(sz) * access_bytes(sz)); };
    const u8 first = rng() % 4 != 0 ? u8{BPF_DW} : size(), second = size();
    const Prog p = {ldx(BPF_DW, 1, 1, target.arg), ldx(first, 2, 1, off(target.span, first)), ldx(second, 0, 2, off(300, second)),
                    mov(0, 0), exit_()};
    const Judged ours = judge(p, id, RAW), theirs = ask_linux(p, id, RAW);
    // Newer kernels let programs read what untrusted pointers to plain memory point to.
    if (ours.err == EACCES && complaint(ours.log) == "R2 invalid mem access 'scalar'") {
      ++bad;
      continue;
    }
    ASSERT_EQ(ours.err, theirs.err) << i << "\n" << ours.log << "\nLinux:\n" << theirs.log;
    if (ours.err != 0) {
      EXPECT_EQ(complaint(ours.log), complaint(theirs.log)) << i << "\n" << ours.log << "\nLinux:\n" << theirs.log;
    }
    ++(ours.err == 0 ? good : bad);
  }
  EXPECT_GT(good, 100u);
  EXPECT_GT(bad, 100u);
}

}  // namespace
}  // namespace skep::test
