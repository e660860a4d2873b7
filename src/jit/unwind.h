// jit: compiled code as debuggers and profilers see it: from each instruction the way to the caller, and what functions are called.
// Host only, and only when somebody asks.
#pragma once
#include <array>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "shm/layout.h"

namespace skep {

/// The registers that a function gives back as they were, by DWARF's numbers. Source: System V ABI, AMD64 supplement, figure 3.36
constexpr u8 UNWIND_REGS[] = {3, 6, 12, 13, 14, 15};  // rbx, rbp, r12 to r15

/// From `at` on (an offset in the block), until the next row: the frame begins at rsp + `cfa`, right above the return address.
struct UnwindRow {
  u32 at, cfa;
  /// Where the caller's value of UNWIND_REGS[i] is: at frame - saved[i]; 0: in the register.
  std::array<u32, std::size(UNWIND_REGS)> saved;
};

/// A function's rows, ascending, the first at `begin`. They are read from the instructions themselves, along all ways through the function,
/// those over `faults` too, so they are right between any two of them. EINVAL: this is not code that can be followed, or not code of a
/// function that keeps the registers that are its caller's: two ways meet with different frames, say.
Result<std::vector<UnwindRow>> unwind_rows(std::span<const u8> code, u32 begin, u32 end, std::span<const CodeFault> faults);

/// A function as it is shown.
struct ShownFunction {
  u64 addr;
  u32 size;
  std::string name;
  std::vector<UnwindRow> rows;  ///< offsets from addr; none: nothing is told of its frame
};

/// How an FDE names its function: by the address itself, or relative to the place of that word.
enum class EhPointer : u8 { Absolute, Relative };

/// .eh_frame of functions, with its terminator. `at`: the address that it is to have, for Relative.
std::vector<u8> eh_frame(std::span<const ShownFunction> functions, EhPointer pointer, u64 at = 0);

/// An ELF file in memory, as GDB's JIT interface wants it: a section `text` of that address and size which holds nothing, a symbol for each
/// function, .eh_frame. `code` false: data, and its functions are objects.
std::vector<u8> elf_image(const char* text, u64 addr, u64 size, bool code, std::span<const ShownFunction> functions);

}  // namespace skep
