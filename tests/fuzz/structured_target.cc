// tests/fuzz: libFuzzer target. Programs of the corpus' form, changed as programs are (instructions swapped, dropped, doubled,
// fields set to what lies at edges, parts of generated ones put in), judged and run: what is accepted must not fault.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "generator.h"
#include "oracle.h"
#include "rng.h"

namespace skep::fuzz {
namespace {

constexpr std::size_t LIMIT_INSNS = 300;

void change_field(Rng& rng, bpf_insn& insn) {
  switch (rng.below(5)) {
    case 0:
      insn.imm = static_cast<s32>(rng.edge());
      return;
    case 1:
      insn.off = static_cast<s16>(insn.off + static_cast<s32>(rng.below(17)) - 8);
      return;
    case 2:
      insn.dst_reg = static_cast<u8>(rng.below(11) & 15);
      return;
    case 3:
      insn.src_reg = static_cast<u8>(rng.below(11) & 15);
      return;
    default:
      insn.code = static_cast<u8>(insn.code ^ 1u << rng.below(8));
      return;
  }
}

void change(Rng& rng, Program& p) {
  auto& insns = p.insns;
  if (insns.empty() || rng.chance(3)) {
    p = generate(rng.next());
    return;
  }
  const u32 at = rng.below(static_cast<u32>(insns.size()));
  switch (rng.below(6)) {
    case 0:
      p = without(p, at > 0 && is_ldimm64(insns[at - 1]) ? at - 1 : at);
      return;
    case 1:
      insns.insert(insns.begin() + at, insns[rng.below(static_cast<u32>(insns.size()))]);
      return;
    case 2:
      std::swap(insns[at], insns[rng.below(static_cast<u32>(insns.size()))]);
      return;
    case 3: {
      const Program other = generate(rng.next());
      const u32 from = rng.below(static_cast<u32>(other.insns.size()));
      const u32 n = 1 + rng.below(std::min<u32>(8, static_cast<u32>(other.insns.size()) - from));
      insns.insert(insns.begin() + at, other.insns.begin() + from, other.insns.begin() + from + n);
      return;
    }
    default:
      return change_field(rng, insns[at]);
  }
}

void make_sane(Program& p) {
  static constexpr u32 TYPES[] = {BPF_PROG_TYPE_SOCKET_FILTER, BPF_PROG_TYPE_XDP, BPF_PROG_TYPE_SCHED_CLS, BPF_PROG_TYPE_KPROBE};
  bool known = false;
  for (const u32 type : TYPES) known |= p.type == type;
  if (!known) p.type = TYPES[p.type % std::size(TYPES)];
  if (p.type != BPF_PROG_TYPE_SOCKET_FILTER) p.privileged = true;
  p.flags &= BPF_F_STRICT_ALIGNMENT | BPF_F_ANY_ALIGNMENT | BPF_F_TEST_STATE_FREQ | BPF_F_TEST_REG_INVARIANTS;
  if (p.insns.size() > LIMIT_INSNS) p.insns.resize(LIMIT_INSNS);
}

}  // namespace
}  // namespace skep::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace skep::fuzz;
  static World world;
  Program program = from_bytes(data, size);
  make_sane(program);
  if (program.insns.empty()) return 0;
  const Judgement j = judge(world, program, size, {.judged_steps = 30000, .runs = 3, .compared_runs = 2});
  if (j.failure.empty()) return 0;
  std::fprintf(stderr, "%s\n%s\n%s", j.failure.c_str(), j.detail.c_str(), to_text(program).c_str());
  std::abort();
}

extern "C" size_t LLVMFuzzerCustomMutator(uint8_t* data, size_t size, size_t max_size, unsigned seed) {
  using namespace skep::fuzz;
  Rng rng(seed);
  Program program = from_bytes(data, size);
  for (skep::u32 n = 1 + rng.below(4); n-- > 0;) change(rng, program);
  make_sane(program);
  const std::string bytes = to_bytes(program);
  if (bytes.size() > max_size) return size;
  std::memcpy(data, bytes.data(), bytes.size());
  return bytes.size();
}
