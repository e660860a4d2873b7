// Loads and stores: verdicts and words, each case also asked of the machine's kernel; and random programs over the stack.
#include <gtest/gtest.h>

#include <random>

#include "isa/asm_test.h"
#include "isa/linux_bpf_test.h"
#include "verifier/verifier.h"

namespace skep::test {
namespace {

constexpr s32 HASH_FD = 100, RODATA_FD = 101, WRONLY_FD = 102, RDONLY_FD = 103, PAIR_FD = 104, RINGBUF_FD = 105;

struct TestMap {
  s32 fd;
  u32 type, key_size, value_size, max_entries, flags;
  bool frozen;
};
constexpr TestMap MAPS[] = {
    {HASH_FD, BPF_MAP_TYPE_HASH, 4, 48, 4, 0, false},
    {RODATA_FD, BPF_MAP_TYPE_ARRAY, 4, 16, 1, BPF_F_RDONLY_PROG, true},
    {WRONLY_FD, BPF_MAP_TYPE_ARRAY, 4, 16, 1, BPF_F_WRONLY_PROG, false},
    {RDONLY_FD, BPF_MAP_TYPE_ARRAY, 4, 16, 1, BPF_F_RDONLY_PROG, false},
    {PAIR_FD, BPF_MAP_TYPE_ARRAY, 4, 16, 2, BPF_F_RDONLY_PROG, true},
    {RINGBUF_FD, BPF_MAP_TYPE_RINGBUF, 0, 0, 4096, 0, false},
};
constexpr u8 RODATA[16] = {8, 0, 0, 0, 0, 0, 0, 0, 0xfe, 0xff, 0xff, 0xff, 0, 0, 0, 0};

VerifierMap map_facts(const TestMap& m) {
  VerifierMap out;
  out.identity = static_cast<u64>(m.fd);
  out.id = static_cast<u32>(m.fd);
  out.type = m.type;
  out.key_size = m.key_size;
  out.value_size = m.value_size;
  out.max_entries = m.max_entries;
  out.map_flags = m.flags;
  out.frozen = m.frozen;
  return out;
}

struct Judged {
  int err;
  std::string log;
};

Judged judge(const Prog& p, u32 type, u32 flags, u32 log_level = 1) {
  std::vector<VerifierMap> maps;
  for (const TestMap& m : MAPS) maps.push_back(map_facts(m));
  VerifierInput in;
  in.insns = p;
  in.prog.type = type;
  in.prog.gpl_compatible = true;
  in.prog_flags = flags;
  in.map_by_fd = [&](s32 fd) -> Result<const VerifierMap*> {
    for (std::size_t i = 0; i < std::size(MAPS); ++i)
      if (MAPS[i].fd == fd) return static_cast<const VerifierMap*>(&maps[i]);
    return Errno(EBADF);
  };
  in.direct_value = [](const VerifierMap& m, u32 off) -> Status {
    if (m.type != BPF_MAP_TYPE_ARRAY || m.max_entries != 1) return Errno(ENOTSUPP_);
    return off < m.value_size ? ok_status() : Status(Errno(EINVAL));
  };
  in.read_frozen = [](const VerifierMap& m, u32 off, u32 size, u64* value) {
    if (m.id != static_cast<u32>(RODATA_FD)) return false;
    *value = 0;
    std::memcpy(value, RODATA + off, size);
    return true;
  };
  VerifierLog log(log_level, 1u << 20);
  const auto r = verify(in, log);
  auto o = std::move(log).finish();
  return {r.ok() ? 0 : r.error().value(), o.bytes.substr(0, o.bytes.find('\0'))};
}

/// The machine's maps in the places of ours.
class LinuxMaps {
 public:
  LinuxMaps() {
    for (const TestMap& m : MAPS) fds_.push_back(create(m));
  }
  ~LinuxMaps() {
    for (int fd : fds_) close(fd);
  }
  LinuxMaps(const LinuxMaps&) = delete;

  Prog patched(Prog p) const {
    for (std::size_t i = 0; i < p.size(); i += insn_slots(p[i])) {
      if (!is_ldimm64(p[i]) || p[i].src_reg == 0) continue;
      for (std::size_t m = 0; m < std::size(MAPS); ++m)
        if (MAPS[m].fd == p[i].imm) {
          p[i].imm = fds_[m];
          break;
        }
    }
    return p;
  }

 private:
  static int create(const TestMap& m) {
    struct {
      u32 type, key_size, value_size, max_entries, flags;
    } attr{m.type, m.key_size, m.value_size, m.max_entries, m.flags};
    const int fd = static_cast<int>(linux_bpf(BPF_MAP_CREATE, &attr, sizeof attr));
    EXPECT_GE(fd, 0);
    for (u32 key = 0; m.frozen && key < m.max_entries; ++key) {
      struct {
        u32 fd, pad;
        u64 key, value, flags;
      } update{static_cast<u32>(fd), 0, reinterpret_cast<u64>(&key), reinterpret_cast<u64>(RODATA), 0};
      EXPECT_EQ(linux_bpf(BPF_MAP_UPDATE_ELEM, &update, sizeof update), 0);
    }
    constexpr u32 MAP_FREEZE = 22;
    u32 freeze = static_cast<u32>(fd);
    if (m.frozen) {
      EXPECT_EQ(linux_bpf(MAP_FREEZE, &freeze, sizeof freeze), 0);
    }
    return fd;
  }
  std::vector<int> fds_;
};

LinuxVerdict ask_linux(const Prog& p, u32 type, u32 flags) {
  LinuxVerdict v;
  v.log.resize(1u << 20);
  bpf_attr attr;
  std::memset(&attr, 0, sizeof attr);
  attr.prog_load.prog_type = type;
  attr.prog_load.insns = reinterpret_cast<u64>(p.data());
  attr.prog_load.insn_cnt = static_cast<u32>(p.size());
  attr.prog_load.license = reinterpret_cast<u64>("GPL");
  attr.prog_load.log_level = 1;
  attr.prog_load.log_size = static_cast<u32>(v.log.size());
  attr.prog_load.log_buf = reinterpret_cast<u64>(v.log.data());
  attr.prog_load.prog_flags = flags;
  v.fd = static_cast<int>(linux_bpf(BPF_PROG_LOAD, &attr, sizeof attr));
  v.err = v.fd < 0 ? errno : 0;
  v.log.resize(std::strlen(v.log.c_str()));
  return v;
}

struct Case {
  const char* name;
  Prog prog;
  int err;
  std::string words;
  u32 type = BPF_PROG_TYPE_SOCKET_FILTER;
  u32 flags = 0;
  bool newer = false;  ///< kernels after 6.12 answer otherwise
};

constexpr s32 LOOKUP = 1, PRANDOM = 7;

/// r0 = value of HASH_FD, not null.
Prog map_value() {
  return Prog{st(BPF_W, 10, -4, 0), movr(2, 10), alu64k(BPF_ADD, 2, -4)} + ldimm64(1, HASH_FD, BPF_PSEUDO_MAP_FD) +
         Prog{call(LOOKUP), jk(BPF_JNE, 0, 0, 1), exit_()};
}
const Prog END = {mov(0, 0), exit_()};
Prog direct_value(s32 fd, u32 off = 0) {
  return ldimm64(1, static_cast<u32>(fd) | static_cast<u64>(off) << 32, BPF_PSEUDO_MAP_VALUE);
}
/// r6 = unknown number in [0, mask].
Prog number(s32 mask) { return {call(PRANDOM), movr(6, 0), alu64k(BPF_AND, 6, mask)}; }
/// r2 = packet, 8 bytes of which are there.
Prog packet() {
  return {ldx(BPF_W, 2, 1, 0), ldx(BPF_W, 3, 1, 4), movr(4, 2), alu64k(BPF_ADD, 4, 8), jx(BPF_JLE, 4, 3, 2), mov(0, 0), exit_()};
}

std::vector<Case> stack_cases() {
  const std::string fill = "invalid size of register fill";
  return {
      {"spill and fill a pointer", Prog{stx(BPF_DW, 10, -8, 1), ldx(BPF_DW, 2, 10, -8), ldx(BPF_W, 0, 2, 0), exit_()}, 0, ""},
      {"narrow spill of a pointer", Prog{stx(BPF_W, 10, -8, 1)} + END, EACCES, "invalid size of register spill"},
      {"narrow fill of a pointer", Prog{stx(BPF_DW, 10, -8, 1), ldx(BPF_W, 0, 10, -8), exit_()}, EACCES, fill},
      {"byte of a pointer", Prog{stx(BPF_DW, 10, -8, 1), ldx(BPF_B, 0, 10, -1), exit_()}, EACCES, fill},
      {"pointer overwritten in part",
       Prog{stx(BPF_DW, 10, -8, 1), st(BPF_B, 10, -8, 1), ldx(BPF_DW, 2, 10, -8), ldx(BPF_W, 0, 2, 0), exit_()}, EACCES,
       "R2 invalid mem access 'scalar'"},
      {"misaligned", Prog{st(BPF_DW, 10, -12, 0)} + END, EACCES, "misaligned stack access off 0+0+-12 size 8"},
      {"above", Prog{st(BPF_DW, 10, 0, 0)} + END, EACCES, "invalid write to stack R10 off=0 size=8"},
      {"below", Prog{st(BPF_DW, 10, -520, 0)} + END, EACCES, "invalid write to stack R10 off=-520 size=8"},
      {"read above", Prog{ldx(BPF_DW, 0, 10, 8), exit_()}, EACCES, "invalid read from stack R10 off=8 size=8"},
      {"constant comes back",
       Prog{st(BPF_DW, 10, -16, 24)} + map_value() +
           Prog{ldx(BPF_DW, 2, 10, -16), alu64x(BPF_ADD, 0, 2), ldx(BPF_DW, 0, 0, 16), exit_()},
       0, ""},
      {"constant comes back, too far",
       Prog{st(BPF_DW, 10, -16, 24)} + map_value() +
           Prog{ldx(BPF_DW, 2, 10, -16), alu64x(BPF_ADD, 0, 2), ldx(BPF_DW, 0, 0, 24), exit_()},
       EACCES, "invalid access to map value, value_size=48 off=48 size=8"},
      {"low half of a constant",
       Prog{st(BPF_DW, 10, -16, 24)} + map_value() +
           Prog{ldx(BPF_W, 2, 10, -16), alu64x(BPF_ADD, 0, 2), ldx(BPF_DW, 0, 0, 16), exit_()},
       0, ""},
      {"high half of a constant is unknown",
       Prog{st(BPF_DW, 10, -16, 24)} + map_value() +
           Prog{ldx(BPF_W, 2, 10, -12), alu64x(BPF_ADD, 0, 2), ldx(BPF_DW, 0, 0, 16), exit_()},
       EACCES, "unbounded memory access"},
      {"high half of zero is zero",
       Prog{st(BPF_DW, 10, -16, 0)} + map_value() +
           Prog{ldx(BPF_W, 2, 10, -12), alu64x(BPF_ADD, 0, 2), ldx(BPF_DW, 0, 0, 16), exit_()},
       0, ""},
      {"variable store over a pointer",
       number(7) + Prog{stx(BPF_DW, 10, -8, 10), movr(2, 10), alu64k(BPF_ADD, 2, -8), alu64x(BPF_ADD, 2, 6), st(BPF_B, 2, 0, 0),
                        ldx(BPF_DW, 3, 10, -8), ldx(BPF_DW, 0, 3, -8), exit_()},
       EACCES, "R3 invalid mem access 'scalar'"},
      {"variable store of zero over zeros keeps them",
       number(7) +
           Prog{st(BPF_DW, 10, -16, 0), movr(2, 10), alu64k(BPF_ADD, 2, -16), alu64x(BPF_ADD, 2, 6), mov(3, 0),
                stx(BPF_B, 2, 0, 3)} +
           map_value() + Prog{ldx(BPF_DW, 2, 10, -16), alu64x(BPF_ADD, 0, 2), ldx(BPF_DW, 0, 0, 16), exit_()},
       0, ""},
      {"variable store of one over zeros",
       number(7) +
           Prog{st(BPF_DW, 10, -16, 0), movr(2, 10), alu64k(BPF_ADD, 2, -16), alu64x(BPF_ADD, 2, 6), mov(3, 1),
                stx(BPF_B, 2, 0, 3)} +
           map_value() + Prog{ldx(BPF_DW, 2, 10, -16), alu64x(BPF_ADD, 0, 2), ldx(BPF_DW, 0, 0, 16), exit_()},
       EINVAL, "math between map_value pointer and register with unbounded min value is not allowed"},
      {"variable store beyond",
       number(15) + Prog{movr(2, 10), alu64k(BPF_ADD, 2, -8), alu64x(BPF_ADD, 2, 6), st(BPF_B, 2, 0, 0)} + END, EINVAL,
       "invalid variable-offset write to stack R2"},
      {"unbounded", Prog{call(PRANDOM), movr(2, 10), alu64x(BPF_ADD, 2, 0), st(BPF_B, 2, 0, 0)} + END, EINVAL,
       "math between fp pointer and register with unbounded min value is not allowed"},
      {"stack of the caller is no place for the callee's",
       Prog{movr(1, 10), alu64k(BPF_ADD, 1, -8), call_pc(2), mov(0, 0), exit_(), stx(BPF_DW, 1, 0, 10), mov(0, 0), exit_()}, EINVAL,
       "cannot spill pointers to stack into stack frame of the caller"},
      {"helper reads a spilled pointer",
       Prog{stx(BPF_DW, 10, -8, 1), movr(2, 10), alu64k(BPF_ADD, 2, -8)} + ldimm64(1, HASH_FD, 1) + Prog{call(LOOKUP)} + END, 0,
       ""},
      {"helper reads beyond", Prog{movr(2, 10), alu64k(BPF_ADD, 2, -2)} + ldimm64(1, HASH_FD, 1) + Prog{call(LOOKUP)} + END, EINVAL,
       "invalid indirect access to stack R2 off=-2 size=4", BPF_PROG_TYPE_SOCKET_FILTER, 0, true},
  };
}

std::vector<Case> map_cases() {
  return {
      {"inside", map_value() + Prog{ldx(BPF_DW, 0, 0, 40), exit_()}, 0, ""},
      {"across the end", map_value() + Prog{ldx(BPF_DW, 0, 0, 41), exit_()}, EACCES,
       "invalid access to map value, value_size=48 off=41 size=8"},
      {"before", map_value() + Prog{ldx(BPF_B, 0, 0, -1), exit_()}, EACCES, "R0 min value is outside of the allowed memory range"},
      {"unchecked null",
       Prog{st(BPF_W, 10, -4, 0), movr(2, 10), alu64k(BPF_ADD, 2, -4)} + ldimm64(1, HASH_FD, 1) +
           Prog{call(LOOKUP), ldx(BPF_B, 0, 0, 0), exit_()},
       EACCES, "R0 invalid mem access 'map_value_or_null'"},
      {"variable inside", map_value() + Prog{movr(7, 0)} + number(31) + Prog{alu64x(BPF_ADD, 7, 6), ldx(BPF_DW, 0, 7, 8), exit_()},
       0, ""},
      {"variable beyond", map_value() + Prog{movr(7, 0)} + number(63) + Prog{alu64x(BPF_ADD, 7, 6), ldx(BPF_DW, 0, 7, 0), exit_()},
       EACCES, "R7 max value is outside of the allowed memory range"},
      {"signed index",
       map_value() + Prog{movr(7, 0), call(PRANDOM), movr(6, 0), alu64k(BPF_AND, 6, 15), alu64k(BPF_SUB, 6, 8),
                          alu64x(BPF_ADD, 7, 6), ldx(BPF_B, 0, 7, 0), exit_()},
       EACCES, "R7 min value is negative, either use unsigned index or do a if (index >=0) check."},
      {"misaligned, strictly", map_value() + Prog{ldx(BPF_W, 0, 0, 2), exit_()}, EACCES, "misaligned value access off 0+0+2 size 4",
       BPF_PROG_TYPE_SOCKET_FILTER, BPF_F_STRICT_ALIGNMENT},
      {"write forbidden", direct_value(RDONLY_FD) + Prog{st(BPF_W, 1, 4, 0)} + END, EACCES,
       "write into map forbidden, value_size=16 off=4 size=4"},
      {"read forbidden", direct_value(WRONLY_FD) + Prog{ldx(BPF_W, 0, 1, 0), exit_()}, EACCES,
       "read from map forbidden, value_size=16 off=0 size=4"},
      {"read of a constant",
       map_value() + Prog{movr(7, 0)} + direct_value(RODATA_FD) +
           Prog{ldx(BPF_DW, 2, 1, 0), alu64x(BPF_ADD, 7, 2), ldx(BPF_DW, 0, 7, 32), exit_()},
       0, ""},
      {"read of a constant, sign-extended",
       map_value() + Prog{movr(7, 0)} + direct_value(RODATA_FD) +
           Prog{ldsx(BPF_W, 2, 1, 8), alu64x(BPF_ADD, 7, 2), ldx(BPF_DW, 0, 7, 2), exit_()},
       0, ""},
      {"read of a constant, zero-extended",
       map_value() + Prog{movr(7, 0)} + direct_value(RODATA_FD) +
           Prog{ldx(BPF_W, 2, 1, 8), alu64x(BPF_ADD, 7, 2), ldx(BPF_DW, 0, 7, 2), exit_()},
       EINVAL, "math between map_value pointer and 4294967294 is not allowed"},
      {"not frozen: unknown",
       map_value() + Prog{movr(7, 0)} + direct_value(RDONLY_FD) +
           Prog{ldx(BPF_DW, 2, 1, 0), alu64x(BPF_ADD, 7, 2), ldx(BPF_DW, 0, 7, 32), exit_()},
       EINVAL, "math between map_value pointer and register with unbounded min value is not allowed"},
      {"frozen array of two",
       Prog{st(BPF_W, 10, -4, 0), movr(2, 10), alu64k(BPF_ADD, 2, -4)} + ldimm64(1, PAIR_FD, 1) +
           Prog{call(LOOKUP), jk(BPF_JNE, 0, 0, 1), exit_(), ldx(BPF_DW, 0, 0, 0), exit_()},
       ENOTSUPP_, ""},
  };
}

std::vector<Case> other_cases() {
  const std::string diff = "same insn cannot be used with different pointers";
  return {
      {"number as a pointer", Prog{mov(1, 0), ldx(BPF_W, 0, 1, 0), exit_()}, EACCES, "R1 invalid mem access 'scalar'"},
      {"context", Prog{ldx(BPF_W, 0, 1, 0), exit_()}, 0, ""},
      {"no such field", Prog{ldx(BPF_W, 0, 1, 0x7000), exit_()}, EACCES, "invalid bpf_context access off=28672 size=4"},
      {"modified context", Prog{alu64k(BPF_ADD, 1, 4), ldx(BPF_W, 0, 1, 0), exit_()}, EACCES,
       "dereference of modified ctx ptr R1 off=4 disallowed"},
      {"variable context", number(4) + END, 0, ""},
      {"packet", packet() + Prog{ldx(BPF_DW, 0, 2, 0), exit_()}, 0, "", BPF_PROG_TYPE_XDP},
      {"beyond the packet", packet() + Prog{ldx(BPF_DW, 0, 2, 1), exit_()}, EACCES,
       "invalid access to packet, off=1 size=8, R2(id=0,off=1,r=8)", BPF_PROG_TYPE_XDP},
      {"beyond the packet, last line", packet() + Prog{ldx(BPF_DW, 0, 2, 1), exit_()}, EACCES, "R2 offset is outside of the packet",
       BPF_PROG_TYPE_XDP},
      {"write to the packet", packet() + Prog{st(BPF_DW, 2, 0, 7)} + END, 0, "", BPF_PROG_TYPE_XDP},
      {"atomic on the packet", packet() + Prog{mov(0, 1), atomic(BPF_DW, BPF_ADD, 2, 0, 0)} + END, EACCES,
       "BPF_ATOMIC stores into R2 pkt is not allowed", BPF_PROG_TYPE_XDP},
      {"atomic on the context", Prog{mov(0, 1), atomic(BPF_W, BPF_ADD, 1, 0, 0)} + END, EACCES,
       "BPF_ATOMIC stores into R1 ctx is not allowed"},
      {"atomic byte", Prog{mov(0, 1), st(BPF_DW, 10, -8, 0), atomic(BPF_B, BPF_ADD, 10, -8, 0)} + END, EINVAL, "unknown opcode d3",
       BPF_PROG_TYPE_SOCKET_FILTER, 0, true},
      {"atomic of no kind", Prog{mov(0, 1), st(BPF_DW, 10, -8, 0), atomic(BPF_DW, 0x13, 10, -8, 0)} + END, EINVAL,
       "BPF_ATOMIC uses invalid atomic opcode 13"},
      {"fetch gets what was there",
       map_value() + Prog{movr(7, 0), mov(2, 1), st(BPF_DW, 10, -8, 48), atomic(BPF_DW, BPF_ADD | BPF_FETCH, 10, -8, 2),
                          alu64x(BPF_ADD, 7, 2), ldx(BPF_B, 0, 7, 0), exit_()},
       EACCES, "invalid access to map value, value_size=48 off=48 size=1"},
      {"what an atomic operation leaves is unknown",
       map_value() + Prog{movr(7, 0), mov(2, 1), st(BPF_DW, 10, -8, 0), atomic(BPF_DW, BPF_ADD, 10, -8, 2), ldx(BPF_DW, 2, 10, -8),
                          alu64x(BPF_ADD, 7, 2), ldx(BPF_B, 0, 7, 0), exit_()},
       EINVAL, "math between map_value pointer and register with unbounded min value is not allowed"},
      {"cmpxchg of a spilled pointer",
       Prog{stx(BPF_DW, 10, -8, 10), mov(0, 0), mov(2, 1), atomic(BPF_DW, BPF_CMPXCHG, 10, -8, 2)} + END, 0, ""},
      {"one load for stack and context",
       Prog{movr(6, 1), call(PRANDOM), st(BPF_DW, 10, -8, 0), jk(BPF_JEQ, 0, 0, 2), movr(1, 6), ja(2), movr(1, 10),
            alu64k(BPF_ADD, 1, -8), ldx(BPF_W, 0, 1, 0), exit_()},
       EINVAL, diff},
      {"one load for stack and value",
       map_value() + Prog{movr(6, 0), call(PRANDOM), st(BPF_DW, 10, -8, 0), jk(BPF_JEQ, 0, 0, 2), movr(1, 6), ja(2), movr(1, 10),
                          alu64k(BPF_ADD, 1, -8), ldx(BPF_W, 0, 1, 0), exit_()},
       0, ""},
      {"ring buffer record",
       ldimm64(1, RINGBUF_FD, 1) + Prog{mov(2, 8), mov(3, 0), call(131), jk(BPF_JNE, 0, 0, 1), exit_(), st(BPF_DW, 0, 8, 0)} + END,
       EACCES, "invalid access to memory, mem_size=8 off=8 size=8", BPF_PROG_TYPE_TRACEPOINT},
      {"tracepoint buffer", Prog{ldx(BPF_DW, 0, 1, 8), exit_()}, 0, "", BPF_PROG_TYPE_TRACEPOINT},
      {"raw writable buffer, negative", Prog{ldx(BPF_DW, 6, 1, 0), ldx(BPF_B, 0, 6, -1), exit_()}, EACCES,
       "R6 invalid tracepoint buffer access: off=-1, size=1", BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE},
      {"flow keys", Prog{ldx(BPF_DW, 6, 1, 144), ldx(BPF_DW, 0, 6, 56), mov(0, 0), exit_()}, EACCES,
       "invalid access to flow keys off=56 size=8", BPF_PROG_TYPE_FLOW_DISSECTOR},
  };
}

std::vector<Case> all_cases() {
  std::vector<Case> all = stack_cases();
  for (auto* more : {map_cases, other_cases})
    for (Case& c : more()) all.push_back(std::move(c));
  return all;
}

TEST(VerifierMem, VerdictsAndWords) {
  for (const Case& c : all_cases()) {
    const Judged j = judge(c.prog, c.type, c.flags);
    EXPECT_EQ(j.err, c.err) << c.name << "\n" << j.log;
    EXPECT_NE(j.log.find(c.words), std::string::npos) << c.name << ": wants " << c.words << "\n" << j.log;
  }
}

TEST(VerifierMem, LinuxSaysTheSame) {
  SKIP_WITHOUT_LINUX_BPF();
  const LinuxMaps maps;
  for (const Case& c : all_cases()) {
    if (c.newer) continue;
    const LinuxVerdict v = ask_linux(maps.patched(c.prog), c.type, c.flags);
    EXPECT_EQ(v.err, c.err) << c.name << "\n" << v.log;
    EXPECT_NE(v.log.find(c.words), std::string::npos) << c.name << ": wants " << c.words << "\n" << v.log;
  }
}

/// Loads and stores of all sizes around a few slots, of pointers, constants and unknown numbers, and at last a use of what was
/// loaded.
class StackPrograms {
 public:
  explicit StackPrograms(u64 seed) : rng_(seed) {}

  Prog make() {
    Prog p = Prog{movr(9, 1)} + map_value() + Prog{movr(8, 0)} + number(7) + Prog{mov(7, pick({0, 1, 8, 24}))};
    for (u32 n = 3 + below(8); n > 0; --n) p = p + step();
    // What is in r2 is a pointer, a small number or something else: the verdict tells.
    switch (below(4)) {
      case 0:
        return p + Prog{ldx(BPF_B, 0, 2, 0), exit_()};
      case 1:
        return p + Prog{alu64x(BPF_ADD, 8, 2), ldx(BPF_B, 0, 8, pick({0, 24, 40})), exit_()};
      case 2:
        return p + Prog{jk(BPF_JGT, 2, pick({7, 31}), 1), alu64x(BPF_ADD, 8, 2), ldx(BPF_B, 0, 8, 0), exit_()};
      default:
        return p + END;
    }
  }

 private:
  u32 below(u32 n) { return static_cast<u32>(rng_() % n); }
  s32 pick(std::initializer_list<s32> of) { return of.begin()[below(static_cast<u32>(of.size()))]; }
  u8 size() { return static_cast<u8>(pick({BPF_B, BPF_H, BPF_W, BPF_DW, BPF_DW})); }
  s32 off(u8 size) {
    const s32 bytes = static_cast<s32>(access_bytes(size));
    return -16 - static_cast<s32>(below(24u / static_cast<u32>(bytes))) * bytes - (below(40) == 0 ? 1 : 0);
  }
  Prog step() {
    const u8 sz = size();
    const s32 at = off(sz);
    switch (below(9)) {
      case 0:
        return {st(sz, 10, at, pick({0, 0, 1, 24, -1}))};
      case 1:
      case 2:
        return {stx(sz, 10, at, static_cast<u32>(pick({6, 7, 7, 2, 6})))};
      case 3:
        return {stx(BPF_DW, 10, -16 - 8 * static_cast<s32>(below(3)), static_cast<u32>(pick({8, 9, 10})))};
      case 4:
      case 5:
        return {ldx(sz, 2, 10, at)};
      case 6:
        return {movr(3, 10), alu64k(BPF_ADD, 3, -16 - 8 * static_cast<s32>(below(3))), alu64x(BPF_ADD, 3, 6),
                below(2) != 0 ? st(BPF_B, 3, 0, pick({0, 1})) : stx(BPF_B, 3, 0, 7)};
      case 7:
        return {movr(3, 10), alu64k(BPF_ADD, 3, -16 - 8 * static_cast<s32>(below(3))), alu64x(BPF_ADD, 3, 6), ldx(BPF_B, 2, 3, 0)};
      default:
        return {mov(2, pick({0, 1, 24})),
                atomic(static_cast<u8>(pick({BPF_W, BPF_DW})), pick({BPF_ADD, BPF_ADD | BPF_FETCH, BPF_XCHG}), 10,
                       -16 - 8 * static_cast<s32>(below(3)), 2)};
    }
  }
  std::mt19937_64 rng_;
};

std::string complaint(const std::string& log) {
  const std::size_t end = log.rfind("processed ");
  if (end == std::string::npos || end == 0) return log;
  const std::size_t line = log.rfind('\n', end - 2);
  return log.substr(line == std::string::npos ? 0 : line + 1, end - 1 - (line == std::string::npos ? 0 : line + 1));
}

TEST(VerifierMem, RandomStackProgramsAsLinux) {
  SKIP_WITHOUT_LINUX_BPF();
  const LinuxMaps maps;
  u32 good = 0, bad = 0;
  for (u64 seed = 0; seed < 3000; ++seed) {
    const Prog p = StackPrograms(seed).make();
    const Judged ours = judge(p, BPF_PROG_TYPE_SOCKET_FILTER, 0);
    const LinuxVerdict theirs = ask_linux(maps.patched(p), BPF_PROG_TYPE_SOCKET_FILTER, 0);
    ASSERT_EQ(ours.err, theirs.err) << seed << "\n" << ours.log << "\nLinux:\n" << theirs.log;
    if (ours.err != 0) {
      ASSERT_EQ(complaint(ours.log), complaint(theirs.log)) << seed << "\n" << ours.log << "\nLinux:\n" << theirs.log;
    }
    ++(ours.err == 0 ? good : bad);
  }
  EXPECT_GT(good, 500u);
  EXPECT_GT(bad, 500u);
}

}  // namespace
}  // namespace skep::test
