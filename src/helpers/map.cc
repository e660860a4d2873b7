// helpers: maps. Linux: kernel/bpf/helpers.c
#include <cerrno>

#include "helpers/helper_list.h"
#include "helpers/memory.h"
#include "maps/map_ops.h"

namespace skep {
namespace {

MapDesc* as_map(u64 arg) noexcept { return reinterpret_cast<MapDesc*>(arg); }
const void* as_mem(u64 arg) noexcept { return reinterpret_cast<const void*>(arg); }
u64 ret(long value) noexcept { return static_cast<u64>(value); }

bool is_map_of_maps(u32 type) noexcept { return type == BPF_MAP_TYPE_ARRAY_OF_MAPS || type == BPF_MAP_TYPE_HASH_OF_MAPS; }

void* lookup(RunCtx& run, const OpCtx& op, MapDesc* map, u64 key) noexcept {
  const MapOps* ops = map_ops(map->type);
  if (ops == nullptr || ops->lookup == nullptr) return nullptr;
  void* found = ops->lookup(op, map, as_mem(key));
  if (is_map_of_maps(map->type)) run_add_inner_map(run, static_cast<MapDesc*>(found));
  return found;
}

}  // namespace

u64 bpf_map_lookup_elem(RunCtx& run, u64 map, u64 key, u64, u64, u64) noexcept {
  return reinterpret_cast<u64>(lookup(run, run.op, as_map(map), key));
}

/// Linux: map_ops::map_lookup_percpu_elem: another CPU's value, read while that CPU may be writing it.
u64 bpf_map_lookup_percpu_elem(RunCtx& run, u64 map, u64 key, u64 cpu, u64, u64) noexcept {
  if (static_cast<u32>(cpu) >= as_map(map)->nr_cpus) return 0;
  OpCtx op = run.op;
  op.cpu = static_cast<u32>(cpu);
  return reinterpret_cast<u64>(lookup(run, op, as_map(map), key));
}

u64 bpf_map_update_elem(RunCtx& run, u64 map, u64 key, u64 value, u64 flags, u64) noexcept {
  const MapOps* ops = map_ops(as_map(map)->type);
  if (ops == nullptr || ops->update == nullptr) return ret(-EOPNOTSUPP);
  return ret(ops->update(run.op, as_map(map), as_mem(key), as_mem(value), flags));
}

u64 bpf_map_delete_elem(RunCtx& run, u64 map, u64 key, u64, u64, u64) noexcept {
  const MapOps* ops = map_ops(as_map(map)->type);
  if (ops == nullptr || ops->erase == nullptr) return ret(-EOPNOTSUPP);
  return ret(ops->erase(run.op, as_map(map), as_mem(key)));
}

u64 bpf_map_push_elem(RunCtx& run, u64 map, u64 value, u64 flags, u64, u64) noexcept {
  const MapOps* ops = map_ops(as_map(map)->type);
  if (ops == nullptr || ops->push == nullptr) return ret(-EOPNOTSUPP);
  return ret(ops->push(run.op, as_map(map), as_mem(value), flags));
}
u64 bpf_map_pop_elem(RunCtx& run, u64 map, u64 value, u64, u64, u64) noexcept {
  const MapOps* ops = map_ops(as_map(map)->type);
  if (ops == nullptr || ops->pop == nullptr) return ret(-EOPNOTSUPP);
  return ret(ops->pop(run.op, as_map(map), reinterpret_cast<void*>(value)));
}
u64 bpf_map_peek_elem(RunCtx& run, u64 map, u64 value, u64, u64, u64) noexcept {
  const MapOps* ops = map_ops(as_map(map)->type);
  if (ops == nullptr || ops->peek == nullptr) return ret(-EOPNOTSUPP);
  return ret(ops->peek(run.op, as_map(map), reinterpret_cast<void*>(value)));
}

/// DIFFERS: Linux waits for the lock as long as it takes. Here its holder may be a process that is stopped: a run that cannot have the
/// lock in some 20 ms ends.
u64 bpf_spin_lock(RunCtx& run, u64 lock, u64, u64, u64, u64) noexcept {
  RobustLock* real = run_value_lock(run, lock);
  if (run.held_lock != nullptr || real == nullptr || !robust_trylock(run.op.window, real, run.op.slot))
    run.fault = {FaultKind::LockStuck, ~0u, lock};
  else
    run.held_lock = real;
  return 0;
}

u64 bpf_spin_unlock(RunCtx& run, u64 lock, u64, u64, u64, u64) noexcept {
  RobustLock* real = run_value_lock(run, lock);
  if (real == nullptr || real != run.held_lock) {
    run.fault = {FaultKind::LockStuck, ~0u, lock};
    return 0;
  }
  run.held_lock = nullptr;
  robust_unlock(real);
  return 0;
}

}  // namespace skep
