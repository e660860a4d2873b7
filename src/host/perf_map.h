// host: /tmp/perf-PID.map for the processes of a session, so that perf(1) can name the machine code of programs.
#pragma once
#include <sys/types.h>

#include <map>
#include <set>
#include <string>

#include "objects/objects.h"

namespace skep {

/// What a function of a compiled program is called: bpf_prog_TAG_NAME. Linux: kernel/bpf/core.c:bpf_prog_ksym_set_name()
std::string code_symbol(const Prog& prog, std::size_t function);

/// CODE is the same in all processes, and so is what these files say. They stay when processes end: perf reads them later.
class PerfMaps {
 public:
  /// `dir`: where the files go, "/tmp" for perf. Empty: nothing is written.
  explicit PerfMaps(std::string dir = {}) : dir_(std::move(dir)) {}
  void add_process(pid_t pid);
  void add_program(const Prog& prog);

 private:
  struct Symbol {
    u64 len;
    std::string name;
  };
  std::string path_of(pid_t pid) const;
  void write_all(pid_t pid) const;
  /// True when it takes the place of what stood there before.
  bool add(u64 addr, Symbol symbol);
  std::string dir_;
  std::map<u64, Symbol> symbols_;  ///< of programs that are gone too, until others stand in their place
  std::set<pid_t> pids_;
};

}  // namespace skep
