// helpers: stacks. A user stack is where the program is, and the return addresses that its chain of frame pointers leads to; code
// that keeps none ends it, or makes nonsense of it, as under perf. Of the kernel's side there is the probed function, and nothing
// else. Linux: kernel/bpf/stackmap.c, arch/x86/events/core.c:perf_callchain_user()
#include <cerrno>

#include "base/bytes.h"
#include "helpers/helper_list.h"
#include "helpers/user_memory.h"
#include "maps/stack_trace.h"

namespace skep {
namespace {

u64 ret(long value) noexcept { return static_cast<u64>(value); }

struct Chain {
  u32 nr = 0;
  u64 ips[MAX_STACK_DEPTH];
};

void walk_user(RunCtx& run, Chain& chain, u32 most) noexcept {
  chain.nr = 0;
  if (run.user.ip == 0 || most == 0) return;
  chain.ips[chain.nr++] = run.user.ip;
  struct {
    u64 next, return_address;
  } frame;
  for (u64 at = run.user.bp; chain.nr < most; at = frame.next) {
    if (read_bytes(run, &frame, sizeof frame, at, Space::User) != 0) return;
    chain.ips[chain.nr++] = frame.return_address;
  }
}

void walk_kernel(const RunCtx& run, Chain& chain, u32 most) noexcept {
  chain.nr = 0;
  if (run.probe != nullptr && run.probe->kind != ProbeKind::Clock && run.probe->symbol_addr != 0 && most != 0) chain.ips[chain.nr++] = run.probe->symbol_addr;
}

void walk(RunCtx& run, Chain& chain, u32 most, u64 flags) noexcept {
  if ((flags & BPF_F_USER_STACK) != 0)
    walk_user(run, chain, most);
  else
    walk_kernel(run, chain, most);
}

/// Linux: stackmap.c:callchain_store(), callchain_finalize()
void store(u8* buf, const u64* ips, u32 nr, u64 flags) noexcept {
  if ((flags & BPF_F_USER_BUILD_ID) == 0) return copy_bytes(buf, ips, nr * sizeof(u64));
  auto* entries = reinterpret_cast<StackBuildId*>(buf);
  for (u32 i = 0; i < nr; ++i) entries[i] = StackBuildId{STACK_BUILD_ID_IP, {}, ips[i]};
}

/// Bytes that have been filled, or -errno. Linux: stackmap.c:__bpf_get_stack()
long get_stack(RunCtx& run, u8* buf, u32 size, u64 flags, bool other_task) noexcept {
  const bool user = (flags & BPF_F_USER_STACK) != 0, build_id = (flags & BPF_F_USER_BUILD_ID) != 0;
  const u32 entry = build_id ? sizeof(StackBuildId) : sizeof(u64), skip = static_cast<u32>(flags & BPF_F_SKIP_FIELD_MASK);
  if ((flags & ~(BPF_F_SKIP_FIELD_MASK | BPF_F_USER_STACK | BPF_F_USER_BUILD_ID)) != 0 || (build_id && !user) || size % entry != 0)
    return -EINVAL;
  if (other_task && user) return -EOPNOTSUPP;
  Chain chain;
  if (!other_task) walk(run, chain, stack_max_depth(size, entry, flags), flags);
  if (chain.nr < skip) return -EFAULT;
  const u32 nr = chain.nr - skip;
  store(buf, chain.ips + skip, nr, flags);
  zero_bytes(buf + nr * entry, size - nr * entry);
  return static_cast<long>(nr * entry);
}

u64 stack_into(RunCtx& run, u64 buf, u64 size, u64 flags, bool other_task) noexcept {
  u8* to = reinterpret_cast<u8*>(buf);
  const long rc = get_stack(run, to, static_cast<u32>(size), flags, other_task);
  if (rc < 0) zero_bytes(to, static_cast<u32>(size));
  return ret(rc);
}

}  // namespace

u64 bpf_get_stackid(RunCtx& run, u64, u64 map, u64 flags, u64, u64) noexcept {
  if ((flags & ~(BPF_F_SKIP_FIELD_MASK | BPF_F_USER_STACK | BPF_F_FAST_STACK_CMP | BPF_F_REUSE_STACKID)) != 0) return ret(-EINVAL);
  auto* desc = reinterpret_cast<MapDesc*>(map);
  const u32 skip = static_cast<u32>(flags & BPF_F_SKIP_FIELD_MASK);
  Chain chain;
  walk(run, chain, stack_max_depth(desc->value_size, stack_entry_size(*desc), flags), flags);
  if (chain.nr <= skip) return ret(-EFAULT);
  return ret(stack_map_id(run.op, desc, chain.ips + skip, chain.nr - skip, flags));
}

u64 bpf_get_stack(RunCtx& run, u64, u64 buf, u64 size, u64 flags, u64) noexcept { return stack_into(run, buf, size, flags, false); }

u64 bpf_get_task_stack(RunCtx& run, u64 task, u64 buf, u64 size, u64 flags, u64) noexcept {
  return stack_into(run, buf, size, flags, task != run.env->current_task(run.env));
}

}  // namespace skep
