#include "maps/stack_trace.h"

#include "base/atomic.h"
#include "maps/hash_key.h"
#include "maps/kinds.h"

namespace skep {
namespace {

constexpr u64 IS_THERE = 1, WHICH = 2, STEP = 4;  ///< of Bucket::word
constexpr u32 READ_TRIES = 64, INTENT_COUNT = 1;

struct Bucket {
  u64 word;
  RobustLock lock;
};
struct State {
  u32 count;    ///< stacks in the map
  u32 recount;  ///< a death may have made `count` wrong
};
/// One copy: this, and the entries behind it.
struct Stack {
  u32 hash, nr;
};
constexpr u64 STATE_SIZE = 64;

/// Linux: stackmap.c:stack_map_alloc()
long stack_check(const MapSpec& s) noexcept {
  if ((s.map_flags & ~(BPF_F_NUMA_NODE | BPF_F_RDONLY | BPF_F_WRONLY | BPF_F_STACK_BUILD_ID)) != 0) return -EINVAL;
  if (s.max_entries == 0 || s.key_size != 4 || s.value_size < 8 || s.value_size % 8 != 0) return -EINVAL;
  const u32 entry = (s.map_flags & BPF_F_STACK_BUILD_ID) != 0 ? sizeof(StackBuildId) : sizeof(u64);
  if (s.value_size % entry != 0 || s.value_size / entry > MAX_STACK_DEPTH) return -EINVAL;
  return s.max_entries > 1u << 31 ? -E2BIG : 0;
}

long stack_layout(const MapSpec& spec, u32 nr_cpus, MapDesc* out) noexcept {
  layout_common(spec, nr_cpus, out);
  out->n_buckets = static_cast<u32>(roundup_pow_of_two(spec.max_entries));
  out->n_elems = out->n_buckets;
  out->elem_size = static_cast<u32>(sizeof(Stack)) + spec.value_size;
  out->elem_value_off = sizeof(Stack);
  out->ram_bytes = round_up<u64>(STATE_SIZE + u64{out->n_buckets} * (sizeof(Bucket) + 2 * u64{out->elem_size}), PAGE_SIZE);
  // Walks look at each bucket: more than this would take seconds, and memory that Linux does not have either.
  constexpr u32 MOST_BUCKETS = 1u << 22;
  return out->ram_bytes > RAM_SIZE || out->n_buckets > MOST_BUCKETS ? -ENOMEM : 0;
}

void stack_init(const Window&, MapDesc* desc) noexcept {
  desc->state = desc->ram;
  desc->buckets = desc->ram + STATE_SIZE;
  desc->elems = desc->ram + STATE_SIZE + u64{desc->n_buckets} * sizeof(Bucket);
}

/// Linux: stackmap.c:stack_map_mem_usage()
u64 stack_mem_usage(const MapDesc& d) noexcept {
  return SIZEOF_BPF_MAP + 24 + u64{d.n_buckets} * 8 + u64{d.max_entries} * (16ULL + d.value_size);
}

Bucket& bucket_at(const MapDesc& d, u32 id) noexcept { return static_cast<Bucket*>(d.buckets)[id]; }
State& state_of(const MapDesc& d) noexcept { return *static_cast<State*>(d.state); }
Stack* copy_at(const MapDesc& d, u32 id, bool second) noexcept {
  return reinterpret_cast<Stack*>(d.elems + (u64{id} * 2 + (second ? 1 : 0)) * d.elem_size);
}
/// The copy that `word` shows.
Stack* shown_copy(const MapDesc& d, u32 id, u64 word) noexcept { return copy_at(d, id, (word & WHICH) != 0); }
u8* entries_of(Stack* s) noexcept { return reinterpret_cast<u8*>(s + 1); }
/// As RAM says, and never more than there is room for.
u32 length_of(const MapDesc& d, const Stack* s) noexcept {
  const u32 room = d.value_size / stack_entry_size(d), nr = load_relaxed(&s->nr);
  return nr < room ? nr : room;
}
bool still_shows(const Bucket& b, u64 word) noexcept {
  __atomic_thread_fence(__ATOMIC_ACQUIRE);
  return load_relaxed(&b.word) == word;
}

/// Around a change of the number of stacks: recovery is to know of it.
class CountIntent {
 public:
  CountIntent(RunSlot* slot, MapDesc* desc) noexcept : slot_(slot) {
    slot->intent_op = INTENT_COUNT;
    store_release(&slot->intent_map, reinterpret_cast<u64>(desc));
  }
  ~CountIntent() { store_release(&slot_->intent_map, 0); }
  CountIntent(const CountIntent&) = delete;
  CountIntent& operator=(const CountIntent&) = delete;

 private:
  RunSlot* slot_;
};

void stack_recover(const Window&, MapDesc* desc, RunSlot* slot) noexcept {
  store_relaxed(&state_of(*desc).recount, 1);
  store_release(&slot->intent_map, 0);
}

/// Changes of others meanwhile make it wrong by as many at most, which costs or gives an entry and nothing else.
void count_anew(MapDesc* desc) noexcept {
  const u32 before = load_relaxed(&state_of(*desc).count);
  u32 found = 0;
  for (u32 id = 0; id < desc->n_buckets; ++id) found += (load_relaxed(&bucket_at(*desc, id).word) & IS_THERE) != 0 ? 1 : 0;
  fetch_add(&state_of(*desc).count, found - before);
}

/// Room for one more, even where it takes another's place. Linux: stackmap.c:stackid_new_bucket(): an element comes from the free
/// list before the old one goes back there.
bool take_room(MapDesc* desc) noexcept {
  State& state = state_of(*desc);
  for (u32 tries = 0; tries < 2; ++tries) {
    if (fetch_add(&state.count, 1) < desc->max_entries) return true;
    fetch_sub(&state.count, 1);
    if (load_relaxed(&state.recount) == 0 || exchange(&state.recount, 0u) == 0) return false;
    count_anew(desc);
  }
  return false;
}

/// A stack that is looked for.
struct Wanted {
  const u64* ips;
  u32 nr, hash;
};

void write_copy(const MapDesc& d, Stack* to, const Wanted& w) noexcept {
  store_relaxed(&to->hash, w.hash);
  store_relaxed(&to->nr, w.nr);
  if ((d.map_flags & BPF_F_STACK_BUILD_ID) == 0) return copy_bytes(entries_of(to), w.ips, w.nr * sizeof(u64));
  // DIFFERS: which file an address belongs to is not looked up: entries are addresses, as they are on Linux when it cannot tell.
  auto* entries = reinterpret_cast<StackBuildId*>(entries_of(to));
  for (u32 i = 0; i < w.nr; ++i) entries[i] = StackBuildId{STACK_BUILD_ID_IP, {}, w.ips[i]};
}

bool same_entries(const MapDesc& d, Stack* s, const Wanted& w) noexcept {
  if (length_of(d, s) != w.nr) return false;
  if ((d.map_flags & BPF_F_STACK_BUILD_ID) == 0) return equal_bytes(entries_of(s), w.ips, w.nr * sizeof(u64));
  const auto* entries = reinterpret_cast<const StackBuildId*>(entries_of(s));
  for (u32 i = 0; i < w.nr; ++i)
    if (entries[i].ip != w.ips[i]) return false;
  return true;
}

/// The id, -EEXIST, -ENOENT: it is to be put there, or -EBUSY: the bucket changes all the time. Linux:
/// stackmap.c:stackid_fastpath()
long find(MapDesc* desc, u32 id, const Wanted& w, u64 flags) noexcept {
  const Bucket& b = bucket_at(*desc, id);
  for (u32 tries = 0; tries < READ_TRIES; ++tries) {
    const u64 word = load_acquire(&b.word);
    if ((word & IS_THERE) == 0) return -ENOENT;
    Stack* s = shown_copy(*desc, id, word);
    const bool same = load_relaxed(&s->hash) == w.hash && ((flags & BPF_F_FAST_STACK_CMP) != 0 || same_entries(*desc, s, w));
    if (!still_shows(b, word)) continue;
    if (same) return id;
    return (flags & BPF_F_REUSE_STACKID) != 0 ? -ENOENT : -EEXIST;
  }
  return -EBUSY;
}

/// REQUIRES: the bucket's lock is held.
void show(MapDesc* desc, u32 id, const Wanted& w) noexcept {
  Bucket& b = bucket_at(*desc, id);
  // Who deletes takes no lock, and leaves WHICH as it is.
  u64 word = load_relaxed(&b.word);
  write_copy(*desc, copy_at(*desc, id, (word & WHICH) == 0), w);
  while (!compare_exchange(&b.word, word, ((word ^ WHICH) | IS_THERE) + STEP)) cpu_relax();
  if ((word & IS_THERE) != 0) fetch_sub(&state_of(*desc).count, 1);
}

long put(const OpCtx& ctx, MapDesc* desc, u32 id, const Wanted& w, u64 flags) noexcept {
  Bucket& b = bucket_at(*desc, id);
  if (!robust_trylock(ctx.window, &b.lock, ctx.slot)) return -EBUSY;
  long rc = find(desc, id, w, flags);  // put there by another, meanwhile
  if (rc == -ENOENT) {
    const CountIntent intent(ctx.slot, desc);
    rc = take_room(desc) ? long{id} : -long{ENOMEM};
    if (rc >= 0) show(desc, id, w);
  }
  robust_unlock(&b.lock);
  return rc;
}

void* no_lookup(const OpCtx&, MapDesc*, const void*) noexcept { return nullptr; }
long no_update(const OpCtx&, MapDesc*, const void*, const void*, u64) noexcept { return -EINVAL; }

/// Linux: stackmap.c:stack_map_delete_elem()
long stack_erase(const OpCtx& ctx, MapDesc* desc, const void* key) noexcept {
  const u32 id = load_bytes<u32>(key);
  if (id >= desc->n_buckets) return -E2BIG;
  Bucket& b = bucket_at(*desc, id);
  u64 word = load_relaxed(&b.word);
  if ((word & IS_THERE) == 0) return -ENOENT;
  const CountIntent intent(ctx.slot, desc);
  while (!compare_exchange(&b.word, word, (word & ~IS_THERE) + STEP))
    if ((word & IS_THERE) == 0) return -ENOENT;
  fetch_sub(&state_of(*desc).count, 1);
  return 0;
}

/// Linux: stackmap.c:stack_map_get_next_key()
long stack_next_key(const OpCtx&, MapDesc* desc, const void* key, void* next) noexcept {
  const auto is_there = [&](u32 id) { return (load_acquire(&bucket_at(*desc, id).word) & IS_THERE) != 0; };
  u32 id = 0;
  if (key != nullptr) {
    const u32 last = load_bytes<u32>(key);
    if (last < desc->n_buckets && is_there(last)) id = last + 1;
  }
  while (id < desc->n_buckets && !is_there(id)) ++id;
  if (id >= desc->n_buckets) return -ENOENT;
  __builtin_memcpy(next, &id, sizeof id);
  return 0;
}

/// One that is changed all the time answers -ENOENT, as on Linux one does that two look at. Linux: stackmap.c:bpf_stackmap_copy()
long stack_read(const OpCtx&, MapDesc* desc, const void* key, void* value, u64) noexcept {
  const u32 id = load_bytes<u32>(key);
  if (id >= desc->n_buckets) return -ENOENT;
  const Bucket& b = bucket_at(*desc, id);
  for (u32 tries = 0; tries < READ_TRIES; ++tries) {
    const u64 word = load_acquire(&b.word);
    if ((word & IS_THERE) == 0) return -ENOENT;
    Stack* s = shown_copy(*desc, id, word);
    const u32 size = length_of(*desc, s) * stack_entry_size(*desc);
    copy_bytes(value, entries_of(s), size);
    if (!still_shows(b, word)) continue;
    zero_bytes(static_cast<u8*>(value) + size, desc->value_size - size);
    return 0;
  }
  return -ENOENT;
}

bool holds_no_value(const MapDesc*, u64, u64) noexcept { return false; }

}  // namespace

long stack_map_id(const OpCtx& ctx, MapDesc* desc, const u64* ips, u32 nr, u64 flags) noexcept {
  const u32 room = desc->value_size / stack_entry_size(*desc);
  const u32 kept = nr < room ? nr : room;
  const u64 bits = key_hash<0>(ips, kept * static_cast<u32>(sizeof(u64)), desc->hash_seed).bits;
  const Wanted w{ips, kept, static_cast<u32>(bits >> 32)};
  const u32 id = w.hash & (desc->n_buckets - 1);
  const long found = find(desc, id, w, flags);
  return found == -ENOENT || found == -EBUSY ? put(ctx, desc, id, w, flags) : found;
}

const MapOps STACK_TRACE_OPS = {
    .type = BPF_MAP_TYPE_STACK_TRACE,
    .name = "stack_trace",
    .per_cpu = false,
    .alloc_check = stack_check,
    .layout = stack_layout,
    .init = stack_init,
    .mem_usage = stack_mem_usage,
    .lookup = no_lookup,
    .update = no_update,
    .erase = stack_erase,
    .get_next_key = stack_next_key,
    .read_value = stack_read,
    .write_value = no_update,
    .take_value = nullptr,
    .holds_value = holds_no_value,
    .mmap_size = nullptr,
    .direct_value_addr = nullptr,
    .recover = stack_recover,
};

}  // namespace skep
