// tests/fuzz: a program as it is made, judged, run, shrunk and shown.
#pragma once
#include <string>
#include <vector>

#include "isa/insn.h"

namespace skep::fuzz {

/// The maps that every program may name, by "descriptors" MAP_FD_BASE + index.
enum MapIndex : u32 {
  MAP_ARRAY16,   ///< ARRAY, 4 values of 16 bytes
  MAP_ARRAY1,    ///< ARRAY, 1 value of 40 bytes
  MAP_HASH8,     ///< HASH, key 4, value 8, 4 entries
  MAP_HASH24,    ///< HASH, key 8, value 24, 3 entries
  MAP_RINGBUF,   ///< one page
  MAP_PROGS,     ///< PROG_ARRAY, 2 slots, the first holds a program
  MAP_CONSTANT,  ///< ARRAY, 1 value of 32 bytes, RDONLY_PROG and frozen
  MAP_QUEUE,     ///< QUEUE of 8-byte values
  MAP_OUTER,     ///< ARRAY_OF_MAPS, 2 slots, inner maps like MAP_ARRAY16
  MAP_COUNT,
};
constexpr s32 MAP_FD_BASE = 100;

struct MapShape {
  u32 type, key_size, value_size, max_entries, map_flags;
};
constexpr MapShape MAP_SHAPES[MAP_COUNT] = {
    {BPF_MAP_TYPE_ARRAY, 4, 16, 4, 0},
    {BPF_MAP_TYPE_ARRAY, 4, 40, 1, 0},
    {BPF_MAP_TYPE_HASH, 4, 8, 4, 0},
    {BPF_MAP_TYPE_HASH, 8, 24, 3, 0},
    {BPF_MAP_TYPE_RINGBUF, 0, 0, 4096, 0},
    {BPF_MAP_TYPE_PROG_ARRAY, 4, 4, 2, 0},
    {BPF_MAP_TYPE_ARRAY, 4, 32, 1, BPF_F_RDONLY_PROG},
    {BPF_MAP_TYPE_QUEUE, 0, 8, 4, 0},
    {BPF_MAP_TYPE_ARRAY_OF_MAPS, 4, 4, 2, 0},
};

struct Program {
  u32 type = BPF_PROG_TYPE_SOCKET_FILTER;
  u32 flags = 0;           ///< attr.prog_flags
  bool privileged = true;  ///< with CAP_BPF and CAP_PERFMON
  std::vector<bpf_insn> insns;
};

/// One line of facts, then one line for each instruction.
std::string to_text(const Program& program);
/// A file of the corpus: type, flags, privileged as u32 each, then instructions. Bytes that make no whole instruction are dropped.
Program from_bytes(const u8* bytes, std::size_t size);
std::string to_bytes(const Program& program);

/// Without the instruction at `at` (both halves of an LD_IMM64). Jumps and calls over it are adjusted, those to it lead to what
/// follows.
Program without(const Program& program, u32 at);

/// The program with all instructions taken out that `fails` does not need.
template <typename Fails>
Program shrunk(const Program& program, Fails&& fails) {
  Program best = program;
  for (bool smaller = true; smaller;) {
    smaller = false;
    for (u32 at = static_cast<u32>(best.insns.size()); at-- > 0;) {
      if (at > 0 && is_ldimm64(best.insns[at - 1])) continue;  // a second half
      const Program tried = without(best, at);
      if (tried.insns.empty() || !fails(tried)) continue;
      best = tried;
      smaller = true;
    }
  }
  return best;
}

}  // namespace skep::fuzz
