// progtypes: what decides which rules a program lives under. Freestanding.
#pragma once
#include "uapi/bpf.h"

namespace skep {

/// Facts of a program at load. Filled by the caller, never changed by the verifier. For EXT programs `type` and
/// `expected_attach_type` are those of the program that they replace a part of (Linux: resolve_prog_type()), `is_ext` says so.
struct ProgTraits {
  u32 type = 0;
  u32 expected_attach_type = 0;
  bool gpl_compatible = false;
  bool sleepable = false;
  bool is_ext = false;
  bool xdp_has_frags = false;
  bool dev_bound = false;
  bool bpf_capable = true;  ///< CAP_BPF
  bool perfmon = true;      ///< CAP_PERFMON
  /// TRACING, LSM, STRUCT_OPS: name of the function, hook or struct attached to, as in vmlinux BTF without prefixes; null for others.
  const char* attach_func_name = nullptr;
  u32 attach_btf_id = 0;
};

}  // namespace skep
