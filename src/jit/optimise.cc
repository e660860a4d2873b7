#include "jit/passes.h"

namespace skep {

namespace jit {

void optimise(Built& built, const Program& program) {
  Function& f = built.function;
  if (built.calls_helpers) inline_helpers(f, program);
  promote_stack(built, program);
  if (built.calls_helpers) inline_current(f);
  remove_dead(f);
  compact(f);
  simplify(f);
  const bool converted = if_convert(f), unrolled = unroll_loops(f);
  if (converted || unrolled) {
    remove_dead(f);
    simplify(f);
  }
  remove_dead(f);
  if (fold_addresses(f)) remove_dead(f);
  if (fuse(f)) remove_dead(f);
  compact(f);
}

Result<std::vector<Function>> build_functions(const JitInput& in) {
  Program program = TRY(Program::make(in));
  find_params(program);
  std::vector<Function> functions;
  for (u32 i = 0; i < program.n_functions(); ++i) {
    Built built = build_function(program, i);
    if (in.optimise) optimise(built, program);
    built.function.stack_bytes = stack_needed(built.function, in.stack_depth[i]);
    if (!in.optimise) count_uses(built.function);
    functions.push_back(std::move(built.function));
  }
  return functions;
}

}  // namespace jit

}  // namespace skep
