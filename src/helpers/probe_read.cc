// helpers: memory of the traced process and of skep's kernel half. A bad address answers -EFAULT and zero-fills what was asked for.
// Linux: kernel/trace/bpf_trace.c:bpf_probe_read_*(). DIFFERS: Linux tells the halves apart by TASK_SIZE, skep by the session
// window.
#include "base/bytes.h"
#include "helpers/helper_list.h"
#include "helpers/user_memory.h"

namespace skep {
namespace {

u64 probe_bytes(RunCtx& run, u64 dst, u64 size, u64 src, Space space) noexcept {
  return static_cast<u64>(read_bytes(run, reinterpret_cast<void*>(dst), size, src, space));
}

u64 probe_string(RunCtx& run, u64 dst, u64 size, u64 src, Space space) noexcept {
  const long len = read_string(run, reinterpret_cast<void*>(dst), size, src, space);
  if (len < 0) zero_bytes(reinterpret_cast<void*>(dst), size);
  return static_cast<u64>(len);
}

}  // namespace

u64 bpf_probe_read(RunCtx& run, u64 dst, u64 size, u64 src, u64, u64) noexcept {
  return probe_bytes(run, dst, size, src, Space::Either);
}
u64 bpf_probe_read_user(RunCtx& run, u64 dst, u64 size, u64 src, u64, u64) noexcept {
  return probe_bytes(run, dst, size, src, Space::User);
}
u64 bpf_probe_read_kernel(RunCtx& run, u64 dst, u64 size, u64 src, u64, u64) noexcept {
  return probe_bytes(run, dst, size, src, Space::Kernel);
}
u64 bpf_probe_read_str(RunCtx& run, u64 dst, u64 size, u64 src, u64, u64) noexcept {
  return probe_string(run, dst, size, src, Space::Either);
}
u64 bpf_probe_read_user_str(RunCtx& run, u64 dst, u64 size, u64 src, u64, u64) noexcept {
  return probe_string(run, dst, size, src, Space::User);
}
u64 bpf_probe_read_kernel_str(RunCtx& run, u64 dst, u64 size, u64 src, u64, u64) noexcept {
  return probe_string(run, dst, size, src, Space::Kernel);
}

}  // namespace skep
