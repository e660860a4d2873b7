// helpers: those that call functions of the program. Linux: kernel/bpf/helpers.c, arraymap.c, hashtab.c
#include <cerrno>

#include "base/bytes.h"
#include "helpers/helper_list.h"
#include "maps/hash_find.h"

namespace skep {
namespace {

u64 ret(long value) noexcept { return static_cast<u64>(value); }

/// A walk over a map's elements, each shown to the callback until that says stop or its run is over.
class Visit {
 public:
  Visit(RunCtx& run, MapDesc* map, u64 func, u64 arg) noexcept : run_(run), map_(map), func_(func), arg_(arg) {}

  u64 count() const noexcept { return count_; }

  void array() noexcept {
    const MapOps* ops = map_ops(map_->type);
    for (u32 i = 0; i < map_->max_entries; ++i)
      if (!show(&i, ops->lookup(run_.op, map_, &i))) return;
  }

  void hash() noexcept {
    const bool chains = map_->type == BPF_MAP_TYPE_LRU_HASH || map_->type == BPF_MAP_TYPE_LRU_PERCPU_HASH;
    u64 budget = HashTable{map_}.walk_budget();
    for (u32 b = 0; b < map_->n_buckets; ++b)
      if (!(chains ? chain(HashTable{map_}, b, &budget) : bucket(Htab{map_}, b, &budget))) return;
  }

 private:
  /// Elements of a bucket are noted in pieces before any of them is shown: the callback may take out what it is shown.
  static constexpr u32 PIECE = 64;
  struct Seen {
    HashElem* elem;
    u32 gen;
  };

  bool bucket(const Htab& table, u32 index, u64* budget) noexcept {
    BucketWalk walk(table, index);
    SeenHtabElem piece[PIECE];
    for (u32 n; (n = walk.next(piece, PIECE, budget)) != 0;)
      for (u32 i = 0; i < n; ++i)
        if (!element(table, piece[i])) return false;
    return true;
  }

  bool chain(const HashTable& table, u32 index, u64* budget) noexcept {
    u64 link = load_acquire(&table.bucket(index)->head);
    for (bool more = true; more;) {
      Seen piece[PIECE];
      u32 n = 0;
      more = false;
      for (HashElem* e; (e = table.elem(link_index1(link))) != nullptr && *budget > 0; --*budget) {
        if (n == PIECE) {
          more = true;
          break;
        }
        const u32 gen = link_gen(link);
        const u64 next = load_acquire(&e->next);
        if (!still_same(e, gen)) break;
        piece[n++] = {e, gen};
        link = next;
      }
      for (u32 i = 0; i < n; ++i)
        if (!element(table, piece[i])) return false;
    }
    return true;
  }

  template <typename Table, typename SeenOf>
  bool element(const Table& table, const SeenOf& seen) noexcept {
    u8 key[MAX_BPF_STACK];
    if (map_->key_size > sizeof key) return true;
    copy_bytes(key, table.key(seen.elem), map_->key_size);
    if (!still_same(seen.elem, seen.gen)) return true;  // gone before it could be shown
    u8* value = table.value(seen.elem);
    if (table.per_cpu()) value += static_cast<u64>(run_.op.cpu) * map_->value_stride;
    return show(key, value);
  }

  /// False: the walk is over.
  bool show(const void* key, void* value) noexcept {
    const ShownKey shown{{reinterpret_cast<u64>(key), map_->key_size}, run_.keys};
    const u64 args[5] = {reinterpret_cast<u64>(map_), shown.bytes.addr, reinterpret_cast<u64>(value), arg_, 0};
    run_.keys = &shown;
    u64 answer = 1;
    ++count_;
    const bool goes_on = run_.call_func(run_, func_, args, &answer);
    run_.keys = shown.outer;
    return goes_on && answer == 0;
  }

  RunCtx& run_;
  MapDesc* map_;
  u64 func_, arg_, count_ = 0;
};

}  // namespace

u64 bpf_loop(RunCtx& run, u64 turns, u64 func, u64 arg, u64 flags, u64) noexcept {
  const u32 n = static_cast<u32>(turns);
  if (flags != 0) return ret(-EINVAL);
  if (n > BPF_MAX_LOOPS) return ret(-E2BIG);
  for (u32 i = 0; i < n; ++i) {
    const u64 args[5] = {i, arg, 0, 0, 0};
    u64 answer = 1;
    if (!run.call_func(run, func, args, &answer) || answer != 0) return i + u64{1};
  }
  return n;
}

u64 bpf_for_each_map_elem(RunCtx& run, u64 map, u64 func, u64 arg, u64 flags, u64) noexcept {
  MapDesc* desc = reinterpret_cast<MapDesc*>(map);
  Visit visit(run, desc, func, arg);
  switch (desc->type) {
    case BPF_MAP_TYPE_ARRAY:
    case BPF_MAP_TYPE_PERCPU_ARRAY:
      if (flags != 0) return ret(-EINVAL);
      visit.array();
      break;
    case BPF_MAP_TYPE_HASH:
    case BPF_MAP_TYPE_PERCPU_HASH:
      if (flags != 0) return ret(-EINVAL);
      visit.hash();
      break;
    default:
      return ret(-EOPNOTSUPP);
  }
  return visit.count();
}

}  // namespace skep
