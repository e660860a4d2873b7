// tests/verifier: loads a case by bpf(2) and compares. The same binary speaks to Linux and to skep.
#pragma once

#include "case_file.h"

namespace skep::cases {

struct Answer {
  std::string setup_problem;  ///< not empty: nothing was asked of the verifier
  int load_errno = 0;
  std::string log;
  std::vector<std::string> run_results;  ///< for each run: the number, or why there is none
};

/// Creates what the case needs, loads, runs, and closes everything.
Answer ask(const Case& c);

/// What differs, one line each as `FILE:LINE: what`; empty when the answer is as the case says.
std::vector<std::string> differences(const Case& c, const Answer& answer);

/// Without the marks of liveness: "R1_rw=" becomes "R1=".
std::string without_liveness(const std::string& log);

}  // namespace skep::cases
