// testrun: XDP programs: a frame of the loopback device's queue 0. Linux: net/bpf/test_run.c:bpf_prog_test_run_xdp()
#include "testrun/job.h"

namespace skep {
namespace {

constexpr u32 XDP_PACKET_HEADROOM = 256;
constexpr u32 NAPI_POLL_WEIGHT = 64, TEST_XDP_MAX_BATCH = 256;
constexpr u32 SIZEOF_XDP_BUFF = 56;  ///< Linux: struct xdp_buff, twice at the head of each page of live frames

/// How the bytes of data_in are laid out.
struct Layout {
  bool live = false;
  u32 meta = 0;  ///< bytes before the packet
  u32 headroom = XDP_PACKET_HEADROOM;
  u32 linear = 0;  ///< bytes in the first page
};

long check_flags(const Job& job, Layout& l) noexcept {
  const u32 attach = job.plan.expected_attach_type;
  if (attach == BPF_XDP_DEVMAP || attach == BPF_XDP_CPUMAP) return -EINVAL;
  if ((job.attr.flags & ~BPF_F_TEST_XDP_LIVE_FRAMES) != 0) return -EINVAL;
  l.live = (job.attr.flags & BPF_F_TEST_XDP_LIVE_FRAMES) != 0;
  const u32 batch = job.attr.batch_size == 0 && l.live ? NAPI_POLL_WEIGHT : job.attr.batch_size;
  if (l.live && batch > TEST_XDP_MAX_BATCH) return -E2BIG;
  return !l.live && batch != 0 ? -EINVAL : 0;
}

long check_sizes(const Job& job, bool has_ctx, Layout& l) noexcept {
  const bpf_test_run_attr& attr = job.attr;
  const xdp_md& ctx = job.kernel.user.xdp;
  l.linear = attr.data_size_in;
  if (has_ctx) {
    if (ctx.data_meta != 0 || ctx.data_end > attr.data_size_in || ctx.data > ctx.data_end) return -EINVAL;
    if (l.live && (attr.data_out != 0 || attr.ctx_out != 0)) return -EINVAL;
    l.meta = ctx.data;
    if (xdp_metalen_invalid(l.meta) || l.meta > XDP_PACKET_HEADROOM - SIZEOF_XDP_FRAME) return -EINVAL;
    l.headroom -= l.meta;
    l.linear = ctx.data_end;
  }
  if (l.live) l.headroom += 2 * SIZEOF_XDP_BUFF;
  const u32 room = static_cast<u32>(PAGE_SIZE) - l.headroom - SKB_SHARED_INFO_ROOM;
  if (l.linear > room) l.linear = room;
  if (l.live && attr.data_size_in > l.linear) return -EINVAL;
  return attr.data_size_in - l.meta < ETH_HLEN ? -EINVAL : 0;
}

/// Linux: test_run.c:xdp_convert_md_to_buff(). DIFFERS: the loopback device with its one queue is all there is.
long take_ctx(Job& job) noexcept {
  const xdp_md& ctx = job.kernel.user.xdp;
  if (ctx.egress_ifindex != 0 || (ctx.ingress_ifindex == 0 && ctx.rx_queue_index != 0)) return -EINVAL;
  if (ctx.ingress_ifindex > LOOPBACK_IFINDEX) return -ENODEV;
  if (ctx.rx_queue_index != 0) return -EINVAL;
  job.kernel.xdp.data = job.kernel.xdp.data_meta + ctx.data;
  return 0;
}

void build(Job& job, const Layout& l) noexcept {
  PacketXdp& xdp = job.kernel.xdp;
  job.kernel.dev.ifindex = LOOPBACK_IFINDEX;
  job.kernel.rxq.dev = &job.kernel.dev;
  xdp.rxq = &job.kernel.rxq;
  xdp.frame_sz = PAGE_SIZE;
  xdp.data_hard_start = job.mem.packet;
  xdp.data = xdp.data_meta = job.mem.packet + l.headroom;
  xdp.data_end = xdp.data + l.linear;
  xdp.frags = job.mem.frags;
}

long copy_frags(Job& job, const Layout& l) noexcept {
  const u32 rest = job.attr.data_size_in - l.linear;
  if (rest == 0) return 0;
  // Page by page, so that a bad address is seen before there are too many.
  SkbSharedInfo& info = xdp_shared_info(job.kernel.xdp);
  for (u32 at = 0; at < rest;) {
    if (info.nr_frags == MAX_SKB_FRAGS) return -ENOMEM;
    const u32 n = rest - at < PAGE_SIZE ? rest - at : static_cast<u32>(PAGE_SIZE);
    ++info.nr_frags;
    if (const long err = job.env.read_user(&job.env, job.mem.frags + at, job.attr.data_in + l.linear + at, n); err != 0) return err;
    info.xdp_frags_size += n;
    at += n;
  }
  job.kernel.xdp.flags |= XDP_FLAGS_HAS_FRAGS;
  return 0;
}

}  // namespace

long test_run_xdp(Job& job) noexcept {
  PacketXdp& xdp = job.kernel.xdp;
  Layout layout;
  if (const long err = check_flags(job, layout); err != 0) return err;
  bool has_ctx = false;
  if (const long err = job.copy_ctx(&job.kernel.user.xdp, sizeof(xdp_md), &has_ctx); err != 0) return err;
  if (const long err = check_sizes(job, has_ctx, layout); err != 0) return err;
  if (layout.live) return -TEST_ENOTSUPP;
  if (const long err = job.copy_packet(layout.linear, layout.headroom, SKB_SHARED_INFO_ROOM); err != 0) return err;
  build(job, layout);
  if (has_ctx)
    if (const long err = take_ctx(job); err != 0) return err;
  if (const long err = copy_frags(job, layout); err != 0) return err;
  job.set_ctx(&xdp, sizeof(PacketXdp), PacketKind::Xdp);
  u32 retval = 0, duration = 0;
  if (const long err = job.run(&retval, &duration); err != 0) return err;
  xdp_md& ctx = job.kernel.user.xdp;
  ctx.data = static_cast<u32>(xdp.data - xdp.data_meta);
  ctx.data_end = static_cast<u32>(xdp.data_end - xdp.data_meta);
  const u32 frags = xdp_shared_info(xdp).xdp_frags_size;
  const u32 size = ctx.data_end + frags;
  if (const long err = job.finish(xdp.data_meta, size, job.mem.frags, frags, retval, duration); err != 0) return err;
  return job.finish_ctx(has_ctx, &ctx, sizeof(xdp_md));
}

}  // namespace skep
