// tests/fuzz: writes one function of a random program, statement by statement. generator.cc puts functions together.
#pragma once
#include <functional>

#include "writer.h"

namespace skep::fuzz {

using namespace skep::test;  // instructions by name

constexpr u32 NO_REG = 99;

/// A call or function reference whose target is written later.
struct OpenCall {
  u32 at;
  Beliefs entry;  ///< what the callee may believe
  u32 depth;
  bool callback;  ///< must return 0 or 1
};

struct Writing {
  Rng rng;
  u32 type;
  bool privileged;
  Prog code;
  std::vector<OpenCall> calls;
  u32 budget = 0;  ///< statements left for the whole program
};

class FunctionWriter {
 public:
  FunctionWriter(Writing& w, Beliefs entry, u32 depth, bool callback)
      : w_(w), rng_(w.rng), now_(entry), depth_(depth), callback_(callback) {}

  void write(u32 statements);

 private:
  // flow.cc
  void block(u32 statements);
  void statement();
  void branch();
  void counted_loop();
  void may_goto_loop();
  void leave();
  void finish();
  bpf_insn scalar_jump(u32 reg);
  void jump_out(const bpf_insn& jump) {
    outs_.push_back(at());
    emit(jump);
  }
  void land(u32 jump) { w_.code[jump].off = static_cast<s16>(at() - jump - 1); }
  void enter_loop();

  // scalars.cc
  u32 scalar();
  u32 fresh(u32 keep = NO_REG);
  u32 kept();
  void set_scalar(u32 reg, u64 max = ~0ULL);
  void set_constant();
  void alu();
  void unary();
  void narrow_trick();
  void link_registers();
  void copy();
  u32 bounded(u64 limit);
  void bound(u32 reg, u64 limit);
  u64 off_by(u64 limit) { return rng_.chance(4) ? limit + 1 : limit; }

  // memory.cc
  void stack_store();
  void stack_load();
  void stack_variable();
  void spill_fill();
  void ctx_access();
  void value_access();
  void packet_begin();
  void packet_access();
  void packet_load();
  void object_access();
  void atomic_op();
  void access(u32 ptr, s32 off, u32 size_index, bool may_write);
  void change(u32 ptr, s32 off, u8 size, u32 dst);
  u32 pointer(Kind kind);
  void note_store(s32 off, u32 size, const Reg& what);
  s32 object_size(const Reg& r) const;

  // calls.cc
  void call_helper(s32 id);
  void clobber();
  void lookup();
  void check_null();
  void update_or_delete();
  void plain_helper();
  void ringbuf();
  void ringbuf_output();
  void memory_helper();
  void packet_helper();
  void tail_call();
  void subprogram();
  void loop_helper();
  void each_element();
  void queue();
  void direct_value();
  void inner_map();
  void fastcall();
  void map_pointer(u32 reg, u32 map);
  s32 key_on_stack(u32 bytes);
  void scalar_argument(u32 reg);
  void stack_argument(u32 reg, u32 bytes);

  u32 at() const { return static_cast<u32>(w_.code.size()); }
  void emit(const bpf_insn& insn) { w_.code.push_back(insn); }
  void emit(const Prog& prog) { w_.code.insert(w_.code.end(), prog.begin(), prog.end()); }
  bool xdp() const { return w_.type == BPF_PROG_TYPE_XDP; }
  bool has_ctx() const { return now_.regs[6].kind == Kind::Ctx; }
  bool has_packet() const { return has_ctx() && (xdp() || w_.type == BPF_PROG_TYPE_SCHED_CLS); }

  Writing& w_;
  Rng& rng_;
  Beliefs now_;
  u32 depth_;
  bool callback_;
  u32 nesting_ = 0;
  u32 pinned_ = 1u << 6;  ///< registers that statements leave alone: r6 is the context
  bool holding_ = false;  ///< something must be given back: no jumping out
  std::vector<u32> outs_;
};

}  // namespace skep::fuzz
