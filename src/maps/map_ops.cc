#include "maps/map_ops.h"

#include "maps/kinds.h"

namespace skep {

const MapOps* map_ops(u32 type) noexcept {
  const MapOps* const kinds[] = {&HASH_OPS,    &PERCPU_HASH_OPS, &ARRAY_MAP_OPS,     &PERCPU_ARRAY_OPS, &PERF_EVENT_ARRAY_OPS,
                                 &RINGBUF_OPS, &PROG_ARRAY_OPS,  &ARRAY_OF_MAPS_OPS, &HASH_OF_MAPS_OPS, &QUEUE_OPS,
                                 &STACK_OPS,   &LPM_TRIE_OPS, &LRU_HASH_OPS,   &LRU_PERCPU_HASH_OPS, &STACK_TRACE_OPS, &CGROUP_ARRAY_OPS, &BLOOM_FILTER_OPS};
  for (const MapOps* ops : kinds)
    if (ops->type == type) return ops;
  return judged_map_ops(type);
}

u64 map_syscall_value_size(const MapDesc& desc) noexcept {
  const MapOps* ops = map_ops(desc.type);
  // Maps of fds are made with a value size of 4 only.
  if (ops != nullptr && ops->per_cpu) return static_cast<u64>(desc.value_stride) * desc.nr_cpus;
  return desc.value_size;
}

void recover_map_intent(const Window& w, RunSlot* slot, FindMap find_map) noexcept {
  const u64 addr = load_acquire(&slot->intent_map);
  if (addr == 0) return;
  MapDesc* desc = find_map(w, addr);
  if (desc == nullptr) return;
  const MapOps* ops = map_ops(desc->type);
  if (ops != nullptr && ops->recover != nullptr) ops->recover(w, desc, slot);
}

}  // namespace skep
