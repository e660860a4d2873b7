#include "jit/compile.h"

#include <algorithm>
#include <functional>

#include "jit/emit.h"

namespace skep {
namespace jit {
namespace {

bool remat(const Function& f, ValueId v) {
  const Op op = f.values[v].op;
  return op == Op::Const || op == Op::FrameAddr || op == Op::FuncAddr;
}

/// What can be an immediate stands at the right.
void turn(Function& f, Value& v) {
  const bool compares = v.op == Op::Branch || v.op == Op::Select;
  if (!compares && !(is_binary(v.op) && is_commutative(v.op))) return;
  if (!remat(f, v.arg[0]) || remat(f, v.arg[1])) return;
  if (!compares && f.values[v.arg[1]].folded) return;
  std::swap(v.arg[0], v.arg[1]);
  if (compares) v.cond = swap_operands(v.cond);
}

bool needs_run(const Value& v) { return v.op == Op::CallHelper || v.op == Op::CallFunc || v.op == Op::TailCall; }

ValueId run_param(Function& f) {
  for (const ValueId id : f.blocks[0].values)
    if (f.values[id].op == Op::Param && f.values[id].imm == 0) return id;
  Value v;
  v.op = Op::Param;
  v.block = 0;
  f.values.push_back(v);
  const ValueId id = static_cast<ValueId>(f.values.size() - 1);
  f.blocks[0].values.insert(f.blocks[0].values.begin(), id);
  return id;
}

Result<JitCode> finish(ProgramCode& program) {
  CodeBuffer& code = program.code;
  if (!code.finish()) return Errno(E2BIG);
  JitCode out;
  for (const auto& g : program.gates) out.gates.push_back({code.final(g.at), g.gate});
  for (const auto& f : program.functions)
    out.functions.push_back({code.final(f.begin), code.final(f.end), code.final(f.body), f.frame, f.saved});
  for (const auto& f : program.faults) out.faults.push_back({code.final(f.at), code.final(code.label(f.fixup))});
  for (const auto& l : program.lines) {
    const u32 at = code.final(l.at);
    if (!out.lines.empty() && out.lines.back().at == at)
      out.lines.back().insn = l.insn;
    else
      out.lines.push_back({at, l.insn});
  }
  out.bytes = code.take_bytes();
  return out;
}

}  // namespace

ValueId prepare(Function& f) {
  bool run = false;
  for (const Block& b : f.blocks)
    for (const ValueId id : b.values) {
      turn(f, f.values[id]);
      run = run || needs_run(f.values[id]);
    }
  count_uses(f);
  if (!run) return NONE;
  const ValueId id = run_param(f);
  ++f.values[id].uses;
  return id;
}

Result<JitCode> emit_functions(std::vector<Function>& functions, const JitInput&) {
  return emit_for(functions, machine_features());
}

Result<JitCode> emit_for(std::vector<Function>& functions, Features features) {
  ProgramCode program(functions.size());
  for (u32 i = 0; i < functions.size(); ++i) {
    const ValueId run = prepare(functions[i]);
    const Machine machine{functions[i], features, run};
    const Live live(machine);
    Allocation allocation(machine, live);
    if (!allocation.ok) return Errno(EINVAL);
    FunctionEmitter(program, machine, live, allocation).emit(i);
  }
  return finish(program);
}

}  // namespace jit

namespace {

/// What one program's functions may take of the stack, the most of them that can be active at once. With it 33 tail calls from the
/// innermost function, and what C++ needs between, fit into the 1 MiB that a run has; and a guard page is met before anything else.
constexpr u64 MAX_STACK = 8 << 10;
constexpr std::size_t MAX_CALL_FRAMES = 8;

bool fits_stack(const JitCode& code) {
  std::vector<u64> frames;
  for (const JitFunction& f : code.functions) frames.push_back(f.frame + sizeof(u64));
  std::sort(frames.begin(), frames.end(), std::greater<>());
  u64 sum = 0;
  for (std::size_t i = 0; i < std::min(frames.size(), MAX_CALL_FRAMES); ++i) sum += frames[i];
  return sum <= MAX_STACK;
}

Result<JitCode> compile_once(const JitInput& in) {
  std::vector<jit::Function> functions = TRY(jit::build_functions(in));
  return jit::emit_functions(functions, in);
}

}  // namespace

Result<JitCode> jit_compile(const JitInput& in) {
  Result<JitCode> code = compile_once(in);
  if (!code.ok() || fits_stack(*code)) return code;
  // Equal values found far apart are kept all the way between: without passes little more lives than registers and the BPF stack.
  JitInput plain = in;
  plain.optimise = false;
  code = compile_once(plain);
  if (code.ok() && !fits_stack(*code)) return Errno(EINVAL);
  return code;
}

}  // namespace skep
