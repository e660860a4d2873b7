// verifier: visits the instructions that constants do not rule out, in the order of Linux's walk, and holds each to its rules.
//
// Linux walks path by path with full register states. This walk keeps, per instruction, one joined state that knows constants, the
// frame pointer plus a constant, and addresses in map values; it ends because a joined state only ever loses knowledge. Linux:
// kernel/bpf/verifier.c:do_check()
#include <algorithm>
#include <array>
#include <optional>

#include "isa/disasm.h"
#include "isa/eval.h"
#include "verifier/insn_rules.h"

namespace skep {
namespace {

struct Value {
  enum class Kind : u8 { Unknown, Const, Fp, MapValue } kind = Kind::Unknown;
  u32 map = 0;   ///< MapValue: index into used_maps
  u64 bits = 0;  ///< Const: the value; Fp, MapValue: the offset
  bool operator==(const Value&) const = default;
};

using Regs = std::array<Value, MAX_BPF_REG>;

Value constant(u64 bits) { return {Value::Kind::Const, 0, bits}; }
Value frame_pointer(u64 off) { return {Value::Kind::Fp, 0, off}; }

class Walk {
 public:
  explicit Walk(StructureEnv& env) : env_(env), state_of_(env.insn_cnt(), NO_JOIN) {
    env.report.live.assign(env.insn_cnt(), false);
    env.report.stack_depth.assign(env.report.subprog_starts.size(), 0);
    find_joins();
  }

  Status run() {
    if (env_.log.prints_insns()) env_.log.append("0: R1=ctx() R10=fp0\n");
    reach(0, entry_state());
    while (!pending_.empty()) {
      const u32 at = pending_.back();
      pending_.pop_back();
      TRY(walk_from(at));
    }
    auto& helpers = env_.report.helpers;
    std::sort(helpers.begin(), helpers.end());
    helpers.erase(std::unique(helpers.begin(), helpers.end()), helpers.end());
    return ok_status();
  }

 private:
  static constexpr u32 NO_JOIN = ~0u, UNSEEN = ~0u - 1;

  static Regs entry_state() {
    Regs regs{};
    regs[BPF_REG_FP] = frame_pointer(0);
    return regs;
  }

  /// States are kept where paths may meet; between, they are carried along.
  void find_joins() {
    for (u32 start : env_.report.subprog_starts) state_of_[start] = UNSEEN;
    for (u32 i = 0; i < env_.insn_cnt(); i += insn_slots(env_.insns()[i])) {
      const bpf_insn& insn = env_.insns()[i];
      if (!is_jmp_class(insn.code) || is_exit(insn)) continue;
      if (is_pseudo_call(insn)) state_of_[i + 1] = UNSEEN;
      if (!is_call(insn)) state_of_[static_cast<u32>(jump_target(insn, i))] = UNSEEN;
    }
  }

  /// Joins `regs` into what is known at the join `at`; walks from there (again) when that changed.
  void reach(u32 at, const Regs& regs) {
    if (state_of_[at] == UNSEEN) {
      state_of_[at] = static_cast<u32>(states_.size());
      states_.push_back(regs);
      pending_.push_back(at);
      return;
    }
    bool changed = false;
    Regs& known = states_[state_of_[at]];
    for (u32 r = 0; r < MAX_BPF_REG; ++r) {
      if (known[r] == regs[r] || known[r].kind == Value::Kind::Unknown) continue;
      known[r] = Value{};
      changed = true;
    }
    if (changed) pending_.push_back(at);
  }

  /// From a join to where the path ends or reaches another.
  Status walk_from(u32 at) {
    Regs regs = states_[state_of_[at]];
    for (;;) {
      if (!env_.report.live[at]) TRY(judge(at, regs));
      const std::optional<u32> next = spread(at, regs);
      if (!next) return ok_status();
      at = *next;
      if (state_of_[at] == NO_JOIN) continue;
      reach(at, regs);
      return ok_status();
    }
  }

  /// First visit.
  Status judge(u32 at, const Regs& regs) {
    const bpf_insn& insn = env_.insns()[at];
    env_.report.live[at] = true;
    if (is_ldimm64(insn)) env_.report.live[at + 1] = true;
    ++env_.report.insn_processed;
    if (env_.log.prints_insns()) env_.log.append("{}: {}\n", at, disasm(&insn));
    TRY(check_insn(env_, at));
    TRY(judge_stack(at, insn, regs[is_load(insn) ? insn.src_reg : insn.dst_reg]));
    if (is_helper_call(insn)) env_.report.helpers.push_back(static_cast<u32>(insn.imm));
    return ok_status();
  }

  static bool is_load(const bpf_insn& insn) { return bpf_class(insn.code) == BPF_LDX; }

  Status judge_stack(u32 at, const bpf_insn& insn, const Value& base) {
    const u8 cls = bpf_class(insn.code);
    if (cls != BPF_LDX && cls != BPF_ST && cls != BPF_STX) return ok_status();
    if (base.kind != Value::Kind::Fp) return ok_status();
    StackAccess access{};
    access.reg = is_load(insn) ? insn.src_reg : insn.dst_reg;
    access.reg_off = static_cast<s64>(base.bits);
    access.off = access.reg_off + insn.off;
    access.size = access_bytes(insn.code);
    access.write = cls != BPF_LDX;
    access.both = cls == BPF_STX && bpf_mode(insn.code) == BPF_ATOMIC;
    TRY(check_stack_access(env_, access));
    u32& depth = env_.report.stack_depth[env_.subprog_of(at)];
    depth = std::max(depth, static_cast<u32>(-access.off));
    return ok_status();
  }

  /// Follows the instruction's effect; answers where the path goes on, if it does. The other branch waits, as on Linux.
  std::optional<u32> spread(u32 at, Regs& regs) {
    const bpf_insn& insn = env_.insns()[at];
    if (is_jmp_class(insn.code)) return spread_jump(at, insn, regs);
    apply(at, insn, regs);
    return at + insn_slots(insn);
  }

  std::optional<u32> spread_jump(u32 at, const bpf_insn& insn, Regs& regs) {
    if (is_exit(insn)) return std::nullopt;
    if (is_call(insn)) {
      for (u32 r = 0; r <= 5; ++r) regs[r] = Value{};
      if (!is_pseudo_call(insn)) return at + 1;
      reach(at + 1, regs);
      reach(static_cast<u32>(call_target(insn, at)), entry_state());
      return std::nullopt;
    }
    const u32 target = static_cast<u32>(jump_target(insn, at));
    const int taken = bpf_op(insn.code) == BPF_JA ? 1 : branch_taken(insn, regs);
    if (taken == 1) return target;
    if (taken != 0) reach(target, regs);
    return at + 1;
  }

  /// 1, 0, or -1 when constants do not tell. Linux: verifier.c:is_branch_taken()
  static int branch_taken(const bpf_insn& insn, const Regs& regs) {
    if (is_may_goto(insn)) return -1;
    const Value& dst = regs[insn.dst_reg];
    const Value src = bpf_src(insn.code) == BPF_X ? regs[insn.src_reg] : constant(0);
    if (dst.kind != Value::Kind::Const || src.kind != Value::Kind::Const) return -1;
    return eval_jump(insn, dst.bits, src.bits) ? 1 : 0;
  }

  void apply(u32 at, const bpf_insn& insn, Regs& regs) const {
    switch (bpf_class(insn.code)) {
      case BPF_ALU:
      case BPF_ALU64: regs[insn.dst_reg] = after_alu(insn, regs); return;
      case BPF_LD: regs[insn.dst_reg] = loaded_imm64(at); return;
      case BPF_LDX: regs[insn.dst_reg] = loaded(insn, regs[insn.src_reg]); return;
      case BPF_STX: forget_fetched(insn, regs); return;
      default: return;
    }
  }

  static Value after_alu(const bpf_insn& insn, const Regs& regs) {
    const u8 op = bpf_op(insn.code);
    const Value& dst = regs[insn.dst_reg];
    const Value src = bpf_src(insn.code) == BPF_X && op != BPF_END
                          ? regs[insn.src_reg]
                          : constant(static_cast<u64>(static_cast<s64>(insn.imm)));
    const bool is64 = bpf_class(insn.code) == BPF_ALU64;
    if (is64 && op == BPF_MOV && insn.off == 0) return src;
    if (src.kind != Value::Kind::Const) return {};
    if (dst.kind == Value::Kind::Const || op == BPF_MOV) return constant(eval_alu(insn, dst.bits, src.bits));
    const bool is_pointer = dst.kind == Value::Kind::Fp || dst.kind == Value::Kind::MapValue;
    if (!is_pointer || !is64 || op != BPF_ADD) return {};
    // Linux bounds what may be added to a pointer by BPF_MAX_VAR_OFF; further off nothing is known, so nothing is claimed.
    const Value moved{dst.kind, dst.map, eval_alu(insn, dst.bits, src.bits)};
    const s64 off = static_cast<s64>(moved.bits);
    return off > -s64{BPF_MAX_VAR_OFF} && off < s64{BPF_MAX_VAR_OFF} ? moved : Value{};
  }

  Value loaded_imm64(u32 at) const {
    const bpf_insn* insn = &env_.insns()[at];
    if (insn->src_reg == 0) return constant(ldimm64_value(insn));
    const auto& refs = env_.report.map_refs;
    const auto ref = std::lower_bound(refs.begin(), refs.end(), at, [](const MapRef& r, u32 i) { return r.insn < i; });
    if (ref == refs.end() || ref->insn != at || !ref->is_value) return {};
    return {Value::Kind::MapValue, ref->map, ref->off};
  }

  /// Linux: verifier.c:check_mem_access(), bpf_map_direct_read()
  Value loaded(const bpf_insn& insn, const Value& base) const {
    if (base.kind != Value::Kind::MapValue || !env_.input.read_frozen) return {};
    const MapInfo& map = env_.report.used_maps[base.map];
    const s64 off = static_cast<s64>(base.bits) + insn.off;
    const u32 size = access_bytes(insn.code);
    u64 bits = 0;
    if (off < 0 || off + size > map.value_size || !env_.input.read_frozen(map.identity, static_cast<u32>(off), size, &bits))
      return {};
    return constant(bpf_mode(insn.code) == BPF_MEMSX ? sign_extend(bits, static_cast<s16>(size * 8)) : bits);
  }

  static void forget_fetched(const bpf_insn& insn, Regs& regs) {
    if (bpf_mode(insn.code) != BPF_ATOMIC || (insn.imm & BPF_FETCH) == 0) return;
    regs[insn.imm == BPF_CMPXCHG ? 0 : insn.src_reg] = Value{};
  }

  StructureEnv& env_;
  std::vector<u32> state_of_;  ///< per instruction: index into states_, UNSEEN or NO_JOIN
  std::vector<Regs> states_;
  std::vector<u32> pending_;
};

}  // namespace

Status walk_insns(StructureEnv& env) { return Walk(env).run(); }

}  // namespace skep
