// jit: helpers that are a few instructions, or a function made for the map at hand.
#include <cstddef>

#include "helpers/run_ctx.h"
#include "jit/consts.h"
#include "jit/gates.h"
#include "jit/passes.h"
#include "progtypes/func_ids.h"

namespace skep::jit {
namespace {

class Inliner {
 public:
  Inliner(Function& f, const Program& program) : f_(f), program_(program), consts_(f) {}

  void run() {
    for (block_ = 0; block_ < f_.blocks.size(); ++block_) {
      out_.clear();
      bool any = false;
      for (const ValueId id : f_.blocks[block_].values) {
        if (f_.values[id].op == Op::CallHelper) any |= inline_call(id);
        out_.push_back(id);
      }
      if (any) f_.blocks[block_].values = out_;
    }
    consts_.place();
  }

 private:
  /// What comes before the call goes to out_, and the call itself becomes its result.
  bool inline_call(ValueId id) {
    call_ = f_.values[id];
    switch (call_.imm) {
      case func::get_smp_processor_id:
        return become(id, cpu());
      case func::map_lookup_elem:
        return map_call(id, MapCall::Lookup);
      case func::map_update_elem:
        return map_call(id, MapCall::Update);
      case func::map_delete_elem:
        return map_call(id, MapCall::Delete);
      default:
        return false;
    }
  }

  bool map_call(ValueId id, MapCall what) {
    if (f_.values[call_.arg[0]].op != Op::Const) return false;
    const MapDesc* map = program_.map_at(static_cast<u64>(f_.values[call_.arg[0]].imm));
    if (map == nullptr) return false;
    const bool array = map->type == BPF_MAP_TYPE_ARRAY || map->type == BPF_MAP_TYPE_PERCPU_ARRAY;
    if (array && what == MapCall::Lookup) return array_lookup(id, *map);
    const u32 gate = map_gate(*map, what);
    if (gate == NO_MAP_GATE) return false;
    return what == MapCall::Lookup ? gate_lookup(id, *map, gate) : gate_change(id, what, gate);
  }

  /// helpers/map.cc and maps/array.cc say the same.
  bool array_lookup(ValueId id, const MapDesc& map) {
    const ValueId index = add(load(call_.arg[1], 0));
    Value in_array = binary(Op::Add, add(binary(Op::Mul, index, map.elem_size)), reinterpret_cast<u64>(map.elems));
    in_array.nonzero = true;
    ValueId address = add(in_array);
    if (map.type == BPF_MAP_TYPE_PERCPU_ARRAY) address = add(of_cpu(address, map));
    Value choice = value(Op::Select);
    choice.cond = Cond::Ult;
    choice.width = 4;
    choice.arg[0] = index, choice.arg[1] = consts_.get(map.max_entries), choice.arg[2] = address, choice.arg[3] = consts_.get(0);
    return become(id, choice);
  }

  bool gate_lookup(ValueId id, const MapDesc& map, u32 gate) {
    Value call = value(Op::CallGate);
    call.imm = GATE_MAP + gate;
    call.arg[0] = call_.arg[0], call.arg[1] = call_.arg[1];
    if (map.type != BPF_MAP_TYPE_PERCPU_HASH && map.type != BPF_MAP_TYPE_LRU_PERCPU_HASH) return become(id, call);
    const ValueId first = add(call);
    Value choice = value(Op::Select);
    choice.cond = Cond::Ne;
    choice.arg[0] = first, choice.arg[1] = choice.arg[3] = consts_.get(0), choice.arg[2] = add(of_cpu(first, map));
    return become(id, choice);
  }

  bool gate_change(ValueId id, MapCall what, u32 gate) {
    static_assert(offsetof(RunCtx, op) == 0);
    Value call = value(Op::CallGate);
    call.imm = GATE_MAP + gate;
    call.arg[0] = consts_.get(Op::Param, 0);
    for (u32 i = 0; i < (what == MapCall::Update ? 4u : 2u); ++i) call.arg[i + 1] = call_.arg[i];
    return become(id, call);
  }

  Value value(Op op) const {
    Value v;
    v.op = op;
    v.block = block_;
    v.insn = call_.insn;
    return v;
  }
  Value binary(Op op, ValueId a, u64 b) {
    Value v = value(op);
    v.arg[0] = a;
    v.arg[1] = consts_.get(static_cast<s64>(b));
    return v;
  }
  Value load(ValueId base, s32 disp) const {
    Value v = value(Op::Load);
    v.arg[0] = base;
    v.disp = disp;
    v.size = 4;
    return v;
  }
  Value cpu() { return load(consts_.get(Op::Param, 0), static_cast<s32>(offsetof(RunCtx, op.cpu))); }
  /// The value of the CPU that the run is on, of a per-CPU element at `first`.
  Value of_cpu(ValueId first, const MapDesc& map) {
    Value v = value(Op::Add);
    v.arg[0] = first;
    v.arg[1] = add(binary(Op::Mul, add(cpu()), map.value_stride));
    v.nonzero = true;
    return v;
  }
  ValueId add(const Value& v) {
    const ValueId id = static_cast<ValueId>(f_.values.size());
    f_.values.push_back(v);
    out_.push_back(id);
    return id;
  }
  bool become(ValueId id, const Value& v) {
    f_.values[id] = v;
    return true;
  }

  Function& f_;
  const Program& program_;
  ConstPool consts_;
  std::vector<ValueId> out_;
  Value call_;
  BlockId block_ = 0;
};

}  // namespace

void inline_helpers(Function& f, const Program& program) { Inliner(f, program).run(); }

}  // namespace skep::jit
