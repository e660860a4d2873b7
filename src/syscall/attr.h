// syscall: the attr rules. Linux: kernel/bpf/syscall.c:CHECK_ATTR and bpf_check_uarg_tail_zero().
#pragma once
#include <cstring>

#include "uapi/bpf.h"

namespace skep {

/// False when any byte of attr behind the command's last field is set: EINVAL.
inline bool attr_tail_is_zero(const bpf_attr& attr, std::size_t last_field_end) {
  for (std::size_t i = last_field_end; i < sizeof attr; ++i)
    if (attr.bytes[i] != 0) return false;
  return true;
}

}  // namespace skep

#define SKEP_ATTR_END(member, last) (offsetof(bpf_attr, member.last) + sizeof(bpf_attr::member.last))
