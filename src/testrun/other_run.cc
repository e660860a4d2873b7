// testrun: contexts that are no packets, and bare bytes. Linux: net/bpf/test_run.c, net/core/flow_dissector.c:bpf_flow_dissect()
#include "testrun/job.h"

namespace skep {
namespace {

constexpr u32 SK_PASS = 1;
constexpr u16 AF_INET = 2, AF_INET6 = 10;
constexpr int EAFNOSUPPORT_ = 97;
constexpr u32 MAX_BPF_FUNC_ARGS = 12;

bool plain(const bpf_test_run_attr& attr) noexcept { return attr.flags == 0 && attr.cpu == 0 && attr.batch_size == 0; }

u16 clamp(u16 v, u32 low, u32 high) noexcept { return static_cast<u16>(v < low ? low : v > high ? high : v); }

void start_dissection(const Job& job, u32 flags) noexcept {
  bpf_flow_keys& keys = job.kernel.flow_keys;
  keys = bpf_flow_keys{};
  copy_bytes(&keys.n_proto, job.mem.packet + 2 * ETH_ALEN, sizeof keys.n_proto);
  keys.nhoff = keys.thoff = ETH_HLEN;
  keys.flags = flags;
}

void end_dissection(const Job& job) noexcept {
  bpf_flow_keys& keys = job.kernel.flow_keys;
  keys.nhoff = clamp(keys.nhoff, ETH_HLEN, job.attr.data_size_in);
  keys.thoff = clamp(keys.thoff, keys.nhoff, job.attr.data_size_in);
}

/// Linux: test_run.c:bpf_prog_test_run_sk_lookup(), the part before the run
long fill_lookup(Job& job) noexcept {
  const bpf_sk_lookup& user = job.kernel.user.lookup;
  SkLookupKern& ctx = job.kernel.lookup;
  if (user.sk != 0) return -EINVAL;
  if (!range_is_zero(&user, offsetof(bpf_sk_lookup, local_port) + sizeof user.local_port, sizeof user)) return -EINVAL;
  if (user.local_port > 0xffff) return -ERANGE;
  ctx.family = static_cast<u16>(user.family);
  ctx.protocol = static_cast<u16>(user.protocol);
  ctx.dport = static_cast<u16>(user.local_port);
  ctx.sport = user.remote_port;
  switch (ctx.family) {
    case AF_INET:
      ctx.v4.daddr = user.local_ip4;
      ctx.v4.saddr = user.remote_ip4;
      return 0;
    case AF_INET6:
      ctx.v6.daddr = reinterpret_cast<const In6Addr*>(user.local_ip6);
      ctx.v6.saddr = reinterpret_cast<const In6Addr*>(user.remote_ip6);
      return 0;
    default:
      return -EAFNOSUPPORT_;
  }
}

/// On another processor where that is asked for.
long choose_cpu(Job& job) noexcept {
  if ((job.attr.flags & BPF_F_TEST_RUN_ON_CPU) == 0 || job.attr.cpu == job.env.op.cpu) return 0;
  if (job.attr.cpu >= job.env.op.window.rom->nr_cpus) return -ENXIO;
  return job.env.take_cpu(&job.env, job.attr.cpu) ? 0 : -EBUSY;
}

}  // namespace

long test_run_flow_dissector(Job& job) noexcept {
  const bpf_test_run_attr& attr = job.attr;
  if (!plain(attr) || attr.data_size_in < ETH_HLEN) return -EINVAL;
  if (const long err = job.copy_packet(attr.data_size_in, 0, 0); err != 0) return err;
  bpf_flow_keys& user = job.kernel.user.flow_keys;
  bool has_ctx = false;
  if (const long err = job.copy_ctx(&user, sizeof user, &has_ctx); err != 0) return err;
  constexpr u64 AFTER_FLAGS = offsetof(bpf_flow_keys, flags) + sizeof user.flags;
  if (!range_is_zero(&user, 0, offsetof(bpf_flow_keys, flags)) || !range_is_zero(&user, AFTER_FLAGS, sizeof user)) return -EINVAL;
  FlowDissectorKern& ctx = job.kernel.flow;
  ctx.flow_keys = &job.kernel.flow_keys;
  ctx.data = job.mem.packet;
  ctx.data_end = ctx.data + attr.data_size_in;
  job.set_ctx(&ctx, sizeof ctx, PacketKind::Flow);
  u32 retval = 0, duration = 0;
  const long err = job.run(
      &retval, &duration, [&] { start_dissection(job, user.flags); }, [&](u32*) { end_dissection(job); });
  if (err != 0) return err;
  const auto* keys = reinterpret_cast<const u8*>(&job.kernel.flow_keys);
  if (const long failed = job.finish(keys, sizeof(bpf_flow_keys), nullptr, 0, retval, duration); failed != 0) return failed;
  return job.finish_ctx(has_ctx, &user, sizeof user);
}

long test_run_sk_lookup(Job& job) noexcept {
  const bpf_test_run_attr& attr = job.attr;
  if (!plain(attr)) return -EINVAL;
  if (attr.data_in != 0 || attr.data_size_in != 0 || attr.data_out != 0 || attr.data_size_out != 0) return -EINVAL;
  bool has_ctx = false;
  bpf_sk_lookup& user = job.kernel.user.lookup;
  if (const long err = job.copy_ctx(&user, sizeof user, &has_ctx); err != 0) return err;
  if (!has_ctx) return -EINVAL;
  if (const long err = fill_lookup(job); err != 0) return err;
  SkLookupKern& ctx = job.kernel.lookup;
  job.set_ctx(&ctx, sizeof ctx, PacketKind::None);
  u32 retval = 0, duration = 0;
  // No socket can be chosen here (there are none to look up). Linux: include/linux/filter.h:BPF_PROG_SK_LOOKUP_RUN_ARRAY()
  const auto verdict = [](u32* r) { *r = *r == 0 ? 0 : SK_PASS; };
  if (const long err = job.run(
          &retval, &duration, [&] { ctx.selected_sk = nullptr; }, verdict);
      err != 0)
    return err;
  user.cookie = 0;
  if (const long err = job.finish(nullptr, 0, nullptr, 0, retval, duration); err != 0) return err;
  return job.finish_ctx(has_ctx, &user, sizeof user);
}

long test_run_raw_tp(Job& job) noexcept {
  const bpf_test_run_attr& attr = job.attr;
  if (attr.data_in != 0 || attr.data_out != 0 || attr.ctx_out != 0 || attr.duration != 0 || attr.repeat != 0 ||
      attr.batch_size != 0)
    return -EINVAL;
  if (attr.ctx_size_in < job.plan.max_ctx_offset || attr.ctx_size_in > MAX_BPF_FUNC_ARGS * sizeof(u64)) return -EINVAL;
  if ((attr.flags & BPF_F_TEST_RUN_ON_CPU) == 0 && attr.cpu != 0) return -EINVAL;
  if (attr.ctx_size_in != 0)
    if (const long err = job.env.read_user(&job.env, job.mem.args, attr.ctx_in, attr.ctx_size_in); err != 0) return err;
  if (const long err = choose_cpu(job); err != 0) return err;
  job.set_ctx(attr.ctx_size_in != 0 ? job.mem.args : nullptr, attr.ctx_size_in, PacketKind::None);
  u32 retval = 0;
  if (const long err = job.run_once(&retval); err != 0) return err;
  return job.write_retval(retval);
}

long test_run_syscall(Job& job) noexcept {
  const bpf_test_run_attr& attr = job.attr;
  if (attr.data_in != 0 || attr.data_out != 0 || attr.ctx_out != 0 || attr.duration != 0 || attr.repeat != 0 || attr.flags != 0 ||
      attr.batch_size != 0)
    return -EINVAL;
  if (attr.ctx_size_in < job.plan.max_ctx_offset || attr.ctx_size_in > MAX_SYSCALL_CTX) return -EINVAL;
  if (attr.ctx_size_in != 0)
    if (const long err = job.env.read_user(&job.env, job.mem.args, attr.ctx_in, attr.ctx_size_in); err != 0) return err;
  job.set_ctx(attr.ctx_size_in != 0 ? job.mem.args : nullptr, attr.ctx_size_in, PacketKind::None);
  u32 retval = 0;
  if (const long err = job.run_once(&retval); err != 0) return err;
  if (const long err = job.write_retval(retval); err != 0) return err;
  return attr.ctx_size_in != 0 ? job.env.write_user(&job.env, attr.ctx_in, job.mem.args, attr.ctx_size_in) : 0;
}

}  // namespace skep
