// The scalar domain answers bit for bit what Linux answers: neither less precise (programs would be refused) nor more (pruning and
// instruction counts would differ), on contradictory states too. The expected digests were taken from Linux 6.12.117's own
// functions (kernel/bpf/verifier.c, tnum.c) driven by bounds_digest_test.h; a changed generator needs them taken again.
#include <gtest/gtest.h>

#include "verifier/bounds.h"
#include "verifier/bounds_digest_test.h"

namespace skep::test {
namespace {

struct Ours {
  void sync(ScalarBounds* b) const { reg_bounds_sync(b); }
  void zext(ScalarBounds* b) const { zext_32_to_64(b); }
  void coerce(ScalarBounds* b, u32 bytes) const { coerce_reg_to_size(b, bytes); }
  void coerce_sx(ScalarBounds* b, u32 bytes) const { coerce_reg_to_size_sx(b, bytes); }
  void coerce_subreg_sx(ScalarBounds* b, u32 bytes) const { coerce_subreg_to_size_sx(b, bytes); }
  void s32_range(ScalarBounds* b, s32 min, s32 max) const { narrow_to_s32_range(b, min, max); }
  const char* sanity(const ScalarBounds& b) const { return bounds_sanity_check(b); }
  void alu(u8 op, bool is64, ScalarBounds* dst, const ScalarBounds& src) const { scalar_alu(op, is64, dst, src); }
  int taken(const ScalarBounds& a, const ScalarBounds& b, u8 op, bool is_jmp32) const {
    return is_scalar_branch_taken(a, b, op, is_jmp32);
  }
  void refine(ScalarBounds* a, ScalarBounds* b, u8 op, bool is_jmp32) const { regs_refine_cond_op(a, b, op, is_jmp32); }
  Tnum mul(Tnum a, Tnum b) const { return tnum_mul(a, b); }
};

TEST(BoundsLinux, SyncAndWidthChanges) {
  // sync; zero-extend and truncate; sign-extend; s32 range with the words of the sanity check
  constexpr std::array<u64, 4> LINUX = {0x1ac7806ba16bb728, 0x732da1f02fddea78, 0xf2e090c898cec9b2, 0xf66768a64ad47e6};
  EXPECT_EQ(width_digests(Ours{}), LINUX);
}

TEST(BoundsLinux, Mul) { EXPECT_EQ(mul_digest(Ours{}), 0x5893995e37889324); }

TEST(BoundsLinux, Alu) {
  constexpr u64 LINUX[][2] = {
      // 32 and 64 bits wide
      {0x895e76a40713631b, 0x1b07c477d7bfba63},  // ADD
      {0x608a1696daa1bb97, 0x702207ace694dadc},  // SUB
      {0x3bbba2eb25e3f183, 0xb453d90ee1b0c72c},  // MUL
      {0x2613e82c5fdb9639, 0x51d2ec6f58003c65},  // AND
      {0xa702a94431232b72, 0x2a89ef286df57288},  // OR
      {0x2ecd1208f23c7e2f, 0x5558fd259ce877cb},  // XOR
      {0x67695e39f0352df9, 0xb7dd72d9787cd557},  // LSH
      {0x17a056e5304e350b, 0xd1adb85ab2ea57ab},  // RSH
      {0xd0c573038fb6c89a, 0xa2af239d86372741},  // ARSH
      {0x1d9619a1e84ce55, 0x1d9619a1e84ce55},    // DIV
      {0x1d9619a1e84ce55, 0x1d9619a1e84ce55},    // MOD
  };
  for (std::size_t i = 0; i < DIGEST_ALU.size(); ++i)
    for (bool is64 : {false, true}) EXPECT_EQ(alu_digest(Ours{}, DIGEST_ALU[i], is64), LINUX[i][is64]) << +DIGEST_ALU[i];
}

TEST(BoundsLinux, Jumps) {
  constexpr u64 LINUX[][2] = {
      // 64 and 32 bits wide
      {0x6a0edb532d6fa29c, 0x4a5f1907576ca7de},  // JEQ
      {0x676e7bbdf514bb7, 0x7a0f66915355590d},   // JNE
      {0x401d0d7f9ae66f22, 0xe8b503fe36abb1f5},  // JSET
      {0xdde8d7a6cfb207, 0x69980e9a6c3d6bfc},    // NOT_JSET
      {0x2cf9920865afa38a, 0xe1c51937102a0d7},   // JGT
      {0x7bf77443d30a6cb1, 0x1e79e8f9404f35f},   // JGE
      {0x654484df606524ef, 0xdc001fe00c06dcea},  // JLT
      {0xd31aff413ed65cee, 0xa4d4fba828923da},   // JLE
      {0xd025505058deb8aa, 0x8348ea5c31a8bb18},  // JSGT
      {0x2867b71ac62614b9, 0xd57c821e2398e8b0},  // JSGE
      {0xa7bd083beb244be7, 0xedd68b46ad25573c},  // JSLT
      {0xdb49def89265814d, 0x35b3971f1df6e270},  // JSLE
  };
  for (std::size_t i = 0; i < DIGEST_JMP.size(); ++i)
    for (bool is_jmp32 : {false, true})
      EXPECT_EQ(jump_digest(Ours{}, DIGEST_JMP[i], is_jmp32), LINUX[i][is_jmp32]) << +DIGEST_JMP[i];
}

}  // namespace
}  // namespace skep::test
