#include "verify_programs.h"

#include <fmt/format.h>

#include <cstring>

#include "btf/btf.h"
#include "progtypes/func_ids.h"

namespace skep::bench {
namespace {

using namespace test;
using Insns = test::Prog;

LoadedProgram named(std::string name, Insns insns, u32 type = BPF_PROG_TYPE_SOCKET_FILTER) {
  LoadedProgram p;
  p.name = std::move(name);
  std::memset(&p.attr, 0, sizeof p.attr);
  p.attr.prog_load.prog_type = type;
  p.insns = std::move(insns);
  return p;
}

void append(Insns* to, const Insns& more) { to->insert(to->end(), more.begin(), more.end()); }

Insns repeat(u32 times, const Insns& body) {
  Insns out;
  for (u32 i = 0; i < times; ++i) append(&out, body);
  return out;
}

const Insns RETURN_0 = {mov(0, 0), exit_()};
constexpr u32 DATA = 76, DATA_END = 80;  ///< of __sk_buff

LoadedProgram empty() { return named("empty", RETURN_0); }

/// Two unknown numbers, then arithmetic of all kinds on them.
LoadedProgram alu(u32 insns) {
  const Insns start = {movr(6, 1), ldx(BPF_W, 7, 6, 0), ldx(BPF_W, 8, 6, 4)};
  const Insns body = {alu64k(BPF_ADD, 7, 3),    alu64x(BPF_ADD, 7, 8),    alu64k(BPF_AND, 7, 0xffff),
                      alu32k(BPF_OR, 8, 5),     alu64k(BPF_LSH, 7, 3),    alu64x(BPF_XOR, 8, 7),
                      alu32x(BPF_SUB, 8, 7),    alu64k(BPF_RSH, 8, 2),    movr(9, 8),
                      alu64k(BPF_ARSH, 9, 1),   alu32k(BPF_MUL, 9, 7),    alu64x(BPF_MUL, 7, 9),
                      alu64k(BPF_AND, 7, 0xff), alu32k(BPF_AND, 8, 0xff), movr(3, 7)};
  return named(fmt::format("ALU, {} insns", insns), start + repeat(insns / static_cast<u32>(body.size()), body) + RETURN_0);
}

/// Branches on unknown bits; what they do is not read later, so that the paths come together again.
LoadedProgram diamonds(u32 count) {
  Insns out = {ldx(BPF_W, 7, 1, 0), ldx(BPF_W, 8, 1, 4), mov(6, 0)};
  for (u32 i = 0; i < count; ++i)
    append(&out, {movr(2, 7), alu64k(BPF_AND, 2, 1 << i % 31), jk(BPF_JEQ, 2, 0, 3), mov(3, 1), alu64x(BPF_ADD, 3, 8), ja(1),
                  mov(3, 2), alu64x(BPF_XOR, 3, 7), movr(4, 3), mov(3, 0)});
  return named(fmt::format("{} branches that come together", count), out + RETURN_0);
}

/// Branches that are remembered: a sum of unknown parts that decides nothing, over ranges that differ.
LoadedProgram ranges(u32 count) {
  Insns out = {ldx(BPF_W, 7, 1, 0), ldx(BPF_W, 8, 1, 4), mov(6, 0)};
  for (u32 i = 0; i < count; ++i)
    append(&out, {jk(BPF_JGT, 7, static_cast<s32>(1000 + i), 2), alu64k(BPF_ADD, 6, static_cast<s32>(i)), ja(1),
                  alu64k(BPF_ADD, 6, 1), jk(BPF_JSLT, 8, static_cast<s32>(i), 1), alu64k(BPF_ADD, 6, 2)});
  return named(fmt::format("{} branches on ranges", 2 * count), out + Insns{movr(0, 6), exit_()});
}

LoadedProgram loop(u32 rounds) {
  return named(fmt::format("loop of {} rounds", rounds),
               {ldx(BPF_W, 7, 1, 0), mov(6, 0), mov(8, 0), alu64k(BPF_ADD, 6, 1), alu64x(BPF_ADD, 8, 7), alu64k(BPF_AND, 8, 0xff),
                jk(BPF_JLT, 6, static_cast<s32>(rounds), -4), mov(0, 0), exit_()});
}

LoadedProgram lookups(s32 map, u32 count) {
  Insns out;
  for (u32 i = 0; i < count; ++i)
    append(&out, Insns{st(BPF_W, 10, -4, static_cast<s32>(i)), movr(2, 10), alu64k(BPF_ADD, 2, -4)} +
                     ldimm64(1, static_cast<u64>(map), BPF_PSEUDO_MAP_FD) +
                     Insns{call(func::map_lookup_elem), jk(BPF_JEQ, 0, 0, 3), ldx(BPF_DW, 1, 0, 0), alu64k(BPF_ADD, 1, 1),
                           stx(BPF_DW, 0, 8, 1)});
  return named(fmt::format("{} map lookups", count), out + RETURN_0);
}

/// An index that is bounded, then used, in a map's value.
LoadedProgram value_walk(s32 map, u32 count) {
  Insns out = Insns{movr(6, 1), st(BPF_W, 10, -4, 0), movr(2, 10), alu64k(BPF_ADD, 2, -4)} +
              ldimm64(1, static_cast<u64>(map), BPF_PSEUDO_MAP_FD) +
              Insns{call(func::map_lookup_elem), jk(BPF_JNE, 0, 0, 1), exit_(), movr(7, 0)};
  for (u32 i = 0; i < count; ++i)
    append(&out, {ldx(BPF_W, 1, 6, 4 * static_cast<s32>(i % 8)), jk(BPF_JGT, 1, 55, 4), movr(2, 7), alu64x(BPF_ADD, 2, 1),
                  ldx(BPF_B, 3, 2, 0), stx(BPF_B, 2, 1, 3)});
  return named(fmt::format("{} accesses by an index", count), out + RETURN_0);
}

/// Ethernet, then a row of VLAN tags, IPv4 with options, TCP or UDP.
LoadedProgram packet(u32 tags) {
  constexpr s32 OUT = 1;
  Insns out = {ldx(BPF_W, 6, 1, DATA),
               ldx(BPF_W, 7, 1, DATA_END),
               movr(2, 6),
               alu64k(BPF_ADD, 2, 14),
               jx(BPF_JLE, 2, 7, 2),
               mov(0, 0),
               exit_(),
               ldx(BPF_H, 3, 6, 12)};
  for (u32 i = 0; i < tags; ++i)
    append(&out, {jk(BPF_JNE, 3, 0x0081, 6 + OUT), movr(4, 2), alu64k(BPF_ADD, 4, 4), jx(BPF_JLE, 4, 7, 2), mov(0, 1), exit_(),
                  ldx(BPF_H, 3, 2, 2), movr(2, 4)});
  append(&out, {jk(BPF_JEQ, 3, 0x0008, 2),
                mov(0, 2),
                exit_(),  // IPv4
                movr(4, 2),
                alu64k(BPF_ADD, 4, 20),
                jx(BPF_JLE, 4, 7, 2),
                mov(0, 3),
                exit_(),  // its header
                ldx(BPF_B, 5, 2, 0),
                alu64k(BPF_AND, 5, 15),
                alu64k(BPF_LSH, 5, 2),
                jk(BPF_JGE, 5, 20, 2),
                mov(0, 4),
                exit_(),
                ldx(BPF_B, 8, 2, 9),
                alu64x(BPF_ADD, 2, 5),
                movr(4, 2),
                alu64k(BPF_ADD, 4, 8),
                jx(BPF_JLE, 4, 7, 2),
                mov(0, 5),
                exit_(),
                jk(BPF_JEQ, 8, 6, 3),
                jk(BPF_JEQ, 8, 17, 6),
                mov(0, 6),
                exit_(),  // which transport
                ldx(BPF_H, 0, 2, 0),
                ldx(BPF_H, 1, 2, 2),
                alu64x(BPF_ADD, 0, 1),
                exit_(),
                ldx(BPF_H, 0, 2, 4),
                exit_()});
  return named(fmt::format("packet parser, {} tags", tags), out, BPF_PROG_TYPE_SCHED_CLS);
}

/// All of the stack, filled, carried over branches, read back.
LoadedProgram spills(u32 slots) {
  Insns out = {movr(6, 1), ldx(BPF_W, 7, 1, 0), ldx(BPF_W, 8, 1, 4)};
  for (u32 i = 0; i < slots; ++i)
    append(&out, {alu64k(BPF_ADD, 7, static_cast<s32>(i)), stx(BPF_DW, 10, -8 * static_cast<s32>(i + 1), i % 4 == 0 ? 6u : 7u)});
  for (u32 i = 0; i < 24; ++i)
    append(&out, {movr(2, 8), alu64k(BPF_AND, 2, 1 << i % 31), jk(BPF_JEQ, 2, 0, 2),
                  stx(BPF_DW, 10, -8 * static_cast<s32>(slots), 7), mov(3, 1), mov(3, 0), mov(2, 0)});
  for (u32 i = 0; i < slots; ++i)
    append(&out, {ldx(BPF_DW, 1, 10, -8 * static_cast<s32>(i + 1)), stx(BPF_DW, 10, -8 * static_cast<s32>(i + 1), 1)});
  return named(fmt::format("{} stack slots over branches", slots), out + RETURN_0);
}

/// main calls each of the functions, each calls a small one.
LoadedProgram subprogs(u32 count) {
  Insns out = {movr(6, 1), mov(7, 0)};
  const u32 main_end = 2 + 5 * count + 2, each = 8, leaf = main_end + each * count;
  for (u32 i = 0; i < count; ++i) {
    const s32 to = static_cast<s32>(main_end + each * i), at = static_cast<s32>(out.size()) + 2;
    append(&out, {movr(1, 6), mov(2, static_cast<s32>(i)), call_pc(to - at - 1), alu64x(BPF_ADD, 7, 0), alu64k(BPF_AND, 7, 0xff)});
  }
  append(&out, {mov(0, 0), exit_()});
  for (u32 i = 0; i < count; ++i) {
    const s32 at = static_cast<s32>(out.size()) + 3;
    append(&out, {movr(6, 2), ldx(BPF_W, 1, 1, 0), alu64k(BPF_AND, 1, 0xff), call_pc(static_cast<s32>(leaf) - at - 1),
                  alu64x(BPF_ADD, 0, 6), jk(BPF_JGT, 0, 9, 1), mov(0, 9), exit_()});
  }
  return named(fmt::format("{} functions", count + 2),
               out + Insns{movr(0, 1), jk(BPF_JGT, 0, 100, 1), alu64k(BPF_ADD, 0, 7), exit_()});
}

LoadedProgram may_goto_loop() {
  // The program decides: r6 stays unknown, so that the loop converges. The inner one makes many states.
  Insns out = {ldx(BPF_W, 6, 1, 0), mov(7, 0), may_goto(14)};
  append(&out, {alu64x(BPF_ADD, 7, 6), alu64k(BPF_AND, 7, 0xff)});
  append(&out, repeat(3, {jk(BPF_JGT, 7, 9, 1), alu64k(BPF_ADD, 7, 2), movr(3, 7)}));
  append(&out, {may_goto(2), alu64k(BPF_XOR, 7, 3), ja(-15)});
  append(&out, {mov(0, 0), exit_()});
  return named("may_goto", out);
}

// --- functions that callbacks are
// ---------------------------------------------------------------------------------------------------

/// INT 1, FUNC_PROTO 2: int (void *, void *), FUNC 3 (main) and 4 (callback), PTR 5 to void.
std::vector<u8> two_functions_btf() {
  const char names[] = "\0int\0a\0b\0main\0callback";
  const u32 types[] = {1,  1u << 24,
                       4,  1u << 24 | 32,  // int
                       0,  13u << 24 | 2,
                       1,  5,
                       5,  7,
                       5,  // proto
                       9,  12u << 24 | BTF_FUNC_STATIC,
                       2,  // main
                       14, 12u << 24 | BTF_FUNC_STATIC,
                       2,  // callback
                       0,  2u << 24,
                       0};  // void *
  const btf_header header{BTF_MAGIC, BTF_VERSION, 0, sizeof(btf_header), 0, sizeof types, sizeof types, sizeof names};
  std::vector<u8> out(sizeof header + sizeof types + sizeof names);
  std::memcpy(out.data(), &header, sizeof header);
  std::memcpy(out.data() + sizeof header, types, sizeof types);
  std::memcpy(out.data() + sizeof header + sizeof types, names, sizeof names);
  return out;
}

LoadedProgram with_callback(std::string name, s32 btf, const Insns& main, const Insns& callback) {
  LoadedProgram p = named(std::move(name), main + callback);
  const bpf_func_info infos[] = {{0, 3}, {static_cast<u32>(main.size()), 4}};
  p.attr.prog_load.prog_btf_fd = static_cast<u32>(btf);
  p.attr.prog_load.func_info_cnt = 2;
  p.attr.prog_load.func_info_rec_size = sizeof infos[0];
  p.func_info.resize(sizeof infos);
  std::memcpy(p.func_info.data(), infos, sizeof infos);
  return p;
}

LoadedProgram bpf_loops(s32 btf, u32 count) {
  Insns main;
  const u32 callback = 9 * count + 2;
  for (u32 i = 0; i < count; ++i)
    append(&main, Insns{st(BPF_DW, 10, -8, 0), mov(1, static_cast<s32>(100 + i))} +
                      ldimm64(2, callback - (9 * i + 2) - 1, BPF_PSEUDO_FUNC) +
                      Insns{movr(3, 10), alu64k(BPF_ADD, 3, -8), mov(4, 0), call(func::loop), ldx(BPF_DW, 6, 10, -8)});
  append(&main, RETURN_0);
  return with_callback(fmt::format("{} bpf_loop() calls", count), btf, main,
                       {ldx(BPF_DW, 3, 2, 0), alu64x(BPF_ADD, 3, 1), alu64k(BPF_AND, 3, 0xff), stx(BPF_DW, 2, 0, 3), mov(0, 0),
                        jk(BPF_JLT, 3, 200, 1), mov(0, 1), exit_()});
}

}  // namespace

std::vector<LoadedProgram> verify_programs(TwoKernels& kernels) {
  const s32 hash = kernels.make_map(BPF_MAP_TYPE_HASH, 4, 64, 16);
  const s32 array = kernels.make_map(BPF_MAP_TYPE_ARRAY, 4, 64, 16);
  const s32 btf = kernels.load_btf(two_functions_btf());
  return {empty(),    alu(1000),    alu(4000),         diamonds(30),       diamonds(300),          ranges(12),        loop(100),
          loop(1000), loop(10000),  lookups(hash, 10), lookups(hash, 100), value_walk(array, 100), packet(2),         packet(8),
          spills(60), subprogs(10), subprogs(100),     may_goto_loop(),    bpf_loops(btf, 1),      bpf_loops(btf, 10)};
}

}  // namespace skep::bench
