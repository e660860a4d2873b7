// verifier: the structural judgement of a program at load.
#pragma once
#include <functional>
#include <span>
#include <vector>

#include "base/result.h"
#include "isa/insn.h"
#include "verifier/log.h"

namespace skep {

/// A map as the verifier needs to know it.
struct MapInfo {
  u64 identity;  ///< the same for the same map, however it was named
  u32 type, key_size, value_size, max_entries, map_flags;
};

/// What is judged, and what the judgement may ask. Callbacks are called in Linux's order, at most once per instruction that asks.
struct StructureInput {
  std::span<const bpf_insn> insns;  ///< 1 to BPF_COMPLEXITY_LIMIT_INSNS: the caller answers E2BIG for others
  u32 prog_type = 0;
  bool gpl_compatible = false;
  bool has_func_info = false;
  /// The map behind an fd, or the errno of asking (EBADF, EINVAL).
  std::function<Result<MapInfo>(s32 fd)> map_by_fd;
  /// attr.fd_array[index]; empty: the attribute was null.
  std::function<Result<s32>(u32 index)> fd_array = {};
  /// Reads a value of a map that programs and, being frozen, clients cannot write; false for others. Makes its constants known.
  std::function<bool(u64 identity, u32 off, u32 size, u64* value)> read_frozen = {};
  /// The two places at which Linux checks func and line info. Linux: verifier.c:check_btf_info_early(), check_btf_info()
  std::function<Status(VerifierLog&)> check_btf_early = {};
  std::function<Status(const std::vector<u32>& subprog_starts, VerifierLog&)> check_btf = {};
};

/// One LD_IMM64 that names a map.
struct MapRef {
  u32 insn;
  u32 map;        ///< index into used_maps
  bool is_value;  ///< loads the address of byte `off` of the map's value, not the map
  u32 off;
};

struct StructureReport {
  std::vector<u32> subprog_starts;  ///< ascending; [0] is 0
  std::vector<u32> stack_depth;     ///< per subprogram, bytes that direct accesses need: a lower bound
  std::vector<u32> helpers;         ///< ids called in code that is not ruled out, ascending
  std::vector<MapInfo> used_maps;   ///< each once, in order of first use
  std::vector<MapRef> map_refs;
  std::vector<bool> live;           ///< per slot: constants do not rule it out (second halves of LD_IMM64: as their first)
  u32 insn_processed = 0;
};

class CheckedProg;

/// Judges. The log gets Linux's words, the final "processed N insns" line included; the caller finishes it.
/// Errors and their order: kernel/bpf/verifier.c:bpf_check(). Code that constants rule out (what is left behind failed CO-RE
/// relocations) is held to the rules of decoding and control flow only, as on Linux. DIFFERS: constants are tracked without regard
/// to paths, so code that only Linux's path by path walk rules out is judged too. Programs that need LD_ABS, callbacks, kfuncs or
/// an arena are refused with the errno of a kernel that lacks them.
Result<CheckedProg> check_structure(const StructureInput& input, VerifierLog& log);

/// A program whose structure has been judged good. Only check_structure() makes one.
class CheckedProg {
 public:
  const std::vector<bpf_insn>& insns() const noexcept { return insns_; }  ///< as they came: nothing is rewritten
  const StructureReport& report() const noexcept { return report_; }
  u32 prog_type() const noexcept { return prog_type_; }
  bool gpl_compatible() const noexcept { return gpl_compatible_; }

 private:
  friend Result<CheckedProg> check_structure(const StructureInput& input, VerifierLog& log);
  CheckedProg(const StructureInput& input, StructureReport report)
      : insns_(input.insns.begin(), input.insns.end()),
        report_(std::move(report)),
        prog_type_(input.prog_type),
        gpl_compatible_(input.gpl_compatible) {}

  std::vector<bpf_insn> insns_;
  StructureReport report_;
  u32 prog_type_;
  bool gpl_compatible_;
};

}  // namespace skep
