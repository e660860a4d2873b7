// The code that stands for an access, against the machine's kernel: the same instructions on the same registers, in the same order.
// Only the offsets in the kernel's structures are ours.
#include <gtest/gtest.h>
#include <sys/utsname.h>

#include "progtypes/ctx_rewrite_test.h"
#include "uapi/contexts.h"

namespace skep {
namespace {

using namespace test;

Prog translated(int prog_fd) {
  Prog insns(64);
  bpf_prog_info info{};
  info.xlated_prog_len = static_cast<u32>(insns.size() * sizeof(bpf_insn));
  info.xlated_prog_insns = reinterpret_cast<u64>(insns.data());
  bpf_attr attr;
  std::memset(&attr, 0, sizeof attr);
  attr.info.bpf_fd = static_cast<u32>(prog_fd);
  attr.info.info_len = sizeof info;
  attr.info.info = reinterpret_cast<u64>(&info);
  if (linux_bpf(BPF_OBJ_GET_INFO_BY_FD, &attr, sizeof attr) != 0) return {};
  insns.resize(info.xlated_prog_len / sizeof(bpf_insn));
  return insns;
}

bool is_memory(const bpf_insn& insn) { return bpf_class(insn.code) <= BPF_STX && bpf_class(insn.code) != BPF_LD; }

/// Smallest NAPI ids follow the kernel's configuration.
bool is_napi_limit(const bpf_insn& insn) { return insn.code == (BPF_JMP | BPF_JGE | BPF_K) && insn.imm != 0xffff; }

bool same_shape(const bpf_insn& a, const bpf_insn& b) {
  if (a.code != b.code || a.dst_reg != b.dst_reg || a.src_reg != b.src_reg) return false;
  if (is_helper_call(a)) return true;  // of a function inside the kernel: its address
  if (!is_memory(a)) return a.off == b.off && (a.imm == b.imm || is_napi_limit(a));
  return a.imm == b.imm;
}

std::string text(const Prog& p) {
  std::string s;
  char line[64];
  for (const bpf_insn& i : p) {
    std::snprintf(line, sizeof line, "  %02x r%d r%d off %d imm %d\n", i.code, i.dst_reg, i.src_reg, i.off, i.imm);
    s += line;
  }
  return s;
}

bool same_shape(const Prog& a, const Prog& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i)
    if (!same_shape(a[i], b[i])) return false;
  return true;
}

struct Regs {
  u32 value, ctx;
};

/// Where 6.18 converts otherwise than 6.12, and why; null: nowhere.
const char* drift(u32 type, s32 off) {
  if (type == BPF_PROG_TYPE_SOCK_OPS && off == 212) return "skb_tcp_flags: tcp_skb_cb.tcp_flags has 16 bits since 6.18 (AccECN)";
  if (type == BPF_PROG_TYPE_SOCK_OPS && off == 92) return "rtt_min: 6.12.117 asks for a full socket first, 6.18.44 does not yet";
  if (type == BPF_PROG_TYPE_CGROUP_SOCK && off >= 76)
    return "rx_queue_mapping: -1 is a 32-bit move in 6.12.117, a 64-bit one in 6.18.44";
  return nullptr;
}

/// DIFFERS in ctx_emit.cc: two bytes of a port in network order are masked.
bool masked_on_purpose(u32 type, s32 off, u32 size) {
  constexpr s32 port = offsetof(__sk_buff, remote_port);
  return (type == BPF_PROG_TYPE_CGROUP_SKB || type == BPF_PROG_TYPE_SK_SKB) && size == 2 && off >= port && off < port + 4;
}

bool kernel_is_618() {
  utsname u;
  return uname(&u) == 0 && std::string(u.release).rfind("6.18.", 0) == 0;
}

void compare(const CtxCase& c, How how, s32 off, u32 size, Regs regs) {
  const bpf_insn access = access_insn(how, size, off, regs.ctx, regs.value);
  Prog before;
  if (regs.ctx != 1) before.push_back(movr(regs.ctx, 1));
  if (how == How::STORE_REG) before.push_back(mov(regs.value, 1));
  const Prog after = leave(c);
  const LinuxVerdict v = load_as(c, before + Prog{access} + after);
  ASSERT_EQ(v.err, 0) << c.name << v.log;
  const Prog theirs = translated(v.fd), ours = before + rewrite(c, access) + after;
  ASSERT_FALSE(theirs.empty());
  if (drift(c.type, off) != nullptr) {
    EXPECT_TRUE(!kernel_is_618() || !same_shape(ours, theirs)) << "no drift any more: " << drift(c.type, off);
    return;
  }
  EXPECT_EQ(same_shape(ours, theirs), !masked_on_purpose(c.type, off, size))
      << c.name << " off " << off << " size " << size << "\nours\n"
      << text(ours) << "theirs\n"
      << text(theirs);
}

TEST(CtxShapeKernelTest, EveryConvertedAccess) {
  SKIP_WITHOUT_ALL_TYPES();
  u32 compared = 0;
  for (const CtxCase& c : ctx_cases()) {
    if (!ctx_is_converted(c.type) || !loads(c)) continue;
    for_each_allowed(c, [&](How how, s32 off, u32 size) {
      for (Regs regs : {Regs{2, 1}, Regs{1, 1}, Regs{8, 9}, Regs{9, 9}}) {
        if (how == How::STORE_REG && regs.value == regs.ctx) continue;
        if (how != How::LOAD && regs.ctx != 1 && off % 4 != 0) continue;
        compare(c, how, off, size, regs);
        ++compared;
      }
    });
  }
  EXPECT_GT(compared, 10000u);
}

// The last instructions but two are the access: behind a classifier's sk, as it is or made something else by a helper.
TEST(CtxShapeKernelTest, SocketsBehindPointers) {
  SKIP_WITHOUT_ALL_TYPES();
  struct {
    u32 reg_type;
    s32 helper, end;
  } const cases[] = {{PTR_TO_SOCK_COMMON, 0, 76}, {PTR_TO_SOCKET, 95, 76}, {PTR_TO_TCP_SOCK, 96, 112}};
  const CtxCase cls{"sched_cls", BPF_PROG_TYPE_SCHED_CLS, 0, 192};
  u32 compared = 0;
  for (const auto& c : cases)
    for (s32 off = 0; off < c.end; off += 4)
      for (u32 size : {4u, 8u}) {
        CtxAccessInfo info;
        Prog ours;
        u32 target = 0;
        const bpf_insn access = ldx(code_of_size(size), 2, 1, off);
        if (!is_valid_sock_access(c.reg_type, off, size, BPF_READ, &info) ||
            !convert_sock_access(c.reg_type, BPF_READ, access, &ours, &target))
          continue;
        Prog p = {ldx(BPF_DW, 1, 1, offsetof(__sk_buff, sk)), jk(BPF_JNE, 1, 0, 2), mov(0, 0), exit_()};
        if (c.helper != 0) p = p + Prog{call(c.helper), jk(BPF_JNE, 0, 0, 1), exit_(), movr(1, 0)};
        const LinuxVerdict v = load_as(cls, p + Prog{access, mov(0, 0), exit_()});
        ASSERT_EQ(v.err, 0) << v.log;
        Prog theirs = translated(v.fd);
        ASSERT_GT(theirs.size(), ours.size() + 2);
        theirs.resize(theirs.size() - 2);
        theirs.erase(theirs.begin(), theirs.end() - static_cast<long>(ours.size()));
        EXPECT_TRUE(same_shape(ours, theirs)) << c.reg_type << " off " << off << text(ours) << text(theirs);
        ++compared;
      }
  EXPECT_GT(compared, 50u);
}

// A program that writes a byte of the packet.
Prog packet_writer(const CtxCase& c) {
  return Prog{ldx(BPF_W, 2, 1, offsetof(__sk_buff, data)),
              ldx(BPF_W, 3, 1, offsetof(__sk_buff, data_end)),
              movr(4, 2),
              alu64k(BPF_ADD, 4, 1),
              jx(BPF_JGT, 4, 3, 1),
              st(BPF_B, 2, 0, 1)} +
         leave(c);
}

TEST(CtxShapeKernelTest, PrologueOfPacketWriters) {
  SKIP_WITHOUT_ALL_TYPES();
  const u32 types[] = {BPF_PROG_TYPE_SCHED_CLS, BPF_PROG_TYPE_SCHED_ACT, BPF_PROG_TYPE_LWT_XMIT, BPF_PROG_TYPE_SK_SKB};
  for (u32 type : types) {
    const CtxCase c{"", type, 0, 192};
    const Prog prog = packet_writer(c);
    const LinuxVerdict v = load_as(c, prog);
    ASSERT_EQ(v.err, 0) << v.log;
    Prog ours, theirs = translated(v.fd);
    gen_prologue(traits_of(c), true, rewrite(c, prog[0])[0], &ours);
    ASSERT_GT(theirs.size(), ours.size());
    theirs.resize(ours.size());
    EXPECT_TRUE(same_shape(ours, theirs)) << type << "\n" << text(ours) << text(theirs);
  }
}

TEST(CtxShapeKernelTest, LoadsOfPacketBytes) {
  SKIP_WITHOUT_ALL_TYPES();
  const CtxCase c{"socket_filter", BPF_PROG_TYPE_SOCKET_FILTER, 0, 192};
  for (u8 size : {BPF_B, BPF_H, BPF_W})
    for (const bpf_insn& load : {raw(BPF_LD | BPF_ABS | size, 0, 0, 0, 12), raw(BPF_LD | BPF_IND | size, 0, 7, 0, 3),
                                 raw(BPF_LD | BPF_IND | size, 0, 7, 0, 0)}) {
      const Prog before = {movr(6, 1), mov(7, 1)}, after = {exit_()};
      const LinuxVerdict v = load_as(c, before + Prog{load} + after);
      ASSERT_EQ(v.err, 0) << v.log;
      Prog ours = before;
      gen_ld_abs(load, &ours);
      EXPECT_TRUE(same_shape(ours + after, translated(v.fd))) << text(ours + after) << text(translated(v.fd));
    }
}

}  // namespace
}  // namespace skep
