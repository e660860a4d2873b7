// Calls of helpers and of the program's own functions: verdicts and words, each verdict also asked of the machine's kernel.
#include <gtest/gtest.h>

#include <cstring>

#include "isa/asm_test.h"
#include "isa/linux_bpf_test.h"
#include "progtypes/func_ids.h"
#include "verifier/verifier.h"

namespace skep::test {
namespace {

constexpr s32 HASH_FD = 100, RINGBUF_FD = 101, PROGS_FD = 102;
struct TestMap {
  s32 fd;
  u32 type, key_size, value_size, max_entries;
};
constexpr TestMap MAPS[] = {
    {HASH_FD, BPF_MAP_TYPE_HASH, 4, 48, 4}, {RINGBUF_FD, BPF_MAP_TYPE_RINGBUF, 0, 0, 4096}, {PROGS_FD, BPF_MAP_TYPE_PROG_ARRAY, 4, 4, 4}};

Prog load_map(u32 dst, s32 fd) { return ldimm64(dst, static_cast<u64>(fd), BPF_PSEUDO_MAP_FD); }
bpf_insn add(u32 dst, s32 imm) { return alu64k(BPF_ADD, dst, imm); }
/// r2 = &key on the stack, r1 = the hash map.
Prog key_and_map() { return Prog{st(BPF_W, 10, -4, 0), movr(2, 10), add(2, -4)} + load_map(1, HASH_FD); }
Prog reserve(s32 size) { return load_map(1, RINGBUF_FD) + Prog{mov(2, size), mov(3, 0), call(func::ringbuf_reserve)}; }
Prog reserve_dynptr() {
  return load_map(1, RINGBUF_FD) + Prog{mov(2, 8), mov(3, 0), movr(4, 10), add(4, -16), call(func::ringbuf_reserve_dynptr)};
}
Prog submit_dynptr() { return {movr(1, 10), add(1, -16), mov(2, 0), call(func::ringbuf_submit_dynptr)}; }
Prog ret0() { return {mov(0, 0), exit_()}; }

struct Case {
  const char* name;
  Prog prog;
  u32 type;
  int err;
  const char* words;  ///< in the log of a refusal
};

std::vector<Case> cases() {
  constexpr u32 FILTER = BPF_PROG_TYPE_SOCKET_FILTER, KPROBE = BPF_PROG_TYPE_KPROBE;
  return {
      {"lookup", key_and_map() + Prog{call(func::map_lookup_elem), jk(BPF_JEQ, 0, 0, 1), ldx(BPF_DW, 1, 0, 40)} + ret0(), FILTER, 0, ""},
      {"lookup_unchecked", key_and_map() + Prog{call(func::map_lookup_elem), ldx(BPF_DW, 1, 0, 0)} + ret0(), FILTER, EACCES,
       "R0 invalid mem access 'map_value_or_null'"},
      {"key_is_a_number", load_map(1, HASH_FD) + Prog{mov(2, 1), call(func::map_lookup_elem)} + ret0(), FILTER, EACCES,
       "R2 type=scalar expected=fp, pkt, pkt_meta, map_key, map_value, mem, ringbuf_mem, buf, trusted_ptr_"},
      {"map_is_a_number", Prog{mov(1, 0), movr(2, 10), add(2, -8), call(func::map_lookup_elem)} + ret0(), FILTER, EACCES,
       "R1 type=scalar expected=map_ptr"},
      {"no_such_helper", Prog{call(99999)} + ret0(), FILTER, EINVAL, "invalid func unknown#99999"},
      {"helper_of_others", Prog{call(func::override_return)} + ret0(), FILTER, EINVAL,
       "program of this type cannot use helper bpf_override_return#58"},
      {"reserve_leak", reserve(8) + ret0(), FILTER, EINVAL, "Unreleased reference id="},
      {"reserve_submit", reserve(8) + Prog{jk(BPF_JEQ, 0, 0, 4), st(BPF_DW, 0, 0, 1), movr(1, 0), mov(2, 0), call(func::ringbuf_submit)} + ret0(),
       FILTER, 0, ""},
      {"reserve_submit_unchecked", reserve(8) + Prog{movr(1, 0), mov(2, 0), call(func::ringbuf_submit)} + ret0(), FILTER, EACCES,
       "R1 type=ringbuf_mem_or_null expected=ringbuf_mem"},
      {"submit_twice",
       reserve(8) + Prog{jk(BPF_JEQ, 0, 0, 7), movr(6, 0), movr(1, 6), mov(2, 0), call(func::ringbuf_submit), movr(1, 6), mov(2, 0),
                         call(func::ringbuf_submit)} + ret0(),
       FILTER, EACCES, "R1 type=scalar expected=ringbuf_mem"},
      {"submit_at_offset", reserve(8) + Prog{jk(BPF_JEQ, 0, 0, 4), movr(1, 0), add(1, 1), mov(2, 0), call(func::ringbuf_discard)} + ret0(),
       FILTER, EINVAL, "R1 must have zero offset when passed to release func or trusted arg to kfunc"},
      {"reserve_unknown_size",
       Prog{call(func::get_prandom_u32), movr(2, 0)} + load_map(1, RINGBUF_FD) + Prog{mov(3, 0), call(func::ringbuf_reserve)} + ret0(), FILTER,
       EACCES, "R2 is not a known constant'"},
      {"reserve_in_hash", load_map(1, HASH_FD) + Prog{mov(2, 8), mov(3, 0), call(func::ringbuf_reserve), jk(BPF_JEQ, 0, 0, 3), movr(1, 0),
                                                      mov(2, 0), call(func::ringbuf_submit)} + ret0(),
       FILTER, EINVAL, "cannot pass map_type 1 into func bpf_ringbuf_reserve#131"},
      {"tail_call", load_map(2, PROGS_FD) + Prog{mov(3, 1), call(func::tail_call)} + ret0(), FILTER, 0, ""},
      {"tail_call_leak",
       Prog{movr(6, 1)} + reserve(8) + Prog{movr(1, 6)} + load_map(2, PROGS_FD) + Prog{mov(3, 1), call(func::tail_call)} + ret0(), FILTER,
       EINVAL, "tail_call would lead to reference leak"},
      {"comm", Prog{movr(1, 10), add(1, -16), mov(2, 16), call(func::get_current_comm), ldx(BPF_DW, 0, 10, -16), exit_()}, KPROBE, 0, ""},
      {"comm_negative", Prog{movr(1, 10), add(1, -16), mov(2, -1), call(func::get_current_comm)} + ret0(), KPROBE, EACCES,
       "R2 min value is negative, either use unsigned or 'var &= const'"},
      {"comm_zero", Prog{movr(1, 10), add(1, -16), mov(2, 0), call(func::get_current_comm)} + ret0(), KPROBE, EACCES,
       "R2 invalid zero-sized read: u64=[0,0]"},
      {"comm_outside", Prog{movr(1, 10), add(1, -8), mov(2, 16), call(func::get_current_comm)} + ret0(), KPROBE, EINVAL,
       "invalid indirect access to stack R1 off=-8 size=16"},
      {"comm_unbounded", Prog{call(func::get_prandom_u32), movr(2, 0), alu64k(BPF_RSH, 2, 8), add(2, 1), movr(1, 10), add(1, -16),
                              call(func::get_current_comm)} + ret0(),
       KPROBE, EACCES, "R2 unbounded memory access, use 'var &= const' or 'if (var < const)'"},
      {"caller_saved", Prog{mov(3, 1), call(func::get_prandom_u32), movr(0, 3), exit_()}, FILTER, EACCES, "R3 !read_ok"},
      {"static_call", Prog{mov(1, 5), call_pc(1), exit_(), movr(0, 1), exit_()}, FILTER, 0, ""},
      {"static_call_clobbers", Prog{mov(1, 5), call_pc(2), movr(0, 1), exit_(), mov(0, 0), exit_()}, FILTER, EACCES, "R1 !read_ok"},
      {"static_call_returns_stack", Prog{call_pc(2), mov(0, 0), exit_(), movr(0, 10), exit_()}, FILTER, EINVAL,
       "cannot return stack pointer to the caller"},
      {"static_call_writes_callers_stack",
       Prog{movr(1, 10), add(1, -8), call_pc(2), ldx(BPF_DW, 0, 10, -8), exit_(), st(BPF_DW, 1, 0, 7), mov(0, 0), exit_()}, FILTER, 0, ""},
      {"callee_releases",
       reserve(8) + Prog{jk(BPF_JEQ, 0, 0, 2), movr(1, 0), call_pc(2), mov(0, 0), exit_(), mov(2, 0), call(func::ringbuf_submit), mov(0, 0),
                         exit_()},
       FILTER, 0, ""},
      {"dynptr", reserve_dynptr() + submit_dynptr() + ret0(), FILTER, 0, ""},
      {"dynptr_leak", reserve_dynptr() + ret0(), FILTER, EINVAL, "Unreleased reference id="},
      {"dynptr_overwritten", reserve_dynptr() + Prog{st(BPF_DW, 10, -8, 0)} + submit_dynptr() + ret0(), FILTER, EINVAL,
       "cannot overwrite referenced dynptr"},
      {"dynptr_twice", reserve_dynptr() + submit_dynptr() + submit_dynptr() + ret0(), FILTER, EINVAL, "arg 1 is an unacquired reference"},
      {"dynptr_misaligned", load_map(1, RINGBUF_FD) + Prog{mov(2, 8), mov(3, 0), movr(4, 10), add(4, -20), call(func::ringbuf_reserve_dynptr)} +
                                submit_dynptr() + ret0(),
       FILTER, EINVAL, "cannot pass in dynptr at an offset=-20"},
      {"dynptr_slice",
       reserve_dynptr() + Prog{movr(1, 10), add(1, -16), mov(2, 0), mov(3, 8), call(func::dynptr_data), jk(BPF_JEQ, 0, 0, 1),
                               st(BPF_DW, 0, 0, 1)} + submit_dynptr() + ret0(),
       FILTER, 0, ""},
      {"dynptr_slice_after_submit",
       reserve_dynptr() + Prog{movr(1, 10), add(1, -16), mov(2, 0), mov(3, 8), call(func::dynptr_data), movr(6, 0)} + submit_dynptr() +
           Prog{jk(BPF_JEQ, 6, 0, 1), st(BPF_DW, 6, 0, 1)} + ret0(),
       FILTER, EACCES, "R6 invalid mem access 'scalar'"},
      {"spin_lock_without_btf", key_and_map() + Prog{call(func::map_lookup_elem), jk(BPF_JEQ, 0, 0, 2), movr(1, 0), call(func::spin_lock)} + ret0(),
       FILTER, EINVAL, "map '' has to have BTF in order to use bpf_spin_lock"},
  };
}

struct Judged {
  int err;
  std::string log;
};

Judged judge(const Case& c) {
  std::vector<VerifierMap> maps;
  for (const TestMap& m : MAPS) {
    VerifierMap& out = maps.emplace_back();
    out.identity = out.id = static_cast<u32>(m.fd);
    out.type = m.type;
    out.key_size = m.key_size;
    out.value_size = m.value_size;
    out.max_entries = m.max_entries;
  }
  VerifierInput in;
  in.insns = c.prog;
  in.prog.type = c.type;
  in.prog.gpl_compatible = true;
  in.map_by_fd = [&](s32 fd) -> Result<const VerifierMap*> {
    for (std::size_t i = 0; i < std::size(MAPS); ++i)
      if (MAPS[i].fd == fd) return static_cast<const VerifierMap*>(&maps[i]);
    return Errno(EBADF);
  };
  VerifierLog log(BPF_LOG_LEVEL1, 1u << 20);
  const auto r = verify(in, log);
  auto o = std::move(log).finish();
  return {r.ok() ? 0 : r.error().value(), o.bytes.substr(0, o.bytes.find('\0'))};
}

TEST(Calls, AreJudgedInLinuxsWords) {
  for (const Case& c : cases()) {
    const Judged j = judge(c);
    EXPECT_EQ(j.err, c.err) << c.name << '\n' << j.log;
    EXPECT_NE(j.log.find(c.words), std::string::npos) << c.name << '\n' << j.log;
  }
}

TEST(Calls, AreJudgedAsTheMachineDoes) {
  SKIP_WITHOUT_LINUX_BPF();
  std::vector<int> fds;
  for (const TestMap& m : MAPS) {
    struct {
      u32 type, key_size, value_size, max_entries, flags;
    } attr{m.type, m.key_size, m.value_size, m.max_entries, 0};
    fds.push_back(static_cast<int>(linux_bpf(BPF_MAP_CREATE, &attr, sizeof attr)));
    ASSERT_GE(fds.back(), 0);
  }
  for (const Case& c : cases()) {
    Prog p = c.prog;
    for (std::size_t i = 0; i < p.size(); i += insn_slots(p[i]))
      for (std::size_t m = 0; is_ldimm64(p[i]) && m < std::size(MAPS); ++m)
        if (MAPS[m].fd == p[i].imm) {
          p[i].imm = fds[m];
          break;
        }
    EXPECT_EQ(linux_prog_load(p, c.type, 1).err, c.err) << c.name << '\n' << linux_prog_load(p, c.type, 1).log;
  }
  for (const int fd : fds) close(fd);
}

}  // namespace
}  // namespace skep::test
