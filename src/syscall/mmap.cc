// syscall: mmap(2) of our fds. Linux: kernel/bpf/syscall.c:bpf_map_mmap(), kernel/events/core.c:perf_mmap()
#include <sys/mman.h>

#include "buffers/perf_ring.h"
#include "maps/map_ops.h"
#include "syscall/dispatch.h"

namespace skep {
namespace {

struct Request {
  u64 len, offset;
  bool write, shared;
};

/// Linux: kernel/bpf/ringbuf.c:ringbuf_map_mmap_kern()
Result<MmapPlan> mmap_ringbuf(CallContext& ctx, const Map& map, const Request& q) {
  // Only the consumer's position may be written: the producer's page and the data are the kernel half's.
  if (q.write && (q.offset != 0 || q.len != PAGE_SIZE)) return Errno(EPERM);
  const RingDesc& r = *map.desc->ring;
  const u64 head = 2 * PAGE_SIZE, whole = head + 2 * r.data_size;
  if (q.offset > whole || q.len > whole - q.offset) return Errno(EINVAL);
  MmapPlan plan;
  // Page ranges of the doubled layout, each once over the file's single copy.
  for (u64 at = q.offset; at < q.offset + q.len;) {
    const bool second = at >= head + r.data_size;
    const u64 stop = std::min(q.offset + q.len, second ? whole : head + r.data_size);
    plan.parts.push_back({r.ram_offset + (second ? at - r.data_size : at), stop - at});
    at = stop;
  }
  plan.prot_max = q.write ? PROT_READ | PROT_WRITE : PROT_READ;
  (void)ctx;
  return plan;
}

/// Linux: kernel/bpf/arraymap.c:array_map_mmap()
Result<MmapPlan> mmap_array(CallContext& ctx, const Map& map, const Request& q) {
  if ((map.map_flags & BPF_F_MMAPABLE) == 0) return Errno(EINVAL);
  const MapDesc& d = *map.desc;
  const u64 whole = round_up(u64{d.max_entries} * d.elem_size, PAGE_SIZE);
  if (q.offset > whole || q.len > whole - q.offset) return Errno(EINVAL);
  MmapPlan plan;
  plan.parts.push_back({ctx.kernel.window().ram_offset(d.elems) + q.offset, q.len});
  plan.prot_max = q.write ? PROT_READ | PROT_WRITE : PROT_READ;
  return plan;
}

Result<MmapPlan> mmap_map(CallContext& ctx, const Map& map, const Request& q) {
  const u32 type = map.desc->type;
  if (type != BPF_MAP_TYPE_ARRAY && type != BPF_MAP_TYPE_RINGBUF) return Errno(ENOTSUPP_);
  if (map.record.field_mask != 0) return Errno(ENOTSUPP_);  // locks, timers and the like are not for the client's hands
  if (!q.shared) return Errno(EINVAL);
  if (q.write) {
    if (map.frozen) return Errno(EPERM);
    if ((map.map_flags & BPF_F_RDONLY_PROG) != 0) return Errno(EACCES);
  }
  return type == BPF_MAP_TYPE_RINGBUF ? mmap_ringbuf(ctx, map, q) : mmap_array(ctx, map, q);
}

/// Linux: kernel/events/core.c:perf_mmap()
Result<MmapPlan> mmap_event(CallContext& ctx, PerfEvent& event, const Request& q) {
  if (event.ring == nullptr) return Errno(EINVAL);  // a probe's event has nothing to show
  if (!q.shared || q.offset != 0 || q.len < PAGE_SIZE) return Errno(EINVAL);
  const u64 pages = q.len / PAGE_SIZE - 1;
  if (q.len % PAGE_SIZE != 0 || (pages & (pages - 1)) != 0 || pages > (1u << 20)) return Errno(EINVAL);
  RingDesc* r = event.ring;
  WindowHost& w = ctx.kernel.window();
  if (event.mappings != 0) {
    if (event.ring_pages != pages) return Errno(EINVAL);
  } else {
    event.ring_ram = TRY(w.ram_alloc((1 + pages) * PAGE_SIZE));
    event.ring_pages = static_cast<u32>(pages);
    r->user_page = event.ring_ram;
    r->data = event.ring_ram + PAGE_SIZE;
    r->ram_offset = w.ram_offset(event.ring_ram);
    r->overwrite = q.write ? 0 : 1;
    r->ctl->head = 0;
    // No output while the page is made. Producers look at data_size next; pairs with the acquire in perf_ring_output().
    store_release(&r->enabled, 0);
    store_release(&r->data_size, pages * PAGE_SIZE);
    perf_ring_init_page(r);
    store_release(&r->enabled, event.enabled ? 1u : 0u);
  }
  MmapPlan plan;
  plan.parts.push_back({r->ram_offset, q.len});
  plan.prot_max = q.write ? PROT_READ | PROT_WRITE : PROT_READ;
  return plan;
}

}  // namespace

Result<MmapPlan> skep_mmap(CallContext& ctx, s32 fd, u64 len, u32 prot, u32 flags, u64 offset) {
  const std::shared_ptr<File> f = TRY(ctx.file(fd));
  const Request q{round_up(len, PAGE_SIZE), offset, (prot & PROT_WRITE) != 0, (flags & MAP_TYPE) != MAP_PRIVATE};
  if (len == 0 || offset % PAGE_SIZE != 0) return Errno(EINVAL);
  // Linux: mm/mmap.c:do_mmap(): what the file was opened for.
  if ((f->mode & FILE_READ) == 0) return Errno(EACCES);
  if (q.shared && q.write && (f->mode & FILE_WRITE) == 0) return Errno(EACCES);
  MmapPlan plan;
  if (const auto map = object_as<Map>(f->object)) {
    plan = TRY(mmap_map(ctx, *map, q));
  } else if (const auto event = object_as<PerfEvent>(f->object)) {
    plan = TRY(mmap_event(ctx, *event, q));
  } else {
    return Errno(ENODEV);
  }
  plan.object = f->object;
  return plan;
}

}  // namespace skep
