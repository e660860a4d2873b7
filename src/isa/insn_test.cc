// The opcode table against the machine's kernel: all 256.
#include "isa/insn.h"

#include "isa/asm_test.h"
#include "isa/linux_bpf_test.h"

namespace skep::test {
namespace {

TEST(Insn, Decoding) {
  EXPECT_EQ(access_bytes(BPF_LDX | BPF_MEM | BPF_B), 1u);
  EXPECT_EQ(access_bytes(BPF_LDX | BPF_MEM | BPF_H), 2u);
  EXPECT_EQ(access_bytes(BPF_LDX | BPF_MEM | BPF_W), 4u);
  EXPECT_EQ(access_bytes(BPF_LDX | BPF_MEM | BPF_DW), 8u);
  EXPECT_EQ(jump_target(ja(-3), 10), 8);
  EXPECT_EQ(jump_target(gotol(70000), 10), 70011);
  EXPECT_EQ(jump_target(jk(BPF_JEQ, 1, 0, 5), 0), 6);
  EXPECT_EQ(call_target(call_pc(-4), 3), 0);
  const Prog two = ldimm64(3, 0xfedcba9876543210ULL);
  EXPECT_TRUE(is_ldimm64(two[0]));
  EXPECT_EQ(ldimm64_value(two.data()), 0xfedcba9876543210ULL);
  EXPECT_TRUE(is_helper_call(call(1)) && !is_pseudo_call(call(1)) && !is_kfunc_call(call(1)));
  EXPECT_TRUE(is_pseudo_call(call_pc(1)) && !is_helper_call(call_pc(1)));
}

TEST(Insn, KnowsAsManyOpcodesAsLinux612) {
  int known = 0;
  for (int code = 0; code < 256; ++code) known += opcode_known(static_cast<u8>(code));
  // 2 * (12 * 2 + 2) + be; 2 * (11 * 2 + 1); call, exit, may_goto; 3 * 4 mem, 3 memsx, 6 classic, 2 atomic; LD_IMM64
  EXPECT_EQ(known, 53 + 46 + 3 + 12 + 3 + 6 + 2 + 1);
}

TEST(Insn, OpcodeTableIsTheKernels) {
  SKIP_WITHOUT_LINUX_BPF();
  for (int code = 0; code < 256; ++code) {
    const LinuxVerdict v = linux_prog_load({raw(static_cast<u8>(code)), mov(0, 0), exit_()}, BPF_PROG_TYPE_SOCKET_FILTER, 1);
    // Linux 6.15 gave atomics of 8 and 16 bits (load-acquire, store-release); ours is 6.12's table.
    if (code == (BPF_STX | BPF_ATOMIC | BPF_B) || code == (BPF_STX | BPF_ATOMIC | BPF_H)) continue;
    // LDX of a mode that does not exist is told apart before the table is asked.
    const bool unknown =
        v.log.find("unknown opcode") != std::string::npos || v.log.find("BPF_LDX uses reserved") != std::string::npos;
    EXPECT_EQ(opcode_known(static_cast<u8>(code)), !unknown) << "opcode " << std::hex << code << ": " << v.log;
  }
}

}  // namespace
}  // namespace skep::test
