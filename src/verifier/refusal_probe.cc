#include "verifier/refusal_probe.h"

#include <algorithm>

namespace skep {
namespace {

constexpr u32 LOG_BYTES = 1u << 16;
constexpr std::size_t MAX_SENTENCE_LINES = 4;

bool starts_with_any(std::string_view line, std::initializer_list<std::string_view> words) {
  return std::any_of(words.begin(), words.end(), [&](std::string_view w) { return line.starts_with(w); });
}

/// A source line that check_cfg() or the walk shows: "12: p = q; @ file.c:3".
bool is_shown_source(std::string_view line) {
  const std::size_t at = line.rfind(" @ ");
  if (at == std::string_view::npos) return false;
  const std::size_t colon = line.rfind(':');
  return colon > at && colon + 1 < line.size() && line.find_first_not_of("0123456789", colon + 1) == std::string_view::npos;
}

/// What the log says of the refusal itself.
std::string sentence_of(const VerifierLog& log) {
  VerifierLog copy = log;
  const std::string bytes = std::move(copy).finish().bytes;
  std::string_view rest = std::string_view(bytes).substr(0, bytes.find('\0'));
  std::string out;
  std::size_t lines = 0;
  while (!rest.empty() && lines < MAX_SENTENCE_LINES) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    if (line.empty() || is_shown_source(line)) continue;
    if (starts_with_any(line, {"Validating ", "Func#", "mark_precise", "func#", "cur state:", "old state:"})) continue;
    if (starts_with_any(line, {"caller:", "callee:"})) break;
    out += out.empty() ? "" : "\n";
    out += line;
    ++lines;
  }
  return out;
}

/// The instruction that a refusal outside the walk names: "unreachable insn 7", "jump out of range from insn 3 to 90".
s32 named_insn(const std::string& sentence, u32 insn_cnt) {
  const std::size_t at = sentence.find("insn ");
  if (at == std::string::npos || at + 5 >= sentence.size() || sentence[at + 5] < '0' || sentence[at + 5] > '9') return -1;
  const unsigned long insn = std::strtoul(sentence.c_str() + at + 5, nullptr, 10);
  return insn < insn_cnt ? static_cast<s32>(insn) : -1;
}

/// Registers whose difference a picture shows.
bool looks_the_same(const RegState& a, const RegState& b) { return regs_same_prefix(a, b) && a.ref_obj_id == b.ref_obj_id; }

}  // namespace

SourceLine source_line(const VerifierEnv& env, u32 insn) {
  if (env.line_info.empty() || env.btf() == nullptr) return {};
  const auto after = std::upper_bound(env.line_info.begin(), env.line_info.end(), insn,
                                      [](u32 off, const bpf_line_info& l) { return off < l.insn_off; });
  const bpf_line_info& l = after == env.line_info.begin() ? env.line_info.front() : *(after - 1);
  const auto text = [&](u32 off) { return std::string_view(env.btf()->name(off) != nullptr ? env.btf()->name(off) : ""); };
  std::string_view line = text(l.line_off);
  line.remove_prefix(std::min(line.find_first_not_of(" \t\n\v\f\r"), line.size()));
  const std::string_view file = text(l.file_name_off);
  return {std::string(file.substr(file.rfind('/') + 1)), std::string(line), l.line_col >> 10};
}

/// Paths are put aside while an instruction is judged and taken up when another ends, so both are seen at the next instruction.
void RefusalProbe::follow_pending(const VerifierEnv& env) {
  const std::size_t n = env.pending.size();
  if (n >= marks_.size()) {
    while (marks_.size() < n) marks_.push_back({path_.size(), changes_.size(), before_});
    return;
  }
  const Mark& m = marks_[n];
  path_.resize(m.path);
  changes_.resize(m.changes);
  before_ = m.before;
  marks_.resize(n);
}

void RefusalProbe::note_changes(VerifierEnv& env) {
  const u32 frame = env.cur_state->curframe;
  const auto note = [&](u32 reg) { changes_.push_back({static_cast<u8>(frame), static_cast<u8>(reg), env.cur_regs()[reg]}); };
  const bool same_frame = !path_.empty() && path_.back().frame == frame;
  // A callee has what it was given; a caller gets r0 and loses what calls do not keep.
  const bool left_callee = !path_.empty() && path_.back().frame > frame;
  for (u32 r = 0; r < MAX_BPF_REG; ++r) {
    const bool differs = same_frame    ? !looks_the_same(before_[r], env.cur_regs()[r])
                         : left_callee ? r <= 5
                                       : env.cur_regs()[r].type != NOT_INIT;
    if (differs) note(r);
  }
}

PathStep RefusalProbe::step_at(VerifierEnv& env) const {
  PathStep step{env.insn_idx, static_cast<u8>(env.cur_state->curframe), -1, 0, static_cast<u32>(changes_.size())};
  const bpf_insn& insn = env.insns[env.insn_idx];
  const u8 cls = bpf_class(insn.code);
  if (cls != BPF_LDX && cls != BPF_STX && cls != BPF_ST) return step;
  const u32 base = cls == BPF_LDX ? insn.src_reg : insn.dst_reg;
  if (base >= MAX_BPF_REG) return step;
  const RegState& reg = env.cur_regs()[base];
  if (reg.type != PTR_TO_STACK || !tnum_is_const(reg.var_off)) return step;
  const s64 off = static_cast<s64>(reg.var_off.value) + reg.off + insn.off;
  if (off >= 0 || off < -s64{MAX_BPF_STACK}) return step;
  step.slot_frame = static_cast<s8>(reg.frameno);
  step.slot = static_cast<u8>(get_spi(static_cast<s32>(off)));
  return step;
}

bool RefusalProbe::at_insn(VerifierEnv& env) {
  if (pass_ != env.pass_cnt) {
    pass_ = env.pass_cnt;
    path_.clear();
    changes_.clear();
    marks_.clear();
  }
  follow_pending(env);
  note_changes(env);
  if (++count_ > limit_) {
    out_.cut = true;
    return false;
  }
  env.log.reset(0);  // what was said before is not about this instruction
  path_.push_back(step_at(env));
  before_ = env.cur_func().regs;
  return true;
}

bool RefusalProbe::changed(std::size_t step, u32 frame, u32 reg) const {
  for (u32 i = path_[step].changes; i < changes_end(step); ++i)
    if (changes_[i].frame == frame && changes_[i].reg == reg) return true;
  return false;
}

const RegState* RefusalProbe::value_after(std::size_t step, u32 frame, u32 reg) const {
  for (u32 i = changes_end(step); i-- > 0;)
    if (changes_[i].frame == frame && changes_[i].reg == reg) return &changes_[i].after;
  return nullptr;
}

void RefusalProbe::walk_failed(VerifierEnv& env, u32 insn) {
  if (path_.empty() || path_.back().insn != insn) return;
  out_.insn = static_cast<s32>(insn);
  // The frame that the instruction was judged in: a call may have entered another.
  const u32 frame = std::min<u32>(path_.back().frame, env.cur_state->curframe);
  frame_ = *env.cur_state->frame[frame];
  stack_.assign(frame_->stack, frame_->stack + frame_->stack_slots());
  frame_->stack = stack_.data();
}

void RefusalProbe::finish(VerifierEnv& env, Errno error) {
  out_.error = error.value();
  out_.insn_processed = env.insn_processed;
  if (!out_.cut) out_.sentence = sentence_of(env.log);
  if (out_.insn < 0)
    out_.insn = out_.cut && !path_.empty() ? static_cast<s32>(path_.back().insn) : named_insn(out_.sentence, env.insn_cnt());
  if (out_.insn >= 0) {
    const u32 insn = static_cast<u32>(out_.insn);
    out_.source = source_line(env, insn);
    out_.instruction = disasm_for_log(env, insn);
    if (frame_.has_value() || out_.cut) out_.function = subprog_name(env, find_containing_subprog(env, insn));
  }
  trace_refusal(env, *this, out_);
  out_.hint = refusal_hint(env, *this, out_);
}

Refusal explain_refusal(const VerifierInput& input, Errno error, u32 limit) {
  Refusal out;
  out.error = error.value();
  RefusalProbe probe(limit, out);
  VerifierInput again = input;
  again.refusal = &probe;
  VerifierLog log(BPF_LOG_STATS, LOG_BYTES);  // words without the trace of instructions
  (void)verify(again, log);
  out.error = error.value();  // when it was cut, what the walk ended with is ours
  return out;
}

}  // namespace skep
