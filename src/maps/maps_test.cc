// Creation checks, geometry, memory figures, and the kinds without structure.
#include "maps/kinds.h"
#include "maps/map_ops.h"
#include "maps/test_window.h"

namespace skep::test {
namespace {

MapSpec spec(u32 type, u32 k, u32 v, u32 n, u32 flags = 0) {
  return {.type = type, .key_size = k, .value_size = v, .max_entries = n, .map_flags = flags, .map_extra = 0, .numa_node = 0};
}
long check(const MapSpec& s) { return map_ops(s.type)->alloc_check(s); }
long lay(const MapSpec& s, u32 cpus = 4) {
  MapDesc d{};
  return map_ops(s.type)->layout(s, cpus, &d);
}

constexpr u32 HASH = BPF_MAP_TYPE_HASH, PHASH = BPF_MAP_TYPE_PERCPU_HASH, ARRAY = BPF_MAP_TYPE_ARRAY,
              PARRAY = BPF_MAP_TYPE_PERCPU_ARRAY, PERF = BPF_MAP_TYPE_PERF_EVENT_ARRAY, RING = BPF_MAP_TYPE_RINGBUF;

TEST(MapOps, KnowsItsKindsOnly) {
  for (u32 t = 0; t < 64; ++t) {
    const bool ours = t != 0 && t < MAX_BPF_MAP_TYPE_ && t != BPF_MAP_TYPE_STRUCT_OPS && t != BPF_MAP_TYPE_ARENA;
    ASSERT_EQ(map_ops(t) != nullptr, ours) << t;
    if (ours) {
      EXPECT_EQ(map_ops(t)->type, t);
    }
  }
}

TEST(AllocCheck, Hash) {
  EXPECT_EQ(check(spec(HASH, 4, 8, 1)), 0);
  EXPECT_EQ(check(spec(HASH, 0, 8, 1)), -EINVAL);
  EXPECT_EQ(check(spec(HASH, 4, 0, 1)), -EINVAL);
  EXPECT_EQ(check(spec(HASH, 4, 8, 0)), -EINVAL);
  EXPECT_EQ(check(spec(HASH, 4, 8, 1, BPF_F_NO_PREALLOC | BPF_F_NUMA_NODE | BPF_F_RDONLY | BPF_F_WRONLY_PROG | BPF_F_ZERO_SEED)),
            0);
  EXPECT_EQ(check(spec(HASH, 4, 8, 1, BPF_F_MMAPABLE)), -EINVAL);
  EXPECT_EQ(check(spec(HASH, 4, 8, 1, BPF_F_NO_COMMON_LRU)), -EINVAL);
  EXPECT_EQ(check(spec(HASH, 4, 8, 1, BPF_F_RDONLY_PROG | BPF_F_WRONLY_PROG)), -EINVAL);
  EXPECT_EQ(check(spec(PHASH, 4, 8, 1, BPF_F_NUMA_NODE)), -EINVAL);
  EXPECT_EQ(check(spec(HASH, 4, (4u << 20) - 48 - 5, 1)), 0);
  EXPECT_EQ(check(spec(HASH, 4, (4u << 20) - 48 - 4, 1)), -E2BIG);
  EXPECT_EQ(check(spec(PHASH, 4, 32768, 1)), 0);
  EXPECT_EQ(check(spec(PHASH, 4, 32769, 1)), -E2BIG);
  EXPECT_EQ(check(spec(HASH, ~0u, ~0u, 1)), -E2BIG);
  MapSpec s = spec(HASH, 0, 8, 1, BPF_F_ZERO_SEED | BPF_F_MMAPABLE);
  s.cap_sys_admin = false;
  EXPECT_EQ(check(s), -EPERM);  // before all else
}

TEST(AllocCheck, Arrays) {
  EXPECT_EQ(check(spec(ARRAY, 4, 1, 1, BPF_F_MMAPABLE | BPF_F_INNER_MAP | BPF_F_RDONLY_PROG)), 0);
  EXPECT_EQ(check(spec(ARRAY, 8, 1, 1)), -EINVAL);
  EXPECT_EQ(check(spec(ARRAY, 4, 0, 1)), -EINVAL);
  EXPECT_EQ(check(spec(ARRAY, 4, 1, 0)), -EINVAL);
  EXPECT_EQ(check(spec(ARRAY, 4, 1, 1, BPF_F_NO_PREALLOC)), -EINVAL);
  EXPECT_EQ(check(spec(ARRAY, 4, 1, 1, BPF_F_PRESERVE_ELEMS)), -EINVAL);
  EXPECT_EQ(check(spec(PARRAY, 4, 1, 1, BPF_F_MMAPABLE)), -EINVAL);
  EXPECT_EQ(check(spec(PARRAY, 4, 1, 1, BPF_F_NUMA_NODE)), -EINVAL);
  EXPECT_EQ(check(spec(ARRAY, 4, 0x7fffffff, 1)), 0);
  EXPECT_EQ(check(spec(ARRAY, 4, 0x80000000, 1)), -E2BIG);
  EXPECT_EQ(check(spec(PARRAY, 4, 32769, 1)), -E2BIG);
  EXPECT_EQ(check(spec(PERF, 4, 4, 4, BPF_F_PRESERVE_ELEMS)), 0);
  EXPECT_EQ(check(spec(PERF, 4, 8, 4)), -EINVAL);
  EXPECT_EQ(check(spec(PERF, 8, 4, 4)), -EINVAL);
  EXPECT_EQ(check(spec(PERF, 4, 4, 4, BPF_F_RDONLY_PROG)), -EINVAL);
  EXPECT_EQ(check(spec(PERF, 4, 4, 4, BPF_F_MMAPABLE)), -EINVAL);
}

TEST(AllocCheck, Ringbuf) {
  EXPECT_EQ(check(spec(RING, 0, 0, 4096)), 0);
  EXPECT_EQ(check(spec(RING, 0, 0, 1u << 31)), 0);
  EXPECT_EQ(check(spec(RING, 0, 0, 0)), -EINVAL);
  EXPECT_EQ(check(spec(RING, 0, 0, 2048)), -EINVAL);
  EXPECT_EQ(check(spec(RING, 0, 0, 3 * 4096)), -EINVAL);
  EXPECT_EQ(check(spec(RING, 4, 0, 4096)), -EINVAL);
  EXPECT_EQ(check(spec(RING, 0, 4, 4096)), -EINVAL);
  EXPECT_EQ(check(spec(RING, 0, 0, 4096, BPF_F_RDONLY)), -EINVAL);
}

TEST(Layout, TooMuch) {
  EXPECT_EQ(lay(spec(HASH, 4, 8, (1u << 31) + 1)), -E2BIG);
  EXPECT_EQ(lay(spec(HASH, 4, 8, (1u << 27) + 1)), -E2BIG);
  EXPECT_EQ(lay(spec(HASH, 4, 8, 1u << 27)), 0);
  EXPECT_EQ(lay(spec(HASH, 4, 1 << 20, 1u << 27)), -ENOMEM);
  EXPECT_EQ(lay(spec(PHASH, 4, 32768, 1u << 20), 128), -ENOMEM);
  EXPECT_EQ(lay(spec(ARRAY, 4, 0x7fffffff, ~0u)), -ENOMEM);
  EXPECT_EQ(lay(spec(ARRAY, 4, 8, ~0u)), 0);
  EXPECT_EQ(lay(spec(PARRAY, 4, 32768, ~0u), 128), -ENOMEM);
  EXPECT_EQ(lay(spec(PERF, 4, 4, ~0u)), -ENOMEM);
}

u64 usage(const MapSpec& s, u32 cpus) {
  MapDesc d{};
  EXPECT_EQ(map_ops(s.type)->layout(s, cpus, &d), 0);
  std::vector<u64> state(sizeof(HtabState) / 8 + 8);
  d.state = reinterpret_cast<void*>(round_up<u64>(reinterpret_cast<u64>(state.data()), 64));
  return map_ops(s.type)->mem_usage(d);
}

// The first two were read off a Linux 6.12 with 4 CPUs. The others follow from its formulas, whose 6.18 counterparts (other sizeof)
// give what a 6.18 with 2 CPUs shows.
TEST(MemUsage, AsLinux) {
  EXPECT_EQ(usage(spec(PERF, 4, 4, 4), 4), 296u);
  EXPECT_EQ(usage(spec(HASH, 4, 13, 10240), 4), 1000768u);
  EXPECT_EQ(usage(spec(HASH, 4, 13, 10240, BPF_F_NO_PREALLOC), 4), 896u + 16384 * 16 + 4 * 4 * 8);
  EXPECT_EQ(usage(spec(PHASH, 4, 13, 1000), 2), 113280u + 2 * 4 * 8);
  EXPECT_EQ(usage(spec(ARRAY, 4, 13, 10), 2), 264u + 160);
  EXPECT_EQ(usage(spec(ARRAY, 4, 13, 10, BPF_F_MMAPABLE), 2), 8192u);
  EXPECT_EQ(usage(spec(PARRAY, 4, 13, 10), 2), 264u + 80 + 320);
  EXPECT_EQ(usage(spec(RING, 0, 0, 4096), 2), 16728u - 48);
  EXPECT_EQ(usage(spec(RING, 0, 0, 65536), 2), 78408u - 48);
}

TEST(MemUsage, NoPreallocCountsLiveElements) {
  TestWindow tw(2);
  for (const u32 type : {HASH, PHASH}) {
    const Map m(tw.create(type, 4, 13, 1000, BPF_F_NO_PREALLOC));
    const u64 empty = m.ops->mem_usage(*m.desc);
    ASSERT_EQ(m.put(tw.ctx(0), 1, 1), 0);
    EXPECT_EQ(m.ops->mem_usage(*m.desc) - empty, type == HASH ? 80u : 120u);  // as a 6.18 grows
    ASSERT_EQ(m.erase(tw.ctx(1), 1), 0);
    EXPECT_EQ(m.ops->mem_usage(*m.desc), empty);
  }
}

TEST(Array, Semantics) {
  TestWindow tw;
  const Map m(tw.create(ARRAY, 4, 12, 3));
  const OpCtx c = tw.ctx(0);
  const u8 value[16] = "hello world";
  EXPECT_EQ(m.update(c, 2, value), 0);
  EXPECT_EQ(m.update(c, 2, value, BPF_EXIST), 0);
  EXPECT_EQ(m.update(c, 2, value, BPF_NOEXIST), -EEXIST);
  EXPECT_EQ(m.update(c, 3, value, BPF_NOEXIST), -E2BIG);
  EXPECT_EQ(m.update(c, 3, value), -E2BIG);
  EXPECT_EQ(m.update(c, 3, value, 3), -EINVAL);
  EXPECT_EQ(m.update(c, 3, value, 8), -EINVAL);
  EXPECT_EQ(m.update(c, 2, value, BPF_F_LOCK), -EINVAL);
  EXPECT_EQ(m.erase(c, 0), -EINVAL);
  EXPECT_EQ(m.lookup(c, 3), nullptr);
  EXPECT_STREQ(reinterpret_cast<char*>(m.lookup(c, 2)), "hello world");
  EXPECT_EQ(*m.lookup(c, 1), 0u);
  u8 out[24];
  std::memset(out, 0xa5, sizeof(out));
  EXPECT_EQ(m.read(c, 2, out), 0);
  EXPECT_EQ(std::memcmp(out, value, 12), 0);
  EXPECT_EQ(out[12], 0xa5);
  EXPECT_EQ(m.read(c, 3, out), -ENOENT);
  EXPECT_EQ(m.read(c, 2, out, BPF_F_LOCK), -EINVAL);
  EXPECT_EQ(m.ops->take_value, nullptr);
  EXPECT_EQ(map_syscall_value_size(*m.desc), 12u);
}

TEST(Array, NextKey) {
  TestWindow tw;
  const OpCtx c = tw.ctx(0);
  for (const u32 type : {ARRAY, PARRAY, PERF}) {
    const Map m(tw.create(type, 4, 4, 3));
    u32 key = 77, next = 99;
    auto go = [&](const u32* k) { return m.ops->get_next_key(c, m.desc, k, &next); };
    EXPECT_EQ(go(nullptr), 0);
    EXPECT_EQ(next, 0u);
    EXPECT_EQ(go(&key), 0);
    EXPECT_EQ(next, 0u);
    key = 1;
    EXPECT_EQ(go(&key), 0);
    EXPECT_EQ(next, 2u);
    key = 2;
    EXPECT_EQ(go(&key), -ENOENT);
  }
}

TEST(Array, PerCpu) {
  TestWindow tw(3);
  const Map m(tw.create(PARRAY, 4, 12, 2));
  EXPECT_EQ(map_syscall_value_size(*m.desc), 48u);
  u8 value[48], out[48];
  for (u32 i = 0; i < 48; ++i) value[i] = static_cast<u8>(i + 1);
  u32 key = 1;
  EXPECT_EQ(m.ops->write_value(tw.ctx(9), m.desc, &key, value, BPF_F_LOCK), -EINVAL);
  EXPECT_EQ(m.ops->write_value(tw.ctx(9), m.desc, &key, value, BPF_NOEXIST), -EEXIST);
  EXPECT_EQ(m.ops->write_value(tw.ctx(9), m.desc, &key, value, 0), 0);
  EXPECT_EQ(m.read(tw.ctx(9), 1, out), 0);
  EXPECT_EQ(std::memcmp(out, value, 48), 0);
  u64 zero[2] = {0, 0};
  EXPECT_EQ(m.update(tw.ctx(1, 1), 1, zero), 0);
  EXPECT_EQ(m.read(tw.ctx(9), 1, out), 0);
  std::memset(value + 16, 0, 12);
  EXPECT_EQ(std::memcmp(out, value, 48), 0);
  EXPECT_EQ(reinterpret_cast<u8*>(m.lookup(tw.ctx(2, 2), 1)) - m.desc->elems, 48 + 32);
}

TEST(Array, Mmapable) {
  TestWindow tw;
  const Map plain(tw.create(ARRAY, 4, 100, 50)), mapped(tw.create(ARRAY, 4, 100, 50, BPF_F_MMAPABLE));
  EXPECT_EQ(plain.ops->mmap_size(*plain.desc), 0u);
  EXPECT_EQ(mapped.ops->mmap_size(*mapped.desc), 8192u);
  EXPECT_EQ(mapped.desc->ram_bytes, 8192u);
  EXPECT_EQ(reinterpret_cast<u64>(mapped.desc->elems) % PAGE_SIZE, 0u);
}

TEST(Array, DirectValueAddr) {
  TestWindow tw;
  const Map one(tw.create(ARRAY, 4, 100, 1)), two(tw.create(ARRAY, 4, 100, 2));
  u64 imm = 0;
  EXPECT_EQ(one.ops->direct_value_addr(*one.desc, &imm, 99), 0);
  EXPECT_EQ(imm, reinterpret_cast<u64>(one.desc->elems));
  EXPECT_EQ(one.ops->direct_value_addr(*one.desc, &imm, 100), -EINVAL);
  EXPECT_EQ(two.ops->direct_value_addr(*two.desc, &imm, 0), -524);
}

TEST(HoldsValue, EveryKind) {
  TestWindow tw(3);
  for (const u32 type : {ARRAY, PARRAY, HASH, PHASH}) {
    const Map m(tw.create(type, 4, 13, 4));
    const OpCtx c = tw.ctx(2, 2);
    if (type == HASH || type == PHASH) {
      ASSERT_EQ(m.put(c, 3, 1), 0);
    }
    const u64 at = reinterpret_cast<u64>(m.lookup(c, 3));
    auto holds = [&](u64 addr, u64 size) { return m.ops->holds_value(m.desc, addr, size); };
    EXPECT_TRUE(holds(at, 13));
    EXPECT_TRUE(holds(at + 12, 1));
    EXPECT_FALSE(holds(at, 14));
    EXPECT_FALSE(holds(at + 1, 13));
    EXPECT_FALSE(holds(at + 13, 1));
    EXPECT_FALSE(holds(at + 1, ~0ULL));
    EXPECT_FALSE(holds(at - 1, 1));
    EXPECT_FALSE(holds(reinterpret_cast<u64>(m.desc->ram) - 1, 1));
    if (type == HASH || type == PHASH) {
      EXPECT_FALSE(holds(reinterpret_cast<u64>(m.desc->elems), 1));
      EXPECT_FALSE(holds(reinterpret_cast<u64>(m.desc->buckets) - 1, 1));
      for (u64 off = 0; off < sizeof(HtabBucket) + m.desc->elem_value_off; ++off)
        EXPECT_FALSE(holds(reinterpret_cast<u64>(m.desc->buckets) + off, 1)) << off;
      EXPECT_FALSE(holds(reinterpret_cast<u64>(m.desc->ram) + m.desc->ram_bytes, 1));
    } else {
      EXPECT_FALSE(holds(reinterpret_cast<u64>(m.desc->elems) + static_cast<u64>(m.desc->n_elems) * m.desc->elem_size, 1));
    }
    EXPECT_FALSE(holds(0, 1));
  }
}

TEST(NotOurElements, PerfAndRing) {
  TestWindow tw;
  const OpCtx c = tw.ctx(0);
  u64 v = 0;
  const Map perf(tw.create(PERF, 4, 4, 4)), ring(tw.create(RING, 0, 0, 8192));
  EXPECT_EQ(perf.lookup(c, 1), nullptr);
  EXPECT_EQ(perf.read(c, 1, &v), -524);
  EXPECT_EQ(perf.ops->update, nullptr);
  EXPECT_EQ(perf.ops->write_value, nullptr);
  EXPECT_EQ(perf.ops->erase, nullptr);
  EXPECT_EQ(perf.desc->ram_bytes, 0u);
  EXPECT_EQ(ring.lookup(c, 1), nullptr);
  EXPECT_EQ(ring.read(c, 1, &v), -524);
  EXPECT_EQ(ring.update(c, 1, &v), -524);
  EXPECT_EQ(ring.erase(c, 1), -524);
  EXPECT_EQ(ring.ops->write_value(c, ring.desc, nullptr, &v, 0), -524);
  EXPECT_EQ(ring.ops->get_next_key(c, ring.desc, nullptr, &v), -524);
  EXPECT_EQ(ring.ops->take_value, nullptr);
  EXPECT_EQ(ring.desc->ram_bytes, 2 * PAGE_SIZE + 8192);
}

TEST(RecoverIntent, AddressesAreNotBelieved) {
  TestWindow tw;
  const Map array(tw.create(ARRAY, 4, 8, 4)), hash(tw.create(HASH, 4, 8, 4));
  RunSlot* slot = tw.ctx(3).slot;
  for (const u64 addr : {1ULL, 8ULL, ~0ULL, reinterpret_cast<unsigned long long>(hash.desc) + 8,
                         reinterpret_cast<unsigned long long>(tw.window().ram), reinterpret_cast<unsigned long long>(array.desc)}) {
    slot->intent_map = addr;
    slot_recover(tw.window(), slot, RECOVERY);
    EXPECT_EQ(slot->intent_map, 0u);
  }
  // The right address with any other bytes: no crash, no hang, nothing outside the map.
  Random rnd{42};
  for (int i = 0; i < 20000; ++i) {
    slot->intent_map = reinterpret_cast<u64>(hash.desc);
    slot->intent_elem = i % 2 != 0 ? rnd.below(600) : static_cast<u32>(rnd.next());
    slot->intent_op = i % 3 != 0 ? rnd.below(64) : static_cast<u32>(rnd.next());
    slot_recover(tw.window(), slot, RECOVERY);
  }
}

}  // namespace
}  // namespace skep::test
