// tests/verifier: every case of every file as a test of its own, named FILE.NAME.
//
//   verifier_cases [--cases=DIR] [--print=NAME] [gtest's own flags]
//
// --print shows the log of one case and what it runs to. A file that cannot be read is one line `FILE:LINE: what` and exit
// status 2. SKEP_TEST_MODE=skep: under skep, where a case is never skipped.
#include <gtest/gtest.h>
#include <sys/utsname.h>

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>

#include "case_run.h"

namespace skep::cases {
namespace {

bool native() {
  const char* mode = std::getenv("SKEP_TEST_MODE");
  return mode == nullptr || std::string(mode) != "skep";
}

/// Why nothing can be learned from the machine's own kernel; empty when something can. Under skep there is no such reason.
std::string no_native_answer() {
  if (!native()) return {};
  utsname machine{};
  uname(&machine);
  unsigned major = 0, minor = 0;
  if (std::sscanf(machine.release, "%u.%u", &major, &minor) != 2 || major * 1000 + minor < 6012)
    return std::string("the cases are of Linux 6.12, this is ") + machine.release;
  std::vector<Case> simplest;
  parse_cases("", "case x\naccept\ncode\nr0 = 0\nexit\nend\n", &simplest);
  const Answer answer = ask(simplest[0]);
  return answer.load_errno == 0 ? "" : std::string("bpf(2) does not load: ") + std::strerror(answer.load_errno);
}

class CaseTest : public testing::Test {
 public:
  explicit CaseTest(const Case& c) : case_(c) {}

  void TestBody() override {
    static const std::string unanswered = no_native_answer();
    if (!unanswered.empty()) GTEST_SKIP() << unanswered;
    if (native() && !case_.linux_skip.empty()) GTEST_SKIP() << case_.linux_skip;
    const Answer answer = ask(case_);
    const std::vector<std::string> found = differences(case_, answer);
    for (const std::string& difference : found) ADD_FAILURE_AT(case_.file.c_str(), case_.line) << difference;
    if (!found.empty()) std::cout << tail(answer.log);
  }

 private:
  /// The end of a log says why; its whole length may be megabytes.
  static std::string tail(const std::string& log) {
    constexpr std::size_t kTail = 4000;
    return log.size() <= kTail ? log : "...\n" + log.substr(log.find('\n', log.size() - kTail) + 1);
  }

  Case case_;
};

std::string test_name(const std::string& name) {
  std::string out;
  for (const char c : name) out += std::isalnum(static_cast<unsigned char>(c)) ? c : '_';
  return out;
}

std::vector<std::filesystem::path> case_files(const std::string& directory) {
  std::vector<std::filesystem::path> out;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(directory, error))
    if (entry.path().extension() == ".case") out.push_back(entry.path());
  std::sort(out.begin(), out.end());
  return out;
}

bool read_cases(const std::string& directory, std::vector<Case>* cases) {
  bool all = true;
  for (const std::filesystem::path& path : case_files(directory)) {
    std::stringstream content;
    content << std::ifstream(path).rdbuf();
    std::vector<Case> some;
    if (const Problem problem = parse_cases(path.string(), content.str(), &some)) {
      std::fprintf(stderr, "%s:%d: %s\n", path.c_str(), problem.line, problem.what.c_str());
      all = false;
    }
    cases->insert(cases->end(), some.begin(), some.end());
  }
  if (cases->empty()) std::fprintf(stderr, "no cases in %s\n", directory.c_str());
  return all && !cases->empty();
}

void register_case(const Case& c) {
  const std::string suite = test_name(std::filesystem::path(c.file).stem().string());
  testing::RegisterTest(suite.c_str(), test_name(c.name).c_str(), nullptr, nullptr, c.file.c_str(), c.line,
                        [c]() -> testing::Test* { return new CaseTest(c); });
}

int print_cases(const std::vector<Case>& cases, const std::string& name) {
  int shown = 0;
  for (const Case& c : cases) {
    if (c.name != name && test_name(c.name) != name) continue;
    const Answer answer = ask(c);
    std::printf("%s%serrno %d\n", answer.log.c_str(), answer.setup_problem.c_str(), answer.load_errno);
    for (const std::string& result : answer.run_results) std::printf("run: %s\n", result.c_str());
    for (const std::string& difference : differences(c, answer)) std::printf("%s\n", difference.c_str());
    shown++;
  }
  return shown > 0 ? 0 : 2;
}

/// The value of --NAME=VALUE among the arguments gtest has left, or `otherwise`.
std::string option(int argc, char** argv, const std::string& name, const std::string& otherwise) {
  const std::string prefix = "--" + name + "=";
  for (int i = 1; i < argc; i++)
    if (std::string(argv[i]).rfind(prefix, 0) == 0) return argv[i] + prefix.size();
  return otherwise;
}

}  // namespace
}  // namespace skep::cases

int main(int argc, char** argv) {
  using namespace skep::cases;
  testing::InitGoogleTest(&argc, argv);
  std::vector<Case> cases;
  if (!read_cases(option(argc, argv, "cases", SKEP_CASES_DIR), &cases)) return 2;
  const std::string name = option(argc, argv, "print", "");
  if (!name.empty()) return print_cases(cases, name);
  for (const Case& c : cases) register_case(c);
  return RUN_ALL_TESTS();
}
