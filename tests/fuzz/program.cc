#include "program.h"

#include <fmt/format.h>

#include <cstring>

#include "isa/disasm.h"

namespace skep::fuzz {
namespace {

struct FileHead {
  u32 type, flags, privileged;
};

bool jumps_by_imm(const bpf_insn& insn) {
  return is_pseudo_call(insn) || is_pseudo_func(insn) || insn.code == (BPF_JMP32 | BPF_JA);
}

bool has_target(const bpf_insn& insn) {
  if (jumps_by_imm(insn)) return true;
  return is_jmp_class(insn.code) && bpf_op(insn.code) != BPF_CALL && bpf_op(insn.code) != BPF_EXIT;
}

}  // namespace

std::string to_text(const Program& program) {
  std::string out =
      fmt::format("type {} flags {:#x} {}\n", program.type, program.flags, program.privileged ? "privileged" : "unprivileged");
  for (u32 i = 0; i < program.insns.size(); i += insn_slots(program.insns[i])) {
    if (i + insn_slots(program.insns[i]) > program.insns.size()) return out + fmt::format("{}: half an LD_IMM64\n", i);
    out += fmt::format("{}: {}\n", i, disasm(&program.insns[i]));
  }
  return out;
}

Program from_bytes(const u8* bytes, std::size_t size) {
  Program p;
  FileHead head{};
  if (size < sizeof head) return p;
  std::memcpy(&head, bytes, sizeof head);
  p.type = head.type;
  p.flags = head.flags;
  p.privileged = head.privileged != 0;
  p.insns.resize((size - sizeof head) / sizeof(bpf_insn));
  if (!p.insns.empty()) std::memcpy(p.insns.data(), bytes + sizeof head, p.insns.size() * sizeof(bpf_insn));
  return p;
}

std::string to_bytes(const Program& program) {
  const FileHead head{program.type, program.flags, program.privileged ? 1u : 0u};
  std::string out(sizeof head + program.insns.size() * sizeof(bpf_insn), '\0');
  std::memcpy(out.data(), &head, sizeof head);
  if (!program.insns.empty()) std::memcpy(out.data() + sizeof head, program.insns.data(), program.insns.size() * sizeof(bpf_insn));
  return out;
}

Program without(const Program& program, u32 at) {
  const auto& in = program.insns;
  const s64 width = insn_slots(in[at]);
  const auto moved = [&](s64 i) { return i <= at ? i : i < at + width ? s64{at} : i - width; };
  Program out = program;
  out.insns.clear();
  for (u32 i = 0; i < in.size(); ++i) {
    if (i >= at && i < at + width) continue;
    bpf_insn insn = in[i];
    if (has_target(insn)) {
      const s64 target = s64{i} + 1 + (jumps_by_imm(insn) ? insn.imm : insn.off);
      const s64 distance = moved(target) - moved(i) - 1;
      if (jumps_by_imm(insn))
        insn.imm = static_cast<s32>(distance);
      else
        insn.off = static_cast<s16>(distance);
    }
    out.insns.push_back(insn);
    if (is_ldimm64(insn) && i + 1 < in.size()) out.insns.push_back(in[++i]);
  }
  return out;
}

}  // namespace skep::fuzz
