// verifier: back along the path of a refusal: where did the value come from that was not good enough?
#include <algorithm>

#include "verifier/refusal_probe.h"

namespace skep {
namespace {

constexpr std::size_t MAX_STEPS = 8;
constexpr u32 LAST_ARG_REG = 5;

bool is_cond_jmp(const bpf_insn& insn) {
  const u8 op = bpf_op(insn.code);
  return is_jmp_class(insn.code) && op != BPF_JA && op != BPF_CALL && op != BPF_EXIT;
}

/// LD_ABS, LD_IND: to registers they are calls.
bool is_packet_load(const bpf_insn& insn) { return bpf_class(insn.code) == BPF_LD && bpf_mode(insn.code) != BPF_IMM; }

/// A register (0 to 10) or a slot of a frame, as a bit of a mask per frame.
struct Wanted {
  std::array<u32, MAX_CALL_FRAMES> regs{};
  std::array<u64, MAX_CALL_FRAMES> slots{};

  bool has_reg(u32 frame, u32 reg) const { return (regs[frame] >> reg & 1) != 0; }
  void add_reg(u32 frame, u32 reg) { regs[frame] |= 1u << reg; }
  void drop_reg(u32 frame, u32 reg) { regs[frame] &= ~(1u << reg); }
  bool has_slot(u32 frame, u32 slot) const { return (slots[frame] >> slot & 1) != 0; }
  void drop_slot(u32 frame, u32 slot) { slots[frame] &= ~(1ull << slot); }
  bool empty() const {
    for (u32 f = 0; f < MAX_CALL_FRAMES; ++f)
      if ((regs[f] | slots[f]) != 0) return false;
    return true;
  }
};

class Tracer {
 public:
  Tracer(VerifierEnv& env, const RefusalProbe& probe, Refusal& out) : env_(env), probe_(probe), path_(probe.path()), out_(out) {}

  /// Step by step back from the refusal, as long as something is wanted.
  void follow(Wanted wanted) {
    wanted_ = wanted;
    for (std::size_t i = path_.size() - 1; i-- > 0 && !wanted_.empty() && !full();) back_over(i);
  }

  /// Conditional jumps from the refusal back to (not including) step `from`, each instruction once.
  void branches(std::size_t from, std::size_t limit) {
    std::vector<u32> seen;
    for (std::size_t i = path_.size() - 1; i-- > from && seen.size() < limit && !full();) {
      const u32 insn = path_[i].insn;
      if (!is_cond_jmp(env_.insns[insn]) || std::find(seen.begin(), seen.end(), insn) != seen.end()) continue;
      seen.push_back(insn);
      add(i, jump_word(i), "");
    }
  }

  void add(std::size_t step, std::string what, std::string value) {
    if (full()) return;
    const u32 insn = path_[step].insn;
    out_.steps.push_back(
        {static_cast<s32>(insn), source_line(env_, insn), disasm_for_log(env_, insn), std::move(what), std::move(value)});
  }
  bool full() const { return out_.steps.size() >= MAX_STEPS; }

  std::string jump_word(std::size_t step) const {
    const u32 insn = path_[step].insn;
    const bool taken = path_[step + 1].insn != insn + 1;
    return taken ? "jump taken" : "jump not taken";
  }

 private:
  u32 frame_at(std::size_t i) const { return path_[i].frame; }

  std::string picture(std::size_t step, u32 frame, u32 reg) const {
    const RegState* r = probe_.value_after(step, frame, reg);
    if (r == nullptr || r->type == NOT_INIT) return fmt::format("R{}: no value", reg);
    FuncState func{};
    func.frameno = frame;
    return fmt::format("R{}={}", reg, reg_str(env_, func, *r));
  }

  void back_over(std::size_t i) {
    const bpf_insn& insn = env_.insns[path_[i].insn];
    const u32 frame = frame_at(i), next = frame_at(i + 1);
    if (next > frame) return out_of_callee(i, insn, next);
    if (next < frame) return into_callee(i, next);
    if (is_cond_jmp(insn)) return over_jump(i, frame);
    if (is_call(insn) || is_packet_load(insn)) return over_call(i, frame);
    if (bpf_class(insn.code) == BPF_STX || bpf_class(insn.code) == BPF_ST) over_store(i, insn);
    const s32 def = insn_def_regno(insn);
    if (def >= 0 && wanted_.has_reg(frame, static_cast<u32>(def))) over_write(i, insn, static_cast<u32>(def));
  }

  /// From a callee's first instruction back to the call: its arguments were the caller's.
  void out_of_callee(std::size_t i, const bpf_insn& insn, u32 callee) {
    const u32 args = wanted_.regs[callee] & 0x3e;
    wanted_.regs[callee] = 0;
    if (args == 0) return;
    const bool passed = is_pseudo_call(insn);
    for (u32 r = 1; r <= LAST_ARG_REG; ++r) {
      if ((args >> r & 1) == 0) continue;
      add(i, passed ? fmt::format("passes R{}", r) : fmt::format("gives the callback R{}", r), picture(i, callee, r));
      if (passed) wanted_.add_reg(frame_at(i), r);
    }
  }

  /// From behind a call back to the callee's exit.
  void into_callee(std::size_t i, u32 caller) {
    for (u32 r = 0; r <= LAST_ARG_REG; ++r) {
      if (!wanted_.has_reg(caller, r)) continue;
      wanted_.drop_reg(caller, r);
      if (r == 0)
        wanted_.add_reg(frame_at(i), 0);
      else
        add(i, fmt::format("returns; R{} is not kept over calls", r), "");
    }
  }

  void over_jump(std::size_t i, u32 frame) {
    std::string values;
    for (u32 r = 0; r < MAX_BPF_REG; ++r)
      if (wanted_.has_reg(frame, r) && probe_.changed(i, frame, r)) values += (values.empty() ? "" : " ") + picture(i, frame, r);
    if (!values.empty()) add(i, jump_word(i), values);
  }

  void over_call(std::size_t i, u32 frame) {
    for (u32 r = 0; r < MAX_BPF_REG; ++r) {
      if (!wanted_.has_reg(frame, r) || (r > LAST_ARG_REG && !probe_.changed(i, frame, r))) continue;
      add(i,
          r == 0              ? "returns R0"
          : r <= LAST_ARG_REG ? fmt::format("R{} is not kept over calls", r)
                              : fmt::format("makes R{} void", r),
          r == 0 || r > LAST_ARG_REG ? picture(i, frame, r) : "");
      wanted_.drop_reg(frame, r);
    }
  }

  void over_store(std::size_t i, const bpf_insn& insn) {
    const PathStep& step = path_[i];
    if (step.slot_frame < 0) return;
    const u32 frame = static_cast<u32>(step.slot_frame);
    if (!wanted_.has_slot(frame, step.slot)) return;
    const bool whole = access_bytes(insn.code) == BPF_REG_SIZE;
    const bool of_reg = bpf_class(insn.code) == BPF_STX && bpf_mode(insn.code) != BPF_ATOMIC;
    add(i, fmt::format("stores to fp{}", -8 * (step.slot + 1)), of_reg ? picture(i, step.frame, insn.src_reg) : "");
    if (!whole) return;
    wanted_.drop_slot(frame, step.slot);
    if (of_reg) wanted_.add_reg(step.frame, insn.src_reg);
  }

  void over_write(std::size_t i, const bpf_insn& insn, u32 def) {
    const PathStep& step = path_[i];
    add(i, fmt::format("writes R{}", def), picture(i, step.frame, def));
    const bool is_alu = is_alu_class(insn.code);
    if (!is_alu || bpf_op(insn.code) == BPF_MOV) wanted_.drop_reg(step.frame, def);
    if (is_alu && bpf_src(insn.code) == BPF_X && insn.src_reg != BPF_REG_FP && bpf_op(insn.code) != BPF_END)
      wanted_.add_reg(step.frame, insn.src_reg);
    if (bpf_class(insn.code) == BPF_LDX && step.slot_frame >= 0)
      wanted_.slots[static_cast<u32>(step.slot_frame)] |= 1ull << step.slot;
  }

  VerifierEnv& env_;
  const RefusalProbe& probe_;
  const std::vector<PathStep>& path_;
  Refusal& out_;
  Wanted wanted_;
};

/// Registers that an instruction reads.
std::vector<u32> registers_read(const bpf_insn& insn) {
  switch (bpf_class(insn.code)) {
    case BPF_LDX:
      return {insn.src_reg};
    case BPF_ST:
      return {insn.dst_reg};
    case BPF_STX:
      return {insn.dst_reg, insn.src_reg};
    case BPF_LD:
      return {};
    default:
      break;
  }
  if (is_exit(insn)) return {0};
  if (is_call(insn) || (is_jmp_class(insn.code) && bpf_op(insn.code) == BPF_JA)) return {};
  std::vector<u32> regs;
  if (!is_alu_class(insn.code) || bpf_op(insn.code) != BPF_MOV) regs.push_back(insn.dst_reg);
  if (bpf_src(insn.code) == BPF_X && !(is_alu_class(insn.code) && bpf_op(insn.code) == BPF_END)) regs.push_back(insn.src_reg);
  return regs;
}

/// Bytes of the stack that the sentence is about: [off, off + size) of the frame that `frame` is.
bool named_stack_bytes(const std::string& sentence, s32* off, s32* size) {
  std::vector<std::string> words;
  if (!match_words(sentence, "invalid* stack* off *+* size *", &words)) return false;
  *off = std::atoi(words[2].c_str());
  *size = std::atoi(words[4].c_str());
  return *off < 0 && *off >= -static_cast<s32>(MAX_BPF_STACK) && *size > 0 && *size <= -*off;
}

/// The frame whose stack the first register concerned points into.
u32 stack_frame(const RefusalProbe& probe, const std::vector<u32>& regs) {
  for (const u32 r : regs)
    if (probe.failed_reg(r).type == PTR_TO_STACK) return probe.failed_reg(r).frameno;
  return probe.failed_frame()->frameno;
}

void show_slots(VerifierEnv& env, const RefusalProbe& probe, s32 off, s32 size, Refusal& out) {
  const FuncState& func = *probe.failed_frame();
  for (s32 spi = get_spi(off); spi >= get_spi(off + size - 1); --spi) {
    u32 i = static_cast<u32>(spi);
    std::string text = i < func.stack_slots() ? slot_str(env, func, &i) : fmt::format(" fp{}=????????", -8 * (spi + 1));
    if (!text.empty()) out.known.push_back(text.substr(1));
  }
}

/// Last step at an instruction; path.size(): it is not on the path.
std::size_t step_of(const std::vector<PathStep>& path, u32 insn) {
  for (std::size_t i = path.size(); i-- > 0;)
    if (path[i].insn == insn) return i;
  return path.size();
}

/// Where the reference was taken, and the branches since.
void trace_leak(VerifierEnv& env, const RefusalProbe& probe, u32 alloc_insn, Refusal& out) {
  Tracer tracer(env, probe, out);
  const std::size_t taken = step_of(probe.path(), alloc_insn);
  if (taken == probe.path().size()) return;
  tracer.branches(taken, MAX_STEPS - 1);
  tracer.add(taken, "takes the reference", "");
}

void trace_registers(VerifierEnv& env, const RefusalProbe& probe, Refusal& out) {
  const std::vector<u32> regs = concerned_registers(env, out);
  const FuncState& func = *probe.failed_frame();
  Wanted wanted;
  bool missing = false;
  for (const u32 r : regs) {
    const RegState& reg = probe.failed_reg(r);
    missing |= reg.type == NOT_INIT;
    out.known.push_back(reg.type == NOT_INIT ? fmt::format("R{} has no value", r)
                                             : fmt::format("R{}={}", r, reg_str(env, func, reg)));
    if (r != BPF_REG_FP) wanted.add_reg(func.frameno, r);
  }
  if (s32 off, size; named_stack_bytes(out.sentence, &off, &size)) {
    const u32 frame = stack_frame(probe, regs);
    if (frame == func.frameno) show_slots(env, probe, off, size, out);
    for (s32 spi = get_spi(off); spi >= get_spi(off + size - 1); --spi) wanted.slots[frame] |= 1ull << spi;
  }
  Tracer tracer(env, probe, out);
  tracer.follow(wanted);
  if (!out.steps.empty()) return;
  // Nothing on the path made it: then the path itself is what matters.
  tracer.branches(0, MAX_STEPS - 1);
  if (missing) out.steps.push_back({-1, {}, "", "nothing on this path writes it", ""});
}

/// For what goes on for too long: the jumps of the last rounds.
void trace_loop(VerifierEnv& env, const RefusalProbe& probe, Refusal& out) { Tracer(env, probe, out).branches(0, 4); }

bool is_about_length(const Refusal& out) {
  return out.cut || out.sentence.find("infinite loop detected") != std::string::npos ||
         out.sentence.find("BPF program is too large") != std::string::npos ||
         out.sentence.find("is too complex") != std::string::npos;
}

/// Each function's share of the stack, for refusals of their sum.
void show_stack_depths(const VerifierEnv& env, Refusal& out) {
  if (out.sentence.find("stack size") == std::string::npos) return;
  for (u32 i = 0; i < env.subprog_cnt; ++i) {
    const std::string name = subprog_name(env, i);
    out.known.push_back(fmt::format("{}: {} bytes of stack",
                                    name.empty() ? fmt::format("function at {}", env.subprogs[i].start) : name,
                                    env.subprogs[i].stack_depth));
  }
}

}  // namespace

/// From `at` on, with what follows the first star.
static bool match_rest(std::string_view text, std::size_t at, std::string_view pattern, std::vector<std::string>* words) {
  for (std::size_t p = 0; p < pattern.size();) {
    const std::size_t begin = ++p;  // behind the star
    p = std::min(pattern.find('*', begin), pattern.size());
    const std::string_view literal = pattern.substr(begin, p - begin);
    const std::size_t line_end = std::min(text.find('\n', at), text.size());
    const std::size_t end = literal.empty() ? line_end : text.find(literal, at);
    if (end == std::string_view::npos || end > line_end) return false;
    words->emplace_back(text.substr(at, end - at));
    at = end + literal.size();
  }
  return true;
}

bool match_words(std::string_view text, std::string_view pattern, std::vector<std::string>* words) {
  const std::string_view first = pattern.substr(0, pattern.find('*'));
  pattern.remove_prefix(first.size());
  for (std::size_t at = 0; (at = text.find(first, at)) != std::string_view::npos; ++at) {
    words->clear();
    if (match_rest(text, at + first.size(), pattern, words)) return true;
  }
  return false;
}

s32 named_register(std::string_view sentence, std::size_t* at) {
  const auto is_word = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
  };
  const auto digit = [&](std::size_t i) { return i < sentence.size() && sentence[i] >= '0' && sentence[i] <= '9'; };
  for (std::size_t i = *at; i < sentence.size(); ++i) {
    if (sentence[i] != 'R' || (i > 0 && is_word(sentence[i - 1])) || !digit(i + 1)) continue;
    std::size_t end = i + 1;
    u32 reg = 0;
    for (; digit(end) && reg < 100; ++end) reg = reg * 10 + static_cast<u32>(sentence[end] - '0');
    if (reg >= MAX_BPF_REG || (end < sentence.size() && is_word(sentence[end]))) continue;
    *at = end;
    return static_cast<s32>(reg);
  }
  *at = sentence.size();
  return -1;
}

std::vector<u32> concerned_registers(const VerifierEnv& env, const Refusal& refusal) {
  std::vector<u32> regs;
  const auto add = [&](u32 r) {
    if (r < MAX_BPF_REG && std::find(regs.begin(), regs.end(), r) == regs.end()) regs.push_back(r);
  };
  std::size_t at = 0;
  for (s32 r; (r = named_register(refusal.sentence, &at)) >= 0;) add(static_cast<u32>(r));
  if (std::vector<std::string> words; regs.empty() && match_words(refusal.sentence, "arg#* ", &words))
    add(static_cast<u32>(std::atoi(words[0].c_str())) + 1);
  if (regs.empty() && refusal.insn >= 0)
    for (const u32 r : registers_read(env.insns[static_cast<u32>(refusal.insn)])) add(r);
  return regs;
}

void trace_refusal(VerifierEnv& env, const RefusalProbe& probe, Refusal& out) {
  if (probe.failed_frame() == nullptr && !out.cut) return show_stack_depths(env, out);
  if (is_about_length(out)) return trace_loop(env, probe, out);
  std::vector<std::string> words;
  if (match_words(out.sentence, "Unreleased reference id=* alloc_insn=*", &words))
    return trace_leak(env, probe, static_cast<u32>(std::atoi(words[1].c_str())), out);
  trace_registers(env, probe, out);
}

}  // namespace skep
