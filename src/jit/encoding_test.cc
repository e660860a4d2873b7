// What is emitted for common forms, read back by a disassembler: that the short and plain forms are chosen.
#include <Zydis/Zydis.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "jit/emit_fixture_test.h"

namespace skep::jit::test {
namespace {

std::vector<std::string> disassemble(const std::vector<u8>& bytes) {
  ZydisDecoder decoder;
  ZydisFormatter formatter;
  ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
  ZydisFormatterInit(&formatter, ZYDIS_FORMATTER_STYLE_INTEL);
  ZydisFormatterSetProperty(&formatter, ZYDIS_FORMATTER_PROP_FORCE_SIZE, ZYAN_TRUE);
  std::vector<std::string> out;
  for (std::size_t at = 0; at < bytes.size();) {
    ZydisDecodedInstruction insn;
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
    if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, &bytes[at], bytes.size() - at, &insn, operands))) return {"not code"};
    char text[128];
    ZydisFormatterFormatInstruction(&formatter, &insn, operands, insn.operand_count_visible, text, sizeof text, at, nullptr);
    out.push_back(fmt::format("{}:{}", insn.length, text));
    at += insn.length;
  }
  return out;
}

/// r1 is in rsi, r2 in rdx, r3 in rcx; the result goes to rax.
template <typename Make>
std::vector<std::string> code_of(Make&& make, Features features = {true, true}) {
  IrBuilder b;
  b.ret(make(b));
  return disassemble(emit_one(b.take(), features).bytes);
}

using Lines = std::vector<std::string>;

TEST(Encoding, Constants) {
  const auto constant = [](u64 k) { return code_of([=](IrBuilder& b) { return b.constant(k); }); };
  EXPECT_EQ(constant(0), (Lines{"2:xor eax, eax", "1:ret"}));
  EXPECT_EQ(constant(5), (Lines{"5:mov eax, 0x05", "1:ret"}));
  EXPECT_EQ(constant(0xffffffff), (Lines{"5:mov eax, 0xFFFFFFFF", "1:ret"}));
  EXPECT_EQ(constant(~u64{0}), (Lines{"7:mov rax, 0xFFFFFFFFFFFFFFFF", "1:ret"}));
  EXPECT_EQ(constant(0x123456789abcdef0), (Lines{"10:mov rax, 0x123456789ABCDEF0", "1:ret"}));
}

TEST(Encoding, ThreeOperandForms) {
  EXPECT_EQ(code_of([](IrBuilder& b) { return b.op(Op::Add, b.param(1), b.param(2)); })[0], "4:lea rax, [rsi+rdx*1]");
  EXPECT_EQ(code_of([](IrBuilder& b) { return b.op(Op::Add, b.param(1), b.constant(u64{16})); })[0], "4:lea rax, [rsi+0x10]");
  EXPECT_EQ(code_of([](IrBuilder& b) { return b.op(Op::Sub, b.param(1), b.constant(u64{16})); })[0], "4:lea rax, [rsi-0x10]");
  EXPECT_EQ(code_of([](IrBuilder& b) { return b.op(Op::Shl, b.param(1), b.constant(u64{3})); })[0], "8:lea rax, [rsi*8]");
  EXPECT_EQ(code_of([](IrBuilder& b) { return b.op(Op::Mul, b.param(1), b.constant(u64{5})); })[0], "4:lea rax, [rsi+rsi*4]");
  EXPECT_EQ(code_of([](IrBuilder& b) { return b.op(Op::Mul, b.param(1), b.constant(u64{100})); })[0], "4:imul rax, rsi, 0x64");
  EXPECT_EQ(code_of([](IrBuilder& b) { return b.op(Op::Shl, b.param(1), b.param(2)); })[0], "5:shlx rax, rsi, rdx");
  EXPECT_EQ(code_of([](IrBuilder& b) { return b.op(Op::Rotl, b.param(1), b.constant(u64{7})); })[0], "6:rorx rax, rsi, 0x39");
}

TEST(Encoding, NarrowForms) {
  EXPECT_EQ(code_of([](IrBuilder& b) { return b.op(Op::And, b.param(1), b.constant(u64{0xff})); })[0], "4:movzx eax, sil");
  EXPECT_EQ(code_of([](IrBuilder& b) { return b.op(Op::And, b.param(1), b.constant(u64{0xffffffff})); })[0], "2:mov eax, esi");
  EXPECT_EQ(code_of([](IrBuilder& b) { return b.op(Op::And, b.param(1), b.constant(u64{0x80000000})); })[1],
            "5:and eax, 0x80000000");
  EXPECT_EQ(code_of([](IrBuilder& b) { return b.load(1, b.param(1), 3); })[0], "4:movzx eax, byte ptr [rsi+0x03]");
  EXPECT_EQ(code_of([](IrBuilder& b) { return b.load(4, b.param(1)); })[0], "2:mov eax, dword ptr [rsi]");
}

TEST(Encoding, MemoryOperands) {
  const Lines update = code_of([](IrBuilder& b) {
    const ValueId p = b.param(1);
    const ValueId u = b.memory(Op::Update, 8, p, 8, NONE, 0, b.constant(u64{1}));
    b.f.values[u].sub = Op::Add;
    return p;
  });
  EXPECT_EQ(update[0], "5:add qword ptr [rsi+0x08], 0x01");
  const Lines folded = code_of([](IrBuilder& b) {
    const ValueId p = b.param(1), x = b.param(2), v = b.load(8, p, 16, x, 3);
    b.f.values[v].folded = true;
    return b.op(Op::Add, x, v);
  });
  EXPECT_EQ(folded, (Lines{"3:mov rax, rdx", "5:add rax, qword ptr [rsi+rdx*8+0x10]", "1:ret"}));
}

/// A counting loop: the counter in one register, no test behind the decrement, a short jump back.
TEST(Encoding, TightLoop) {
  IrBuilder b;
  const ValueId n = b.param(1), x = b.param(2);
  const BlockId loop = b.block(1), out = b.block();
  b.jump(loop);
  b.at(loop);
  const ValueId i = b.phi(), s = b.phi();
  const ValueId sum = b.op(Op::Add, s, x), next = b.op(Op::Sub, i, b.constant(u64{1}));
  b.phi_arg(i, 0, n), b.phi_arg(s, 0, x), b.phi_arg(i, loop, next), b.phi_arg(s, loop, sum);
  b.branch(Cond::Ne, next, b.constant(u64{0}), loop, out);
  b.at(out);
  b.ret(sum);
  const Lines lines = disassemble(emit_one(b.take()).bytes);
  const auto jump = std::find_if(lines.begin(), lines.end(), [](const std::string& l) { return l.find("jnz") != l.npos; });
  ASSERT_NE(jump, lines.end());
  EXPECT_EQ((*jump)[0], '2') << *jump;
  EXPECT_EQ((jump - 1)->substr(0, 6), "3:dec ") << *(jump - 1);
  EXPECT_EQ((jump - 2)->substr(0, 6), "3:add ") << *(jump - 2);
}

/// binutils reads the same instructions, of all lengths, where it is installed.
TEST(Encoding, OtherDisassemblerAgrees) {
  if (std::system("objdump --version > /dev/null 2>&1") != 0) GTEST_SKIP() << "no objdump";
  IrBuilder b;
  ValueId s = b.param(1);
  const ValueId x = b.param(2);
  b.f.stack_bytes = 64;
  for (u32 o = static_cast<u32>(Op::Add); o <= static_cast<u32>(Op::MulHiS); ++o)
    for (const u8 width : {u8{4}, u8{8}})
      s = b.op(static_cast<Op>(o), b.op(static_cast<Op>(o), s, x, width), b.constant(u64{77}), width);
  b.store(4, s, b.frame(-16));
  b.ret(s);
  const JitCode code = emit_one(b.take());
  const std::string file = ::testing::TempDir() + "skep_encoding.bin";
  std::ofstream(file, std::ios::binary)
      .write(static_cast<const char*>(static_cast<const void*>(code.bytes.data())),
             static_cast<std::streamsize>(code.bytes.size()));
  FILE* p = popen(("objdump -D -b binary -m i386:x86-64 --no-show-raw-insn -w " + file).c_str(), "r");
  ASSERT_NE(p, nullptr);
  std::vector<u64> starts;
  char line[512];
  while (std::fgets(line, sizeof line, p)) {
    char* end;
    const u64 at = std::strtoull(line, &end, 16);
    if (end != line && *end == ':') starts.push_back(at);
    EXPECT_EQ(std::string(line).find("(bad)"), std::string::npos) << line;
  }
  pclose(p);
  std::remove(file.c_str());
  std::vector<u64> ours;
  u64 at = 0;
  for (const std::string& l : disassemble(code.bytes)) {
    ours.push_back(at);
    at += std::strtoull(l.c_str(), nullptr, 10);
  }
  EXPECT_EQ(starts, ours);
}

}  // namespace
}  // namespace skep::jit::test
