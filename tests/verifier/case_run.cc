#include "case_run.h"

#include <cctype>
#include <cstring>
#include <sstream>

namespace skep::cases {
namespace {

std::string errno_name(int error) {
  if (error == 0) return "accepted";
  const char* name = strerrorname_np(error);
  return "refused with " + (name == nullptr ? std::to_string(error) : std::string(name));
}

/// True for "5: (bf) ..." and "5: R0=..." and "from 2 to 5: R0=..." when asked about instruction 5.
bool is_about(const std::string& line, unsigned insn) {
  const std::string place = std::to_string(insn) + ": ";
  if (line.compare(0, place.size(), place) == 0) return true;
  if (line.compare(0, 5, "from ") != 0) return false;
  const std::size_t to = line.find(" to ");
  return to != line.npos && line.compare(to + 4, place.size(), place) == 0;
}

std::vector<std::string> lines_about(const std::string& log, unsigned insn) {
  std::vector<std::string> out;
  std::istringstream in(log);
  for (std::string line; std::getline(in, line);)
    if (is_about(line, insn)) out.push_back(line);
  return out;
}

class Comparison {
 public:
  Comparison(const Case& c, const Answer& answer) : case_(c), answer_(answer), log_(without_liveness(answer.log)) {}

  std::vector<std::string> all() {
    if (!answer_.setup_problem.empty()) {
      say(case_.line, "could not be set up: " + answer_.setup_problem);
      return found_;
    }
    verdict();
    in_order();
    at_insns();
    for (const Expected& absent : case_.absent)
      if (log_.find(without_liveness(absent.text)) != log_.npos) say(absent.line, "stands in the log: " + absent.text);
    processed();
    runs();
    return found_;
  }

 private:
  void say(int line, const std::string& what) { found_.push_back(case_.file + ":" + std::to_string(line) + ": " + what); }

  void verdict() {
    if (answer_.load_errno == case_.load_errno) return;
    const bool wrongly_accepted = answer_.load_errno == 0;
    say(case_.line, std::string(wrongly_accepted ? "WRONGLY ACCEPTED: " : "") + errno_name(answer_.load_errno) + " instead of " +
                        errno_name(case_.load_errno));
  }

  void in_order() {
    std::size_t at = 0;
    for (const Expected& expected : case_.in_order) {
      const std::string text = without_liveness(expected.text);
      at = log_.find(text, at);
      if (at == log_.npos) return say(expected.line, "not in the log, or not in this order: " + expected.text);
      at += text.size();
    }
  }

  void at_insns() {
    for (const Expected& expected : case_.at_insns) {
      const std::string text = without_liveness(expected.text);
      const std::vector<std::string> lines = lines_about(log_, *expected.insn);
      bool found = false;
      for (const std::string& line : lines) found |= line.find(text) != line.npos;
      if (found) continue;
      std::string what = "instruction " + std::to_string(*expected.insn) + " has not: " + expected.text;
      for (const std::string& line : lines) what += "\n    " + line;
      say(expected.line, what);
    }
  }

  void processed() {
    if (!case_.processed) return;
    const std::string wanted = "processed " + std::to_string(*case_.processed) + " insns";
    const std::size_t at = log_.rfind("processed ");
    if (at == log_.npos || log_.compare(at, wanted.size(), wanted) != 0)
      say(case_.line, "not " + wanted + ": " + (at == log_.npos ? "no such line" : log_.substr(at, log_.find('\n', at) - at)));
  }

  void runs() {
    constexpr int kNotSupported = 524;  // ENOTSUPP: judged good, not run there
    for (std::size_t i = 0; i < answer_.run_results.size(); i++) {
      if (!case_.skep_judged.empty() && answer_.run_results[i] == std::strerror(kNotSupported)) continue;
      if (answer_.run_results[i] != std::to_string(case_.runs[i].result))
        say(case_.runs[i].line, "a run returns " + answer_.run_results[i] + " instead of " + std::to_string(case_.runs[i].result));
    }
  }

  const Case& case_;
  const Answer& answer_;
  std::string log_;
  std::vector<std::string> found_;
};

}  // namespace

std::string without_liveness(const std::string& log) {
  std::string out;
  out.reserve(log.size());
  for (std::size_t i = 0; i < log.size(); i++) {
    if (log[i] == '_' && !out.empty() && std::isdigit(static_cast<unsigned char>(out.back()))) {
      const std::size_t end = log.find_first_not_of("rwD", i + 1);
      if (end != log.npos && end > i + 1 && log[end] == '=') i = end;
    }
    out += log[i];
  }
  return out;
}

std::vector<std::string> differences(const Case& c, const Answer& answer) { return Comparison(c, answer).all(); }

}  // namespace skep::cases
