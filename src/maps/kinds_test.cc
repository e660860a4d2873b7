// Kinds whose elements stand in ROM, kinds without keys, kinds that are only judged, and values with special fields.
#include <numeric>

#include "maps/object_maps.h"
#include "maps/special_fields.h"
#include "maps/test_window.h"

namespace skep::test {
namespace {

class Kinds : public testing::Test {
 protected:
  TestWindow w_;
  OpCtx ctx_ = w_.ctx(5);

  /// `at` as the object's address: nobody follows it here.
  static MapDesc* fake(u64 at) { return reinterpret_cast<MapDesc*>(at); }
};

TEST_F(Kinds, EveryTypeOfLinuxButTwoIsThere) {
  for (u32 type = BPF_MAP_TYPE_HASH; type < MAX_BPF_MAP_TYPE_; ++type) {
    const MapOps* ops = map_ops(type);
    const bool absent = type == BPF_MAP_TYPE_STRUCT_OPS || type == BPF_MAP_TYPE_ARENA;
    ASSERT_EQ(ops == nullptr, absent) << type;
    if (absent) continue;
    EXPECT_EQ(ops->type, type);
    EXPECT_NE(ops->lookup, nullptr) << ops->name;
    EXPECT_NE(ops->get_next_key, nullptr) << ops->name;
    EXPECT_NE(ops->holds_value, nullptr) << ops->name;
    EXPECT_NE(ops->mem_usage, nullptr) << ops->name;
  }
  EXPECT_EQ(map_ops(MAX_BPF_MAP_TYPE_), nullptr);
}

TEST_F(Kinds, ObjectArrayGivesWhatWasPutIn) {
  MapDesc* d = w_.create(BPF_MAP_TYPE_ARRAY_OF_MAPS, 4, 4, 3);
  std::vector<u64> rom(3);
  ASSERT_EQ(object_map_rom_bytes(*d), sizeof(u64) * rom.size());
  d->elems = reinterpret_cast<u8*>(rom.data());
  const MapOps* ops = map_ops(d->type);
  set_object_at(*d, 1, fake(0x1000));
  set_object_at(*d, 3, fake(0x2000));  // no such index: nothing is written
  const u32 keys[] = {0, 1, 2, 3, ~0u};
  const u64 expected[] = {0, 0x1000, 0, 0, 0};
  for (u32 i = 0; i < 5; ++i) EXPECT_EQ(reinterpret_cast<u64>(ops->lookup(ctx_, d, &keys[i])), expected[i]) << keys[i];
  // A program that looks into a program array sees nothing: only tail calls read it.
  d->type = BPF_MAP_TYPE_PROG_ARRAY;
  EXPECT_EQ(map_ops(d->type)->lookup(ctx_, d, &keys[1]), nullptr);
  EXPECT_EQ(object_at(*d, 1), fake(0x1000));
}

TEST_F(Kinds, CgroupArrayGivesIds) {
  MapDesc* d = w_.create(BPF_MAP_TYPE_CGROUP_ARRAY, 4, 4, 2);
  std::vector<u64> rom(2);
  ASSERT_EQ(object_map_rom_bytes(*d), sizeof(u64) * rom.size());
  d->elems = reinterpret_cast<u8*>(rom.data());
  set_cgroup_at(*d, 1, 0x123456789abc);
  set_cgroup_at(*d, 2, 5);
  EXPECT_EQ(cgroup_at(*d, 0), 0u);
  EXPECT_EQ(cgroup_at(*d, 1), 0x123456789abcu);
  EXPECT_EQ(cgroup_at(*d, 2), 0u);
  const u32 key = 1;
  EXPECT_EQ(map_ops(d->type)->lookup(ctx_, d, &key), nullptr);
}

TEST_F(Kinds, BloomFilterForgetsNothingAndMistakesFew) {
  for (const u32 entries : {1u, 45u, 46u, 1000u}) {
    MapDesc* d = w_.create(BPF_MAP_TYPE_BLOOM_FILTER, 0, 12, entries);
    const MapOps* ops = map_ops(d->type);
    u32 value[3] = {0, 7, 9}, mistaken = 0;
    for (value[0] = 0; value[0] < entries; ++value[0]) EXPECT_EQ(ops->push(ctx_, d, value, BPF_ANY), 0);
    for (value[0] = 0; value[0] < entries; ++value[0]) ASSERT_EQ(ops->peek(ctx_, d, value), 0) << value[0];
    for (value[0] = entries; value[0] < entries + 1000; ++value[0]) mistaken += ops->peek(ctx_, d, value) == 0 ? 1 : 0;
    EXPECT_LT(mistaken, 450u) << entries;
    value[0] = 0;
    EXPECT_EQ(ops->push(ctx_, d, value, BPF_EXIST), -EINVAL);
    EXPECT_EQ(ops->pop(ctx_, d, value), -EOPNOTSUPP);
    // Nothing outside of its bits.
    for (u64 i = (u64{d->n_buckets} + 1) / 8; i < d->ram_bytes; ++i) ASSERT_EQ(d->ram[i], 0) << entries;
  }
}

TEST_F(Kinds, HashOfMapsAgainstAModel) {
  constexpr u32 key_size = 5, nodes = 300;
  MapDesc* d = w_.create(BPF_MAP_TYPE_HASH_OF_MAPS, key_size, 4, 8);
  ASSERT_EQ(d->n_buckets, 8u);  // chains, then
  std::vector<u64> buckets(8);
  d->buckets = buckets.data();
  const MapOps* ops = map_ops(d->type);
  std::vector<std::vector<u64>> memory;
  std::map<std::vector<u8>, u64> model;
  Random rnd{7};
  for (u32 step = 0; step < 4000; ++step) {
    const u32 n = static_cast<u32>(rnd.next() % nodes);
    std::vector<u8> key(key_size);
    std::memcpy(key.data(), &n, sizeof n);
    const u64 value = 0x1000 + rnd.next() % 1000 * 64;
    InnerMapNode* node = inner_map_find(*d, key.data());
    ASSERT_EQ(node != nullptr, model.count(key) != 0);
    if (node != nullptr && rnd.next() % 2 == 0) {
      inner_map_unlink(*d, node);
      model.erase(key);
    } else if (node == nullptr) {
      memory.emplace_back(round_up<u64>(inner_map_node_bytes(*d), 8) / 8);
      inner_map_link(*d, reinterpret_cast<InnerMapNode*>(memory.back().data()), key.data(), fake(value));
      model[key] = value;
    }
  }
  for (const auto& [key, value] : model) EXPECT_EQ(reinterpret_cast<u64>(ops->lookup(ctx_, d, key.data())), value);
  // A walk meets every key once; an absent key begins anew.
  std::set<std::vector<u8>> met;
  std::vector<u8> at(key_size), next(key_size);
  long rc = ops->get_next_key(ctx_, d, nullptr, next.data());
  for (; rc == 0; rc = ops->get_next_key(ctx_, d, at.data(), next.data())) {
    EXPECT_TRUE(met.insert(next).second);
    at = next;
  }
  EXPECT_EQ(rc, -ENOENT);
  EXPECT_EQ(met.size(), model.size());
  const std::vector<u8> absent(key_size, 0xff);
  EXPECT_EQ(ops->get_next_key(ctx_, d, absent.data(), next.data()), 0);
}

/// What a queue or a stack holds, oldest first.
class QueueModel {
 public:
  QueueModel(bool stack, u32 most) : stack_(stack), most_(most) {}
  long push(u64 v, u64 flags) {
    if (flags != BPF_ANY && flags != BPF_EXIST) return -EINVAL;
    if (values_.size() == most_ && flags == BPF_ANY) return -E2BIG;
    if (values_.size() == most_) values_.erase(values_.begin());
    values_.push_back(v);
    return 0;
  }
  long take(u64* v, bool erase) {
    *v = 0;
    if (values_.empty()) return -ENOENT;
    const auto it = stack_ ? values_.end() - 1 : values_.begin();
    *v = *it;
    if (erase) values_.erase(it);
    return 0;
  }

 private:
  bool stack_;
  u32 most_;
  std::vector<u64> values_;
};

TEST_F(Kinds, QueueAndStackAgainstAModel) {
  for (const u32 type : {BPF_MAP_TYPE_QUEUE, BPF_MAP_TYPE_STACK}) {
    for (const u32 most : {1u, 2u, 5u}) {
      MapDesc* d = w_.create(type, 0, 8, most);
      const MapOps* ops = map_ops(type);
      QueueModel model(type == BPF_MAP_TYPE_STACK, most);
      Random rnd{most};
      for (u32 step = 0; step < 3000; ++step) {
        u64 value = rnd.next(), ours = 1, theirs = 1;
        const u64 flags = rnd.next() % 5;
        switch (rnd.next() % 4) {
          case 0:
          case 1: ASSERT_EQ(ops->push(ctx_, d, &value, flags), model.push(value, flags)) << flags; break;
          case 2: ASSERT_EQ(ops->pop(ctx_, d, &ours), model.take(&theirs, true)); break;
          default: ASSERT_EQ(ops->peek(ctx_, d, &ours), model.take(&theirs, false));
        }
        ASSERT_EQ(ours, theirs);
      }
    }
  }
}

TEST_F(Kinds, QueueStaysInItsMemoryWhateverStandsInRam) {
  MapDesc* d = w_.create(BPF_MAP_TYPE_QUEUE, 0, 3, 4);
  const MapOps* ops = map_ops(d->type);
  u32* positions = reinterpret_cast<u32*>(d->ram) + 2;
  std::memset(d->ram + 64 + 5 * 3, 0x5a, PAGE_SIZE - 64 - 5 * 3);  // behind the values
  Random rnd{3};
  for (u32 step = 0; step < 2000; ++step) {
    positions[rnd.next() % 2] = static_cast<u32>(rnd.next());
    const u8 value[3] = {1, 2, 3};
    u8 out[3];
    (void)ops->push(ctx_, d, value, rnd.next() % 2 == 0 ? BPF_ANY : BPF_EXIST);
    (void)(rnd.next() % 2 == 0 ? ops->pop(ctx_, d, out) : ops->peek(ctx_, d, out));
  }
  for (u64 i = 64 + 5 * 3; i < PAGE_SIZE; ++i) ASSERT_EQ(d->ram[i], 0x5a) << i;
}

TEST_F(Kinds, QueueOfAHolderThatDiedGoesOn) {
  MapDesc* d = w_.create(BPF_MAP_TYPE_QUEUE, 0, 8, 4);
  const MapOps* ops = map_ops(d->type);
  u64 value = 7;
  ASSERT_EQ(ops->push(ctx_, d, &value, 0), 0);
  const OpCtx dead = w_.ctx(6);
  auto* lock = reinterpret_cast<RobustLock*>(d->ram);
  ASSERT_TRUE(robust_trylock(dead.window, lock, dead.slot));
  EXPECT_EQ(ops->pop(ctx_, d, &value), -EBUSY);
  EXPECT_EQ(value, 0u);
  slot_recover(dead.window, dead.slot, RECOVERY);
  EXPECT_EQ(ops->pop(ctx_, d, &value), 0);
  EXPECT_EQ(value, 7u);
}

TEST_F(Kinds, JudgedMapsAreEmptyAndNothingSucceeds) {
  u8 key[16] = {}, value[4096] = {};
  u32 seen = 0;
  for (u32 type = BPF_MAP_TYPE_HASH; type < MAX_BPF_MAP_TYPE_; ++type) {
    const MapOps* ops = map_ops(type);
    if (ops == nullptr || !ops->judge_only) continue;
    ++seen;
    MapDesc d{};
    const MapSpec spec{.type = type, .key_size = 4, .value_size = 8, .max_entries = 4, .map_flags = 0, .map_extra = 0, .numa_node = 0};
    ASSERT_EQ(ops->layout(spec, 4, &d), 0);
    EXPECT_EQ(d.ram_bytes, 0u) << ops->name;
    ops->init(w_.window(), &d);
    EXPECT_EQ(ops->lookup(ctx_, &d, key), nullptr) << ops->name;
    EXPECT_LT(ops->update(ctx_, &d, key, value, 0), 0) << ops->name;
    EXPECT_LT(ops->write_value(ctx_, &d, key, value, 0), 0) << ops->name;
    EXPECT_LT(ops->read_value(ctx_, &d, key, value, 0), 0) << ops->name;
    EXPECT_LT(ops->erase(ctx_, &d, key), 0) << ops->name;
    EXPECT_FALSE(ops->holds_value(&d, 0, 0)) << ops->name;
    (void)ops->mem_usage(d);
  }
  EXPECT_EQ(seen, 14u);
}

/// { u32 a; bpf_spin_lock lock; u64 b; 8 bytes of another special field; u32 c; bpf_refcount r }
class SpecialFields : public Kinds {
 protected:
  static constexpr u32 VALUE = 32;
  MapFields fields_{.count = 3,
                    .spin_lock_off = 4,
                    .refcount_off = 28,
                    .n_locks = VALUE_LOCKS,
                    .locks = nullptr,
                    .at = {{4, 4}, {16, 8}, {28, 4}, {}, {}, {}, {}, {}, {}, {}, {}}};
  std::vector<RobustLock> locks_ = std::vector<RobustLock>(VALUE_LOCKS);

  MapDesc* with_fields(u32 type, u32 entries) {
    MapDesc* d = w_.create(type, 4, VALUE, entries);
    fields_.locks = locks_.data();
    d->fields = &fields_;
    return d;
  }
  static std::vector<u8> bytes(u8 from) {
    std::vector<u8> v(VALUE);
    std::iota(v.begin(), v.end(), from);
    return v;
  }
  static bool special(u32 i) { return (i >= 4 && i < 8) || (i >= 16 && i < 24) || i >= 28; }
  /// As user space must see what bytes(from) stored.
  static std::vector<u8> shown(u8 from) {
    std::vector<u8> v = bytes(from);
    for (u32 i = 0; i < VALUE; ++i)
      if (special(i)) v[i] = i == 28 ? 1 : 0;
    return v;
  }
};

TEST_F(SpecialFields, AreNeitherStoredNorShown) {
  for (const u32 type : {BPF_MAP_TYPE_ARRAY, BPF_MAP_TYPE_HASH}) {
    MapDesc* d = with_fields(type, 4);
    const MapOps* ops = map_ops(type);
    const u32 key = 2;
    for (const u64 flags : {BPF_ANY, BPF_F_LOCK}) {
      ASSERT_EQ(ops->write_value(ctx_, d, &key, bytes(100).data(), flags), 0);
      auto* value = static_cast<u8*>(ops->lookup(ctx_, d, &key));
      ASSERT_NE(value, nullptr);
      std::memset(value + 16, 0xee, 8);  // a program's
      ASSERT_EQ(ops->update(ctx_, d, &key, bytes(200).data(), flags), 0);
      std::vector<u8> out(VALUE, 0x77);
      ASSERT_EQ(ops->read_value(ctx_, d, &key, out.data(), flags), 0);
      EXPECT_EQ(out, shown(200));
      value = static_cast<u8*>(ops->lookup(ctx_, d, &key));
      // In place the program's field stays; a hash map's new element has a new one.
      const bool in_place = type == BPF_MAP_TYPE_ARRAY || flags == BPF_F_LOCK;
      EXPECT_EQ(value[16], in_place ? 0xee : 0);
      EXPECT_EQ(value[4], 0);
    }
  }
}

TEST_F(SpecialFields, ElementUsedAgainBeginsWithNewFields) {
  MapDesc* d = with_fields(BPF_MAP_TYPE_HASH, 1);
  const MapOps* ops = map_ops(d->type);
  for (u32 key = 0; key < 3; ++key) {
    ASSERT_EQ(ops->write_value(ctx_, d, &key, bytes(1).data(), BPF_NOEXIST), 0);
    auto* value = static_cast<u8*>(ops->lookup(ctx_, d, &key));
    for (u32 i = 0; i < VALUE; ++i) {
      if (!special(i)) continue;
      EXPECT_EQ(value[i], i == 28 ? 1 : 0) << i;
    }
    std::memset(value, 0xdd, VALUE);
    std::vector<u8> out(VALUE);
    ASSERT_EQ(ops->take_value(ctx_, d, &key, out.data(), BPF_F_LOCK), 0);
    EXPECT_EQ(out[0], 0xdd);
    EXPECT_EQ(out[16], 0);
  }
}

TEST_F(SpecialFields, LockThatIsHeldIsRespectedAndADeadHoldersTakenOver) {
  for (const u32 type : {BPF_MAP_TYPE_ARRAY, BPF_MAP_TYPE_HASH}) {
    MapDesc* d = with_fields(type, 4);
    const MapOps* ops = map_ops(type);
    const u32 key = 1;
    std::vector<u8> out(VALUE);
    ASSERT_EQ(ops->write_value(ctx_, d, &key, bytes(1).data(), BPF_ANY), 0);
    const OpCtx other = w_.ctx(7);
    ASSERT_TRUE(robust_trylock(other.window, value_lock(*d, ops->lookup(ctx_, d, &key)), other.slot));
    EXPECT_EQ(ops->write_value(ctx_, d, &key, bytes(2).data(), BPF_F_LOCK), -EBUSY);
    EXPECT_EQ(ops->read_value(ctx_, d, &key, out.data(), BPF_F_LOCK), -EBUSY);
    EXPECT_EQ(ops->read_value(ctx_, d, &key, out.data(), 0), 0);
    EXPECT_EQ(out, shown(1));
    slot_recover(other.window, other.slot, RECOVERY);
    EXPECT_EQ(ops->write_value(ctx_, d, &key, bytes(2).data(), BPF_F_LOCK), 0);
    EXPECT_EQ(ops->read_value(ctx_, d, &key, out.data(), BPF_F_LOCK), 0);
    EXPECT_EQ(out, shown(2));
  }
}

TEST_F(SpecialFields, EachCpusValueHasThem) {
  for (const u32 type : {BPF_MAP_TYPE_PERCPU_ARRAY, BPF_MAP_TYPE_PERCPU_HASH}) {
    MapDesc* d = with_fields(type, 4);
    fields_.spin_lock_off = -1;  // which these kinds cannot have
    const MapOps* ops = map_ops(type);
    const u32 key = 3;
    std::vector<u8> in, expected, out(VALUE * d->nr_cpus, 0x77);
    for (u32 cpu = 0; cpu < d->nr_cpus; ++cpu) {
      const auto v = bytes(static_cast<u8>(40 * cpu)), s = shown(static_cast<u8>(40 * cpu));
      in.insert(in.end(), v.begin(), v.end());
      expected.insert(expected.end(), s.begin(), s.end());
    }
    ASSERT_EQ(ops->write_value(ctx_, d, &key, in.data(), BPF_ANY), 0);
    ASSERT_EQ(ops->read_value(ctx_, d, &key, out.data(), 0), 0);
    EXPECT_EQ(out, expected);
    EXPECT_EQ(ops->write_value(ctx_, d, &key, in.data(), BPF_F_LOCK), -EINVAL);
    fields_.spin_lock_off = 4;
  }
}

}  // namespace
}  // namespace skep::test
