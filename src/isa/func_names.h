// isa: names of all helpers of Linux 6.12, ours or not: logs name what a program asks for. Host only.
#pragma once
#include "uapi/bpf.h"

namespace skep {

/// "bpf_map_lookup_elem" for 1; "unknown" outside the table. Linux: kernel/bpf/disasm.c:func_id_name()
const char* func_id_name(s64 id) noexcept;

}  // namespace skep
