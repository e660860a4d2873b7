// tests/verifier: the text files of cases. A file holds any number of:
//
//   case NAME
//   type TYPE [ATTACH-TYPE]            as in uapi/linux/bpf.h, lower case; socket_filter unless told
//   license TEXT                       GPL unless told
//   flags FLAG...                      strict_alignment any_alignment state_freq reg_invariants rnd_hi32 sleepable xdp_has_frags
//   map NAME KIND KEY VALUE ENTRIES [FIELD@OFFSET | rdonly_prog | wronly_prog]...     sizes in bytes; FIELD is spin_lock or timer
//   func LABEL static|global (ARG, ...)    gives the program BTF; all functions in their order, the first one is the program
//   itself.
//                                      ARG is void, int, u64, ctx, ptr (to an int) or nonnull (ptr that the caller has checked)
//   level N                            log_level, 2 unless told
//   code ... end                       see assembler.h
//   accept | refuse ERRNO
//   log TEXT                           these stand in the log in this order
//   @N TEXT                            stands in a line of the log about instruction N
//   absent TEXT                        stands nowhere in the log
//   processed N                        instructions, in the log's last line
//   run [HEX] = VALUE                  what a test run on these bytes returns; 64 zero bytes unless told
//   linux skip REASON                  not on the machine's own kernel, which is no 6.12
//   skep judged REASON                 skep may answer the runs with ENOTSUPP: it accepts the program and does not run it
//
// Lines that begin with # and empty ones do not count, nor does white space around a line. Marks of liveness in the log (R1_w=) are
// left out before anything is compared: kernels differ in them.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "assembler.h"

namespace skep::cases {

struct MapSpec {
  struct Field {
    std::string name;
    unsigned offset = 0;
  };
  std::string name;
  unsigned kind = 0, key_size = 0, value_size = 0, entries = 0, flags = 0;
  std::vector<Field> fields;
};

struct FuncSpec {
  std::string label;
  bool global = false;
  std::vector<std::string> args;
  int line = 0;
};

struct Run {
  std::vector<unsigned char> data = std::vector<unsigned char>(64);
  std::uint32_t result = 0;
  int line = 0;
};

struct Expected {
  std::string text;
  int line = 0;
  std::optional<unsigned> insn = {};  ///< only in lines about this instruction
};

struct Case {
  std::string name, file, license = "GPL", linux_skip, skep_judged;
  int line = 0;
  unsigned type = BPF_PROG_TYPE_SOCKET_FILTER, attach_type = 0, flags = 0, level = 2;
  std::vector<MapSpec> maps;
  std::vector<FuncSpec> funcs;
  Text text;
  bool has_verdict = false;
  int load_errno = 0;  ///< 0: accepted
  std::vector<Expected> in_order, at_insns, absent;
  std::optional<unsigned> processed;
  std::vector<Run> runs;
};

/// The cases of a text, up to the first problem.
Problem parse_cases(const std::string& file, const std::string& content, std::vector<Case>* cases);

}  // namespace skep::cases
