#include "assembler.h"

#include <charconv>
#include <functional>
#include <optional>
#include <regex>

namespace skep::cases {
namespace {

// Younger than the oldest headers that this is built with.
constexpr int kMemsx = 0x80, kJcond = 0xe0;

using Match = std::smatch;

struct Fixup {
  std::size_t insn;
  std::string target;
  enum Field { off, imm } field;
  int line;
};

const std::map<std::string, int> kAlu = {{"+", BPF_ADD},  {"-", BPF_SUB},  {"*", BPF_MUL},   {"/", BPF_DIV}, {"s/", BPF_DIV},
                                         {"%", BPF_MOD},  {"s%", BPF_MOD}, {"|", BPF_OR},    {"&", BPF_AND}, {"^", BPF_XOR},
                                         {"<<", BPF_LSH}, {">>", BPF_RSH}, {"s>>", BPF_ARSH}};
const std::map<std::string, int> kJump = {{"==", BPF_JEQ},  {"!=", BPF_JNE},   {">", BPF_JGT},   {"<", BPF_JLT},
                                          {">=", BPF_JGE},  {"<=", BPF_JLE},   {"&", BPF_JSET},  {"s>", BPF_JSGT},
                                          {"s<", BPF_JSLT}, {"s>=", BPF_JSGE}, {"s<=", BPF_JSLE}};
const std::map<std::string, int> kSize = {{"8", BPF_B}, {"16", BPF_H}, {"32", BPF_W}, {"64", BPF_DW}};
const std::map<std::string, int> kAtomic = {{"+", BPF_ADD}, {"|", BPF_OR}, {"&", BPF_AND}, {"^", BPF_XOR}};
const std::map<std::string, int> kFetch = {{"fetch_add", BPF_ADD | BPF_FETCH},
                                           {"fetch_or", BPF_OR | BPF_FETCH},
                                           {"fetch_and", BPF_AND | BPF_FETCH},
                                           {"fetch_xor", BPF_XOR | BPF_FETCH},
                                           {"xchg", BPF_XCHG}};

/// Decimal or 0x; anything from the least s64 to the greatest u64.
std::optional<std::int64_t> number(std::string text) {
  const bool negative = !text.empty() && text[0] == '-';
  if (!text.empty() && (text[0] == '-' || text[0] == '+')) text.erase(0, 1);
  const int base = text.rfind("0x", 0) == 0 ? 16 : 10;
  if (base == 16) text.erase(0, 2);
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return static_cast<std::int64_t>(negative ? 0 - value : value);
}

/// Instructions and patterns know each other by the groups of the regular expressions.
class Assembler {
 public:
  explicit Assembler(Text* text) : text_(*text) {}

  Problem line(const SourceLine& source) {
    line_ = source.number;
    problem_ = {};
    std::string code = source.text.substr(0, source.text.find(';'));
    Match m;
    static const std::regex label(R"(\s*([A-Za-z_]\w*):\s*(.*))");
    if (std::regex_match(code, m, label)) {
      define(m[1]);
      code = std::string(m[2]);
    }
    static const std::regex blank(R"(\s*)");
    if (!problem_ && !std::regex_match(code, blank)) checked(code);
    return problem_;
  }

  Problem resolve() {
    for (const Fixup& fixup : fixups_) {
      std::int64_t distance = 0;
      line_ = fixup.line;
      if (!distance_of(fixup, &distance)) return problem_;
      if (fixup.field == Fixup::off && distance != static_cast<std::int16_t>(distance)) return {line_, "too far for 16 bits"};
      if (fixup.field == Fixup::off)
        text_.insns[fixup.insn].off = static_cast<std::int16_t>(distance);
      else
        text_.insns[fixup.insn].imm = static_cast<std::int32_t>(distance);
    }
    return {};
  }

 private:
  struct Pattern {
    std::regex regex;
    std::function<void(Assembler&, const Match&)> build;
  };

  void fail(std::string what) {
    if (!problem_) problem_ = {line_, std::move(what)};
  }

  void define(const std::string& name) {
    if (!text_.labels.emplace(name, text_.insns.size()).second) fail("label " + name + " twice");
  }

  bool distance_of(const Fixup& fixup, std::int64_t* distance) {
    const auto label = text_.labels.find(fixup.target);
    if (label != text_.labels.end()) {
      *distance = static_cast<std::int64_t>(label->second) - static_cast<std::int64_t>(fixup.insn) - 1;
      return true;
    }
    const std::string relative = fixup.target.rfind("pc", 0) == 0 ? fixup.target.substr(2) : fixup.target;
    const auto value = relative[0] == '+' || relative[0] == '-' ? number(relative) : std::nullopt;
    if (value) *distance = *value;
    if (!value) fail("no label " + fixup.target);
    return value.has_value();
  }

  /// [N:] [(xx)] INSN
  void checked(const std::string& code) {
    static const std::regex form(R"(\s*(?:(\d{1,7}):)?\s*(?:\(([0-9a-f]{2})\))?\s*(.*?)\s*)");
    Match m;
    std::regex_match(code, m, form);
    const std::size_t at = text_.insns.size();
    if (m[1].matched && std::stoull(m[1]) != at) return fail("this is instruction " + std::to_string(at));
    one(std::string(m[3]));
    if (problem_ || !m[2].matched) return;
    const int wanted = std::stoi(m[2], nullptr, 16), made = text_.insns[at].code;
    if (wanted != made) fail("the opcode is not " + m[2].str() + " but " + std::to_string(made));
  }

  void one(const std::string& insn) {
    Match m;
    static const std::regex times(R"(times (\d{1,6}) (.*))");
    if (std::regex_match(insn, m, times)) {
      for (int left = std::stoi(m[1]); left > 0 && !problem_; left--) one(m[2]);
      return;
    }
    for (const Pattern& pattern : patterns())
      if (std::regex_match(insn, m, pattern.regex)) return pattern.build(*this, m);
    fail("not an instruction: " + insn);
  }

  void emit(int code, int dst, int src, std::int64_t off, std::int64_t imm) {
    struct bpf_insn insn {};
    insn.code = static_cast<__u8>(code);
    insn.dst_reg = static_cast<__u8>(dst & 15);
    insn.src_reg = static_cast<__u8>(src & 15);
    insn.off = static_cast<__s16>(off);
    insn.imm = static_cast<__s32>(imm);
    if (off != insn.off) fail("offset does not fit 16 bits");
    text_.insns.push_back(insn);
  }

  void emit64(int dst, int src, std::int64_t low, std::int64_t high) {
    emit(BPF_LD | BPF_IMM | BPF_DW, dst, src, 0, low);
    emit(0, 0, 0, 0, high);
  }

  void jump_from_last(const std::string& target, Fixup::Field field) {
    fixups_.push_back({text_.insns.size() - 1, target, field, line_});
  }

  static int reg(const std::ssub_match& text) { return std::stoi(text); }

  std::int64_t value(const std::string& text) {
    const auto parsed = number(text);
    if (!parsed) fail("not a number: " + text);
    return parsed.value_or(0);
  }

  /// What fits an s32 or a u32.
  std::int64_t imm(const std::string& text) {
    const std::int64_t parsed = value(text);
    if (parsed < INT32_MIN || parsed > UINT32_MAX) fail("does not fit 32 bits: " + text);
    return parsed;
  }

  std::int64_t offset(const std::ssub_match& text) { return text.matched && text.length() > 0 ? value(spaceless(text)) : 0; }

  static std::string spaceless(const std::string& text) {
    std::string out;
    for (const char c : text)
      if (c != ' ') out += c;
    return out;
  }

  /// "r3", "w3" or a number as the second operand of `op`.
  void operand(int op, const std::string& width, int dst, const std::string& second, std::int64_t off, bool is_jump) {
    const int narrow = is_jump ? BPF_JMP32 : BPF_ALU, wide = is_jump ? BPF_JMP : BPF_ALU64;
    const int code = (width == "w" ? narrow : wide) | op;
    Match m;
    static const std::regex reg_form(R"(([rw])(\d{1,2}))");
    if (!std::regex_match(second, m, reg_form)) return emit(code | BPF_K, dst, 0, off, imm(second));
    if (m[1] != width) return fail("registers of two widths");
    emit(code | BPF_X, dst, reg(m[2]), off, 0);
  }

  static const std::vector<Pattern>& patterns();
  static std::vector<Pattern> jump_patterns();
  static std::vector<Pattern> memory_patterns();
  static std::vector<Pattern> alu_patterns();

  void call(const std::string& target) {
    Match m;
    static const std::regex helper(R"(\w*#(\d{1,9}))");
    if (std::regex_match(target, m, helper)) return emit(BPF_JMP | BPF_CALL, 0, 0, 0, reg(m[1]));
    emit(BPF_JMP | BPF_CALL, 0, BPF_PSEUDO_CALL, 0, 0);
    jump_from_last(target, Fixup::imm);
  }

  void map_reference(const Match& m) {
    text_.map_uses.push_back({text_.insns.size(), m[2], line_});
    const bool value_address = m[3].matched;
    emit64(reg(m[1]), value_address ? BPF_PSEUDO_MAP_VALUE : BPF_PSEUDO_MAP_FD, 0, offset(m[4]));
  }

  void atomic(const std::string& size, int op, const std::ssub_match& dst, const std::ssub_match& off, const std::ssub_match& src) {
    emit(BPF_STX | BPF_ATOMIC | kSize.at(size), reg(dst), reg(src), offset(off), op);
  }

  void fetching_atomic(const Match& m) {
    const auto op = kFetch.find(m[3]);
    if (op == kFetch.end()) return fail("no such operation: " + m[3].str());
    if (m[2] != m[7]) return fail("fetches into the register it takes the operand from");
    atomic(m[4], op->second, m[5], m[6], m[7]);
  }

  void byte_order(const Match& m) {
    if (m[1] != m[4]) return fail("only in place");
    const int code = m[2] == "bswap" ? BPF_ALU64 | BPF_END : BPF_ALU | BPF_END | (m[2] == "be" ? BPF_TO_BE : BPF_TO_LE);
    emit(code, reg(m[1]), 0, 0, reg(m[3]));
  }

  Text& text_;
  std::vector<Fixup> fixups_;
  Problem problem_;
  int line_ = 0;
};

std::vector<Assembler::Pattern> Assembler::jump_patterns() {
  return {
      {std::regex("exit"), [](Assembler& a, const Match&) { a.emit(BPF_JMP | BPF_EXIT, 0, 0, 0, 0); }},
      {std::regex(R"(goto (\S+))"),
       [](Assembler& a, const Match& m) {
         a.emit(BPF_JMP | BPF_JA, 0, 0, 0, 0);
         a.jump_from_last(m[1], Fixup::off);
       }},
      {std::regex(R"(gotol (\S+))"),
       [](Assembler& a, const Match& m) {
         a.emit(BPF_JMP32 | BPF_JA, 0, 0, 0, 0);
         a.jump_from_last(m[1], Fixup::imm);
       }},
      {std::regex(R"(may_goto (\S+))"),
       [](Assembler& a, const Match& m) {
         a.emit(BPF_JMP | kJcond, 0, 0, 0, 0);
         a.jump_from_last(m[1], Fixup::off);
       }},
      {std::regex(R"(if ([rw])(\d{1,2}) (s?[<>]=?|[!=]=|&) (\S+) goto (\S+))"),
       [](Assembler& a, const Match& m) {
         a.operand(kJump.at(m[3]), m[1], reg(m[2]), m[4], 0, true);
         a.jump_from_last(m[5], Fixup::off);
       }},
      {std::regex(R"(call (\S+))"), [](Assembler& a, const Match& m) { a.call(m[1]); }},
      {std::regex(R"(insn (\S+) (\d{1,2}) (\d{1,2}) (\S+) (\S+))"),
       [](Assembler& a, const Match& m) {
         a.emit(static_cast<int>(a.value(m[1])), reg(m[2]), reg(m[3]), a.value(m[4]), a.imm(m[5]));
       }},
  };
}

std::vector<Assembler::Pattern> Assembler::memory_patterns() {
#define SKEP_ADDRESS R"(\(r(\d{1,2}) ?([+-] ?\w+)?\))"
#define SKEP_TYPED R"(\(u(8|16|32|64) \*\))" SKEP_ADDRESS
  return {
      {std::regex(R"(r(\d{1,2}) = (\S+) ll)"),
       [](Assembler& a, const Match& m) {
         const std::int64_t value = a.value(m[2]);
         a.emit64(reg(m[1]), 0, static_cast<std::int32_t>(value), value >> 32);
       }},
      {std::regex(R"(r(\d{1,2}) = map\[(\w+)\](\[0\]([+-]\d+)?)?)"), [](Assembler& a, const Match& m) { a.map_reference(m); }},
      {std::regex(R"(r(\d{1,2}) = subprog\[(\S+)\])"),
       [](Assembler& a, const Match& m) {
         a.emit64(reg(m[1]), BPF_PSEUDO_FUNC, 0, 0);
         a.fixups_.push_back({a.text_.insns.size() - 2, m[2], Fixup::imm, a.line_});
       }},
      {std::regex(R"(r0 = \*\(u(8|16|32) \*\)skb\[(?:r(\d{1,2}) ?)?([+-]? ?\w+)?\])"),
       [](Assembler& a, const Match& m) {
         const int mode = m[2].matched ? BPF_IND : BPF_ABS;
         a.emit(BPF_LD | mode | kSize.at(m[1]), 0, m[2].matched ? reg(m[2]) : 0, 0, a.offset(m[3]));
       }},
      {std::regex(R"(r(\d{1,2}) = \*\(([us])(8|16|32|64) \*\))" SKEP_ADDRESS),
       [](Assembler& a, const Match& m) {
         a.emit(BPF_LDX | (m[2] == "s" ? kMemsx : BPF_MEM) | kSize.at(m[3]), reg(m[1]), reg(m[4]), a.offset(m[5]), 0);
       }},
      {std::regex(R"(\*)" SKEP_TYPED R"( = r(\d{1,2}))"),
       [](Assembler& a, const Match& m) { a.emit(BPF_STX | BPF_MEM | kSize.at(m[1]), reg(m[2]), reg(m[4]), a.offset(m[3]), 0); }},
      {std::regex(R"(\*)" SKEP_TYPED R"( = (\S+))"),
       [](Assembler& a, const Match& m) { a.emit(BPF_ST | BPF_MEM | kSize.at(m[1]), reg(m[2]), 0, a.offset(m[3]), a.imm(m[4])); }},
      {std::regex(R"(lock \*)" SKEP_TYPED R"( ([+|&^])= r(\d{1,2}))"),
       [](Assembler& a, const Match& m) { a.atomic(m[1], kAtomic.at(m[4]), m[2], m[3], m[5]); }},
      {std::regex(R"(([rw])0 = atomic(?:64)?_cmpxchg\()" SKEP_TYPED R"(, [rw]0, [rw](\d{1,2})\))"),
       [](Assembler& a, const Match& m) { a.atomic(m[2], BPF_CMPXCHG, m[3], m[4], m[5]); }},
      {std::regex(R"(([rw])(\d{1,2}) = atomic(?:64)?_(\w+)\()" SKEP_TYPED R"(, [rw](\d{1,2})\))"),
       [](Assembler& a, const Match& m) { a.fetching_atomic(m); }},
  };
#undef SKEP_TYPED
#undef SKEP_ADDRESS
}

std::vector<Assembler::Pattern> Assembler::alu_patterns() {
  return {
      {std::regex(R"(([rw])(\d{1,2}) = -([rw])(\d{1,2}))"),
       [](Assembler& a, const Match& m) {
         if (m[1] != m[3] || m[2] != m[4]) return a.fail("only in place");
         a.emit((m[1] == "w" ? BPF_ALU : BPF_ALU64) | BPF_NEG, reg(m[2]), 0, 0, 0);
       }},
      {std::regex(R"(r(\d{1,2}) = (be|le|bswap)(16|32|64) r(\d{1,2}))"), [](Assembler& a, const Match& m) { a.byte_order(m); }},
      {std::regex(R"(([rw])(\d{1,2}) = \(s(8|16|32)\) ?([rw]\d{1,2}))"),
       [](Assembler& a, const Match& m) { a.operand(BPF_MOV, m[1], reg(m[2]), m[4], reg(m[3]), false); }},
      {std::regex(R"(([rw])(\d{1,2}) (s?/|s?%|s?>>|<<|[-+*|&^])= (\S+))"),
       [](Assembler& a, const Match& m) {
         const bool is_signed = m[3] == "s/" || m[3] == "s%";
         a.operand(kAlu.at(m[3]), m[1], reg(m[2]), m[4], is_signed ? 1 : 0, false);
       }},
      {std::regex(R"(([rw])(\d{1,2}) = (\S+))"),
       [](Assembler& a, const Match& m) { a.operand(BPF_MOV, m[1], reg(m[2]), m[3], 0, false); }},
  };
}

const std::vector<Assembler::Pattern>& Assembler::patterns() {
  static const std::vector<Pattern> all = [] {
    std::vector<Pattern> out;
    for (const auto& part : {jump_patterns(), memory_patterns(), alu_patterns()}) out.insert(out.end(), part.begin(), part.end());
    return out;
  }();
  return all;
}

}  // namespace

Problem assemble(const std::vector<SourceLine>& lines, Text* text) {
  Assembler assembler(text);
  for (const SourceLine& line : lines)
    if (Problem problem = assembler.line(line)) return problem;
  return assembler.resolve();
}

}  // namespace skep::cases
