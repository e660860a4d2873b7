// Calls, and what may follow on them.
#include <cstddef>

#include "helpers/helper.h"
#include "jit/emit.h"
#include "jit/gates.h"

namespace skep::jit {

void FunctionEmitter::call_gate(u32 gate) {
  c_.db(0xff);
  c_.db(0x15);
  p_.gates.push_back({c_.mark(), gate});
  c_.dd(0);
}

void FunctionEmitter::call(const Value& v) {
  group_.clear();
  const u32 first = v.op == Op::CallGate ? 0 : 1;
  if (first == 1) group_.push_back({Loc::in(RDI), at(m_.run, EARLY)});
  for (u32 i = 0; i < 5; ++i)
    if (v.arg[i] != NONE) group_.push_back({Loc::in(ARG_REGS[i + first]), moved(v.arg[i], EARLY)});
  moves(group_);
  if (v.op == Op::CallFunc) {
    c_.call_label(p_.labels[static_cast<std::size_t>(v.imm)]);
  } else if (v.op == Op::CallGate) {
    call_gate(static_cast<u32>(v.imm));
  } else {
    const u64 id = static_cast<u64>(v.imm);
    call_gate(is_skb_load_helper(id) ? GATE_SKB_LOAD + static_cast<u32>(id - SKB_LOAD_HELPERS)
                                     : GATE_HELPER + static_cast<u32>(id));
    if (v.may_end) check_end(v);
  }
  if (m_.is_kept(v)) copy(Loc::in(result()), Loc::in(RAX));
}

/// Leaves for good if the run is over. Registers but rax that calls lose are free here.
void FunctionEmitter::check_end(const Value& v) {
  Loc run = at(m_.run, MID);
  if (!run.is_reg()) {
    copy(Loc::in(RCX), run);
    run = Loc::in(RCX);
  }
  const Address fault(32, false, Xbyak::RegExp(Xbyak::Reg64(static_cast<int>(run.code))) + offsetof(RunCtx, fault));
  c_.cmp(fault, 0);
  Deferred& out = defer(Deferred::EndRun, v);
  out.run = run;
  c_.jump_if(5, out.at);
}

void FunctionEmitter::tail_call(const Value& v) {
  const Move args[] = {
      {Loc::in(RDI), at(m_.run, EARLY)}, {Loc::in(RSI), moved(v.arg[1], EARLY)}, {Loc::in(RDX), moved(v.arg[2], EARLY)}};
  moves(args);
  call_gate(GATE_TAIL_CALL);
  c_.test(c_.rax, c_.rax);
  Deferred& out = defer(Deferred::LeaveForTail, v);
  out.run = at(m_.run, MID);
  out.other = moved(v.arg[0], MID);
  c_.jump_if(5, out.at);
}

}  // namespace skep::jit
