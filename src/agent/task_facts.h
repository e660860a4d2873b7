// agent: what /proc says of a task. Linux: fs/proc/array.c:do_task_stat(), proc_pid_status()
#pragma once
#include "base/types.h"

namespace skep::agent {

/// /proc/.../stat: the name, and all that stands behind it as signed numbers, under the numbers that proc(5) gives them (from 4
/// on).
struct StatFacts {
  char comm[16];
  u32 count;
  s64 field[64];
  s64 operator[](u32 number) const { return number < count ? field[number] : 0; }
};
namespace stat_field {
constexpr u32 ppid = 4, pgrp = 5, session = 6, flags = 9, priority = 18, nice = 19, num_threads = 20, starttime = 22,
              startcode = 26, endcode = 27, startstack = 28, exit_signal = 38, rt_priority = 40, policy = 41, start_data = 45,
              end_data = 46, start_brk = 47, arg_start = 48, arg_end = 49, env_start = 50, env_end = 51;
}
/// False: there is no such file, or it is not to be read. All is zero then.
bool read_stat(const char* path, StatFacts& out);

constexpr u32 MAX_NS_PIDS = 33;
struct StatusFacts {
  u32 uid[4], gid[4];  ///< real, effective, saved, of the file system
  u64 cap_inheritable, cap_permitted, cap_effective, cap_bset, cap_ambient;
  u32 levels;               ///< of pid namespaces, as many as /proc shows
  s32 ns_pid[MAX_NS_PIDS];  ///< from the outermost to the task's own
};
bool read_status(const char* path, StatusFacts& out);

/// A whole small file, NUL-terminated, cut at the end of `out`. False: nothing was read.
bool read_file(const char* path, char* out, u64 size);
/// The hexadecimal number that `p` begins with, behind blanks; 0: there is none.
u64 hex_number(const char* p);
/// The number a file is made of; `none` if there is none.
u64 read_number(const char* path, u64 none);
/// The number in a link of /proc/.../ns: 0: there is none.
u32 read_inum(const char* path);

}  // namespace skep::agent
