// tests/fuzz: the machine's own verifier, where bpf(2) answers.
#pragma once
#include <string>
#include <vector>

#include "base/unique_fd.h"
#include "program.h"

namespace skep::fuzz {

class LinuxSide {
 public:
  /// Creates the maps. Without bpf(2) refusal() says why.
  LinuxSide();
  const std::string& refusal() const { return refusal_; }
  /// The errno, 0: accepted. The log at level 2 where `log` is not null.
  int load(const Program& program, std::string* log);

 private:
  UniqueFd make_map(u32 index);
  std::string refusal_;
  std::vector<UniqueFd> maps_;
};

}  // namespace skep::fuzz
