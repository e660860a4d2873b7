// verifier: why a program was refused, for people: what the log's last words rest on, where that came from, and what would do.
// Linux has no counterpart; nothing here changes a verdict or a byte of the caller's log.
#pragma once
#include <string>
#include <vector>

#include "verifier/verifier.h"

namespace skep {

/// A line of the program's source, as its line info has it. text empty: there is none.
struct SourceLine {
  std::string file, text;
  u32 line = 0;
};

/// One thing on the path that led to the refusal.
struct RefusalStep {
  s32 insn = -1;  ///< -1: none, only `what` counts
  SourceLine source;
  std::string instruction;
  std::string what;   ///< "writes R2", "jump not taken" ...
  std::string value;  ///< what was known then, as the log prints registers: "R2=scalar(umax=63)"; may be empty
};

struct Refusal {
  int error = 0;
  s32 insn = -1;  ///< the instruction refused; -1: it was the program as a whole
  SourceLine source;
  std::string instruction;         ///< "(79) r0 = *(u64 *)(r1 +0)"
  std::string function;            ///< it lies in; empty: not known
  std::string sentence;            ///< the log's last words, lines parted by newlines
  std::vector<std::string> known;  ///< of the registers and stack slots concerned, just before the instruction
  std::vector<RefusalStep> steps;  ///< newest first
  std::string hint;                ///< empty: none
  u32 insn_processed = 0;          ///< instructions walked until then
  bool cut = false;                ///< the walk was not followed to its end: it is longer than asked for
};

/// How long a walk explain_refusal() follows unless told.
constexpr u32 EXPLAIN_LIMIT = 100000;

/// Judges a program that verify() has refused with `error` once more, and takes notes. The same input gives the same verdict.
/// Costs what that judgement cost, at most `limit` instructions' worth.
Refusal explain_refusal(const VerifierInput& input, Errno error, u32 limit = EXPLAIN_LIMIT);

/// libbpf's name of a program type: "kprobe".
const char* prog_type_name(u32 type) noexcept;
/// For a terminal: lines of printable text, each with its newline.
std::string refusal_text(const Refusal& refusal, const std::string& prog_name, u32 prog_type);
/// One JSON object on one line, without a newline.
std::string refusal_json(const Refusal& refusal, const std::string& prog_name, u32 prog_type);

}  // namespace skep
