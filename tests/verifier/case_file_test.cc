// tests/verifier: the reader of case files itself. A wrong line must be named, and nothing that was written may be passed over.
#include "case_file.h"

#include <gtest/gtest.h>

#include "case_run.h"

namespace skep::cases {
namespace {

std::string problem_in(const std::string& content) {
  std::vector<Case> cases;
  const Problem problem = parse_cases("f", content, &cases);
  return problem ? std::to_string(problem.line) + ": " + problem.what : "";
}

std::string problem_in_code(const std::string& insns) { return problem_in("case x\naccept\ncode\n" + insns + "\nend\n"); }

TEST(CaseFile, NamesTheLineOfWhatIsWrong) {
  EXPECT_EQ(problem_in("accept\n"), "1: stands before the first case: accept");
  EXPECT_EQ(problem_in("case x\n\nfoo 3\n"), "3: unknown word foo");
  EXPECT_EQ(problem_in("case x\naccept\n"), "1: a case without code: x");
  EXPECT_EQ(problem_in("case x\ncode\nexit\nend\n"), "1: a case without accept or refuse: x");
  EXPECT_EQ(problem_in("case x\nrefuse ENOSUCH\n"), "2: unknown errno ENOSUCH");
  EXPECT_EQ(problem_in("case x\naccept\nrefuse EACCES\n"), "3: a second verdict");
  EXPECT_EQ(problem_in("case x\nmap m array 4 eight 1\n"), "2: not a number: eight");
  EXPECT_EQ(problem_in("case x\naccept\ncode\nexit\n"), "4: code without its end");
  EXPECT_EQ(problem_in("case x\naccept\ncode\nexit\nend\ncase x\n"), "6: a case of this name stands at line 1");
  EXPECT_EQ(problem_in("case x\nrefuse EACCES\nrun = 1\ncode\nexit\nend\n"), "1: a run of a refused program: x");
}

TEST(CaseFile, NamesTheLineOfWhatIsNoInstruction) {
  EXPECT_EQ(problem_in_code("exit"), "");
  EXPECT_EQ(problem_in_code("r0 = 0\nr0 =! 1"), "5: not an instruction: r0 =! 1");
  EXPECT_EQ(problem_in_code("goto nowhere"), "4: no label nowhere");
  EXPECT_EQ(problem_in_code("a: a: exit"), "4: not an instruction: a: exit");
  EXPECT_EQ(problem_in_code("1: exit"), "4: this is instruction 0");
  EXPECT_EQ(problem_in_code("(b7) exit"), "4: the opcode is not b7 but 149");
  EXPECT_EQ(problem_in_code("r1 = 0x100000000"), "4: does not fit 32 bits: 0x100000000");
  EXPECT_EQ(problem_in_code("r1 = w2"), "4: registers of two widths");
  EXPECT_EQ(problem_in_code("r1 = map[m]"), "4: no map m above");
  EXPECT_EQ(problem_in_code("r1 = -r2"), "4: only in place");
  EXPECT_EQ(problem_in_code("r0 = *(u8 *)(r1 +40000)"), "4: offset does not fit 16 bits");
}

/// The opcodes are those of the kernel's instruction set, not of our tables.
TEST(CaseFile, AssemblesEveryForm) {
  std::vector<Case> cases;
  const std::string code = R"(
    (b7) r1 = -5        ; a remark
    (bc) w1 = w2
    (bf) r1 = (s8)r2
    (c7) r1 s>>= 3
    (3f) r1 s/= r2
    (87) r1 = -r1
    (dc) r1 = be16 r1
    (d4) r1 = le32 r1
    (d7) r1 = bswap64 r1
    (18) r1 = 0x1122334455667788 ll
    (91) r1 = *(s8 *)(r2 +4)
    (61) r1 = *(u32 *)(r2 - 4)
    (7b) *(u64 *)(r10 -8) = r2
    (72) *(u8 *)(r10 -1) = 7
    (28) r0 = *(u16 *)skb[12]
    (48) r0 = *(u16 *)skb[r7 + 2]
    (db) lock *(u64 *)(r1 +0) |= r2
    (c3) w2 = atomic_fetch_add((u32 *)(r1 +0), w2)
    (db) r2 = atomic64_xchg((u64 *)(r1 -8), r2)
    (db) r0 = atomic64_cmpxchg((u64 *)(r1 +0), r0, r2)
    (65) if r1 s> -1 goto last
    (4e) if w1 & w2 goto +1
    (06) gotol last
    (e5) may_goto last
    (85) call map_lookup_elem#1
    (85) call last
    (18) r2 = subprog[last]
    last: (95) exit)";
  const Problem problem = parse_cases("f", "case x\naccept\ncode" + code + "\nend\n", &cases);
  ASSERT_FALSE(problem) << problem.line << ": " << problem.what;
  const std::vector<struct bpf_insn>& insns = cases[0].text.insns;
  ASSERT_EQ(insns.size(), 30u);
  EXPECT_EQ(insns[2].off, 8);
  EXPECT_EQ(insns[4].off, 1);
  EXPECT_EQ(insns[9].imm, 0x55667788);
  EXPECT_EQ(insns[10].imm, 0x11223344);
  EXPECT_EQ(insns[12].off, -4);
  EXPECT_EQ(insns[16].src_reg, 7);
  EXPECT_EQ(insns[18].imm, BPF_ADD | BPF_FETCH);
  EXPECT_EQ(insns[19].off, -8);
  EXPECT_EQ(insns[20].imm, BPF_CMPXCHG);
  EXPECT_EQ(insns[21].off, 7);
  EXPECT_EQ(insns[23].imm, 5);
  EXPECT_EQ(insns[26].imm, 2);
  EXPECT_EQ(insns[26].src_reg, BPF_PSEUDO_CALL);
  EXPECT_EQ(insns[27].src_reg, BPF_PSEUDO_FUNC);
  EXPECT_EQ(insns[27].imm, 1);
}

TEST(CaseRun, LeavesOutMarksOfLiveness) {
  EXPECT_EQ(without_liveness("R0_w=0 R1_rw=ctx() fp-8_rwD=5 a_w=1 R2_wx=3"), "R0=0 R1=ctx() fp-8=5 a_w=1 R2_wx=3");
}

TEST(CaseRun, TellsEveryDifference) {
  std::vector<Case> cases;
  const std::string content = "case x\nrefuse EACCES\nlog one\nlog two\n@3 R1=5\nabsent three\nprocessed 7\ncode\nexit\nend\n";
  ASSERT_FALSE(parse_cases("f", content, &cases));
  Answer answer;
  answer.load_errno = EACCES;
  answer.log = "one\ntwo\nfrom 1 to 3: R1_w=5\nprocessed 7 insns (limit 1000000)\n";
  EXPECT_TRUE(differences(cases[0], answer).empty());
  answer.load_errno = 0;
  answer.log = "two\none three\n13: R1=5\nprocessed 70 insns (limit 1000000)\n";
  const std::vector<std::string> expected = {"f:1: WRONGLY ACCEPTED: accepted instead of refused with EACCES",
                                             "f:4: not in the log, or not in this order: two", "f:5: instruction 3 has not: R1=5",
                                             "f:6: stands in the log: three",
                                             "f:1: not processed 7 insns: processed 70 insns (limit 1000000)"};
  EXPECT_EQ(differences(cases[0], answer), expected);
}

}  // namespace
}  // namespace skep::cases
