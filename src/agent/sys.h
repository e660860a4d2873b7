// agent: system calls made by the agent itself: raw, never diverted, no errno. Result >= 0 or -errno.
#pragma once
#include <type_traits>

#include "base/types.h"

namespace skep::agent {

inline s64 sys6(u64 nr, u64 a, u64 b, u64 c, u64 d, u64 e, u64 f) noexcept {
  s64 ret;
  register u64 r10 asm("r10") = d;
  register u64 r8 asm("r8") = e;
  register u64 r9 asm("r9") = f;
  asm volatile("syscall" : "=a"(ret) : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
  return ret;
}

template <typename T>
inline u64 sys_arg(T v) noexcept {
  if constexpr (std::is_pointer_v<T>)
    return reinterpret_cast<u64>(v);
  else
    return static_cast<u64>(static_cast<s64>(v));
}

template <typename... A>
inline s64 sys(u64 nr, A... args) noexcept {
  u64 v[6] = {};
  u32 i = 0;
  ((v[i++] = sys_arg(args)), ...);
  return sys6(nr, v[0], v[1], v[2], v[3], v[4], v[5]);
}

// Numbers of x86-64, as the kernel names them. Source: arch/x86/entry/syscalls/syscall_64.tbl
constexpr u32 NR_read = 0, NR_write = 1, NR_open = 2, NR_close = 3, NR_stat = 4, NR_fstat = 5, NR_lstat = 6, NR_poll = 7, NR_mmap = 9,
              NR_mprotect = 10, NR_munmap = 11, NR_rt_sigaction = 13, NR_rt_sigprocmask = 14, NR_rt_sigreturn = 15, NR_ioctl = 16,
              NR_access = 21, NR_select = 23, NR_sched_yield = 24, NR_mremap = 25, NR_madvise = 28, NR_dup = 32, NR_dup2 = 33,
              NR_getpid = 39, NR_socket = 41, NR_connect = 42, NR_sendmsg = 46, NR_recvmsg = 47, NR_setsockopt = 54, NR_clone = 56,
              NR_fork = 57, NR_vfork = 58, NR_execve = 59, NR_exit = 60, NR_uname = 63, NR_fcntl = 72, NR_chdir = 80, NR_rename = 82, NR_mkdir = 83, NR_rmdir = 84,
              NR_creat = 85, NR_link = 86, NR_unlink = 87, NR_symlink = 88, NR_readlink = 89, NR_chmod = 90, NR_chown = 92,
              NR_getuid = 102, NR_getgid = 104, NR_geteuid = 107, NR_getegid = 108, NR_rt_sigsuspend = 130, NR_sigaltstack = 131,
              NR_mknod = 133, NR_statfs = 137, NR_fstatfs = 138, NR_prctl = 157, NR_setrlimit = 160, NR_mount = 165, NR_umount2 = 166, NR_gettid = 186,
              NR_getxattr = 191, NR_futex = 202, NR_epoll_wait = 232, NR_tgkill = 234, NR_exit_group = 231, NR_epoll_ctl = 233, NR_openat = 257,
              NR_mkdirat = 258, NR_mknodat = 259, NR_newfstatat = 262, NR_unlinkat = 263, NR_renameat = 264, NR_linkat = 265, NR_symlinkat = 266,
              NR_readlinkat = 267, NR_fchmodat = 268, NR_faccessat = 269, NR_pselect6 = 270, NR_ppoll = 271, NR_epoll_pwait = 281,
              NR_dup3 = 292, NR_perf_event_open = 298, NR_recvmmsg = 299, NR_prlimit64 = 302, NR_renameat2 = 316, NR_seccomp = 317, NR_bpf = 321, NR_execveat = 322,
              NR_statx = 332, NR_clone3 = 435, NR_close_range = 436, NR_openat2 = 437, NR_faccessat2 = 439, NR_epoll_pwait2 = 441;

constexpr s32 AT_FDCWD_ = -100;
constexpr s64 EPERM_ = 1, ENOENT_ = 2, EINTR_ = 4, EIO_ = 5, E2BIG_ = 7, EBADF_ = 9, EAGAIN_ = 11, ENOMEM_ = 12, EACCES_ = 13, EFAULT_ = 14, EINVAL_ = 22,
              ENAMETOOLONG_ = 36, ENOSYS_ = 38;

/// A mapping at that address, unless something is there.
inline bool map_at(u64 addr, u64 size, u64 prot, u64 flags, s32 fd, u64 offset) {
  constexpr u64 FIXED_NOREPLACE = 0x100000;
  return static_cast<u64>(sys(NR_mmap, addr, size, prot, flags | FIXED_NOREPLACE, fd, offset)) == addr;
}

}  // namespace skep::agent
