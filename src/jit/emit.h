// jit: from a function with its registers to machine code. Internal to the room.
#pragma once
#include "jit/code_buffer.h"
#include "jit/compile.h"
#include "jit/moves.h"

namespace skep::jit {

/// A whole program's code while it grows.
struct ProgramCode {
  struct Gate {
    CodeBuffer::Mark at;
    u32 gate;
  };
  struct Fault {
    CodeBuffer::Mark at;
    CodeBuffer::Label fixup;
  };
  struct Line {
    CodeBuffer::Mark at;
    u32 insn;
  };
  struct FunctionCode {
    CodeBuffer::Mark begin, end, body;
    u32 frame;
    u16 saved;
  };

  explicit ProgramCode(std::size_t n_functions) : code(CodeBuffer::fresh()) {
    for (std::size_t i = 0; i < n_functions; ++i) labels.push_back(code.new_label());
  }
  CodeBuffer& code;
  Vec<CodeBuffer::Label> labels;  ///< of functions
  Vec<Gate> gates;
  Vec<Fault> faults;
  Vec<Line> lines;
  Vec<FunctionCode> functions;
};

/// Brings a function into the form that allocation and emission expect: constants at the right, the run's Param where it is needed
/// (which is the result; NONE: nowhere), uses counted.
ValueId prepare(Function& f);

/// emit_functions() for a machine that has `features`.
Result<JitCode> emit_for(std::vector<Function>& functions, Features features);

class FunctionEmitter {
 public:
  FunctionEmitter(ProgramCode& program, const Machine& machine, const Live& live, Allocation& allocation);
  void emit(u32 index);

 private:
  using Label = CodeBuffer::Label;
  using Operand = Xbyak::Operand;
  using Address = Xbyak::Address;
  using XReg = Xbyak::Reg;

  /// A register or memory.
  struct Source {
    XReg reg;
    Address mem;
    bool in_memory;
    const Operand& op() const { return in_memory ? static_cast<const Operand&>(mem) : reg; }
  };
  /// Code that stands behind the function's blocks.
  struct Deferred {
    enum Kind : u8 { Edge, ProbeFault, Divide, WideDivide, EndRun, LeaveForTail } kind;
    Label at, back;
    u32 insn;
    ValueId value;
    BlockId block;  ///< Edge: where it leads to, and its number there
    u32 edge;
    Loc run, other;  ///< other: the context; the divisor
    Reg reg;
  };

  // emit.cc: the function, its blocks, their ends.
  void find_edges();
  void frame_shape();
  void prologue(u32 index);
  void epilogue();
  void take_params();
  void block(u32 i);
  void terminator(u32 i, ValueId id, const Value& v);
  void branch(u32 i, const Value& v);
  bool hoist(u32 i, const Value& v, std::span<const Move> moves);
  void jump_to(u32 from, BlockId to);
  void edge_and_jump(u32 from, u32 succ);
  void instruction(ValueId id, const Value& v);
  void deferred();
  void line(u32 insn);
  Deferred& defer(Deferred::Kind kind, const Value& v);

  // emit_operand.cc: places and operands.
  Loc at(ValueId v, Phase phase) const { return a_.loc(v, pos_ + phase); }
  /// Of an operand that is moved to where it is needed: what can be made anew is.
  Loc moved(ValueId v, Phase phase) const { return m_.remat(v) ? Loc::remat(v) : at(v, phase); }
  Reg result() const { return static_cast<Reg>(a_.loc(id_, pos_ + DEF_PHASE).code); }
  static XReg reg(u32 r, u32 bytes);
  Address slot(Loc loc, u32 bytes = 8) const;
  Address memory(const Value& v, Phase phase, u32 bytes) const;
  Source source(ValueId v, Phase phase, u32 bytes) const;
  void copy(Loc dst, Loc src);
  void copy_remat(Loc dst, ValueId v);
  void load_const(u32 r, u64 imm);
  void moves(std::span<const Move> m);
  static u32 imm32(s64 imm, u32 bytes);

  // emit_alu.cc
  void add(const Value& v);
  void add_imm(u32 dst, Loc a, s64 imm, u32 width);
  void mul(const Value& v);
  void logic(const Value& v);
  bool and_as_move(const Value& v, u64 mask);
  void binary_rest(const Value& v);
  void apply(Op op, const Operand& dst, const Operand& src);
  void apply_imm(Op op, const Operand& dst, u32 imm);
  void shift(const Value& v);
  void shift_imm(const Value& v);
  void shift_by_cl(const Value& v);
  void unary(const Value& v);
  void extend(const Value& v);
  void mul_high(const Value& v);
  void divide(const Value& v);
  void divide_check(const Value& v, const Source& b);
  void divide_deferred(const Deferred& d, const Value& v);
  void wide_divide(const Value& v, const Operand& b);
  void flags_are_result(u32 width) { flags_of_ = id_, flags_width_ = width; }
  bool flags_say(const Value& v, u8* cc) const;
  u8 compare(const Value& v, Phase phase);
  u8 compare_test(const Value& v, Phase phase);
  void select(const Value& v);

  // emit_memory.cc
  void load(const Value& v);
  void store(const Value& v);
  void update(const Value& v);
  void atomic(const Value& v);
  void atomic_loop(const Value& v);
  void cmpxchg(const Value& v);

  // emit_call.cc
  void call(const Value& v);
  void call_gate(u32 gate);
  void check_end(const Value& v);
  void tail_call(const Value& v);

  ProgramCode& p_;
  CodeBuffer& c_;
  const Machine& m_;
  const Live& live_;
  Allocation& a_;
  MoveOrder order_;
  Vec<Move> group_;  ///< scratch
  Vec<Label> block_labels_;
  Vec<u32> edge_index_;  ///< of block b's successor k at 2 b + k: its number among that one's predecessors
  Vec<Deferred> deferred_;
  ValueId id_ = NONE;  ///< at hand
  u32 pos_ = 0;
  u32 bias_ = 0;                         ///< bytes pushed in the middle of moves
  u32 frame_end_ = 0, frame_bytes_ = 0;  ///< from rsp to the end of the BPF stack; what the prologue takes off
  RegMask saved_ = 0;
  u32 last_line_ = NONE;
  ValueId flags_of_ = NONE;  ///< the flags are as a comparison of this value's low flags_width_ bytes with 0 leaves them
  u32 flags_width_ = 0;
};

}  // namespace skep::jit
