// jit tests: a program as the interpreter runs it, beside the same program in IR.
#pragma once
#include <algorithm>
#include <array>

#include "helpers/run_fixture_test.h"
#include "interp/interp.h"
#include "jit/ir_eval_test.h"
#include "jit/passes.h"

namespace skep::jit::test {

using skep::test::Prog;

class FrontFixture : public skep::test::RunFixture {
 protected:
  JitInput input(const Prog& p, bool optimise) {
    if (starts_.empty()) starts_ = {0};
    depths_.assign(starts_.size(), 512);
    return {.insns = p,
            .subprog_starts = starts_,
            .stack_depth = depths_,
            .prog_type = BPF_PROG_TYPE_KPROBE,
            .maps = maps_,
            .nr_cpus = CPUS,
            .optimise = optimise};
  }

  /// The program's functions; every pass leaves them well formed.
  std::vector<Function> functions(const Prog& p, bool optimise = true) {
    const JitInput in = input(p, optimise);
    auto made = build_functions(in);
    EXPECT_TRUE(made.ok());
    if (!made.ok()) return {};
    for (const Function& f : *made) EXPECT_EQ(check(f), "") << print(f);
    return std::move(*made);
  }

  /// r0 of the program in IR, which must be the interpreter's, as must be all of the maps.
  u64 same(const Prog& p) {
    const std::vector<u8> before = all_maps();
    const u64 expected = interp_run(prepare(p));
    EXPECT_EQ(run_->fault.kind, FaultKind::None) << "insn " << run_->fault.insn;
    const std::vector<u8> maps = all_maps();
    for (const bool optimise : {false, true}) {
      set_all_maps(before);
      const std::vector<Function> f = functions(p, optimise);
      RunCtx& run = prepare(p);
      run.prandom_calls = 0;
      IrEval eval(f, run);
      EXPECT_EQ(eval.run(), expected) << (optimise ? "optimised\n" : "plain\n") << (show_ ? print(f[0]) : "");
      EXPECT_FALSE(eval.over());
      EXPECT_EQ(all_maps() == maps, true) << (optimise ? "optimised: maps" : "plain: maps");
    }
    return expected;
  }

  std::vector<u8> all_maps() {
    std::vector<u8> all;
    for (const MapDesc* m : maps_) all.insert(all.end(), m->ram, m->ram + m->ram_bytes);
    return all;
  }
  void set_all_maps(const std::vector<u8>& all) {
    std::size_t at = 0;
    for (const MapDesc* m : maps_) {
      std::memcpy(m->ram, &all[at], m->ram_bytes);
      at += m->ram_bytes;
    }
  }
  /// Values of one kind in a function.
  static u32 count(const Function& f, Op op) {
    u32 n = 0;
    for (const Block& b : f.blocks)
      for (const ValueId v : b.values) n += f.values[v].op == op;
    return n;
  }

  std::vector<u32> starts_, depths_;
  bool show_ = true;
};

}  // namespace skep::jit::test
