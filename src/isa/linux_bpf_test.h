// isa tests: the machine's own bpf(2), where it answers. Tests that ask it skip, with the reason, where it does not.
#pragma once
#include <gtest/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <vector>

#include "uapi/bpf.h"

namespace skep::test {

inline long linux_bpf(u32 cmd, void* attr, u32 size) { return syscall(SYS_bpf, cmd, attr, size); }

struct LinuxVerdict {
  int fd = -1;
  int err = 0;  ///< 0 or the errno
  std::string log;
  LinuxVerdict() = default;
  LinuxVerdict(LinuxVerdict&& o) noexcept : fd(o.fd), err(o.err), log(std::move(o.log)) { o.fd = -1; }
  LinuxVerdict(const LinuxVerdict&) = delete;
  ~LinuxVerdict() {
    if (fd >= 0) close(fd);
  }
};

inline LinuxVerdict linux_prog_load(const std::vector<bpf_insn>& insns, u32 type, u32 log_level, const char* license = "GPL",
                                    u32 log_size = 1u << 20) {
  LinuxVerdict v;
  v.log.resize(log_level != 0 ? log_size : 0);
  bpf_attr attr;
  std::memset(&attr, 0, sizeof attr);
  attr.prog_load.prog_type = type;
  attr.prog_load.insns = reinterpret_cast<u64>(insns.data());
  attr.prog_load.insn_cnt = static_cast<u32>(insns.size());
  attr.prog_load.license = reinterpret_cast<u64>(license);
  attr.prog_load.log_level = log_level;
  attr.prog_load.log_size = log_level != 0 ? log_size : 0;
  attr.prog_load.log_buf = log_level != 0 ? reinterpret_cast<u64>(v.log.data()) : 0;
  v.fd = static_cast<int>(linux_bpf(BPF_PROG_LOAD, &attr, sizeof attr));
  v.err = v.fd < 0 ? errno : 0;
  v.log.resize(std::strlen(v.log.c_str()));
  return v;
}

/// r0 of a run on 64 zero bytes, low half; false when refused.
inline bool linux_test_run(int prog_fd, u32* retval) {
  struct {
    u32 prog_fd, retval, data_size_in, data_size_out;
    u64 data_in, data_out;
    u32 repeat, duration, ctx_size_in, ctx_size_out;
    u64 ctx_in, ctx_out;
    u32 flags, cpu, batch_size, pad;
  } attr{};
  u8 data[64] = {};
  attr.prog_fd = static_cast<u32>(prog_fd);
  attr.data_size_in = sizeof data;
  attr.data_in = reinterpret_cast<u64>(data);
  if (linux_bpf(BPF_PROG_TEST_RUN, &attr, sizeof attr) != 0) return false;
  *retval = attr.retval;
  return true;
}

/// Empty when bpf(2) loads programs for us, else why not.
inline std::string linux_bpf_refusal() {
  const LinuxVerdict v = linux_prog_load({{BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 0}, {BPF_JMP | BPF_EXIT, 0, 0, 0, 0}},
                                         BPF_PROG_TYPE_SOCKET_FILTER, 0);
  return v.err == 0 ? "" : std::string("the machine's bpf(2) refuses programs: ") + std::strerror(v.err);
}

#define SKIP_WITHOUT_LINUX_BPF()                                                     \
  do {                                                                               \
    if (const std::string why = ::skep::test::linux_bpf_refusal(); !why.empty()) GTEST_SKIP() << why; \
  } while (false)

}  // namespace skep::test
