// tests/verifier: programs as text, in the syntax of the kernel's verifier log and of bpftool's xlated dumps, plus labels.
//
//   [N:] [(OPCODE)] INSN     N is checked against the place, the opcode (two hex digits) against what was assembled
//   NAME:                    a label; jumps, calls and subprog[] name it, or say +N, or pc+N
//   times N INSN             the same instruction N times
//
//   r1 = 5   w1 = r2   r1 s>>= 3   r1 = -r1   r1 = be16 r1   r1 = bswap64 r1   r1 = (s8)r2
//   r1 = 0x1122334455667788 ll   r1 = map[m]   r1 = map[m][0]+8   r2 = subprog[callback]
//   r1 = *(s16 *)(r2 +4)   *(u8 *)(r10 -1) = r2   *(u64 *)(r10 -8) = 7   r0 = *(u16 *)skb[12]   r0 = *(u16 *)skb[r7 + 2]
//   lock *(u64 *)(r1 +0) += r2   r2 = atomic64_fetch_add((u64 *)(r1 +0), r2)   r0 = atomic_cmpxchg((u32 *)(r1 +0), r0, r2)
//   if r1 s> -1 goto L   if w1 & w2 goto +3   goto L   gotol L   may_goto L
//   call map_lookup_elem#1   call #5   call callback   exit
//   insn 0x18 1 0 0 5        any five fields: code, dst, src, off, imm
#pragma once

#include <linux/bpf.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace skep::cases {

struct SourceLine {
  int number = 0;
  std::string text;
};

/// A message for people with the line of the file it is about.
struct Problem {
  int line = 0;
  std::string what;
  explicit operator bool() const { return !what.empty(); }
};

struct MapUse {
  std::size_t insn = 0;  ///< the LD_IMM64 whose imm becomes the map's fd
  std::string map;
  int line = 0;
};

struct Text {
  std::vector<struct bpf_insn> insns;
  std::vector<MapUse> map_uses;
  std::map<std::string, std::size_t> labels;
};

/// What could not be read, if anything.
Problem assemble(const std::vector<SourceLine>& lines, Text* text);

}  // namespace skep::cases
