// tests/fuzz: random programs that our verifier and the machine's judge differently, by kinds, each kind with its smallest example.
//
// A tool for people: a kernel that is not 6.12 differs for good reasons too.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cctype>
#include <map>

#include "generator.h"
#include "linux_side.h"
#include "oracle.h"

namespace skep::fuzz {
namespace {

/// Numbers out, so that alike refusals have one name.
std::string without_numbers(const std::string& line) {
  std::string out;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const bool digit =
        std::isxdigit(static_cast<unsigned char>(line[i])) != 0 && std::isdigit(static_cast<unsigned char>(line[i])) != 0;
    if (!digit)
      out += line[i];
    else if (out.empty() || out.back() != '#')
      out += '#';
  }
  return out;
}

/// Things that kernels after 6.12 know more about: ranges through NEG and byte swaps, comparisons of a register with itself.
bool is_known_better_later(const Program& program) {
  for (const bpf_insn& insn : program.insns) {
    if (is_alu_class(insn.code) && (bpf_op(insn.code) == BPF_NEG || bpf_op(insn.code) == BPF_END)) return true;
    const bool compares = is_jmp_class(insn.code) && bpf_src(insn.code) == BPF_X && bpf_op(insn.code) != BPF_JA;
    if (compares && insn.dst_reg == insn.src_reg) return true;
  }
  return false;
}

bool has(const std::string& line, const char* what) { return line.find(what) != line.npos; }

/// The words of a refusal: the last line before the figures, without pictures of states.
std::string reason(const std::string& log) {
  std::string last, line;
  for (const char c : log) {
    if (c != '\n') {
      line += c;
      continue;
    }
    const bool figures = line.starts_with("processed ") || line.starts_with("verification time") ||
                         line.starts_with("stack depth") || line.starts_with("mark_precise") || line.empty() ||
                         has(line, "live stack update") || has(line, "+live ") || has(line, " +written ");
    if (!figures) last = line;
    line.clear();
  }
  return without_numbers(last);
}

struct Difference {
  int ours = 0, linux = 0;
  std::string name;  ///< empty: none
};

class Differ {
 public:
  Differ(World& world, LinuxSide& linux, bool words) : world_(world), linux_(linux), words_(words) {}

  static bool too_much(int error) { return error == E2BIG || error == ENOMEM; }

  Difference look(const Program& program) const {
    Difference d;
    VerifierLog none(0, 0);
    const Result<VerifiedProg> verified = verify(world_.input(program), none);
    d.ours = verified.ok() ? 0 : verified.error().value();
    d.linux = linux_.load(program, nullptr);
    if (d.ours == 0 && d.linux == 0) return d;
    if (!words_ && (d.ours == 0) == (d.linux == 0)) return d;
    // A million instructions make too long a log.
    if (too_much(d.ours) && too_much(d.linux)) return d;
    if (too_much(d.ours) || too_much(d.linux)) {
      d.name = fmt::format("ours {} | Linux {}", d.ours, d.linux);
      return d;
    }
    std::string linux_log;
    linux_.load(program, &linux_log);
    const std::string ours = d.ours != 0 ? reason(verifier_log(world_, program, nullptr)) : "";
    const std::string theirs = d.linux != 0 ? reason(linux_log) : "";
    if (d.ours == d.linux && ours == theirs) return d;
    d.name = fmt::format("ours {} {} | Linux {} {}", d.ours, ours, d.linux, theirs);
    return d;
  }

  void note(u64 seed, const Program& program) {
    const Difference d = look(program);
    ++programs_;
    accepted_ += d.linux == 0;
    if (d.name.empty()) return;
    Kind& kind = kinds_[d.name];
    if (kind.count++ > 0) return;
    const Program small = smaller(program, d.name);
    if (!kind.example.insns.empty() && kind.example.insns.size() <= small.insns.size()) return;
    kind.example = small;
    kind.seed = seed;
  }

  void print(bool logs) const {
    for (const auto& [name, kind] : kinds_) {
      fmt::print("=== {} times, seed {}: {}\n{}", kind.count, kind.seed, name, to_text(kind.example));
      if (!logs) continue;
      std::string theirs;
      linux_.load(kind.example, &theirs);
      fmt::print("--- ours\n{}\n--- Linux\n{}\n", verifier_log(world_, kind.example, nullptr), theirs);
    }
    fmt::print("{} programs, {} accepted by Linux, {} kinds of differences\n", programs_, accepted_, kinds_.size());
  }
  bool found() const { return !kinds_.empty(); }

 private:
  struct Kind {
    u64 count = 0, seed = 0;
    Program example;
  };

  Program smaller(Program best, const std::string& name) const {
    for (bool again = true; again;) {
      again = false;
      for (u32 at = static_cast<u32>(best.insns.size()); at-- > 0;) {
        if (at > 0 && is_ldimm64(best.insns[at - 1])) continue;
        const Program tried = without(best, at);
        if (tried.insns.empty() || look(tried).name != name) continue;
        best = tried;
        again = true;
      }
    }
    return best;
  }

  World& world_;
  LinuxSide& linux_;
  bool words_;
  u64 programs_ = 0, accepted_ = 0;
  std::map<std::string, Kind> kinds_;
};

}  // namespace
}  // namespace skep::fuzz

int main(int argc, char** argv) {
  using namespace skep::fuzz;
  skep::u64 seed = 1, count = 1000;
  bool logs = false, words = false, drift = false;
  CLI::App app{"Random programs that our verifier and the machine's judge differently"};
  app.add_option("SEED", seed, "the first")->capture_default_str();
  app.add_option("COUNT", count, "programs")->capture_default_str();
  app.add_flag("--logs", logs, "both logs of each example");
  app.add_flag("--words", words, "refusals with another errno or other last words are differences too");
  app.add_flag("--drift", drift, "also programs that newer kernels are known to judge otherwise");
  CLI11_PARSE(app, argc, argv);
  LinuxSide linux;
  if (!linux.refusal().empty()) return fmt::print("{}\n", linux.refusal()), 77;
  World world;
  Differ differ(world, linux, words);
  for (skep::u64 i = 0; i < count; ++i) {
    Program program = generate(seed + i);
    if (program.privileged && (drift || !is_known_better_later(program))) differ.note(seed + i, program);
  }
  differ.print(logs);
  return differ.found() ? 1 : 0;
}
