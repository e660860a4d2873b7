// probes: what can be probed: the system calls, by function name and by tracepoint. Linux: kernel/trace/trace_syscalls.c
#pragma once
#include <span>
#include <string>
#include <string_view>

#include "base/types.h"

namespace skep {

struct SyscallArg {
  const char* type;
  const char* name;
};

struct SyscallInfo {
  u32 nr;
  const char* name;  ///< of the function: __x64_sys_NAME
  u32 enter_id, exit_id;
  u32 nr_args;
  SyscallArg args[6];
};

std::span<const SyscallInfo> syscall_table();
/// Null when there is none.
const SyscallInfo* syscall_by_function(std::string_view symbol);  ///< "__x64_sys_execve"
const SyscallInfo* syscall_by_address(u64 addr);
const SyscallInfo* syscall_by_tracepoint(u32 id);
const SyscallInfo* syscall_by_nr(u32 nr);
/// The address that skep's kallsyms gives the function: outside of user space, stable, distinct.
u64 syscall_symbol_addr(const SyscallInfo& s);

/// A file under /sys/kernel/tracing/events/syscalls/: "id" or "format" of sys_enter_NAME / sys_exit_NAME; empty when there is none.
std::string tracepoint_file(std::string_view event, std::string_view file);

}  // namespace skep
