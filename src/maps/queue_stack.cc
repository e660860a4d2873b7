// QUEUE and STACK: a ring of max_entries + 1 values between `tail` and `head`, of which one is always free.
//
// Changed under the map's lock, each time by one store that ends it (head for push, tail or head for pop), after the bytes have been
// copied: a holder that dies leaves the map as it was before, or as it is after; at worst the oldest value of a full map that was to make
// room is gone already. So there is nothing to recover. head and tail stand in RAM: anything may be read there, and is cut to the ring.
// Linux: kernel/bpf/queue_stack_maps.c
#include "base/atomic.h"
#include "maps/kinds.h"

namespace skep {
namespace {

struct QueueState {
  RobustLock lock;
  u32 head, tail;
};
constexpr u64 VALUES_OFF = 64;
static_assert(sizeof(QueueState) <= VALUES_OFF);
constexpr u64 SIZEOF_BPF_QUEUE_STACK = SIZEOF_BPF_MAP + 16;

/// Linux: queue_stack_maps.c:queue_stack_map_alloc_check()
long queue_alloc_check(const MapSpec& spec) noexcept {
  if (spec.max_entries == 0 || spec.key_size != 0 || spec.value_size == 0) return -EINVAL;
  if ((spec.map_flags & ~(BPF_F_NUMA_NODE | BPF_F_ACCESS_MASK)) != 0 || !map_flags_access_ok(spec.map_flags)) return -EINVAL;
  if (spec.value_size > KMALLOC_MAX_SIZE) return -E2BIG;
  return spec.max_entries >= 0xffffffffu / spec.value_size ? -E2BIG : 0;
}

long queue_layout(const MapSpec& spec, u32 nr_cpus, MapDesc* out) noexcept {
  layout_common(spec, nr_cpus, out);
  out->n_elems = spec.max_entries + 1;
  out->elem_size = spec.value_size;
  out->elem_value_off = 0;
  out->ram_bytes = round_up<u64>(VALUES_OFF + static_cast<u64>(out->n_elems) * out->elem_size, PAGE_SIZE);
  return out->ram_bytes > RAM_SIZE ? -ENOMEM : 0;
}

void queue_init(const Window&, MapDesc* desc) noexcept {
  desc->state = desc->ram;
  desc->elems = desc->ram + VALUES_OFF;
}

/// Linux: queue_stack_maps.c:queue_stack_map_mem_usage()
u64 queue_mem_usage(const MapDesc& desc) noexcept {
  return SIZEOF_BPF_QUEUE_STACK + (static_cast<u64>(desc.max_entries) + 1) * desc.value_size;
}

/// The map while its lock is held, or not. Positions are valid indices.
class Ring {
 public:
  Ring(const OpCtx& ctx, MapDesc* desc) noexcept
      : desc_(desc), state_(static_cast<QueueState*>(desc->state)), held_(robust_trylock(ctx.window, &state_->lock, ctx.slot)) {}
  ~Ring() {
    if (held_) robust_unlock(&state_->lock);
  }
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;

  bool held() const noexcept { return held_; }
  u32 head() const noexcept { return load_relaxed(&state_->head) % desc_->n_elems; }
  u32 tail() const noexcept { return load_relaxed(&state_->tail) % desc_->n_elems; }
  void set_head(u32 i) noexcept { store_release(&state_->head, i); }
  void set_tail(u32 i) noexcept { store_release(&state_->tail, i); }
  u32 after(u32 i) const noexcept { return i + 1 == desc_->n_elems ? 0 : i + 1; }
  u32 before(u32 i) const noexcept { return i == 0 ? desc_->n_elems - 1 : i - 1; }
  u8* value(u32 i) const noexcept { return desc_->elems + static_cast<u64>(i) * desc_->elem_size; }

 private:
  MapDesc* desc_;
  QueueState* state_;
  bool held_;
};

/// Linux: queue_stack_maps.c:queue_stack_map_push_elem()
long queue_push(const OpCtx& ctx, MapDesc* desc, const void* value, u64 flags) noexcept {
  if (flags > BPF_EXIST || flags == BPF_NOEXIST) return -EINVAL;
  Ring ring(ctx, desc);
  if (!ring.held()) return -EBUSY;
  const u32 head = ring.head(), next = ring.after(head);
  if (next == ring.tail()) {
    if (flags != BPF_EXIST) return -E2BIG;
    ring.set_tail(ring.after(next));
  }
  copy_bytes(ring.value(head), value, desc->value_size);
  ring.set_head(next);
  return 0;
}

/// Linux: queue_stack_maps.c:__queue_map_get(), __stack_map_get()
long take(const OpCtx& ctx, MapDesc* desc, void* value, bool erase) noexcept {
  Ring ring(ctx, desc);
  const long err = !ring.held() ? -EBUSY : ring.head() == ring.tail() ? -ENOENT : 0;
  if (err != 0) {
    zero_bytes(value, desc->value_size);
    return err;
  }
  const bool stack = desc->type == BPF_MAP_TYPE_STACK;
  const u32 at = stack ? ring.before(ring.head()) : ring.tail();
  copy_bytes(value, ring.value(at), desc->value_size);
  if (erase && stack) ring.set_head(at);
  if (erase && !stack) ring.set_tail(ring.after(at));
  return 0;
}

long queue_pop(const OpCtx& ctx, MapDesc* desc, void* value) noexcept { return take(ctx, desc, value, true); }
long queue_peek(const OpCtx& ctx, MapDesc* desc, void* value) noexcept { return take(ctx, desc, value, false); }

void* no_lookup(const OpCtx&, MapDesc*, const void*) noexcept { return nullptr; }
long no_update(const OpCtx&, MapDesc*, const void*, const void*, u64) noexcept { return -EINVAL; }
long no_erase(const OpCtx&, MapDesc*, const void*) noexcept { return -EINVAL; }
long no_next_key(const OpCtx&, MapDesc*, const void*, void*) noexcept { return -EINVAL; }
long queue_read_value(const OpCtx& ctx, MapDesc* desc, const void*, void* value, u64 flags) noexcept {
  return flags != 0 ? -EINVAL : queue_peek(ctx, desc, value);
}
long queue_write_value(const OpCtx& ctx, MapDesc* desc, const void*, const void* value, u64 flags) noexcept {
  return queue_push(ctx, desc, value, flags);
}
long queue_take_value(const OpCtx& ctx, MapDesc* desc, const void*, void* value, u64 flags) noexcept {
  return flags != 0 ? -EINVAL : queue_pop(ctx, desc, value);
}
/// Programs get copies only.
bool holds_no_value(const MapDesc*, u64, u64) noexcept { return false; }

constexpr MapOps queue_stack_ops(u32 type, const char* name) noexcept {
  return {
      .type = type,
      .name = name,
      .per_cpu = false,
      .alloc_check = queue_alloc_check,
      .layout = queue_layout,
      .init = queue_init,
      .mem_usage = queue_mem_usage,
      .lookup = no_lookup,
      .update = no_update,
      .erase = no_erase,
      .get_next_key = no_next_key,
      .read_value = queue_read_value,
      .write_value = queue_write_value,
      .take_value = queue_take_value,
      .holds_value = holds_no_value,
      .mmap_size = nullptr,
      .direct_value_addr = nullptr,
      .recover = nullptr,
      .push = queue_push,
      .pop = queue_pop,
      .peek = queue_peek,
  };
}

}  // namespace

constinit const MapOps QUEUE_OPS = queue_stack_ops(BPF_MAP_TYPE_QUEUE, "queue");
constinit const MapOps STACK_OPS = queue_stack_ops(BPF_MAP_TYPE_STACK, "stack");

}  // namespace skep
