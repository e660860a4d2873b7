// tests/verifier: what the kernel's annotated programs say about themselves. They carry it as BTF declaration tags.
// Linux: tools/testing/selftests/bpf/test_loader.c:parse_test_spec(). The tags for unprivileged loading, for rewritten instructions
// (test_expect_xlated) and for machine code (test_jited) are not read.
#pragma once

#include <bpf/libbpf.h>

#include <string>
#include <string_view>
#include <vector>

namespace skep::annotated {

struct Spec {
  std::string name;
  bool tagged = false;     ///< something is expected of a privileged load
  bool auxiliary = false;  ///< loaded beside every other program of its object, no test itself
  bool expect_failure = false;
  std::vector<std::string> messages;  ///< appear in the log in this order; text in {{ }} is a POSIX extended regular expression
  unsigned log_level = 0;
  unsigned flags = 0, cleared_flags = 0;
  bool for_this_machine = true;  ///< false when the tags name other processors only
  bool execute = false;
  bool any_retval = false;
  int retval = 0;
  std::string btf_path;
  std::string problem;  ///< not empty: a tag that this loader cannot read
};

Spec read_spec(const bpf_object* object, const bpf_program* program);

/// "" when all messages appear in `log` in their order; else the one that is missing.
std::string missing_message(const std::string& log, const std::vector<std::string>& messages);

}  // namespace skep::annotated
