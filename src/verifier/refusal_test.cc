// Refusals explained: for each class what was known, where it came from, and what would do; and that the explanation changes
// nothing.
#include "verifier/refusal.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "isa/asm_test.h"
#include "progtypes/func_ids.h"
#include "uapi/contexts.h"
#include "verifier/refusal_probe.h"

namespace skep::test {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::Not;

constexpr s32 ARRAY_FD = 100, RINGBUF_FD = 101;

Prog load_map(u32 dst, s32 fd) { return ldimm64(dst, static_cast<u64>(fd), BPF_PSEUDO_MAP_FD); }
bpf_insn add(u32 dst, s32 imm) { return alu64k(BPF_ADD, dst, imm); }
/// r0 = the value of 48 bytes, or null.
Prog lookup() {
  return Prog{st(BPF_W, 10, -4, 0), movr(2, 10), add(2, -4)} + load_map(1, ARRAY_FD) + Prog{call(func::map_lookup_elem)};
}
Prog ret0() { return {mov(0, 0), exit_()}; }

struct Explained {
  int err = 0;
  std::string log;
  Refusal refusal;

  bool has_step(s32 insn, const std::string& what) const {
    for (const RefusalStep& s : refusal.steps)
      if (s.insn == insn && s.what.find(what) != std::string::npos) return true;
    return false;
  }
  std::string value_at(s32 insn) const {
    for (const RefusalStep& s : refusal.steps)
      if (s.insn == insn) return s.value;
    return {};
  }
  std::string text() const { return log + refusal_text(refusal, "p", 1); }
};

Explained explain(const Prog& prog, u32 type = BPF_PROG_TYPE_SOCKET_FILTER, u32 flags = 0, u32 limit = EXPLAIN_LIMIT,
                  bool privileged = true) {
  VerifierMap array, ringbuf;
  array.identity = array.id = ARRAY_FD;
  array.type = BPF_MAP_TYPE_HASH;
  array.key_size = 4;
  array.value_size = 48;
  array.max_entries = 4;
  ringbuf.identity = ringbuf.id = RINGBUF_FD;
  ringbuf.type = BPF_MAP_TYPE_RINGBUF;
  ringbuf.max_entries = 4096;
  VerifierInput in;
  in.insns = prog;
  in.prog.type = type;
  in.prog.gpl_compatible = true;
  in.prog.bpf_capable = in.prog.perfmon = privileged;
  in.prog_flags = flags;
  in.map_by_fd = [&](s32 fd) -> Result<const VerifierMap*> {
    if (fd == ARRAY_FD) return static_cast<const VerifierMap*>(&array);
    if (fd == RINGBUF_FD) return static_cast<const VerifierMap*>(&ringbuf);
    return Errno(EBADF);
  };
  VerifierLog log(BPF_LOG_LEVEL1, 1u << 20);
  const auto r = verify(in, log);
  Explained out;
  out.err = r.ok() ? 0 : r.error().value();
  const auto done = std::move(log).finish();
  out.log = done.bytes.substr(0, done.bytes.find('\0'));
  if (!r.ok()) out.refusal = explain_refusal(in, r.error(), limit);
  // Each line of the sentence is one of the log's.
  std::string_view rest = out.refusal.sentence;
  while (!rest.empty()) {
    const std::string line(rest.substr(0, rest.find('\n')));
    EXPECT_THAT(out.log, HasSubstr(line));
    rest.remove_prefix(std::min(line.size() + 1, rest.size()));
  }
  EXPECT_EQ(out.refusal.error, out.err);
  return out;
}

TEST(Refusal, NegativeSizeComesFromTheValueRead) {
  // r6 = value->word; if (r6 s> 16) goto; comm(fp-16, r6)
  const Explained e = explain(lookup() +
                                  Prog{jk(BPF_JEQ, 0, 0, 6), ldx(BPF_DW, 6, 0, 0), jk(BPF_JSGT, 6, 16, 4), movr(1, 10), add(1, -16),
                                       movr(2, 6), call(func::get_current_comm)} +
                                  ret0(),
                              BPF_PROG_TYPE_KPROBE);
  EXPECT_THAT(e.refusal.sentence, HasSubstr("R2 min value is negative")) << e.text();
  EXPECT_EQ(e.refusal.insn, 12);
  EXPECT_THAT(e.refusal.instruction, HasSubstr("call bpf_get_current_comm#16"));
  ASSERT_FALSE(e.refusal.known.empty());
  EXPECT_THAT(e.refusal.known[0], HasSubstr("R2=scalar("));
  EXPECT_THAT(e.refusal.known[0], HasSubstr("smax=16"));
  ASSERT_GE(e.refusal.steps.size(), 3u);
  EXPECT_EQ(e.refusal.steps[0].insn, 11);
  EXPECT_EQ(e.refusal.steps[0].what, "writes R2");
  EXPECT_TRUE(e.has_step(8, "jump not taken")) << e.text();
  EXPECT_THAT(e.value_at(8), HasSubstr("R6=scalar(smax=16"));
  EXPECT_TRUE(e.has_step(7, "writes R6")) << e.text();
  EXPECT_THAT(e.refusal.hint, HasSubstr("R2 may be negative"));
}

TEST(Refusal, MapValueTellsHowFarTheAccessIsOutside) {
  const Explained e = explain(lookup() + Prog{jk(BPF_JEQ, 0, 0, 3), movr(3, 0), add(3, 46), ldx(BPF_W, 1, 3, 0)} + ret0());
  EXPECT_THAT(e.refusal.sentence, HasSubstr("invalid access to map value, value_size=48 off=46 size=4")) << e.text();
  EXPECT_THAT(e.refusal.known, Contains("R3=map_value(ks=4,vs=48,off=46)"));
  EXPECT_TRUE(e.has_step(8, "writes R3"));
  EXPECT_TRUE(e.has_step(5, "returns R0")) << e.text();
  EXPECT_EQ(e.value_at(5).substr(0, 21), "R0=map_value_or_null(") << e.text();
  EXPECT_TRUE(e.has_step(6, "jump not taken")) << e.text();
  EXPECT_THAT(e.refusal.hint, HasSubstr("ends 2 bytes behind the map's value, which has 48 bytes"));
  EXPECT_THAT(e.refusal.hint, HasSubstr("from 0 to 44"));
}

TEST(Refusal, VariableOffsetHasItsBranchesAndBothOperands) {
  const Explained e = explain(lookup() +
                              Prog{jk(BPF_JEQ, 0, 0, 5), ldx(BPF_B, 6, 0, 0), jk(BPF_JGT, 6, 47, 3), movr(3, 0),
                                   alu64x(BPF_ADD, 3, 6), ldx(BPF_W, 1, 3, 0)} +
                              ret0());
  EXPECT_THAT(e.refusal.sentence, HasSubstr("R3 max value is outside of the allowed memory range")) << e.text();
  EXPECT_TRUE(e.has_step(10, "writes R3"));
  EXPECT_TRUE(e.has_step(8, "jump not taken"));
  EXPECT_THAT(e.value_at(8), HasSubstr("umax=smax32=umax32=47"));
  EXPECT_TRUE(e.has_step(7, "writes R6"));
  EXPECT_THAT(e.refusal.hint, HasSubstr("at most 44"));
}

TEST(Refusal, PointerThatMayBeNull) {
  const Explained e = explain(lookup() + Prog{ldx(BPF_DW, 1, 0, 0)} + ret0());
  EXPECT_THAT(e.refusal.known, Contains(HasSubstr("R0=map_value_or_null("))) << e.text();
  ASSERT_EQ(e.refusal.steps.size(), 1u);
  EXPECT_EQ(e.refusal.steps[0].insn, 5);
  EXPECT_THAT(e.refusal.hint, HasSubstr("may be NULL"));
}

TEST(Refusal, NumberAsAPointerAfterACallThatEndedIt) {
  const Prog reserve = load_map(1, RINGBUF_FD) + Prog{mov(2, 8), mov(3, 0), call(func::ringbuf_reserve)};
  const Explained e = explain(
      reserve + Prog{jk(BPF_JEQ, 0, 0, 5), movr(6, 0), movr(1, 0), mov(2, 0), call(func::ringbuf_submit), st(BPF_DW, 6, 0, 1)} +
      ret0());
  EXPECT_THAT(e.refusal.sentence, HasSubstr("R6 invalid mem access 'scalar'")) << e.text();
  EXPECT_TRUE(e.has_step(9, "makes R6 void")) << e.text();
  EXPECT_THAT(e.refusal.hint, HasSubstr("was a pointer until instruction 9"));
}

TEST(Refusal, LeakTellsWhereItWasTakenAndByWhichBranch) {
  const Prog reserve = load_map(1, RINGBUF_FD) + Prog{mov(2, 8), mov(3, 0), call(func::ringbuf_reserve)};
  const Explained e =
      explain(Prog{ldx(BPF_W, 7, 1, 0)} + reserve +
              Prog{jk(BPF_JEQ, 0, 0, 4), jk(BPF_JEQ, 7, 3, 3), movr(1, 0), mov(2, 0), call(func::ringbuf_submit)} + ret0());
  EXPECT_THAT(e.refusal.sentence, HasSubstr("Unreleased reference id=2 alloc_insn=5")) << e.text();
  ASSERT_GE(e.refusal.steps.size(), 3u);
  EXPECT_TRUE(e.has_step(7, "jump taken")) << e.text();
  EXPECT_TRUE(e.has_step(6, "jump not taken"));
  EXPECT_EQ(e.refusal.steps.back().insn, 5);
  EXPECT_EQ(e.refusal.steps.back().what, "takes the reference");
  EXPECT_THAT(e.refusal.hint, HasSubstr("bpf_ringbuf_submit() or bpf_ringbuf_discard()"));
  EXPECT_THAT(e.refusal.hint, HasSubstr("bpf_ringbuf_reserve() at instruction 5"));
}

TEST(Refusal, RegisterThatNobodyWrote) {
  const Explained e = explain({ldx(BPF_W, 7, 1, 0), jk(BPF_JEQ, 7, 0, 1), mov(0, 0), exit_()});
  EXPECT_THAT(e.refusal.sentence, HasSubstr("R0 !read_ok")) << e.text();
  EXPECT_THAT(e.refusal.known, Contains("R0 has no value"));
  EXPECT_TRUE(e.has_step(1, "jump taken")) << e.text();
  EXPECT_TRUE(e.has_step(-1, "nothing on this path writes it"));
  EXPECT_THAT(e.refusal.hint, HasSubstr("return a value on every path"));
}

TEST(Refusal, RegisterThatACallTook) {
  const Explained e = explain({mov(3, 1), call(func::get_prandom_u32), movr(0, 3), exit_()});
  EXPECT_TRUE(e.has_step(1, "R3 is not kept over calls")) << e.text();
  EXPECT_THAT(e.refusal.hint, HasSubstr("R6 to R9"));
}

TEST(Refusal, RegisterThatAPacketLoadTook) {
  const Explained e = explain({movr(6, 1), mov(2, 5), raw(BPF_LD | BPF_ABS | BPF_B), movr(0, 2), exit_()});
  EXPECT_THAT(e.refusal.sentence, HasSubstr("R2 !read_ok")) << e.text();
  EXPECT_TRUE(e.has_step(2, "R2 is not kept over calls")) << e.text();
}

TEST(Refusal, StackBytesThatNobodyWrote) {
  const Explained e = explain(Prog{st(BPF_W, 10, -8, 1), movr(2, 10), add(2, -8)} + load_map(1, ARRAY_FD) +
                                  Prog{movr(3, 10), add(3, -48), mov(4, 0), call(func::map_update_elem)} + ret0(),
                              BPF_PROG_TYPE_SOCKET_FILTER, 0, EXPLAIN_LIMIT, false);
  EXPECT_THAT(e.refusal.sentence, HasSubstr("invalid indirect read from stack R3")) << e.text();
  EXPECT_THAT(e.refusal.known, Contains(HasSubstr("fp-48=????????")));
  EXPECT_TRUE(e.has_step(6, "writes R3"));
  EXPECT_THAT(e.refusal.hint, HasSubstr("of the 48 bytes at fp-48 was never written"));
}

TEST(Refusal, PacketAccessTellsTheDistance) {
  const Prog prog = {ldx(BPF_W, 2, 1, offsetof(xdp_md, data)),
                     ldx(BPF_W, 3, 1, offsetof(xdp_md, data_end)),
                     movr(4, 2),
                     add(4, 14),
                     jx(BPF_JGT, 4, 3, 1),
                     ldx(BPF_B, 0, 2, 20),
                     mov(0, 2),
                     exit_()};
  const Explained e = explain(prog, BPF_PROG_TYPE_XDP);
  EXPECT_THAT(e.refusal.sentence, HasSubstr("invalid access to packet, off=20 size=1")) << e.text();
  EXPECT_THAT(e.refusal.known, Contains("R2=pkt(r=14)"));
  EXPECT_TRUE(e.has_step(4, "jump not taken")) << e.text();
  EXPECT_THAT(e.value_at(4), HasSubstr("R2=pkt(r=14)"));
  EXPECT_TRUE(e.has_step(0, "writes R2"));
  EXPECT_THAT(e.refusal.hint, HasSubstr("if (p + 21 > data_end)"));
  EXPECT_THAT(e.refusal.hint, HasSubstr("only 14 bytes"));
}

TEST(Refusal, HelperOfOtherTypesNamesThem) {
  const Explained e = explain(Prog{call(func::override_return)} + ret0());
  EXPECT_THAT(e.refusal.hint, HasSubstr("bpf_override_return() is not for programs of type socket_filter"));
  EXPECT_THAT(e.refusal.hint, HasSubstr("kprobe"));
  EXPECT_THAT(e.refusal.hint, Not(HasSubstr("xdp")));
}

TEST(Refusal, ContextNamesOffsetsNearBy) {
  const Explained e = explain({ldx(BPF_W, 0, 1, 21), exit_()}, BPF_PROG_TYPE_XDP);
  EXPECT_THAT(e.refusal.sentence, HasSubstr("invalid bpf_context access off=21 size=4")) << e.text();
  EXPECT_THAT(e.refusal.known, Contains("R1=ctx()"));
  EXPECT_THAT(e.refusal.hint, HasSubstr("offsets may be: 16 (size 4)"));
}

TEST(Refusal, LoopWithoutAnEnd) {
  const Explained e = explain({mov(1, 0), mov(2, 1), jk(BPF_JNE, 2, 0, -2), mov(0, 0), exit_()});
  EXPECT_THAT(e.refusal.sentence, HasSubstr("infinite loop detected")) << e.text();
  EXPECT_TRUE(e.has_step(2, "jump taken")) << e.text();
  EXPECT_THAT(e.refusal.hint, HasSubstr("bpf_loop()"));
}

TEST(Refusal, WalkLongerThanWantedIsCut) {
  // Refused behind a long loop: with the whole walk the end is told, else what it was busy with.
  const Prog prog = Prog{mov(1, 0), add(1, 1), jk(BPF_JLT, 1, 5000, -2), ldx(BPF_B, 0, 1, 0)} + ret0();
  EXPECT_FALSE(explain(prog).refusal.cut);
  EXPECT_EQ(explain(prog).refusal.insn, 3);
  const Explained e = explain(prog, BPF_PROG_TYPE_SOCKET_FILTER, 0, 1000);
  EXPECT_EQ(e.err, EACCES);
  EXPECT_TRUE(e.refusal.cut);
  EXPECT_LE(e.refusal.insn_processed, 1000u);
  EXPECT_TRUE(e.has_step(2, "jump taken"));
  EXPECT_THAT(e.refusal.hint, HasSubstr("bpf_loop()"));
}

TEST(Refusal, StackTooLargeNamesTheFunctions) {
  const Explained e =
      explain({call_pc(3), st(BPF_DW, 10, -304, 0), mov(0, 0), exit_(), st(BPF_DW, 10, -296, 0), mov(0, 0), exit_()});
  EXPECT_THAT(e.refusal.sentence, HasSubstr("combined stack size of 2 calls is")) << e.text();
  EXPECT_EQ(e.refusal.known.size(), 2u);
  EXPECT_THAT(e.refusal.hint, HasSubstr("512 bytes"));
}

TEST(Refusal, ArgumentsAreFollowedIntoTheCaller) {
  const Explained e = explain({mov(1, 5), call_pc(2), mov(0, 0), exit_(), movr(6, 1), ldx(BPF_B, 0, 6, 0), exit_()});
  EXPECT_EQ(e.refusal.insn, 5);
  EXPECT_THAT(e.refusal.known, Contains("R6=5")) << e.text();
  EXPECT_TRUE(e.has_step(4, "writes R6"));
  EXPECT_TRUE(e.has_step(1, "passes R1")) << e.text();
  EXPECT_TRUE(e.has_step(0, "writes R1")) << e.text();
}

TEST(Refusal, ValuesAreFollowedIntoTheCalleeAndThroughTheStack) {
  const Explained e = explain(
      {call_pc(3), ldx(BPF_B, 0, 0, 0), mov(0, 0), exit_(), mov(2, 7), stx(BPF_DW, 10, -8, 2), ldx(BPF_DW, 0, 10, -8), exit_()});
  EXPECT_THAT(e.refusal.sentence, HasSubstr("R0 invalid mem access 'scalar'")) << e.text();
  EXPECT_TRUE(e.has_step(6, "writes R0")) << e.text();
  EXPECT_TRUE(e.has_step(5, "stores to fp-8")) << e.text();
  EXPECT_TRUE(e.has_step(4, "writes R2")) << e.text();
}

TEST(Refusal, OnlyThePathThatFailedIsTold) {
  // The other branch writes r6 too, and ends well.
  const Explained e = explain({ldx(BPF_W, 7, 1, 0), mov(6, 1), jk(BPF_JEQ, 7, 0, 3), mov(6, 2), mov(0, 0), exit_(), mov(6, 3),
                               ldx(BPF_B, 0, 6, 0), exit_()});
  EXPECT_EQ(e.refusal.insn, 7) << e.text();
  EXPECT_TRUE(e.has_step(6, "writes R6"));
  EXPECT_EQ(e.refusal.steps.size(), 1u) << e.text();
  EXPECT_THAT(e.refusal.known, Contains("R6=3"));
}

TEST(Refusal, Misaligned) {
  const Explained e = explain(Prog{st(BPF_DW, 10, -12, 0)} + ret0(), BPF_PROG_TYPE_SOCKET_FILTER, BPF_F_STRICT_ALIGNMENT);
  EXPECT_THAT(e.refusal.sentence, HasSubstr("misaligned stack access")) << e.text();
  EXPECT_THAT(e.refusal.hint, HasSubstr("multiples of 8"));
}

TEST(Refusal, ReturnValueOutOfRange) {
  const Explained e = explain({mov(0, 7), exit_()}, BPF_PROG_TYPE_CGROUP_DEVICE);
  EXPECT_THAT(e.refusal.known, Contains("R0=7")) << e.text();
  EXPECT_TRUE(e.has_step(0, "writes R0"));
  EXPECT_THAT(e.refusal.hint, HasSubstr("[0, 1]"));
}

TEST(Refusal, OfTheProgramAsAWhole) {
  const Explained e = explain({mov(0, 0), exit_(), mov(0, 1), exit_()});
  EXPECT_EQ(e.refusal.sentence, "unreachable insn 2");
  EXPECT_EQ(e.refusal.insn, 2);
  EXPECT_THAT(e.refusal.hint, HasSubstr("No path reaches instruction 2"));
}

TEST(Refusal, TextAndJsonStayOnTheirLines) {
  Refusal r;
  r.error = EACCES;
  r.insn = 3;
  r.instruction = "(79) r0 = *(u64 *)(r1 +0)";
  r.source = {"a\"b.c", "x\x1b[2J\n\"", 7};
  r.sentence = "one\ntwo";
  r.known = {"R1=ctx()"};
  r.steps.push_back({1, {}, "(b7) r1 = 0", "writes R1", "R1=0"});
  const std::string json = refusal_json(r, "na\tme", BPF_PROG_TYPE_KPROBE);
  EXPECT_EQ(json.find('\n'), std::string::npos);
  EXPECT_THAT(
      json,
      HasSubstr(
          R"("program":"na?me","type":"kprobe","errno":"EACCES","insn":3,"source":{"file":"a\"b.c","line":7,"text":"x?[2J?\""})"));
  EXPECT_THAT(json, HasSubstr(R"("sentence":"one\ntwo")"));
  const std::string text = refusal_text(r, "na\tme", BPF_PROG_TYPE_KPROBE);
  for (const char ch : text) EXPECT_TRUE(ch == '\n' || (ch >= 0x20 && ch < 0x7f));
  EXPECT_THAT(text, HasSubstr("  verdict  one\n           two\n"));
}

TEST(Refusal, WordsOfPatterns) {
  std::vector<std::string> words;
  EXPECT_TRUE(match_words("R1 type=fp expected=ctx\nR2 !read_ok", "R* !read_ok", &words));
  EXPECT_EQ(words, std::vector<std::string>{"2"});
  EXPECT_TRUE(match_words("x a=1 b=2\nc", "a=* b=*", &words));
  EXPECT_EQ(words, (std::vector<std::string>{"1", "2"}));
  EXPECT_FALSE(match_words("a=1\nb=2", "a=* b=*", &words));
  std::size_t at = 0;
  EXPECT_EQ(named_register("BPR3 R11 R10(id=0) R2x R2", &at), 10);
  EXPECT_EQ(named_register("BPR3 R11 R10(id=0) R2x R2", &at), 2);
  EXPECT_EQ(named_register("BPR3 R11 R10(id=0) R2x R2", &at), -1);
  EXPECT_EQ(std::string(prog_type_name(BPF_PROG_TYPE_NETFILTER)), "netfilter");
  EXPECT_EQ(std::string(prog_type_name(99)), "unknown");
}

}  // namespace
}  // namespace skep::test
