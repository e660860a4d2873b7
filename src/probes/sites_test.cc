// Sites are found in hand-assembled code, one case per form and per reason of refusal; whole images are built from a small crafted
// object and from this machine's libc and ld.so; and forked children live on patched ones (see the end).
#include "probes/sites.h"

#include <Zydis/Zydis.h>
#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <link.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>

#include "probes/patched_image.h"

namespace skep::probes {
namespace {

using detail::CodeFacts;
using detail::Range;

std::vector<u8> hex(std::string_view text) {
  std::vector<u8> out;
  std::string digits;
  for (char c : text)
    if (std::isxdigit(static_cast<unsigned char>(c))) digits += c;
  for (std::size_t i = 0; i + 1 < digits.size(); i += 2)
    out.push_back(static_cast<u8>(std::stoi(digits.substr(i, 2), nullptr, 16)));
  return out;
}

std::string to_hex(std::span<const u8> bytes) {
  std::string out;
  for (u8 b : bytes) {
    char s[4];
    std::snprintf(s, sizeof s, "%02x ", b);
    out += s;
  }
  if (!out.empty()) out.pop_back();
  return out;
}

// --- Which form a site takes: code at 0x1000, tables at 0x2000 ------------------------------------------------------------------

struct SiteCase {
  const char* name;
  const char* code;
  const char* want;  ///< "kind patch+len nr [moved]" of each site, then "skip insn nr why" of each other
  std::vector<u32> starts = {}, entries = {};
  std::vector<Range> functions = {}, frames = {};
  const char* rodata = "";
};

std::string plan_text(const SiteCase& c) {
  const std::vector<u8> code = hex(c.code), rodata = hex(c.rodata);
  CodeFacts facts{{{0x1000, code}}, {{0x2000, rodata}}, c.starts, c.entries, c.functions, c.frames};
  const detail::SitePlan plan = detail::plan_code(facts);
  std::string out;
  char line[256];
  for (const SyscallSite& s : plan.sites) {
    static constexpr const char* names[] = {"mov_nr", "before", "after"};
    std::snprintf(line, sizeof line, "%s %x+%u %d%s%s\n", names[static_cast<int>(s.kind)], s.patch, s.patch_len, s.nr,
                  s.moved.empty() ? "" : " ", to_hex(s.moved).c_str());
    out += line;
  }
  for (const SkippedSite& s : plan.skipped) {
    std::snprintf(line, sizeof line, "skip %x %d %s\n", s.insn, s.nr, s.why.c_str());
    out += line;
  }
  return out;
}

class SiteForm : public testing::TestWithParam<SiteCase> {};

TEST_P(SiteForm, IsChosen) { EXPECT_EQ(plan_text(GetParam()), GetParam().want); }

const SiteCase site_cases[] = {
    {"MovNr", "b8 27000000 | 0f05 c3", "mov_nr 1000+5 39\n"},
    {"MovNrMayBeEnteredAtItsStart", "b8 27000000 | 0f05 | eb f7", "mov_nr 1000+5 39\n"},
    {"MovNrWhereTheFunctionEndsAtTheSyscall", "b8 38000000 | 0f05 c3", "mov_nr 1000+5 56\n", {}, {}, {{0x1000, 0x1005}}},
    {"MovOfANegativeNumber", "b8 ffffffff | 0f05 c3", "before 1000+5 -1 b8 ff ff ff ff\n"},
    {"SyscallInsideAnImmediateIsNone", "b8 0f050000 c3", ""},
    {"ABranchToTheSyscallMovesWhatFollows", "b8 27000000 | 0f05 | 483d00f0ffff | 77f6", "after 1005+8 -1 48 3d 00 f0 ff ff\n"},
    {"ABranchIntoTheMov", "b8 27000000 | 0f05 | 483d00f0ffff | 77f2", "after 1005+8 39 48 3d 00 f0 ff ff\n"},
    {"MovedBefore", "31ff | 4489c8 | 0f05 c3", "before 1000+5 -1 31 ff 44 89 c8\n"},
    {"MovedBeforeMayBeEnteredAtItsStart", "31ff | 4489c8 | 0f05 | ebf7", "before 1000+5 -1 31 ff 44 89 c8\n"},
    {"NrThroughARegister", "41b9 ca000000 | 31ff | 4489c8 | 0f05 c3", "before 1006+5 202 31 ff 44 89 c8\n"},
    {"NrIsUnknownBehindAnEntry", "41b9 ca000000 | 31ff | 4489c8 | 0f05 c3", "before 1006+5 -1 31 ff 44 89 c8\n", {}, {0x1006}},
    {"NrIsUnknownBehindACall", "41b9 ca000000 | e800000000 | 31ff | 4489c8 | 0f05 c3", "before 100b+5 -1 31 ff 44 89 c8\n"},
    {"NrIsUnknownWhenALoadSetsIt", "b8 27000000 | 488b4708 | 31ff | 0f05 c3", "before 1005+6 -1 48 8b 47 08 31 ff\n"},
    {"NrIsUnknownWhenAByteOfItIsSet", "b8 27000000 | b001 | 4889d6 | 0f05 c3", "before 1005+5 -1 b0 01 48 89 d6\n"},
    {"NrZeroByXor", "4889d6 | 89f7 | 31c0 | 0f05 c3", "before 1000+7 0 48 89 d6 89 f7 31 c0\n"},
    {"NrByA64BitMov", "48c7c0 27000000 | 0f05 c3", "before 1000+7 39 48 c7 c0 27 00 00 00\n"},
    {"NrTooLarge", "48b8 1122334455667788 | 0f05 c3", "before 1000+10 -1 48 b8 11 22 33 44 55 66 77 88\n"},
    {"ConditionalJumpsMoveBeforeToo", "803d 00100000 00 | 7408 | 31c0 | 0f05 | 483d00f0ffff c3 | c3",
     "before 1000+11 0 80 3d 00 10 00 00 00 74 08 31 c0\n"},
    {"ACallIsNotMoved", "e800000000 | 31c0 | 0f05 | 483d00f0ffff c3", "after 1007+8 0 48 3d 00 f0 ff ff\n"},
    {"ALoopIsNotMoved", "e2fe 909090 | 31c0 | 0f05 | 483d00f0ffff c3", "before 1002+5 0 90 90 90 31 c0\n"},
    {"ALoopIsNotMovedInto", "e2fe | 31c0 | 0f05 | 483d00f0ffff c3", "after 1004+8 0 48 3d 00 f0 ff ff\n"},
    {"AnEipRelativeOperandIsNotMoved", "678d3d 00100000 | 0f05 | 483d00f0ffff c3", "after 1007+8 -1 48 3d 00 f0 ff ff\n"},
    {"AfterAJumpNothingIsMovedBefore", "eb0c | 89d0 | 0f05 | 483d00f0ffff 9090 c3", "after 1004+8 -1 48 3d 00 f0 ff ff\n"},
    {"AnExitLoop", "31ff | 89d0 | 0f05 | ebf8 | 31c0 c3", "after 1002+6 -1 89 d0 eb f8\n", {}, {0x1008}},
    {"SigreturnByA64BitMov", "48c7c0 0f000000 | 0f05", "skip 1007 15 rt_sigreturn\n"},
    {"SigreturnByA32BitMov", "b8 0f000000 | 0f05", "skip 1005 15 rt_sigreturn\n"},
    {"ASignalFrameIsLeftAlone", "b8 27000000 | 0f05", "skip 1005 39 rt_sigreturn\n", {}, {}, {}, {{0xfff, 0x1007}}},
    {"APrefixedSyscall", "b8 27000000 | 480f05 c3", "skip 1005 39 it has a prefix\n"},
    {"NoRoom", "c3 | 0f05 | c3", "skip 1001 -1 before: an instruction cannot be moved; after: an instruction cannot be moved\n"},
    {"NothingBefore", "0f05 | c3", "skip 1000 -1 before: nothing before it; after: an instruction cannot be moved\n"},
    {"AnEntryOnEitherSide",
     "89d0 | 31ff9090 | 0f05 | 90 | 90 | 90 | c3",
     "skip 1006 -1 before: a branch may enter behind the jump; after: a branch may enter behind the jump\n",
     {},
     {0x1002, 0x1006, 0x1009}},
    {"TheFunctionEndsBehind",
     "c3 | 0f05 | 0f1f00",
     "skip 1001 -1 before: an instruction cannot be moved; after: its function ends there\n",
     {},
     {},
     {{0x1000, 0x1003}}},
    {"TheFunctionEndsBefore",
     "31ff 90 | 31c0 | 0f05 | c3",
     "skip 1005 0 before: its function ends there; after: its function ends there\n",
     {},
     {},
     {{0x1000, 0x1003}}},
    {"ASymbolBehind",
     "c3 | 0f05 | 0f1f00",
     "skip 1001 -1 before: an instruction cannot be moved; after: a branch may enter behind the jump\n",
     {0x1003}},
    {"TwoSitesNeedTheSameBytes", "c3 | 0f05 | 31ff | 4489c8 | 0f05 c3",
     "before 1003+5 -1 31 ff 44 89 c8\n"
     "skip 1001 -1 before: an instruction cannot be moved; after: another site has these bytes\n"},
    {"AnAlignedEndbrIsAnEntry", "c3c3c3c3c3c3c3c3c3c3c3c3c3 | 4489c8 | f30f1efa | 0f05 | 483d00f0ffff c3",
     "after 1014+8 -1 48 3d 00 f0 ff ff\n"},
    {"TwoReadingsOfTheBytes",
     "48b8 b827000000 0f05c3 | c3",
     "skip 1007 -1 where instructions begin around it is not certain\n",
     {0x1002}},
    {"TwoReadingsThatAgreeAgain", "48b8 b827000000 909090 | b827000000 | 0f05 c3", "mov_nr 100a+5 39\n", {0x1002}},
    {"AStartSetsTheSweepRight",
     "b8 27 | b8 27000000 | 0f05 | 0f1f4000 | b828000000 | 0f05",
     "after 1007+6 -1 0f 1f 40 00\nmov_nr 100d+5 40\n",
     {0x1002}},
    // lea table(%rip),%rdx; movslq (%rdx,%rax,4),%rax; add %rdx,%rax; jmp *%rax; xor %edi,%edi; mov %r9d,%eax; syscall; cmp
    {"AJumpTableEntersTheStart",
     "488d15f90f0000 | 48630482 | 4801d0 | ffe0 | 31ff | 4489c8 | 0f05 | 483d00f0ffff c3",
     "before 1010+5 -1 31 ff 44 89 c8\n",
     {},
     {},
     {{0x1000, 0x101e}},
     {},
     "10f0ffff 17f0ffff"},
    {"AJumpTableEntersBehindTheStart",
     "488d15f90f0000 | 48630482 | 4801d0 | ffe0 | 31ff | 4489c8 | 0f05 | 483d00f0ffff c3",
     "after 1015+8 -1 48 3d 00 f0 ff ff\n",
     {},
     {},
     {{0x1000, 0x101e}},
     {},
     "10f0ffff 12f0ffff"},
    {"AJumpTableThatCannotBeRead",
     "488d15f90f0000 | 48630482 | 4801d0 | ffe0 | 31ff | 4489c8 | 0f05 | 483d00f0ffff c3",
     "skip 1015 -1 its function jumps through a table that cannot be read\n",
     {},
     {},
     {{0x1000, 0x101e}}},
    {"OffsetsFromALabel",
     "488d0502000000 | ffe0 | 31ff | 4489c8 | 0f05 c3",
     "skip 100e -1 its function jumps through a table that cannot be read\n",
     {},
     {},
     {{0x1000, 0x1011}}},
    {"ACallAtTheEndIsNoTable",
     "31ff | 4489c8 | 0f05 | 4889d8 | ffe0",
     "before 1000+5 -1 31 ff 44 89 c8\n",
     {},
     {},
     {{0x1000, 0x100c}}},
};
INSTANTIATE_TEST_SUITE_P(All, SiteForm, testing::ValuesIn(site_cases), [](const auto& p) { return std::string(p.param.name); });

// --- A crafted object -----------------------------------------------------------------------------------------------------------

/// text at 0x1000; a table, unwind data and its header at 0x2000; pointers at 0x3000.
struct ObjectParts {
  std::string text;
  std::string data = "";  ///< words in the writable segment
  bool sections = false;  ///< with section headers, a symbol table and relocations
  std::vector<u32> symbols = {};
  bool unwind = false;  ///< one function over the text, with a landing pad 12 bytes into it
};

template <typename T>
void put(std::vector<u8>& file, std::size_t at, const T& v) {
  if (file.size() < at + sizeof v) file.resize(at + sizeof v);
  std::memcpy(file.data() + at, &v, sizeof v);
}
void put_bytes(std::vector<u8>& file, std::size_t at, std::span<const u8> v) {
  if (file.size() < at + v.size()) file.resize(at + v.size());
  std::copy(v.begin(), v.end(), file.begin() + static_cast<s64>(at));
}

constexpr u32 TEXT_AT = 0x1000, RODATA_AT = 0x2000, DATA_AT = 0x3000;

std::vector<u8> unwind_bytes(u32 text_size) {
  std::vector<u8> b;
  const auto rel = [&](std::size_t at, u32 target) { put(b, at, static_cast<s32>(target - (RODATA_AT + at))); };
  put_bytes(b, 0, hex("01 1b ff ff 00000000"));  // .eh_frame_hdr: a pcrel pointer to the frames
  rel(4, RODATA_AT + 8);
  // CIE at 8: "zPLR", personality, LSDA and code pointers pcrel sdata4
  put_bytes(b, 8, hex("1c000000 00000000 01 7a504c5200 01 78 10 07 1b 00000000 1b 1b 0c0708 90"));
  rel(27, TEXT_AT);
  // FDE at 40
  put_bytes(b, 40, hex("18000000 24000000 00000000 00000000 04 00000000 000000 00000000"));
  rel(48, TEXT_AT);
  put(b, 52, text_size);
  rel(57, RODATA_AT + 80);
  put_bytes(b, 68, hex("00000000"));
  put_bytes(b, 80, hex("ff ff 01 04 00 10 0c 00"));  // LSDA: one call site, landing pad at 12
  return b;
}

std::vector<u8> make_object(const ObjectParts& parts) {
  std::vector<u8> file(0x400, 0);
  const std::vector<u8> text = hex(parts.text), data = hex(parts.data);
  std::vector<u8> rodata(8, 0);
  if (parts.unwind) rodata = unwind_bytes(static_cast<u32>(text.size()));
  put_bytes(file, TEXT_AT, text);
  put_bytes(file, RODATA_AT, rodata);
  put_bytes(file, DATA_AT, data);
  put_bytes(file, 0x380, hex("04000000 04000000 03000000 474e5500 0badcafe"));  // NT_GNU_BUILD_ID

  std::vector<Elf64_Phdr> phdrs = {
      {PT_LOAD, PF_R, 0, 0, 0, 0x400, 0x400, 0x1000},
      {PT_LOAD, PF_R | PF_X, TEXT_AT, TEXT_AT, TEXT_AT, text.size(), text.size(), 0x1000},
      {PT_LOAD, PF_R, RODATA_AT, RODATA_AT, RODATA_AT, rodata.size(), rodata.size(), 0x1000},
      {PT_LOAD, PF_R | PF_W, DATA_AT, DATA_AT, DATA_AT, data.size(), data.size() + 64, 0x1000},
      {PT_NOTE, PF_R, 0x380, 0x380, 0x380, 20, 20, 4},
  };
  if (parts.unwind) phdrs.push_back({PT_GNU_EH_FRAME, PF_R, RODATA_AT, RODATA_AT, RODATA_AT, 8, 8, 4});
  Elf64_Ehdr e{};
  std::memcpy(e.e_ident, ELFMAG, SELFMAG);
  e.e_ident[EI_CLASS] = ELFCLASS64;
  e.e_ident[EI_DATA] = ELFDATA2LSB;
  e.e_ident[EI_VERSION] = EV_CURRENT;
  e.e_type = ET_DYN;
  e.e_machine = EM_X86_64;
  e.e_phoff = sizeof e;
  e.e_phentsize = sizeof(Elf64_Phdr);
  e.e_phnum = static_cast<Elf64_Half>(phdrs.size());
  for (std::size_t i = 0; i < phdrs.size(); ++i) put(file, sizeof e + i * sizeof(Elf64_Phdr), phdrs[i]);
  if (parts.sections) {
    const std::size_t symtab = round_up(file.size(), 8);
    for (std::size_t i = 0; i < parts.symbols.size(); ++i)
      put(file, symtab + i * sizeof(Elf64_Sym), Elf64_Sym{0, ELF64_ST_INFO(STB_GLOBAL, STT_FUNC), 0, 1, parts.symbols[i], 0});
    const std::size_t rela = symtab + parts.symbols.size() * sizeof(Elf64_Sym);
    put(file, rela, Elf64_Rela{DATA_AT, R_X86_64_RELATIVE, TEXT_AT});
    const std::size_t shoff = rela + sizeof(Elf64_Rela);
    put(file, shoff, Elf64_Shdr{});
    put(file, shoff + 64, Elf64_Shdr{0, SHT_PROGBITS, SHF_ALLOC | SHF_EXECINSTR, TEXT_AT, TEXT_AT, text.size(), 0, 0, 16, 0});
    put(file, shoff + 128, Elf64_Shdr{0, SHT_SYMTAB, 0, 0, symtab, rela - symtab, 0, 0, 8, sizeof(Elf64_Sym)});
    put(file, shoff + 192, Elf64_Shdr{0, SHT_RELA, SHF_ALLOC, 0, rela, sizeof(Elf64_Rela), 0, 0, 8, sizeof(Elf64_Rela)});
    e.e_shoff = shoff;
    e.e_shentsize = sizeof(Elf64_Shdr);
    e.e_shnum = 4;
  }
  put(file, 0, e);
  return file;
}

/// The code in [from, to) of bytes that are at vaddr, one instruction a line, with absolute addresses.
std::string disassemble(std::span<const u8> bytes, u64 vaddr) {
  std::string out;
  while (!bytes.empty()) {
    ZydisDisassembledInstruction in;
    if (!ZYAN_SUCCESS(ZydisDisassembleIntel(ZYDIS_MACHINE_MODE_LONG_64, vaddr, bytes.data(), bytes.size(), &in)))
      return out + "?\n";
    if (bytes[0] == 0xcc) break;
    out += std::string(in.text) + "\n";
    bytes = bytes.subspan(in.info.length);
    vaddr += in.info.length;
  }
  return out;
}

struct ImageCase {
  const char* name;
  const char* text;
  const char* patched;  ///< the text, as hex
  const char* stub;     ///< disassembled
};
class Image : public testing::TestWithParam<ImageCase> {};

constexpr s64 GOLDEN_DELTA = 0x100000;  // slots at 0x101000

TEST_P(Image, IsGolden) {
  const std::vector<u8> object = make_object({GetParam().text});
  const Result<PatchPlan> plan = plan_sites(object);
  ASSERT_TRUE(plan.ok());
  ASSERT_EQ(plan.value().skipped.size(), 0u) << plan.value().skipped[0].why;
  const Result<PatchedImage> image = build_patched_image(object, plan.value(), {GOLDEN_DELTA});
  ASSERT_TRUE(image.ok());
  const PatchedImage& m = image.value();
  EXPECT_EQ(m.text_vaddr, TEXT_AT);
  ASSERT_EQ(m.text.size(), PAGE_SIZE);
  EXPECT_EQ(to_hex(std::span(m.text).first(hex(GetParam().text).size())), to_hex(hex(GetParam().patched)));
  ASSERT_EQ(m.stubs.size(), PAGE_SIZE);
  EXPECT_EQ(m.slot_page, 0x101000u);
  EXPECT_EQ(disassemble(m.stubs, static_cast<u64>(m.stub_delta)), GetParam().stub);
}

const ImageCase image_cases[] = {
    {"MovNr", "90 b827000000 0f05 c3", "90 e9faef0f00 0f05 c3",
     "mov eax, 0x27\nlea rcx, [0x0000000000001006]\njmp [0x0000000000101000]\n"},
    {"MovedBefore", "31ff 4489c8 0f05 c3", "e9fbef0f00 0f05 c3",
     "xor edi, edi\nmov eax, r9d\nlea rcx, [0x0000000000001005]\njmp [0x0000000000101000]\n"},
    {"MovedBeforeFillsTheRest", "bf02000000 4489c8 0f05 c3", "e9fbef0f00 cccccc 0f05 c3",
     "mov edi, 0x02\nmov eax, r9d\nlea rcx, [0x0000000000001008]\njmp [0x0000000000101000]\n"},
    {"RipRelativeOperandsAreRetargeted", "90 488d35f80f0000 0f05 c3", "90 e9faef0f00 cccc 0f05 c3",
     "lea rsi, [0x0000000000002000]\nlea rcx, [0x0000000000001008]\njmp [0x0000000000101000]\n"},
    {"RipRelativeOperandsWithAnImmediate", "c605f90f000005 0f05 c3", "e9fbef0f00 cccc 0f05 c3",
     "mov byte ptr [0x0000000000002000], 0x05\nlea rcx, [0x0000000000001007]\njmp [0x0000000000101000]\n"},
    {"ConditionalJumpsAreRetargeted", "803df90f000000 7403 31c0 0f05 c3", "e9fbef0f00 cccccccccccc 0f05 c3",
     "cmp byte ptr [0x0000000000002000], 0x00\njz 0x000000000000100C\nxor eax, eax\nlea rcx, [0x000000000000100B]\n"
     "jmp [0x0000000000101000]\n"},
    {"MovedAfter", "c3 0f05 483d00f0ffff 77f5 c3", "c3 e9faef0f00 cccccc 77f5 c3",
     "lea rcx, [0x000000000010000D]\njmp [0x0000000000101000]\nsyscall\ncmp rax, 0xFFFFFFFFFFFFF000\njmp 0x0000000000001009\n"},
    {"MovedAfterWithAJump", "c3 89d0 0f05 ebfa 31c0 c3", "c3 e9faef0f00 cc 31c0 c3",
     "mov eax, edx\nlea rcx, [0x000000000010000F]\njmp [0x0000000000101000]\nsyscall\njmp 0x0000000000001001\n"
     "jmp 0x0000000000001007\n"},
};
INSTANTIATE_TEST_SUITE_P(All, Image, testing::ValuesIn(image_cases), [](const auto& p) { return std::string(p.param.name); });

TEST(Plan, ReadsTheObject) {
  const std::vector<u8> object = make_object({.text = "b827000000 0f05 c3"});
  const Result<PatchPlan> plan = plan_sites(object);
  ASSERT_TRUE(plan.ok());
  EXPECT_EQ(to_hex(plan.value().build_id), "0b ad ca fe");
  EXPECT_EQ(plan.value().text_vaddr, TEXT_AT);
  EXPECT_EQ(plan.value().text_offset, TEXT_AT);
  EXPECT_EQ(plan.value().text_filesz, 8u);
  EXPECT_EQ(plan.value().text_memsz, 8u);
}

SiteKind only_kind(const ObjectParts& parts) {
  const Result<PatchPlan> plan = plan_sites(make_object(parts));
  if (!plan.ok() || plan.value().sites.size() != 1) throw std::runtime_error("not one site");
  return plan.value().sites[0].kind;
}

TEST(Plan, EveryTableOfTheObjectNamesEntries) {
  // mov %rsi,%r8; mov %rdx,%r10; xor %esi,%esi; xor %edi,%edi; xchg %ax,%ax; mov %r9d,%eax; syscall; cmp; ret. The five bytes to
  // move begin at 10 and the last mov at 12: an entry there must make what follows move instead.
  const std::string text = "4989f0 4989d2 31f6 31ff 6690 4489c8 0f05 483d00f0ffff c3";
  EXPECT_EQ(only_kind({.text = text}), SiteKind::MovedBefore);
  EXPECT_EQ(only_kind({.text = text, .data = "0c10000000000000"}), SiteKind::MovedAfter);
  EXPECT_EQ(only_kind({.text = text, .data = "0a10000000000000"}), SiteKind::MovedBefore);
  EXPECT_EQ(only_kind({.text = text, .sections = true, .symbols = {TEXT_AT}}), SiteKind::MovedBefore);
  EXPECT_EQ(only_kind({.text = text, .sections = true, .symbols = {TEXT_AT + 12}}), SiteKind::MovedAfter);
  EXPECT_EQ(only_kind({.text = text, .unwind = true}), SiteKind::MovedAfter);
}

TEST(Plan, RefusesWhatIsNoSharedObject) {
  const std::vector<u8> good = make_object({.text = "b827000000 0f05 c3"});
  const auto refused = [&](std::size_t at, u8 value) {
    std::vector<u8> bad = good;
    bad[at] = value;
    const Result<PatchPlan> plan = plan_sites(bad);
    return !plan.ok() && plan.error() == Errno(ENOEXEC);
  };
  ASSERT_TRUE(plan_sites(good).ok());
  EXPECT_TRUE(refused(1, 'F'));
  EXPECT_TRUE(refused(EI_CLASS, ELFCLASS32));
  EXPECT_TRUE(refused(EI_DATA, ELFDATA2MSB));
  EXPECT_TRUE(refused(offsetof(Elf64_Ehdr, e_machine), EM_386));
  EXPECT_TRUE(refused(offsetof(Elf64_Ehdr, e_type), ET_EXEC));
  const std::size_t text = sizeof(Elf64_Ehdr) + sizeof(Elf64_Phdr);
  EXPECT_TRUE(refused(text + offsetof(Elf64_Phdr, p_flags), PF_R)) << "no text";
  EXPECT_TRUE(refused(text + offsetof(Elf64_Phdr, p_flags), PF_R | PF_W | PF_X)) << "writable text";
  EXPECT_TRUE(refused(text + sizeof(Elf64_Phdr) + offsetof(Elf64_Phdr, p_flags), PF_R | PF_X)) << "two texts";
  EXPECT_TRUE(refused(text + offsetof(Elf64_Phdr, p_memsz), 9)) << "zero-filled text";
  EXPECT_TRUE(refused(text + offsetof(Elf64_Phdr, p_offset) + 2, 1)) << "outside of the file";
  EXPECT_EQ(plan_sites({}).error(), Errno(ENOEXEC));
}

TEST(Build, RefusesWhatDoesNotFit) {
  const std::vector<u8> object = make_object({.text = "b827000000 0f05 4831ff 4489c8 0f05 c3"});
  const PatchPlan plan = plan_sites(object).value();
  ASSERT_EQ(plan.sites.size(), 2u);
  const auto error = [&](const PatchPlan& p, s64 delta) {
    const Result<PatchedImage> r = build_patched_image(object, p, {delta});
    return r.ok() ? 0 : r.error().value();
  };
  EXPECT_EQ(error(plan, -0x20000000), 0);
  EXPECT_EQ(error(plan, 0x1001), EINVAL) << "alignment";
  EXPECT_EQ(error(plan, 0x1000), EINVAL) << "on the object";
  EXPECT_EQ(error(plan, -0x1000), EINVAL) << "slots on the object";
  EXPECT_EQ(error(plan, -0x2000), 0);
  EXPECT_EQ(error(plan, -0x80000000ll), ERANGE);
  EXPECT_EQ(error(plan, 0x100000000ll), ERANGE);

  const auto broken = [&](auto change) {
    PatchPlan p = plan;
    change(p);
    return error(p, -0x20000000);
  };
  EXPECT_EQ(broken([](PatchPlan& p) { p.sites.erase(p.sites.begin()); }), 0) << "sites may be left out";
  EXPECT_EQ(broken([](PatchPlan& p) { std::swap(p.sites[0], p.sites[1]); }), EINVAL);
  EXPECT_EQ(broken([](PatchPlan& p) { p.sites[0].nr = 40; }), EINVAL);
  EXPECT_EQ(broken([](PatchPlan& p) { p.sites[0].insn += 1; }), EINVAL);
  EXPECT_EQ(broken([](PatchPlan& p) { p.sites[0].patch = 0; }), EINVAL);
  EXPECT_EQ(broken([](PatchPlan& p) { p.sites[1].moved[0] ^= 1; }), EINVAL);
  EXPECT_EQ(broken([](PatchPlan& p) { p.sites[1].patch_len = 0xffffffff; }), EINVAL);
  EXPECT_EQ(broken([](PatchPlan& p) { p.sites[1].insn = 0xffffffff; }), EINVAL);
  EXPECT_EQ(broken([](PatchPlan& p) { p.text_filesz = 0x10000; }), EINVAL);
}

// --- Damaged objects ------------------------------------------------------------------------------------------------------------

std::vector<u8> rich_object() {
  return make_object({.text = "488d15f90f0000 48630482 4801d0 ffe0 31ff 4489c8 0f05 483d00f0ffff c3 b827000000 0f05 c3",
                      .data = "0010000000000000 1010000000000000",
                      .sections = true,
                      .symbols = {TEXT_AT, TEXT_AT + 0x1e},
                      .unwind = true});
}

/// Whatever the bytes are: an error, or a plan that fits them and can be built.
void expect_sane(std::span<const u8> object) {
  const Result<PatchPlan> plan = plan_sites(object);
  if (!plan.ok()) {
    EXPECT_EQ(plan.error(), Errno(ENOEXEC));
    return;
  }
  const PatchPlan& p = plan.value();
  ASSERT_LE(p.text_offset + p.text_filesz, object.size());
  u64 end = p.text_vaddr;
  for (const SyscallSite& s : p.sites) {
    ASSERT_GE(s.patch, end);
    end = u64{s.patch} + s.patch_len;
    ASSERT_LE(end, p.text_vaddr + p.text_filesz);
  }
  // A damaged displacement may reach out of the stubs' range; nothing else can be wrong with a plan.
  const Result<PatchedImage> image = build_patched_image(object, p, {-0x20000000});
  EXPECT_TRUE(image.ok() || image.error() == Errno(ERANGE)) << image.error().value();
}

TEST(Damage, EveryPrefix) {
  const std::vector<u8> object = rich_object();
  ASSERT_TRUE(plan_sites(object).ok());
  for (std::size_t n = 0; n <= object.size(); ++n) {
    const std::vector<u8> prefix(object.begin(),
                                 object.begin() + static_cast<s64>(n));  // its own allocation: reads past it are seen
    expect_sane(prefix);
    if (n < DATA_AT) {
      EXPECT_FALSE(plan_sites(prefix).ok()) << n;
    }
  }
}

TEST(Damage, RandomBytes) {
  const std::vector<u8> object = rich_object();
  std::vector<std::pair<std::size_t, std::size_t>> areas = {
      {0, 0x200}, {0x380, 0x394}, {TEXT_AT, TEXT_AT + 40}, {RODATA_AT, RODATA_AT + 88}, {DATA_AT, object.size()}};
  std::mt19937 random(20);
  const auto below = [&](std::size_t n) { return random() % n; };
  int survived = 0;
  for (int round = 0; round < 20000; ++round) {
    std::vector<u8> bad = object;
    for (std::size_t flips = 1 + below(4); flips > 0; --flips) {
      const auto [begin, end] = areas[below(areas.size())];
      bad[begin + below(end - begin)] = static_cast<u8>(below(4) == 0 ? 0xff : random());
    }
    expect_sane(bad);
    survived += plan_sites(bad).ok();
  }
  EXPECT_GT(survived, 5000) << "most damage must reach the code behind the header checks";
}

// --- This machine's libc --------------------------------------------------------------------------------------------------------

struct LoadedObject {
  std::string name;  ///< how its path ends
  uptr base = 0;
  std::string path;
  std::vector<u8> build_id;
};

int find_object(dl_phdr_info* info, std::size_t, void* out) {
  auto* object = static_cast<LoadedObject*>(out);
  if (!std::string_view(info->dlpi_name).ends_with(object->name)) return 0;
  object->base = info->dlpi_addr;
  object->path = info->dlpi_name;
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    const ElfW(Phdr)& p = info->dlpi_phdr[i];
    if (p.p_type != PT_NOTE) continue;
    const u8* at = reinterpret_cast<const u8*>(info->dlpi_addr + p.p_vaddr);
    for (const u8* end = at + p.p_memsz; at < end;) {
      ElfW(Nhdr) n;
      std::memcpy(&n, at, sizeof n);
      const u8* desc = at + sizeof n + round_up(n.n_namesz, 4u);
      if (n.n_type == NT_GNU_BUILD_ID) object->build_id.assign(desc, desc + n.n_descsz);
      at = desc + round_up(n.n_descsz, static_cast<u32>(p.p_align));
    }
  }
  return 1;
}

std::vector<u8> read_file(const std::string& path) {
  std::ifstream f(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(f), {}};
}

constexpr s64 STUB_DELTA = -(s64{512} << 20);

const LoadedObject LIBC{"/libc.so.6", 0, "", {}}, LOADER{"/ld-linux-x86-64.so.2", 0, "", {}};

class ObjectTest : public testing::Test {
 protected:
  void load(const LoadedObject& which) {
    object_ = which;
    dl_iterate_phdr(find_object, &object_);
    if (object_.base == 0) GTEST_SKIP() << "this program has no glibc";
    elf_ = read_file(object_.path);
    Result<PatchPlan> plan = plan_sites(elf_);
    ASSERT_TRUE(plan.ok());
    plan_ = std::move(plan).value();
    // libc's stubs far below, ld.so's in its text's padding with the slots right behind it
    const s64 behind = static_cast<s64>(round_up(load_end(elf_).value(), PAGE_SIZE));
    Result<PatchedImage> image = build_patched_image(elf_, plan_, which.name == LIBC.name ? StubPlace{STUB_DELTA} : StubPlace{behind, true});
    ASSERT_TRUE(image.ok());
    image_ = std::move(image).value();
  }

  LoadedObject object_;
  std::vector<u8> elf_;
  PatchPlan plan_;
  PatchedImage image_;
};

class Libc : public ObjectTest {
 protected:
  void SetUp() override { load(LIBC); }
};
class Loader : public ObjectTest {
 protected:
  void SetUp() override { load(LOADER); }
};
/// What holds for both.
class Object : public ObjectTest, public testing::WithParamInterface<LoadedObject> {
 protected:
  void SetUp() override { load(GetParam()); }
};
INSTANTIATE_TEST_SUITE_P(Sites, Object, testing::Values(LIBC, LOADER),
                         [](const auto& test) { return std::string(test.param.name == LIBC.name ? "Libc" : "Loader"); });

TEST_F(Libc, IsCovered) {
  EXPECT_EQ(plan_.build_id, object_.build_id);
  std::array<std::size_t, 3> kinds{};
  for (const SyscallSite& s : plan_.sites) ++kinds[static_cast<std::size_t>(s.kind)];
  std::cout << object_.path << ": " << plan_.sites.size() << " sites: " << kinds[0] << " mov, " << kinds[1] << " moved before, "
            << kinds[2] << " moved after; " << plan_.skipped.size() << " skipped\n";
  for (const SkippedSite& s : plan_.skipped) std::cout << "  skipped " << std::hex << s.insn << std::dec << ": " << s.why << "\n";
  EXPECT_GT(plan_.sites.size(), 400u);
  EXPECT_GT(kinds[0], 350u);
  ASSERT_GE(plan_.skipped.size(), 1u);
  EXPECT_LE(plan_.skipped.size(), 3u);
  EXPECT_TRUE(
      std::any_of(plan_.skipped.begin(), plan_.skipped.end(), [](const SkippedSite& s) { return s.nr == SYS_rt_sigreturn; }));
}

/// A sweep from a little before `at`, which falls into step with the code by then, finds a syscall instruction there.
bool sweep_finds_syscall(std::span<const u8> text, u32 at) {
  ZydisDecoder decoder;
  ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
  u32 pos = at > 256 ? at - 256 : 0;
  ZydisDecodedInstruction in{};
  while (pos <= at) {
    const bool good = ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&decoder, nullptr, text.data() + pos, text.size() - pos, &in));
    if (pos == at) return good && in.mnemonic == ZYDIS_MNEMONIC_SYSCALL;
    pos += good ? in.length : 1u;
  }
  return false;
}

TEST_P(Object, EverySyscallInstructionIsAccountedFor) {
  std::vector<u32> known;
  for (const SyscallSite& s : plan_.sites) known.push_back(s.insn);
  for (const SkippedSite& s : plan_.skipped) known.push_back(s.insn);
  std::sort(known.begin(), known.end());
  const std::span<const u8> text = std::span<const u8>(elf_).subspan(plan_.text_offset, plan_.text_filesz);
  std::size_t found = 0;
  for (u32 at = 0; at + 1 < text.size(); ++at) {
    if (text[at] != 0x0f || text[at + 1] != 0x05) continue;
    const bool is_known = std::binary_search(known.begin(), known.end(), static_cast<u32>(plan_.text_vaddr) + at);
    found += is_known;
    if (!is_known) {
      EXPECT_FALSE(sweep_finds_syscall(text, at)) << std::hex << plan_.text_vaddr + at;
    }
  }
  EXPECT_EQ(found, known.size());
}

/// Checks one stub against its site with a decoder, not against the emitter's own idea of it.
class StubCheck {
 public:
  StubCheck(const PatchedImage& image, const PatchPlan& plan, const SyscallSite& site)
      : image_(image), site_(site), text_end_(plan.text_vaddr + plan.text_filesz) {}

  void run() {
    const ZydisDisassembledInstruction jump = at(site_.patch);
    ASSERT_EQ(jump.info.mnemonic, ZYDIS_MNEMONIC_JMP);
    ASSERT_EQ(jump.info.length, JUMP_SIZE);
    pc_ = site_.patch + jump.info.length + static_cast<u64>(jump.operands[0].imm.value.s);
    if (image_.stubs.empty())
      ASSERT_GE(pc_, text_end_);
    else
      ASSERT_LT(pc_ - stub_base(), image_.stubs.size());
    if (site_.kind == SiteKind::MovNr) {
      const ZydisDisassembledInstruction mov = next();
      ASSERT_EQ(mov.info.mnemonic, ZYDIS_MNEMONIC_MOV);
      ASSERT_EQ(mov.operands[0].reg.value, ZYDIS_REGISTER_EAX);
      ASSERT_EQ(mov.operands[1].imm.value.s, site_.nr);
    }
    const u32 before = site_.kind == SiteKind::MovNr ? 0 : site_.insn - site_.patch;
    same_as(std::span(site_.moved).first(before), site_.patch);
    const u64 rcx = lea_rcx();
    const ZydisDisassembledInstruction leave = next();
    ASSERT_EQ(leave.info.mnemonic, ZYDIS_MNEMONIC_JMP);
    ASSERT_EQ(absolute(leave, 0), image_.slot_page + 8 * SLOT_TRAP_ENTRY);
    ASSERT_EQ(bytes_at(rcx)[0], 0x0f);
    ASSERT_EQ(bytes_at(rcx)[1], 0x05);
    if (site_.kind != SiteKind::MovedAfter) {
      ASSERT_EQ(rcx, site_.insn);
      return;
    }
    ASSERT_EQ(rcx, pc_);
    next();
    same_as(std::span(site_.moved).subspan(before), site_.insn + SYSCALL_SIZE);
    const ZydisDisassembledInstruction back = next();
    ASSERT_EQ(back.info.mnemonic, ZYDIS_MNEMONIC_JMP);
    ASSERT_EQ(absolute(back, 0), site_.patch + site_.patch_len);
  }

 private:
  u64 stub_base() const { return static_cast<u64>(image_.stub_delta); }
  std::span<const u8> bytes_at(u64 addr) const {
    if (addr - stub_base() < image_.stubs.size()) return std::span(image_.stubs).subspan(addr - stub_base());
    return std::span(image_.text).subspan(addr - image_.text_vaddr);
  }
  static ZydisDisassembledInstruction decode(std::span<const u8> b, u64 addr) {
    ZydisDisassembledInstruction in{};
    EXPECT_TRUE(ZYAN_SUCCESS(ZydisDisassembleIntel(ZYDIS_MACHINE_MODE_LONG_64, addr, b.data(), b.size(), &in)));
    return in;
  }
  ZydisDisassembledInstruction at(u64 addr) const { return decode(bytes_at(addr), addr); }
  ZydisDisassembledInstruction next() {
    const ZydisDisassembledInstruction in = at(pc_);
    pc_ += in.info.length;
    return in;
  }
  static u64 absolute(const ZydisDisassembledInstruction& in, int operand) {
    u64 v = 0;
    EXPECT_TRUE(ZYAN_SUCCESS(ZydisCalcAbsoluteAddress(&in.info, &in.operands[operand], in.runtime_address, &v)));
    return v;
  }
  u64 lea_rcx() {
    const ZydisDisassembledInstruction lea = next();
    EXPECT_EQ(lea.info.mnemonic, ZYDIS_MNEMONIC_LEA);
    EXPECT_EQ(lea.operands[0].reg.value, ZYDIS_REGISTER_RCX);
    return absolute(lea, 1);
  }
  /// The stub goes on with these instructions: as text with absolute addresses, so that encodings may differ and meanings may not.
  void same_as(std::span<const u8> original, u64 addr) {
    while (!original.empty()) {
      const ZydisDisassembledInstruction was = decode(original, addr);
      ASSERT_STREQ(next().text, was.text);
      original = original.subspan(was.info.length);
      addr += was.info.length;
    }
  }

  const PatchedImage& image_;
  const SyscallSite& site_;
  u64 text_end_;
  u64 pc_ = 0;
};

TEST_P(Object, EveryJumpLeadsToAStubThatKeepsTheContract) {
  for (const SyscallSite& s : plan_.sites) {
    SCOPED_TRACE(s.insn);
    StubCheck(image_, plan_, s).run();
    if (HasFatalFailure()) return;
  }
}

TEST_P(Object, OnlyTheSitesChange) {
  std::vector<u8> original(image_.text.size(), 0);
  const u64 from = plan_.text_offset & ~u64{PAGE_SIZE - 1};
  std::copy_n(elf_.begin() + static_cast<s64>(from), std::min<u64>(original.size(), elf_.size() - from), original.begin());
  u64 last = 0;
  for (const SyscallSite& s : plan_.sites) {
    ASSERT_GE(s.patch, last) << "patches are disjoint";
    last = u64{s.patch} + s.patch_len;
    const s64 at = static_cast<s64>(s.patch - image_.text_vaddr);
    std::copy_n(image_.text.begin() + at, s.patch_len, original.begin() + at);
  }
  if (image_.stubs.empty()) original.resize(plan_.text_vaddr + plan_.text_filesz - image_.text_vaddr);
  EXPECT_TRUE(std::equal(original.begin(), original.end(), image_.text.begin()));
  EXPECT_EQ(
      std::memcmp(reinterpret_cast<const void*>(object_.base + plan_.text_vaddr), elf_.data() + plan_.text_offset, plan_.text_filesz),
      0)
      << "the file is what is loaded";
}

TEST_F(Loader, IsCovered) {
  EXPECT_EQ(plan_.build_id, object_.build_id);
  std::array<std::size_t, 3> kinds{};
  std::vector<s32> numbers;
  for (const SyscallSite& s : plan_.sites) {
    ++kinds[static_cast<std::size_t>(s.kind)];
    numbers.push_back(s.nr);
  }
  std::cout << object_.path << ": " << plan_.sites.size() << " sites: " << kinds[0] << " mov, " << kinds[1] << " moved before, " << kinds[2]
            << " moved after; " << plan_.skipped.size() << " skipped\n";
  for (const SkippedSite& s : plan_.skipped) EXPECT_EQ(s.nr, SYS_rt_sigreturn) << std::hex << s.insn << std::dec << ": " << s.why;
  for (s32 nr : {SYS_openat, SYS_read, SYS_mmap, SYS_munmap, SYS_mprotect, SYS_close})
    EXPECT_EQ(std::count(numbers.begin(), numbers.end(), nr), nr == SYS_openat ? 3 : 1) << nr;
}

/// What objdump finds in an object: an opinion of its own, from the symbols and instructions as binutils reads them.
struct Disassembly {
  std::vector<u32> insns, syscalls, targets, returns;  ///< where instructions begin, direct branches lead, calls return to
};
Disassembly disassemble(const std::string& path) {
  Disassembly out;
  FILE* in = popen(("objdump -d --no-show-raw-insn " + path).c_str(), "r");
  if (in == nullptr) return out;
  bool after_call = false;
  for (char line[512]; fgets(line, sizeof line, in) != nullptr;) {
    unsigned addr, target;
    char mnemonic[32] = "";
    if (std::sscanf(line, " %x: %31s", &addr, mnemonic) != 2) continue;
    out.insns.push_back(addr);
    if (after_call) out.returns.push_back(addr);
    const std::string_view name = mnemonic;
    after_call = name == "call";
    if (name == "syscall") out.syscalls.push_back(addr);
    if ((name[0] == 'j' || after_call) && std::sscanf(line, " %*x: %*s %x <", &target) == 1) out.targets.push_back(target);
  }
  return pclose(in) == 0 ? out : Disassembly{};
}

TEST_F(Loader, PaddingIsUsedOnlyWhereItIsEnough) {
  EXPECT_TRUE(image_.stubs.empty()) << "45 stubs of 32 bytes, and half a page of padding";
  EXPECT_EQ(image_.slot_page, static_cast<u64>(image_.stub_delta));
  PatchPlan tight = plan_;
  tight.text_filesz = tight.text_memsz = image_.text.size() - 64;  // as if the text went nearly to the end of its page
  const Result<PatchedImage> apart = build_patched_image(elf_, tight, {image_.stub_delta, true});
  ASSERT_TRUE(apart.ok());
  EXPECT_FALSE(apart->stubs.empty());
  EXPECT_EQ(apart->slot_page, static_cast<u64>(apart->stub_delta) + apart->stubs.size());
  for (const SyscallSite& s : tight.sites) StubCheck(*apart, tight, s).run();
  EXPECT_EQ(build_patched_image(elf_, plan_, {0, true}).error().value(), EINVAL) << "the slots would overlap the object";
}

/// The text is replaced while functions of ld.so are on the stack, and other threads' calls may return into libc at any time later.
TEST_P(Object, NothingButTheFirstByteOfAPatchIsEverReached) {
  Disassembly seen = disassemble(object_.path);
  if (seen.insns.empty()) GTEST_SKIP() << "no objdump";
  ASSERT_GT(seen.returns.size(), 500u);
  ASSERT_GT(seen.targets.size(), 2000u);
  std::sort(seen.insns.begin(), seen.insns.end());
  for (const SyscallSite& s : plan_.sites) {
    SCOPED_TRACE(s.insn);
    EXPECT_TRUE(std::binary_search(seen.insns.begin(), seen.insns.end(), s.patch));
    EXPECT_TRUE(std::binary_search(seen.insns.begin(), seen.insns.end(), s.patch + s.patch_len));
    const auto inside = [&](u32 at) { return at > s.patch && at < s.patch + s.patch_len; };
    EXPECT_TRUE(std::none_of(seen.returns.begin(), seen.returns.end(), inside)) << "a call returns into it";
    EXPECT_TRUE(std::none_of(seen.targets.begin(), seen.targets.end(), inside)) << "a branch leads into it";
  }
  std::vector<u32> known;
  for (const SyscallSite& s : plan_.sites) known.push_back(s.insn);
  for (const SkippedSite& s : plan_.skipped) known.push_back(s.insn);
  std::sort(known.begin(), known.end());
  std::sort(seen.syscalls.begin(), seen.syscalls.end());
  for (u32 at : seen.syscalls) EXPECT_TRUE(std::binary_search(known.begin(), known.end(), at)) << std::hex << at;
  EXPECT_EQ(seen.syscalls.size(), known.size());
}

// --- A process that lives on a patched libc -------------------------------------------------------------------------------------
//
// A forked child maps stubs, slots and the patched text over its own libc, with raw syscalls only, and then uses libc hard. Slot 0
// counts calls per number; the table is shared, so that forked children of the child count too. Each check compares exact counts.

constexpr u64 COUNTERS = 1024;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SKEP_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define SKEP_SANITIZED 1
#endif
#endif

}  // namespace
}  // namespace skep::probes

extern "C" {
/// Counters by syscall number; where the last read's syscall instruction is; the fd whose reads are answered with 0.
__attribute__((visibility("hidden"))) skep::u64* skep_sites_test_counts = nullptr;
__attribute__((visibility("hidden"))) skep::u64 skep_sites_test_read_insn = 0;
__attribute__((visibility("hidden"))) skep::s64 skep_sites_test_fake_fd = -1;
void skep_sites_test_entry();
}
// Touches rcx, r11 and flags only, as the syscall instruction does. getppid and reads of the fake fd are answered here.
asm(R"(
  .pushsection .text
  .type skep_sites_test_entry, @function
  .globl skep_sites_test_entry
  .hidden skep_sites_test_entry
skep_sites_test_entry:
  cmp $1023, %rax
  ja 9f
  mov skep_sites_test_counts(%rip), %r11
  lock incq (%r11,%rax,8)
  cmp $110, %rax
  je 1f
  test %rax, %rax
  jne 9f
  mov %rcx, skep_sites_test_read_insn(%rip)
  cmp %rdi, skep_sites_test_fake_fd(%rip)
  jne 9f
  xor %eax, %eax
  jmp 2f
1:mov $4242, %eax
2:lea 2(%rcx), %r11
  jmp *%r11
9:jmp *%rcx
  .size skep_sites_test_entry, . - skep_sites_test_entry
  .popsection
)");

namespace skep::probes {
namespace {

long raw_syscall6(long nr, long a, long b, long c, long d, long e, long f) {
  register long r10 asm("r10") = d;
  register long r8 asm("r8") = e;
  register long r9 asm("r9") = f;
  long ret;
  asm volatile("syscall" : "=a"(ret) : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
  return ret;
}
bool raw_map(uptr at, u64 size, int prot, int flags, int fd) {
  return raw_syscall6(SYS_mmap, static_cast<long>(at), static_cast<long>(size), prot, flags, fd, 0) == static_cast<long>(at);
}

int memfd_of(std::span<const u8> bytes) {
  const int fd = memfd_create("sites_test", MFD_CLOEXEC);
  if (fd < 0 || write(fd, bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size())) return -1;
  return fd;
}

/// Maps the image over an object of this process. Nothing here may call libc from the first mapping on.
bool live_on(const PatchedImage& image, uptr base) {
  const int text = memfd_of(image.text), stubs = memfd_of(image.stubs);
  void* counts = mmap(nullptr, COUNTERS * 8, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (text < 0 || stubs < 0 || counts == MAP_FAILED) return false;
  skep_sites_test_counts = static_cast<u64*>(counts);
  const uptr stubs_at = base + static_cast<uptr>(image.stub_delta), slots_at = base + image.slot_page;
  const u64 stubs_size = image.stubs.size();
  if ((stubs_size != 0 && !raw_map(stubs_at, stubs_size, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED_NOREPLACE, stubs)) ||
      !raw_map(slots_at, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1))
    return false;
  reinterpret_cast<void (**)()>(slots_at)[SLOT_TRAP_ENTRY] = skep_sites_test_entry;
  return raw_map(base + image.text_vaddr, image.text.size(), PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, text);
}

/// In the child: says what failed and leaves.
#define REQUIRE_CHILD(cond)                                                   \
  do {                                                                        \
    if (!(cond)) {                                                            \
      dprintf(2, "%s:%d: %s (errno %d)\n", __FILE__, __LINE__, #cond, errno); \
      _exit(1);                                                               \
    }                                                                         \
  } while (0)

u64 count_of(long nr) { return __atomic_load_n(&skep_sites_test_counts[nr], __ATOMIC_SEQ_CST); }
/// How many calls of a number were made since.
class Since {
 public:
  explicit Since(long nr) : nr_(nr), start_(count_of(nr)) {}
  u64 calls() const { return count_of(nr_) - start_; }

 private:
  long nr_;
  u64 start_;
};

bool exited(int status, int code) { return WIFEXITED(status) && WEXITSTATUS(status) == code; }

void live_plain_calls() {
  const Since getpids(SYS_getpid), gettids(SYS_gettid), getppids(SYS_getppid), sleeps(SYS_clock_nanosleep);
  const pid_t pid = static_cast<pid_t>(raw_syscall6(SYS_getpid, 0, 0, 0, 0, 0, 0));
  for (int i = 0; i < 100; ++i) REQUIRE_CHILD(syscall(SYS_getpid) == pid);
  for (int i = 0; i < 7; ++i) REQUIRE_CHILD(getpid() == pid);
  for (int i = 0; i < 3; ++i) REQUIRE_CHILD(gettid() == pid);
  for (int i = 0; i < 50; ++i) REQUIRE_CHILD(getppid() == 4242);            // answered at rcx + 2, behind a mov
  for (int i = 0; i < 5; ++i) REQUIRE_CHILD(syscall(SYS_getppid) == 4242);  // and behind moved instructions
  errno = 0;
  REQUIRE_CHILD(syscall(SYS_close, -1) == -1 && errno == EBADF);
  const timespec ms{0, 1000000};
  REQUIRE_CHILD(nanosleep(&ms, nullptr) == 0);
  REQUIRE_CHILD(getpids.calls() == 107 && gettids.calls() == 3 && getppids.calls() == 55 && sleeps.calls() == 1);

  const Since maps(SYS_mmap), unmaps(SYS_munmap), brks(SYS_brk);
  void* page = mmap(nullptr, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  REQUIRE_CHILD(page != MAP_FAILED && munmap(page, PAGE_SIZE) == 0);
#ifndef SKEP_SANITIZED                       // sanitizers have a mmap and a malloc of their own
  void* volatile large = malloc(64u << 20);  // more than malloc's mmap threshold can grow to
  REQUIRE_CHILD(large != nullptr);
  std::memset(large, 1, PAGE_SIZE);
  free(large);
  REQUIRE_CHILD(maps.calls() == 2 && unmaps.calls() == 2);
  REQUIRE_CHILD(sbrk(4096) != reinterpret_cast<void*>(-1) && sbrk(-4096) != reinterpret_cast<void*>(-1) && brks.calls() == 2);
#endif
}

void live_files() {
  int p[2];
  REQUIRE_CHILD(pipe(p) == 0);
  const Since reads(SYS_read), writes(SYS_write), opens(SYS_openat);
  char buf[64];
  for (int i = 0; i < 20; ++i) REQUIRE_CHILD(write(p[1], "hello", 5) == 5 && read(p[0], buf, sizeof buf) == 5);
  REQUIRE_CHILD(reads.calls() == 20 && writes.calls() == 20);
  FILE* out = fdopen(p[1], "w");
  fprintf(out, "%s %d %.2f\n", "text", 42, 2.5);
  REQUIRE_CHILD(fflush(out) == 0 && writes.calls() == 21);
  REQUIRE_CHILD(read(p[0], buf, sizeof buf) == 13 && std::memcmp(buf, "text 42 2.50\n", 13) == 0);
  fclose(out);
  close(p[0]);

  // "c" makes stdio read without cancellation points: a site whose syscall was moved into its stub.
  FILE* zero = fopen("/dev/zero", "rce");
  REQUIRE_CHILD(zero != nullptr && fgetc(zero) == 0);
  FILE* fake = fopen("/dev/zero", "rce");
  skep_sites_test_fake_fd = fileno(fake);
  REQUIRE_CHILD(fgetc(fake) == EOF && feof(fake));
  skep_sites_test_fake_fd = -1;
  fclose(zero);
  fclose(fake);
  REQUIRE_CHILD(opens.calls() == 2);

  const int ep = epoll_create1(EPOLL_CLOEXEC);
  REQUIRE_CHILD(pipe(p) == 0);
  const Since waits(SYS_epoll_wait), polls(SYS_poll);
  epoll_event ev{EPOLLIN, {.fd = p[0]}}, got{};
  REQUIRE_CHILD(epoll_ctl(ep, EPOLL_CTL_ADD, p[0], &ev) == 0);
  REQUIRE_CHILD(epoll_wait(ep, &got, 1, 0) == 0);
  REQUIRE_CHILD(write(p[1], "x", 1) == 1 && epoll_wait(ep, &got, 1, -1) == 1 && got.data.fd == p[0]);
  pollfd pfd{p[0], POLLIN, 0};
  REQUIRE_CHILD(poll(&pfd, 1, -1) == 1);
  REQUIRE_CHILD(waits.calls() == 2 && polls.calls() == 1);
  close(p[0]);
  close(p[1]);
  close(ep);
}

void live_children() {
  int status;
  {
    const Since forks(SYS_clone), exits(SYS_exit_group), waits(SYS_wait4);
    const pid_t child = fork();
    if (child == 0) _exit(getppid() == 4242 ? 7 : 8);
    REQUIRE_CHILD(child > 0 && waitpid(child, &status, 0) == child && exited(status, 7));
    REQUIRE_CHILD(forks.calls() == 1 && exits.calls() == 1 && waits.calls() == 1);
  }
  {
    const Since vforks(SYS_vfork), execs(SYS_execve);
    for (int i = 0; i < 5; ++i) {
      const pid_t child = vfork();
      if (child == 0) {
        execl("/bin/sh", "sh", "-c", "exit 9", nullptr);
        _exit(1);
      }
      REQUIRE_CHILD(child > 0 && waitpid(child, &status, 0) == child && exited(status, 9));
    }
    REQUIRE_CHILD(vforks.calls() == 5 && execs.calls() == 5);
  }
  {
    const Since execs(SYS_execve), clones(SYS_clone), clone3s(SYS_clone3);
    char sh[] = "sh", flag[] = "-c", command[] = "exit 11";
    char* argv[] = {sh, flag, command, nullptr};
    pid_t child;
    REQUIRE_CHILD(posix_spawn(&child, "/bin/sh", nullptr, nullptr, argv, environ) == 0);
    REQUIRE_CHILD(waitpid(child, &status, 0) == child && exited(status, 11));
    REQUIRE_CHILD(execs.calls() == 1 && clones.calls() + clone3s.calls() >= 1);
    REQUIRE_CHILD(exited(system("exit 3"), 3));
    FILE* hello = popen("echo hello", "r");
    char line[16] = {};
    REQUIRE_CHILD(hello != nullptr && fgets(line, sizeof line, hello) != nullptr && std::strcmp(line, "hello\n") == 0);
    REQUIRE_CHILD(exited(pclose(hello), 0));
    REQUIRE_CHILD(execs.calls() == 3);
  }
}

int wake_fd = -1;
std::atomic<int> alarms{0};
/// The second alarm makes the interrupted read succeed when it is restarted, if there is a wake_fd.
void on_alarm(int) {
  if (++alarms == 2 && wake_fd >= 0 && write(wake_fd, "!", 1) != 1) _exit(2);
}
void start_alarms(int flags, int fd) {
  alarms = 0;
  wake_fd = fd;
  struct sigaction sa {};
  sa.sa_handler = on_alarm;
  sa.sa_flags = flags;
  REQUIRE_CHILD(sigaction(SIGALRM, &sa, nullptr) == 0);
  const itimerval every_ms{{0, 5000}, {0, 5000}};
  REQUIRE_CHILD(setitimer(ITIMER_REAL, &every_ms, nullptr) == 0);
}
void stop_alarms() {
  const itimerval never{};
  REQUIRE_CHILD(setitimer(ITIMER_REAL, &never, nullptr) == 0);
}

void live_signals(uptr stubs_at, u64 stubs_size) {
  int p[2];
  REQUIRE_CHILD(pipe(p) == 0);
  char c;
  {
    start_alarms(SA_RESTART, p[1]);
    const Since reads(SYS_read);
    REQUIRE_CHILD(read(p[0], &c, 1) == 1 && alarms >= 2);
    REQUIRE_CHILD(reads.calls() == 1);  // a restart goes to the syscall, not through the stub
    stop_alarms();
  }
  {
    start_alarms(0, -1);
    REQUIRE_CHILD(read(p[0], &c, 1) == -1 && errno == EINTR);
    stop_alarms();
  }
  {  // restarted in a stub: "c" makes stdio use the read whose syscall was moved
    char path[32];
    std::snprintf(path, sizeof path, "/proc/self/fd/%d", p[0]);
    FILE* f = fopen(path, "rce");
    REQUIRE_CHILD(f != nullptr && setvbuf(f, nullptr, _IONBF, 0) == 0);
    start_alarms(SA_RESTART, p[1]);
    const Since reads(SYS_read);
    REQUIRE_CHILD(fgetc(f) == '!' && alarms >= 2);
    stop_alarms();
    REQUIRE_CHILD(reads.calls() == 1);
    REQUIRE_CHILD(skep_sites_test_read_insn - stubs_at < stubs_size);
    fclose(f);
  }
  close(p[0]);
  close(p[1]);

  // A stop and a continue in the middle of a relative sleep: the kernel changes rax to restart_syscall and goes back two bytes.
  const Since sleeps(SYS_clock_nanosleep), restarts(SYS_restart_syscall);
  const pid_t self = getpid();
  const pid_t helper = fork();
  if (helper == 0) {
    const timespec ms{0, 10000000};
    nanosleep(&ms, nullptr);
    kill(self, SIGSTOP);
    nanosleep(&ms, nullptr);
    kill(self, SIGCONT);
    _exit(0);
  }
  const timespec longer{0, 60000000};
  REQUIRE_CHILD(nanosleep(&longer, nullptr) == 0);
  int status;
  REQUIRE_CHILD(waitpid(helper, &status, 0) == helper && exited(status, 0));
  REQUIRE_CHILD(sleeps.calls() == 3 && restarts.calls() == 0);
}

// Threads: each blocks in a call, is cancelled there, and must run its destructors.
struct Blocked {
  int fd = -1;
  enum { READ, RECV, POLL, SLEEP, SUSPEND } how = READ;
  std::atomic<pid_t> tid{0};
  std::atomic<int> destroyed{0};
};
struct Guard {
  Blocked* b;
  ~Guard() { ++b->destroyed; }
};
__attribute__((noinline)) void block(Blocked* b) {
  Guard inner{b};
  char c;
  pollfd p{b->fd, POLLIN, 0};
  const timespec forever{1000, 0};
  sigset_t none;
  sigemptyset(&none);
  switch (b->how) {
    case Blocked::READ:
      (void)!read(b->fd, &c, 1);
      break;
    case Blocked::RECV:
      recv(b->fd, &c, 1, 0);
      break;
    case Blocked::POLL:
      poll(&p, 1, -1);
      break;
    case Blocked::SLEEP:
      nanosleep(&forever, nullptr);
      break;
    case Blocked::SUSPEND:
      sigsuspend(&none);
      break;
  }
}
void* thread_main(void* arg) {
  auto* b = static_cast<Blocked*>(arg);
  Guard outer{b};
  b->tid = gettid();
  block(b);
  return nullptr;
}
/// True when the kernel says that the thread sleeps.
bool asleep(pid_t tid) {
  char path[64], text[256] = {};
  std::snprintf(path, sizeof path, "/proc/self/task/%d/stat", tid);
  const int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const ssize_t n = read(fd, text, sizeof text - 1);
  close(fd);
  const char* after_name = n > 0 ? std::strrchr(text, ')') : nullptr;
  return after_name != nullptr && after_name[2] == 'S';
}

void live_threads() {
  const Since clones(SYS_clone3), old_clones(SYS_clone), kills(SYS_tgkill);
  u64 threads = 0;
  for (const auto how : {Blocked::READ, Blocked::RECV, Blocked::POLL, Blocked::SLEEP, Blocked::SUSPEND}) {
    for (int round = 0; round < 3; ++round, ++threads) {
      int pair[2];
      REQUIRE_CHILD(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
      Blocked b;
      b.fd = pair[0];
      b.how = how;
      pthread_t t;
      REQUIRE_CHILD(pthread_create(&t, nullptr, thread_main, &b) == 0);
      while (b.tid == 0 || !asleep(b.tid)) sched_yield();
      REQUIRE_CHILD(pthread_cancel(t) == 0);
      void* result;
      REQUIRE_CHILD(pthread_join(t, &result) == 0 && result == PTHREAD_CANCELED);
      REQUIRE_CHILD(b.destroyed == 2);
      close(pair[0]);
      close(pair[1]);
    }
  }
  REQUIRE_CHILD(kills.calls() == threads);
  REQUIRE_CHILD(clones.calls() == threads || old_clones.calls() == threads);

  // Many threads at once, contending: futexes through every form.
  struct Shared {
    pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_cond_t cond = PTHREAD_COND_INITIALIZER;
    pthread_barrier_t barrier;
    int turn = 0;
  } shared;
  constexpr int THREADS = 4, ROUNDS = 200;
  REQUIRE_CHILD(pthread_barrier_init(&shared.barrier, nullptr, THREADS) == 0);
  struct Worker {
    Shared* s;
    int id;
  } workers[THREADS];
  pthread_t ids[THREADS];
  const Since gettids(SYS_gettid);
  for (int i = 0; i < THREADS; ++i) {
    workers[i] = {&shared, i};
    const auto run = [](void* arg) -> void* {
      const auto* w = static_cast<Worker*>(arg);
      pthread_barrier_wait(&w->s->barrier);
      for (int n = 0; n < ROUNDS; ++n) {
        pthread_mutex_lock(&w->s->mutex);
        while (w->s->turn % THREADS != w->id) pthread_cond_wait(&w->s->cond, &w->s->mutex);
        ++w->s->turn;
        gettid();
        pthread_cond_broadcast(&w->s->cond);
        pthread_mutex_unlock(&w->s->mutex);
      }
      return nullptr;
    };
    REQUIRE_CHILD(pthread_create(&ids[i], nullptr, run, &workers[i]) == 0);
  }
  for (pthread_t id : ids) REQUIRE_CHILD(pthread_join(id, nullptr) == 0);
  REQUIRE_CHILD(shared.turn == THREADS * ROUNDS && gettids.calls() == THREADS * ROUNDS);
}

TEST_F(Libc, AProcessLivesOnIt) {
  ASSERT_EQ(plan_.build_id, object_.build_id);
  std::cout.flush();
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    alarm(60);
    const uptr stubs_at = object_.base + static_cast<uptr>(image_.stub_delta);
    REQUIRE_CHILD(live_on(image_, object_.base));
    live_plain_calls();
    live_files();
    live_children();
    live_signals(stubs_at, image_.stubs.size());
    live_threads();
    const pid_t leaver = fork();
    if (leaver == 0) syscall(SYS_exit, 5);
    int status;
    REQUIRE_CHILD(waitpid(leaver, &status, 0) == leaver && exited(status, 5));
    _exit(0);
  }
  int status;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(exited(status, 0)) << (WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "a check failed in the child");
}

/// Loads a library that has not been loaded, and unloads it.
void live_loading() {
  const Since opens(SYS_openat), reads(SYS_read), maps(SYS_mmap), unmaps(SYS_munmap), closes(SYS_close);
  for (u64 i = 1; i <= 20; ++i) {
    void* handle = dlopen("libnobody_has_it.so", RTLD_NOW);  // left by a long jump, after a walk along the path
    REQUIRE_CHILD(handle == nullptr && dlerror() != nullptr);
    handle = dlopen("libnss_compat.so.2", RTLD_NOW);
    REQUIRE_CHILD(handle != nullptr && dlsym(handle, "_nss_compat_setgrent") != nullptr);
    REQUIRE_CHILD(dlclose(handle) == 0);
    REQUIRE_CHILD(reads.calls() == i && unmaps.calls() >= i && maps.calls() >= 2 * i && closes.calls() >= i);
  }
  REQUIRE_CHILD(opens.calls() >= 40);
}

TEST_F(Loader, AProcessLivesOnIt) {
  ASSERT_EQ(plan_.build_id, object_.build_id);
  std::cout.flush();
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    alarm(60);
    REQUIRE_CHILD(live_on(image_, object_.base));
    live_loading();
    pthread_t thread;
    const auto load = [](void*) -> void* {
      live_loading();
      return nullptr;
    };
    REQUIRE_CHILD(pthread_create(&thread, nullptr, load, nullptr) == 0 && pthread_join(thread, nullptr) == 0);
    _exit(0);
  }
  int status;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(exited(status, 0)) << (WIFSIGNALED(status) ? strsignal(WTERMSIG(status)) : "a check failed in the child");
}

}  // namespace
}  // namespace skep::probes
