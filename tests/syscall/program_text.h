// tests/syscall: a small assembler for BPF, enough to write the suite's programs where they are used.
#pragma once

#include <linux/bpf.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace skep::test {

enum Reg { R0, R1, R2, R3, R4, R5, R6, R7, R8, R9, R10 };

/// One instruction, as its five fields.
inline struct bpf_insn insn(unsigned code, unsigned dst, unsigned src, int off, std::int64_t imm) {
  struct bpf_insn i;
  i.code = static_cast<__u8>(code);
  i.dst_reg = dst & 0xf;
  i.src_reg = src & 0xf;
  i.off = static_cast<__s16>(off);
  i.imm = static_cast<__s32>(imm);
  return i;
}

/// A program under construction. Jumps name labels; build() resolves them.
class ProgramText {
 public:
  ProgramText& raw(struct bpf_insn i) {
    insns_.push_back(i);
    return *this;
  }
  ProgramText& mov(Reg dst, Reg src) { return raw(insn(BPF_ALU64 | BPF_MOV | BPF_X, dst, src, 0, 0)); }
  ProgramText& mov(Reg dst, std::int32_t imm) { return raw(insn(BPF_ALU64 | BPF_MOV | BPF_K, dst, 0, 0, imm)); }
  ProgramText& mov32(Reg dst, std::int32_t imm) { return raw(insn(BPF_ALU | BPF_MOV | BPF_K, dst, 0, 0, imm)); }
  ProgramText& alu(unsigned op, Reg dst, std::int32_t imm) { return raw(insn(BPF_ALU64 | op | BPF_K, dst, 0, 0, imm)); }
  /// dst = *(src + off); size is BPF_B, BPF_H, BPF_W or BPF_DW.
  ProgramText& load(unsigned size, Reg dst, Reg src, int off) { return raw(insn(BPF_LDX | BPF_MEM | size, dst, src, off, 0)); }
  ProgramText& store(unsigned size, Reg dst, int off, Reg src) { return raw(insn(BPF_STX | BPF_MEM | size, dst, src, off, 0)); }
  ProgramText& store(unsigned size, Reg dst, int off, std::int32_t imm) {
    return raw(insn(BPF_ST | BPF_MEM | size, dst, 0, off, imm));
  }
  /// *(u64*)(dst + off) += src, atomically.
  ProgramText& atomic_add(Reg dst, int off, Reg src) { return raw(insn(BPF_STX | BPF_ATOMIC | BPF_DW, dst, src, off, BPF_ADD)); }
  /// src = *(u64*)(dst + off), which grows by the old src, atomically.
  ProgramText& fetch_add(Reg dst, int off, Reg src) {
    return raw(insn(BPF_STX | BPF_ATOMIC | BPF_DW, dst, src, off, BPF_ADD | BPF_FETCH));
  }
  ProgramText& imm64(Reg dst, std::uint64_t value, unsigned pseudo = 0) {
    raw(insn(BPF_LD | BPF_DW | BPF_IMM, dst, pseudo, 0, static_cast<std::int32_t>(value)));
    return raw(insn(0, 0, 0, 0, static_cast<std::int32_t>(value >> 32)));
  }
  ProgramText& map_fd(Reg dst, int fd) { return imm64(dst, static_cast<std::uint32_t>(fd), BPF_PSEUDO_MAP_FD); }
  /// The address of byte `offset` of the one value of an array map.
  ProgramText& map_value(Reg dst, int fd, std::uint32_t offset = 0) {
    return imm64(dst, static_cast<std::uint32_t>(fd) | (static_cast<std::uint64_t>(offset) << 32), BPF_PSEUDO_MAP_VALUE);
  }
  ProgramText& call(int helper) { return raw(insn(BPF_JMP | BPF_CALL, 0, 0, 0, helper)); }
  ProgramText& exit() { return raw(insn(BPF_JMP | BPF_EXIT, 0, 0, 0, 0)); }
  ProgramText& jump_if(unsigned op, Reg dst, std::int32_t imm, const std::string& to) {
    uses_.emplace_back(insns_.size(), to);
    return raw(insn(BPF_JMP | op | BPF_K, dst, 0, 0, imm));
  }
  ProgramText& label(const std::string& name) {
    labels_[name] = insns_.size();
    return *this;
  }

  /// r0 = 0; exit, with the label "out" in front.
  ProgramText& out() { return label("out").mov(R0, 0).exit(); }
  /// Keeps the context in r6 and goes to "out" unless the event belongs to this process.
  ProgramText& only_process(int tgid) {
    return mov(R6, R1).call(BPF_FUNC_get_current_pid_tgid).alu(BPF_RSH, R0, 32).jump_if(BPF_JNE, R0, tgid, "out");
  }
  /// Adds one to the u64 at `offset` of the one value of array map `fd`, atomically. Uses r1 and r2.
  ProgramText& count(int fd, std::uint32_t offset = 0) { return map_value(R1, fd, offset).mov(R2, 1).atomic_add(R1, 0, R2); }
  /// Writes `src` to the u64 at `offset` of the one value of array map `fd`. Uses r1.
  ProgramText& save(int fd, std::uint32_t offset, Reg src) { return map_value(R1, fd, offset).store(BPF_DW, R1, 0, src); }

  std::vector<struct bpf_insn> build() const {
    std::vector<struct bpf_insn> insns = insns_;
    for (const auto& [at, name] : uses_)
      insns[at].off = static_cast<__s16>(static_cast<long>(labels_.at(name)) - static_cast<long>(at) - 1);
    return insns;
  }

 private:
  std::vector<struct bpf_insn> insns_;
  std::map<std::string, std::size_t> labels_;
  std::vector<std::pair<std::size_t, std::string>> uses_;
};

/// r0 = value; exit
inline std::vector<struct bpf_insn> return_program(std::int32_t value) { return ProgramText().mov(R0, value).exit().build(); }

}  // namespace skep::test
