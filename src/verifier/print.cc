// verifier: the log's pictures of registers, stack slots and source lines. Tools parse these words. Linux: kernel/bpf/log.c
#include <algorithm>
#include <limits>

#include "isa/disasm.h"
#include "verifier/verifier_env.h"

namespace skep {
namespace {

constexpr u64 LOG_MIN_ALIGNMENT = 8, LOG_ALIGNMENT = 40;

std::string unum_str(u64 num) { return num <= std::numeric_limits<u16>::max() ? fmt::format("{}", num) : fmt::format("{:#x}", num); }

std::string snum_str(s64 num) {
  const bool decimal = num >= std::numeric_limits<s16>::min() && num <= std::numeric_limits<s16>::max();
  return decimal ? fmt::format("{}", num) : fmt::format("{:#x}", static_cast<u64>(num));
}

const char* base_type_str(u32 type) {
  switch (base_type(type)) {
    case NOT_INIT: return "?";
    case SCALAR_VALUE: return "scalar";
    case PTR_TO_CTX: return "ctx";
    case CONST_PTR_TO_MAP: return "map_ptr";
    case PTR_TO_MAP_VALUE: return "map_value";
    case PTR_TO_STACK: return "fp";
    case PTR_TO_PACKET: return "pkt";
    case PTR_TO_PACKET_META: return "pkt_meta";
    case PTR_TO_PACKET_END: return "pkt_end";
    case PTR_TO_FLOW_KEYS: return "flow_keys";
    case PTR_TO_SOCKET: return "sock";
    case PTR_TO_SOCK_COMMON: return "sock_common";
    case PTR_TO_TCP_SOCK: return "tcp_sock";
    case PTR_TO_TP_BUFFER: return "tp_buffer";
    case PTR_TO_XDP_SOCK: return "xdp_sock";
    case PTR_TO_BTF_ID: return "ptr_";
    case PTR_TO_MEM: return "mem";
    case PTR_TO_ARENA: return "arena";
    case PTR_TO_BUF: return "buf";
    case PTR_TO_FUNC: return "func";
    case PTR_TO_MAP_KEY: return "map_key";
    case CONST_PTR_TO_DYNPTR: return "dynptr_ptr";
    default: return "?";
  }
}

std::string liveness_str(u8 live) {
  if (live == REG_LIVE_NONE) return {};
  std::string out = "_";
  if ((live & REG_LIVE_READ) != 0) out += 'r';
  if ((live & REG_LIVE_WRITTEN) != 0) out += 'w';
  if ((live & REG_LIVE_DONE) != 0) out += 'D';
  return out;
}

/// A list of attributes with commas between.
class AttrList {
 public:
  explicit AttrList(std::string& out) : out_(out) {}
  template <typename... Args>
  void add(fmt::format_string<Args...> format, Args&&... args) {
    if (!first_) out_ += ',';
    first_ = false;
    fmt::format_to(std::back_inserter(out_), format, std::forward<Args>(args)...);
  }

 private:
  std::string& out_;
  bool first_ = true;
};

struct Bound {
  const char* name;
  u64 value;
  bool is_signed;
  bool omit;
  bool negative() const { return is_signed && static_cast<s64>(value) < 0; }
};

/// 32-bit signed bounds print like 64-bit ones where that is decimal, without sign extension where it is hex.
u64 s32_for_print(s32 v) {
  const bool decimal = v >= std::numeric_limits<s16>::min() && v <= std::numeric_limits<s16>::max();
  return decimal ? static_cast<u64>(s64{v}) : static_cast<u32>(v);
}

/// Bounds that say something; those of one kind (least, greatest) with the same value together: "smax=umax=5".
void add_scalar_ranges(std::string& out, AttrList& list, const RegState& reg) {
  std::array<Bound, 8> bounds = {{
      {"smin", static_cast<u64>(reg.smin_value), true, reg.smin_value == S64_MIN},
      {"smax", static_cast<u64>(reg.smax_value), true, reg.smax_value == S64_MAX},
      {"umin", reg.umin_value, false, reg.umin_value == 0},
      {"umax", reg.umax_value, false, reg.umax_value == U64_MAX},
      {"smin32", s32_for_print(reg.s32_min_value), true, reg.s32_min_value == S32_MIN},
      {"smax32", s32_for_print(reg.s32_max_value), true, reg.s32_max_value == S32_MAX},
      {"umin32", reg.u32_min_value, false, reg.u32_min_value == 0},
      {"umax32", reg.u32_max_value, false, reg.u32_max_value == U32_MAX},
  }};
  for (std::size_t i = 0; i < bounds.size(); ++i) {
    if (bounds[i].omit) continue;
    list.add("{}=", bounds[i].name);
    for (std::size_t j = i + 2; j < bounds.size(); j += 2) {
      Bound& other = bounds[j];
      if (other.omit || other.value != bounds[i].value || other.negative() != bounds[i].negative()) continue;
      other.omit = true;
      out += other.name;
      out += '=';
    }
    out += bounds[i].is_signed ? snum_str(static_cast<s64>(bounds[i].value)) : unum_str(bounds[i].value);
  }
}

bool type_is_map_ptr(u32 type) {
  const u32 t = base_type(type);
  return t == CONST_PTR_TO_MAP || t == PTR_TO_MAP_KEY || t == PTR_TO_MAP_VALUE;
}

/// What stands between the brackets of a register.
void add_reg_attrs(std::string& out, const RegState& reg) {
  AttrList list(out);
  const u32 t = reg.type;
  if (reg.id != 0) list.add("id={}", static_cast<s32>(reg.id & ~BPF_ADD_CONST));
  if ((reg.id & BPF_ADD_CONST) != 0) fmt::format_to(std::back_inserter(out), "{:+}", reg.off);
  if (reg.ref_obj_id != 0) list.add("ref_obj_id={}", reg.ref_obj_id);
  if (type_is_non_owning_ref(t)) list.add("non_own_ref");
  if (type_is_map_ptr(t)) {
    if (!reg.map_ptr->name.empty()) list.add("map={}", reg.map_ptr->name);
    list.add("ks={},vs={}", reg.map_ptr->key_size, reg.map_ptr->value_size);
  }
  if (t != SCALAR_VALUE && reg.off != 0) list.add("off={}", snum_str(reg.off));
  if (type_is_pkt_pointer(t)) list.add("r={}", unum_str(static_cast<u64>(s64{reg.range})));
  if (base_type(t) == PTR_TO_MEM) list.add("sz={}", unum_str(reg.mem_size));
  if (t == CONST_PTR_TO_DYNPTR) list.add("type={}", dynptr_type_str(reg.dynptr.type));
  if (tnum_is_const(reg.var_off)) {
    if (reg.var_off.value != 0) list.add("imm={}", snum_str(static_cast<s64>(reg.var_off.value)));
    return;
  }
  add_scalar_ranges(out, list, reg);
  if (!tnum_is_unknown(reg.var_off)) list.add("var_off={}", tnum_strn(reg.var_off));
}

}  // namespace

std::string reg_str(const VerifierEnv& env, const FuncState& func, const RegState& reg) {
  const u32 t = reg.type;
  std::string out;
  if (t == SCALAR_VALUE && reg.precise) out += 'P';
  if (t == SCALAR_VALUE && tnum_is_const(reg.var_off)) return out + snum_str(static_cast<s64>(reg.var_off.value));
  out += reg_type_str(env, t);
  if (t == PTR_TO_ARENA) return out;
  if (t == PTR_TO_STACK) {
    if (func.frameno != reg.frameno) out += fmt::format("[{}]", reg.frameno);
    if (tnum_is_const(reg.var_off)) return out + snum_str(static_cast<s64>(reg.var_off.value) + reg.off);
  }
  if (base_type(t) == PTR_TO_BTF_ID) out += reg.btf->type_name(reg.btf_id);
  out += '(';
  add_reg_attrs(out, reg);
  return out + ')';
}

static const char SLOT_TYPE_CHAR[] = {'?', 'r', 'm', '0', 'd', 'i'};

/// One slot of the stack, or nothing; *i moves on for objects of several slots.
std::string slot_str(const VerifierEnv& env, const FuncState& func, u32* i) {
  const auto name = [](u32 slot, u8 live) { return fmt::format(" fp{}{}", -static_cast<s32>((slot + 1) * BPF_REG_SIZE), liveness_str(live)); };
  const StackSlot* slot = &func.stack[*i];
  std::string types;
  for (u8 t : slot->slot_type) types += SLOT_TYPE_CHAR[t];
  const RegState* reg = &slot->spilled_ptr;
  switch (slot->slot_type[BPF_REG_SIZE - 1]) {
    case STACK_SPILL:
      types.resize(std::min(types.find('r'), types.size()));
      return fmt::format("{}={}{}", name(*i, reg->live), types, reg_str(env, func, *reg));
    case STACK_DYNPTR: {
      *i += BPF_DYNPTR_NR_SLOTS - 1;
      reg = &func.stack[*i].spilled_ptr;
      std::string out = fmt::format("{}=dynptr_{}(", name(*i, reg->live), dynptr_type_str(reg->dynptr.type));
      AttrList list(out);
      if (reg->id != 0) list.add("id={}", reg->id);
      if (reg->ref_obj_id != 0) list.add("ref_id={}", reg->ref_obj_id);
      if (reg->dynptr_id != 0) list.add("dynptr_id={}", reg->dynptr_id);
      return out + ')';
    }
    case STACK_ITER:
      if (reg->ref_obj_id == 0) return {};
      return fmt::format("{}=iter_{}(ref_id={},state={},depth={})", name(*i, reg->live), iter_type_str(*reg->iter.btf, reg->iter.btf_id),
                         reg->ref_obj_id, iter_state_str(reg->iter.state), +reg->iter.depth);
    default: return fmt::format("{}={}", name(*i, reg->live), types);
  }
}

namespace {

bool slot_is_valid(const StackSlot& slot) {
  return std::any_of(std::begin(slot.slot_type), std::end(slot.slot_type), [](u8 t) { return t != STACK_INVALID; });
}

const bpf_line_info* find_linfo(const VerifierEnv& env, u32 insn_off) {
  if (env.line_info.empty() || insn_off >= env.insn_cnt()) return nullptr;
  const auto after = std::upper_bound(env.line_info.begin(), env.line_info.end(), insn_off,
                                      [](u32 off, const bpf_line_info& l) { return off < l.insn_off; });
  return after == env.line_info.begin() ? &env.line_info.front() : &*(after - 1);
}

u32 line_num(const bpf_line_info& l) { return l.line_col >> 10; }

}  // namespace

void VerifierEnv::write_line(std::string_view prefix, fmt::string_view format, fmt::format_args args) {
  log.append("{}{}\n", prefix, fmt::vformat(format, args));
}

std::string tnum_strn(const Tnum& a) {
  if (a.mask == 0) return unum_str(a.value);
  return fmt::format("({:#x}; {:#x})", a.value, a.mask);
}

std::string reg_type_str(const VerifierEnv&, u32 type) {
  std::string out;
  if ((type & MEM_RDONLY) != 0) out += "rdonly_";
  if ((type & MEM_RINGBUF) != 0) out += "ringbuf_";
  if ((type & MEM_USER) != 0) out += "user_";
  if ((type & MEM_PERCPU) != 0) out += "percpu_";
  if ((type & MEM_RCU) != 0) out += "rcu_";
  if ((type & PTR_UNTRUSTED) != 0) out += "untrusted_";
  if ((type & PTR_TRUSTED) != 0) out += "trusted_";
  out += base_type_str(type);
  if ((type & PTR_MAYBE_NULL) != 0) out += base_type(type) == PTR_TO_BTF_ID ? "or_null_" : "_or_null";
  return out;
}

const char* dynptr_type_str(DynptrType type) {
  switch (type) {
    case BPF_DYNPTR_TYPE_LOCAL: return "local";
    case BPF_DYNPTR_TYPE_RINGBUF: return "ringbuf";
    case BPF_DYNPTR_TYPE_SKB: return "skb";
    case BPF_DYNPTR_TYPE_XDP: return "xdp";
    case BPF_DYNPTR_TYPE_INVALID: return "<invalid>";
  }
  return "<unknown>";
}

std::string iter_type_str(const Btf& btf, u32 btf_id) {
  constexpr std::string_view PREFIX = "bpf_iter_";
  const std::string_view name = btf.type_name(btf_id);
  if (btf_id == 0 || name.size() < PREFIX.size()) return "<invalid>";
  return std::string(name.substr(PREFIX.size()));
}

const char* iter_state_str(u32 state) {
  switch (state) {
    case BPF_ITER_STATE_ACTIVE: return "active";
    case BPF_ITER_STATE_DRAINED: return "drained";
    case BPF_ITER_STATE_INVALID: return "<invalid>";
    default: return "<unknown>";
  }
}

void print_verifier_state(VerifierEnv& env, const VerifierState& vstate, u32 frameno, bool print_all) {
  const FuncState& func = *vstate.frame[frameno];
  if (func.frameno != 0) env.verbose(" frame{}:", func.frameno);
  for (u32 i = 0; i < MAX_BPF_REG; ++i) {
    const RegState& reg = func.regs[i];
    if (reg.type == NOT_INIT || (!print_all && (env.scratched_regs >> i & 1) == 0)) continue;
    env.verbose(" R{}{}={}", i, liveness_str(reg.live), reg_str(env, func, reg));
  }
  for (u32 i = 0; i < func.stack_slots(); ++i) {
    if (!print_all && (env.scratched_stack_slots >> i & 1) == 0) continue;
    if (slot_is_valid(func.stack[i])) env.verbose("{}", slot_str(env, func, &i));
  }
  if (func.acquired_refs != 0 && func.refs[0].id != 0) {
    env.verbose(" refs={}", func.refs[0].id);
    for (u32 i = 1; i < func.acquired_refs; ++i)
      if (func.refs[i].id != 0) env.verbose(",{}", func.refs[i].id);
  }
  if (func.in_callback_fn) env.verbose(" cb");
  if (func.in_async_callback_fn) env.verbose(" async_cb");
  env.verbose("\n");
  if (print_all) return;
  env.scratched_regs = 0;
  env.scratched_stack_slots = 0;
}

void print_insn_state(VerifierEnv& env, const VerifierState& vstate, u32 frameno) {
  if (env.prev_log_pos != 0 && env.prev_log_pos == env.log.position()) {
    // Nothing was written since the instruction: its state goes on the same line.
    env.log.reset(env.prev_log_pos - 1);
    const u64 pos = env.prev_insn_print_pos;
    const u64 to = std::max(pos + LOG_MIN_ALIGNMENT / 2, LOG_ALIGNMENT);
    const u64 width = (to + LOG_MIN_ALIGNMENT - 1) / LOG_MIN_ALIGNMENT * LOG_MIN_ALIGNMENT - pos - 1;
    env.verbose("{:>{}};", ' ', width);
  } else {
    env.verbose("{}:", env.insn_idx);
  }
  print_verifier_state(env, vstate, frameno, false);
}

void verbose_linfo(VerifierEnv& env, u32 insn_off, const char* prefix) {
  if (!env.log.needed()) return;
  const bpf_line_info* prev = env.prev_linfo;
  const bpf_line_info* linfo = find_linfo(env, insn_off);
  if (linfo == nullptr || linfo == prev) return;
  // Records that differ in the column only would show the same line again.
  if (prev != nullptr && linfo->file_name_off == prev->file_name_off && line_num(*linfo) == line_num(*prev)) return;
  if (prefix != nullptr) env.verbose("{}", prefix);
  const auto string_at = [&](u32 off) { return std::string_view(env.btf()->name(off) != nullptr ? env.btf()->name(off) : ""); };
  std::string_view line = string_at(linfo->line_off);
  line.remove_prefix(std::min(line.find_first_not_of(" \t\n\v\f\r"), line.size()));
  env.verbose("{}", line);
  const std::string_view file = string_at(linfo->file_name_off);
  env.verbose(" @ {}:{}\n", file.substr(file.rfind('/') + 1), line_num(*linfo));
  env.prev_linfo = linfo;
}

std::string disasm_for_log(VerifierEnv& env, u32 insn_idx) {
  DisasmOptions options;
  options.show_pointers = env.allow_ptr_leaks;
  options.call_name = [&](const bpf_insn& insn) -> std::string { return kfunc_call_name(env, insn); };
  return disasm(&env.insns[insn_idx], options);
}

void print_verification_stats(VerifierEnv& env) {
  if ((env.log.level() & BPF_LOG_STATS) != 0) {
    env.verbose("verification time {} usec\n", env.verification_time_ns / 1000);
    env.verbose("stack depth ");
    for (u32 i = 0; i < env.subprog_cnt; ++i) env.verbose("{}{}", env.subprogs[i].stack_depth, i + 1 < env.subprog_cnt ? "+" : "");
    env.verbose("\n");
  }
  env.verbose("processed {} insns (limit {}) max_states_per_insn {} total_states {} peak_states {} mark_read {}\n", env.insn_processed,
              BPF_COMPLEXITY_LIMIT_INSNS, env.max_states_per_insn, env.total_states, env.peak_states, env.longest_mark_read_walk);
}

}  // namespace skep
