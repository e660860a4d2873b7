// verifier: the judgement of a program at load.
//
// Pure: no fds, no globals, no threads, no process-wide state. Maps, BTF and files come in as facts and callbacks.
// Linux: kernel/bpf/verifier.c:bpf_check()
#pragma once
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "btf/btf.h"
#include "isa/insn.h"
#include "progtypes/prog_traits.h"
#include "verifier/log.h"

namespace skep {

struct VerifierState;
class RefusalProbe;

/// A map as the verifier needs to know it. Owned by the caller, unchanged during a judgement.
struct VerifierMap {
  u64 identity = 0;  ///< the same for the same map, however it was named
  u32 id = 0;
  u32 type = 0, key_size = 0, value_size = 0, max_entries = 0, map_flags = 0;
  u64 map_extra = 0;
  bool frozen = false;             ///< and no writable mapping: with BPF_F_RDONLY_PROG its contents are constants
  const BtfRecord* record = nullptr;  ///< special fields of the value; null: none
  const Btf* btf = nullptr;
  u32 btf_key_type_id = 0, btf_value_type_id = 0;
  const VerifierMap* inner_map_meta = nullptr;  ///< map-in-map
  std::string name;
};

/// What is judged, and what the judgement may ask. Callbacks are called in Linux's order.
struct VerifierInput {
  std::span<const bpf_insn> insns;  ///< 1 to BPF_COMPLEXITY_LIMIT_INSNS: the caller answers E2BIG for others
  ProgTraits prog;
  u32 prog_flags = 0;               ///< attr.prog_flags
  const Btf* btf = nullptr;         ///< attr.prog_btf_fd's; null: none, or no BTF is behind that fd: btf_errno says why
  int btf_errno = 0;
  const Btf* vmlinux = nullptr;     ///< the kernel's own types; null: none here

  /// attr.func_info, attr.line_info as they lie in the caller's memory, as much of it as is readable.
  std::span<const u8> func_info, line_info;
  u32 func_info_cnt = 0, line_info_cnt = 0;
  u32 func_info_rec_size = 0, line_info_rec_size = 0;
  u32 core_relo_cnt = 0;

  /// The map behind an fd, or the errno of asking (EBADF, EINVAL). The answer lives as long as the input.
  std::function<Result<const VerifierMap*>(s32 fd)> map_by_fd;
  /// attr.fd_array[index]; empty: the attribute was null.
  std::function<Result<s32>(u32 index)> fd_array = {};
  /// Offset check of BPF_PSEUDO_MAP_VALUE: 0 or the errno of map_direct_value_addr().
  std::function<Status(const VerifierMap&, u32 off)> direct_value = {};
  /// Reads `size` bytes at `off` of the only value of a map that is constant (frozen, RDONLY_PROG, an array); false for others.
  std::function<bool(const VerifierMap&, u32 off, u32 size, u64* value)> read_frozen = {};
  /// Whether whoever runs the program has this kfunc; empty: none. Linux: kallsyms_lookup_name()
  std::function<bool(std::string_view name)> kfunc_there = {};
  /// Processors that there may ever be: bound of bpf_get_smp_processor_id(). 0: not known.
  u32 nr_cpu_ids = 0;

  // For tests. They change no verdict of a program that is judged to its end.
  /// Told of each instruction that is about to be judged, and with what (state.h); false: enough, E2BIG. Empty: nobody.
  std::function<bool(u32 insn, const VerifierState& state)> observe = {};
  /// No path ends where an equal state was found safe: only loops that something else bounds do.
  bool explore_all_paths = false;

  RefusalProbe* refusal = nullptr;  ///< set by explain_refusal() (refusal.h)
};

/// One LD_IMM64 that names a map, in the instructions after rewriting.
struct MapRef {
  u32 insn;
  u32 map;        ///< index into used_maps
  bool is_value;  ///< loads the address of byte `off` of the map's value, not the map
  u32 off;
};

struct VerifierReport {
  std::vector<u32> subprog_starts;  ///< after rewriting, ascending; [0] is 0
  std::vector<u32> stack_depth;     ///< per subprogram, bytes
  std::vector<u32> orig_idx;        ///< per rewritten instruction: the one of the input that it stands for
  std::vector<u32> helpers;         ///< ids called in live code, ascending
  std::vector<const VerifierMap*> used_maps;  ///< each once, in order of first use
  std::vector<MapRef> map_refs;
  std::vector<bpf_line_info> line_info;  ///< for the rewritten instructions
  std::vector<bpf_func_info> func_info;
  u32 insn_processed = 0;
  u32 max_ctx_offset = 0, max_tp_access = 0, max_rdonly_access = 0, max_rdwr_access = 0;
  bool enforce_expected_attach_type = false;
  bool changes_pkt_data = false;
  bool tail_call_reachable = false;
  bool reads_map_structs = false;  ///< members of the kernel's struct behind a map pointer
};

class VerifiedProg;

/// Judges. The log gets Linux's words, the final "processed N insns" line included; the caller finishes it.
/// Errors and their order: kernel/bpf/verifier.c:bpf_check().
Result<VerifiedProg> verify(const VerifierInput& input, VerifierLog& log);

/// A program that was judged good. Only verify() makes one.
class VerifiedProg {
 public:
  const std::vector<bpf_insn>& insns() const noexcept { return insns_; }         ///< rewritten: what dumps show
  const VerifierReport& report() const noexcept { return report_; }
  const ProgTraits& prog() const noexcept { return prog_; }

 private:
  friend Result<VerifiedProg> verify(const VerifierInput& input, VerifierLog& log);
  VerifiedProg(std::vector<bpf_insn> insns, VerifierReport report, ProgTraits prog)
      : insns_(std::move(insns)), report_(std::move(report)), prog_(prog) {}
  std::vector<bpf_insn> insns_;
  VerifierReport report_;
  ProgTraits prog_;
};

}  // namespace skep
