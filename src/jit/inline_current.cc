// jit: who the current task is, and what the probe's cookie is: read from the run, which has been told or has asked once.
//
//   before                                 after
//        call                               load ; branch        unlikely, behind everything
//        rest                               phi                <-  call: it fills what the load reads
//                                           rest
#include <cstddef>

#include "helpers/run_ctx.h"
#include "jit/consts.h"
#include "jit/passes.h"
#include "progtypes/func_ids.h"

namespace skep::jit {
namespace {

/// Where in the run an answer stands that is not 0; where 0 stands, the helper is called. 0: not such a helper.
u32 place_of(const Value& v) {
  if (v.op != Op::CallHelper) return 0;
  switch (v.imm) {
    case func::get_current_pid_tgid:
      return offsetof(RunCtx, pid_tgid);
    case func::get_current_task:
    case func::get_current_task_btf:
      return offsetof(RunCtx, task);
    case func::get_attach_cookie:
      return offsetof(RunCtx, probe);
    default:
      return 0;
  }
}

class Splitter {
 public:
  explicit Splitter(Function& f) : f_(f), consts_(f) {}

  void run() {
    std::vector<Block> old = std::move(f_.blocks);
    f_.blocks.clear();
    for (Block& b : old) take(b);
    // The outer ends still name blocks as they were.
    for (BlockId b = 0; b < old.size(); ++b) {
      for (BlockId& p : f_.blocks[first_[b]].preds) p = last_[p];
      for (BlockId& s : f_.blocks[last_[b]].succs) s = s == NONE ? NONE : first_[s];
    }
    consts_.place();
  }

 private:
  void take(Block& b) {
    first_.push_back(static_cast<BlockId>(f_.blocks.size()));
    begin(b);
    f_.blocks[here_].preds = std::move(b.preds);
    for (const ValueId id : b.values) {
      if (const u32 place = place_of(f_.values[id]); place != 0)
        split(b, id, static_cast<s32>(place));
      else
        put(id);
    }
    std::copy(b.succs, b.succs + 2, f_.blocks[here_].succs);
    last_.push_back(here_);
  }

  /// A piece of `b`, at which the others then end.
  void begin(const Block& b) {
    here_ = static_cast<BlockId>(f_.blocks.size());
    Block piece;
    piece.loop_depth = b.loop_depth;
    piece.unlikely = b.unlikely;
    f_.blocks.push_back(std::move(piece));
  }

  void split(const Block& b, ValueId id, s32 place) {
    const Value call = f_.values[id];
    const bool cookie = call.imm == func::get_attach_cookie;
    const BlockId test = here_, side = test + 1, rest = test + 2;
    const ValueId known = load(call, consts_.get(Op::Param, 0), place);
    Value end = value(call, Op::Branch);
    end.cond = cookie ? Cond::Eq : Cond::Ne;
    end.arg[0] = known;
    end.arg[1] = consts_.get(0);
    add(end);
    begin(b);
    // No probe, no cookie: it was run on demand.
    const ValueId other = cookie ? load(call, known, offsetof(ProbeEntry, cookie)) : add(call);
    add(value(call, Op::Jump));
    f_.blocks[side].unlikely |= !cookie;
    begin(b);
    edges(test, side, rest);
    Value& phi = f_.values[id];
    phi = value(call, Op::Phi);
    phi.imm = static_cast<s64>(f_.phi_args.size());
    f_.phi_args.push_back(cookie ? consts_.get(0) : known);
    f_.phi_args.push_back(other);
    put(id);
  }

  void edges(BlockId test, BlockId side, BlockId rest) {
    f_.blocks[test].succs[0] = f_.blocks[side].succs[0] = rest;
    f_.blocks[test].succs[1] = side;
    f_.blocks[side].preds = {test};
    f_.blocks[rest].preds = {test, side};
  }

  static Value value(const Value& call, Op op) {
    Value v;
    v.op = op;
    v.insn = call.insn;
    return v;
  }
  ValueId load(const Value& call, ValueId base, s32 disp) {
    Value v = value(call, Op::Load);
    v.arg[0] = base;
    v.disp = disp;
    return add(v);
  }
  ValueId add(const Value& v) {
    const ValueId id = static_cast<ValueId>(f_.values.size());
    f_.values.push_back(v);
    put(id);
    return id;
  }
  void put(ValueId id) {
    f_.values[id].block = here_;
    f_.blocks[here_].values.push_back(id);
  }

  Function& f_;
  ConstPool consts_;
  Vec<BlockId> first_, last_;  ///< of a block as it was: its first and last piece
  BlockId here_ = 0;
};

bool has_any(const Function& f) {
  for (const Block& b : f.blocks)
    for (const ValueId v : b.values)
      if (place_of(f.values[v]) != 0) return true;
  return false;
}

}  // namespace

void inline_current(Function& f) {
  if (has_any(f)) Splitter(f).run();
}

}  // namespace skep::jit
