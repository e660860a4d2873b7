// probes: every `syscall` instruction of a shared object, and how a five-byte jump can divert it.
//
// Pure over bytes: nothing is mapped or run here. Host only (Zydis, allocation). A site is planned only where the rewrite is
// provably invisible to the program: no known way into the code may enter the bytes that the jump replaces. Everything else is
// listed with its reason.
//
//   MovNr         mov $nr,%eax | syscall       the jump replaces the mov; the syscall stays, and the stub goes on there
//                 ^^^^^^^^^^^^
//   MovedBefore   a; b; c      | syscall       the jump replaces a..c, which the stub runs first; the syscall stays as above
//                 ^^^^^^^
//   MovedAfter    [a;] syscall; b; c           the jump replaces all; the stub has a, its own syscall, b, c and a jump back
//                 ^^^^^^^^^^^^^^^^^^
//
// The first two are preferred because a restarted syscall (RIP - 2), an unwinder and a debugger then see the original code.
#pragma once
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/types.h"

namespace skep::probes {

/// `jmp rel32`.
constexpr u32 JUMP_SIZE = 5;
/// `syscall` (0f 05).
constexpr u32 SYSCALL_SIZE = 2;

enum class SiteKind { MovNr, MovedBefore, MovedAfter };

/// One syscall instruction that can be diverted. Addresses are relative to the load base.
struct SyscallSite {
  u32 insn;       ///< of the syscall instruction
  u32 patch;      ///< where the jump goes; insn - 5 for MovNr
  u32 patch_len;  ///< bytes replaced, >= 5; those behind the jump are never executed
  SiteKind kind;
  s32 nr;  ///< the syscall's number where the code before it shows it, else -1 (rax has it at the stub either way)
  /// The original bytes of [patch, patch + patch_len) except the syscall instruction itself; empty for MovNr.
  std::vector<u8> moved;
};

/// One syscall instruction that is left alone.
struct SkippedSite {
  u32 insn;
  s32 nr;
  std::string why;
};

/// What build_patched_image() needs to know. Sites are sorted by insn and their patches are disjoint.
struct PatchPlan {
  std::vector<SyscallSite> sites;
  std::vector<SkippedSite> skipped;
  std::vector<u8> build_id;                              ///< empty when the object has none
  u64 text_vaddr, text_offset, text_filesz, text_memsz;  ///< of the one executable PT_LOAD
};

/// Plans all sites of `elf`, the bytes of an x86-64 shared object. ENOEXEC when it is not one, has not exactly one executable
/// PT_LOAD, or its program headers point outside of it. Damaged section headers, symbols or unwind tables are no error: they only
/// say less about where code begins.
Result<PatchPlan> plan_sites(std::span<const u8> elf);
/// Where the last PT_LOAD of `elf` ends, relative to the load base. ENOEXEC as plan_sites().
Result<u64> load_end(std::span<const u8> elf);

namespace detail {

/// What an instruction does to the flow of control, as far as moving it matters.
enum class Flow : u8 {
  Next,      ///< falls through: can be moved
  Jcc,       ///< conditional direct jump: can be moved when encoded anew
  Jmp,       ///< direct jump: the same
  Call,      ///< direct or indirect: its return address would change
  Indirect,  ///< jump through a register or memory
  Syscall,
  Other,  ///< ret, loop, hlt, int3, undecodable bytes: never moved
};

struct Insn {
  u32 addr;
  u8 len = 1;
  Flow flow = Flow::Other;
  u32 target = 0;       ///< of a direct branch or a RIP-relative operand
  u8 cond = 0;          ///< Jcc: the low nibble of its opcode
  u8 rip_disp = 0;      ///< offset of a RIP-relative operand's disp32 in the instruction, 0 when it has none
  bool branch = false;  ///< `target` is a branch target
  bool lea = false;     ///< the instruction is lea
  bool add64 = false;   ///< the instruction is a 64-bit add: the step before a jump through a table of offsets
  bool certain = true;  ///< false where two readings of the bytes disagree on where instructions begin
  u32 end() const { return addr + len; }
};

/// Decodes the instruction at the start of `code`, which is at `addr`. An undecodable byte is an Insn of length 1 and Flow::Other.
Insn decode_insn(std::span<const u8> code, u32 addr);

struct Range {
  u32 begin, end;
};
struct Bytes {
  u32 vaddr;
  std::span<const u8> bytes;
};

/// All that is known about a piece of code besides its own instructions.
struct CodeFacts {
  std::vector<Bytes> code;       ///< executable sections: sorted, disjoint
  std::vector<Bytes> rodata;     ///< where jump tables may be
  std::vector<u32> starts;       ///< functions: instructions begin there, and they may be entered
  std::vector<u32> entries;      ///< other addresses that may be entered: landing pads, pointers in data
  std::vector<Range> functions;  ///< extents; nothing that crosses one's end is replaced
  std::vector<Range> frames;     ///< code that unwinders know by its bytes (signal frames): left alone
};

struct SitePlan {
  std::vector<SyscallSite> sites;
  std::vector<SkippedSite> skipped;
};
SitePlan plan_code(CodeFacts facts);

}  // namespace detail
}  // namespace skep::probes
