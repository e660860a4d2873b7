#include "btf/map_btf.h"

#include <gtest/gtest.h>

#include "btf/blob_test.h"

namespace skep::test {
namespace {

// One BTF with a type for each question. Ids in order.
enum : u32 {
  INT = 1,
  LONG,
  CHAR,
  EMPTY,
  ODD,
  PAIR,
  STORAGE_KEY,
  LOCK,
  TIMER,
  LOCKED,
  TIMED,
  CINT,
  VAR,
  SEC,
  REFCOUNT,
  COUNTED,
  NODE,
  HEAD,
  HELD,
  TAG,
  HOLDER,
  LONE_LOCK_SEC_VAR,
  LOCK_SEC,
  UNION8,
  OFFSET_INT,
  FWD,
  BITS_KEY,
  KPTR_TAG,
  KPTR,
  WITH_KPTR,
  TWO_TIMERS,
  NR_IDS,
};
std::vector<u8> map_btf() {
  Blob b;
  const auto st = [&b](const char* name, u32 size, u32 vlen, std::initializer_list<u32> tail, bool kflag = false) {
    return b.type(b.str(name), info(BTF_KIND_STRUCT, vlen, kflag), size, tail);
  };
  b.int_type("int", 4, 32, BTF_INT_SIGNED);
  b.int_type("long", 8, 64);
  b.int_type("char", 1, 8);
  st("empty", 0, 0, {});
  b.int_type("odd", 4, 31);
  st("pair", 8, 2, {0, INT, 0, 0, INT, 32});
  st("bpf_cgroup_storage_key", 16, 2, {0, LONG, 0, 0, INT, 64});
  st("bpf_spin_lock", 4, 1, {0, INT, 0});
  st("bpf_timer", 16, 2, {0, LONG, 0, 0, LONG, 64});
  st("locked", 8, 2, {0, LOCK, 0, 0, INT, 32});
  st("timed", 16, 1, {0, TIMER, 0});
  b.ref(BTF_KIND_CONST, INT);
  b.type(b.str("v"), info(BTF_KIND_VAR), INT, {1});
  b.type(b.str(".bss"), info(BTF_KIND_DATASEC, 1), 4, {VAR, 0, 4});
  st("bpf_refcount", 4, 1, {0, INT, 0});
  st("counted", 4, 1, {0, REFCOUNT, 0});
  st("bpf_list_node", 24, 0, {});
  st("bpf_list_head", 16, 0, {});
  st("held", 24, 1, {b.str("n"), NODE, 0});
  b.type(b.str("contains:held:n"), info(BTF_KIND_DECL_TAG), HOLDER, {0});
  st("holder", 24, 2, {0, HEAD, 0, 0, LOCK, 128});
  b.type(b.str("l"), info(BTF_KIND_VAR), LOCK, {1});
  b.type(b.str(".data"), info(BTF_KIND_DATASEC, 1), 4, {LONE_LOCK_SEC_VAR, 0, 4});
  b.type(0, info(BTF_KIND_UNION, 1), 8, {0, LONG, 0});
  b.int_type("offset", 8, 32, 0, 8);
  b.type(b.str("f"), info(BTF_KIND_FWD), 0);
  st("bits_key", 16, 2, {0, LONG, 0, 0, INT, 32u << 24 | 64}, true);
  b.ref(BTF_KIND_TYPE_TAG, HELD, "kptr");
  b.ptr(KPTR_TAG);
  st("with_kptr", 8, 1, {0, KPTR, 0});
  st("two_timers", 32, 2, {0, TIMER, 0, 0, TIMER, 128});
  return b.bytes();
}

std::unique_ptr<Btf> loaded(const std::vector<u8>& bytes, const KernelTypes* kernel) {
  BtfLog log;
  auto btf = Btf::parse(bytes, &log, kernel);
  EXPECT_TRUE(btf.ok()) << log.text() << (btf.ok() ? 0 : btf.error().value());
  return btf.ok() ? std::move(*btf) : nullptr;
}

struct Try {
  bpf_map_type type;
  u32 key_id, value_id, key_size, value_size;
  int error;
  u32 max_entries = 1, flags = 0;
  bool cap_bpf = true;
};

TEST(MapBtf, Cases) {
  const FakeKernel kernel;
  const auto btf = loaded(map_btf(), &kernel.types);
  ASSERT_NE(btf, nullptr);
  const Try tries[] = {
      {BPF_MAP_TYPE_HASH, INT, LONG, 4, 8, 0},
      {BPF_MAP_TYPE_HASH, PAIR, PAIR, 8, 8, 0},
      {BPF_MAP_TYPE_HASH, INT, LONG, 8, 8, EINVAL},
      {BPF_MAP_TYPE_HASH, INT, LONG, 4, 4, EINVAL},
      {BPF_MAP_TYPE_HASH, 0, LONG, 4, 8, EINVAL},
      {BPF_MAP_TYPE_HASH, 99, LONG, 4, 8, EINVAL},
      {BPF_MAP_TYPE_HASH, INT, 99, 4, 8, EINVAL},
      {BPF_MAP_TYPE_HASH, FWD, LONG, 0, 8, EINVAL},
      {BPF_MAP_TYPE_HASH, INT, FWD, 4, 0, EINVAL},
      {BPF_MAP_TYPE_ARRAY, INT, LONG, 4, 8, 0},
      {BPF_MAP_TYPE_ARRAY, CINT, LONG, 4, 8, 0},
      {BPF_MAP_TYPE_ARRAY, ODD, LONG, 4, 8, EINVAL},
      {BPF_MAP_TYPE_ARRAY, LOCK, LONG, 4, 8, EINVAL},
      {BPF_MAP_TYPE_ARRAY, 0, SEC, 4, 4, 0},
      {BPF_MAP_TYPE_ARRAY, 0, SEC, 4, 4, EINVAL, 2},
      {BPF_MAP_TYPE_ARRAY, 0, INT, 4, 4, EINVAL},
      {BPF_MAP_TYPE_PERCPU_ARRAY, 0, SEC, 4, 4, EINVAL},
      {BPF_MAP_TYPE_PERCPU_ARRAY, INT, SEC, 4, 4, 0},
      {BPF_MAP_TYPE_LPM_TRIE, PAIR, INT, 8, 4, 0},
      {BPF_MAP_TYPE_LPM_TRIE, LONG, INT, 8, 4, EINVAL},
      {BPF_MAP_TYPE_LPM_TRIE, UNION8, INT, 8, 4, EINVAL},
      {BPF_MAP_TYPE_BLOOM_FILTER, 0, LONG, 0, 8, 0},
      {BPF_MAP_TYPE_BLOOM_FILTER, EMPTY, LONG, 0, 8, EINVAL},
      {BPF_MAP_TYPE_QUEUE, 0, LONG, 0, 8, EINVAL},
      {BPF_MAP_TYPE_QUEUE, EMPTY, LONG, 0, 8, 0},
      {BPF_MAP_TYPE_PROG_ARRAY, INT, INT, 4, 4, 0},
      {BPF_MAP_TYPE_RINGBUF, EMPTY, EMPTY, 0, 0, 0},
      {BPF_MAP_TYPE_RINGBUF, INT, INT, 0, 0, EINVAL},
      {BPF_MAP_TYPE_ARENA, 0, EMPTY, 0, 0, 0},
      {BPF_MAP_TYPE_TASK_STORAGE, INT, LONG, 4, 8, 0},
      {BPF_MAP_TYPE_TASK_STORAGE, LOCK, LONG, 4, 8, EINVAL},
      {BPF_MAP_TYPE_TASK_STORAGE, 0, LONG, 4, 8, EINVAL},
      {BPF_MAP_TYPE_CGROUP_STORAGE, LONG, INT, 8, 4, 0},
      {BPF_MAP_TYPE_CGROUP_STORAGE, OFFSET_INT, INT, 8, 4, EINVAL},
      {BPF_MAP_TYPE_CGROUP_STORAGE, STORAGE_KEY, INT, 16, 4, 0},
      {BPF_MAP_TYPE_CGROUP_STORAGE, TIMER, INT, 16, 4, EINVAL},
      {BPF_MAP_TYPE_CGROUP_STORAGE, BITS_KEY, INT, 16, 4, EINVAL},
      // No BTF at all, but sizes are asked first.
      {BPF_MAP_TYPE_PERF_EVENT_ARRAY, INT, INT, 4, 4, ENOTSUPP_},
      {BPF_MAP_TYPE_PERF_EVENT_ARRAY, 0, INT, 4, 4, ENOTSUPP_},
      {BPF_MAP_TYPE_PERF_EVENT_ARRAY, LONG, INT, 4, 4, EINVAL},
      {BPF_MAP_TYPE_STACK_TRACE, INT, LONG, 4, 8, ENOTSUPP_},
      {BPF_MAP_TYPE_HASH_OF_MAPS, INT, INT, 4, 4, ENOTSUPP_},
      {BPF_MAP_TYPE_ARRAY_OF_MAPS, INT, INT, 4, 4, ENOTSUPP_},
      {BPF_MAP_TYPE_CGROUP_ARRAY, INT, INT, 4, 4, ENOTSUPP_},
      {BPF_MAP_TYPE_SOCKHASH, INT, INT, 4, 4, ENOTSUPP_},
      {BPF_MAP_TYPE_DEVMAP, INT, INT, 4, 4, ENOTSUPP_},
      // Special fields.
      {BPF_MAP_TYPE_HASH, INT, LOCKED, 4, 8, 0},
      {BPF_MAP_TYPE_HASH, INT, LOCKED, 4, 8, EPERM, 1, 0, false},
      {BPF_MAP_TYPE_HASH, INT, PAIR, 4, 8, 0, 1, 0, false},
      {BPF_MAP_TYPE_HASH, INT, LOCKED, 4, 8, EACCES, 1, BPF_F_RDONLY_PROG},
      {BPF_MAP_TYPE_HASH, INT, LOCKED, 4, 8, EACCES, 1, BPF_F_WRONLY_PROG},
      {BPF_MAP_TYPE_HASH, INT, PAIR, 4, 8, 0, 1, BPF_F_RDONLY_PROG},
      {BPF_MAP_TYPE_LRU_HASH, INT, LOCKED, 4, 8, EOPNOTSUPP},
      {BPF_MAP_TYPE_PERCPU_ARRAY, INT, LOCKED, 4, 8, EOPNOTSUPP},
      {BPF_MAP_TYPE_TASK_STORAGE, INT, LOCKED, 4, 8, 0},
      {BPF_MAP_TYPE_LRU_HASH, INT, TIMED, 4, 16, 0},
      {BPF_MAP_TYPE_PERCPU_HASH, INT, TIMED, 4, 16, EOPNOTSUPP},
      {BPF_MAP_TYPE_PERCPU_HASH, INT, COUNTED, 4, 4, 0},
      {BPF_MAP_TYPE_LPM_TRIE, PAIR, COUNTED, 8, 4, EOPNOTSUPP},
      {BPF_MAP_TYPE_ARRAY, INT, HOLDER, 4, 24, 0},
      {BPF_MAP_TYPE_PERCPU_ARRAY, INT, HOLDER, 4, 24, EOPNOTSUPP},
      {BPF_MAP_TYPE_PERCPU_ARRAY, INT, WITH_KPTR, 4, 8, 0},
      {BPF_MAP_TYPE_QUEUE, EMPTY, WITH_KPTR, 0, 8, EOPNOTSUPP},
      {BPF_MAP_TYPE_ARRAY, 0, LOCK_SEC, 4, 4, 0},
      {BPF_MAP_TYPE_PERF_EVENT_ARRAY, INT, COUNTED, 4, 4, EOPNOTSUPP},
      {BPF_MAP_TYPE_HASH, INT, TWO_TIMERS, 4, 32, 0},  // fields that are wrong are as none
  };
  for (const Try& t : tries) {
    SCOPED_TRACE(fmt::format("map type {} key {} value {} of {} {}", static_cast<u32>(t.type), t.key_id, t.value_id, t.key_size,
                             t.value_size));
    const auto got = map_check_btf(*btf, t.key_id, t.value_id,
                                   {t.type, t.key_size, t.value_size, t.max_entries, t.flags, t.cap_bpf}, &kernel.types);
    EXPECT_EQ(got.ok() ? 0 : got.error().value(), t.error);
  }
}

TEST(MapBtf, ReturnsTheSpecialFields) {
  const FakeKernel kernel;
  const auto btf = loaded(map_btf(), &kernel.types);
  ASSERT_NE(btf, nullptr);
  const auto locked = map_check_btf(*btf, INT, LOCKED, {BPF_MAP_TYPE_HASH, 4, 8, 1, 0}, &kernel.types);
  ASSERT_TRUE(locked.ok());
  EXPECT_EQ(locked->field_mask, BPF_SPIN_LOCK);
  EXPECT_EQ(locked->spin_lock_off, 0);
  const auto plain = map_check_btf(*btf, INT, PAIR, {BPF_MAP_TYPE_HASH, 4, 8, 1, 0}, &kernel.types);
  ASSERT_TRUE(plain.ok());
  EXPECT_TRUE(plain->fields.empty());
  const auto section = map_check_btf(*btf, 0, LOCK_SEC, {BPF_MAP_TYPE_ARRAY, 4, 4, 1, 0}, &kernel.types);
  ASSERT_TRUE(section.ok());
  EXPECT_EQ(section->field_mask, BPF_SPIN_LOCK);
}

struct MapCreate {
  u32 map_type, key_size, value_size, max_entries, map_flags, inner_map_fd, numa_node;
  char name[16];
  u32 ifindex, btf_fd, btf_key_type_id, btf_value_type_id, btf_vmlinux_value_type_id;
  u64 map_extra;
};
static_assert(sizeof(MapCreate) == 72);

int linux_create(const MapCreate& attr) {
  const long fd = syscall(SYS_bpf, 0, &attr, sizeof attr);
  if (fd < 0) return errno;
  close(static_cast<int>(fd));
  return 0;
}

bool is_hash(u32 type) {
  return type == BPF_MAP_TYPE_HASH || type == BPF_MAP_TYPE_PERCPU_HASH || type == BPF_MAP_TYPE_LRU_HASH ||
         type == BPF_MAP_TYPE_LRU_PERCPU_HASH;
}

/// Types of the right sizes, and now and then others. Creating and refusing a map of some types waits for an RCU grace period:
/// fewer.
bool worth_asking(const Btf& btf, u32 key_id, u32 value_id, u32 key_size, u32 value_size, u32 number, u32 type) {
  const auto key = btf.type_size(key_id), value = btf.type_size(value_id);
  const bool sizes_fit = (key_id == 0 || (key.ok() && *key == key_size)) && value.ok() && *value == value_size;
  const bool quick = type == BPF_MAP_TYPE_ARRAY || type == BPF_MAP_TYPE_PERCPU_ARRAY || is_hash(type) ||
                     type == BPF_MAP_TYPE_LPM_TRIE || type == BPF_MAP_TYPE_QUEUE || type == BPF_MAP_TYPE_BLOOM_FILTER ||
                     type == BPF_MAP_TYPE_RINGBUF;
  const u32 one_in = (sizes_fit ? 1 : 50) * (quick ? 1 : 20);
  return number % one_in == 0;
}

TEST(MapBtfOracle, EveryTypeWithEveryKeyAndValue) {
  if (const std::string reason = linux_refusal(); !reason.empty()) GTEST_SKIP() << reason;
  const MachineTypes machine = machine_types();
  if (machine.vmlinux == nullptr) GTEST_SKIP() << "no readable /sys/kernel/btf/vmlinux";
  const std::vector<u8> bytes = map_btf();
  const auto btf = loaded(bytes, &machine.types);
  ASSERT_NE(btf, nullptr);
  struct {
    u64 btf, log_buf;
    u32 size, log_size, level, true_size;
  } load{reinterpret_cast<uptr>(bytes.data()), 0, static_cast<u32>(bytes.size()), 0, 0, 0};
  const long btf_fd = syscall(SYS_bpf, 18, &load, sizeof load);
  ASSERT_GE(btf_fd, 0);

  int compared = 0;
  u32 asked = 0;
  u64 types_seen = 0;
  for (u32 type = 1; type < MAX_BPF_MAP_TYPE_; ++type) {
    const bool storage = type == BPF_MAP_TYPE_SK_STORAGE || type == BPF_MAP_TYPE_INODE_STORAGE ||
                         type == BPF_MAP_TYPE_TASK_STORAGE || type == BPF_MAP_TYPE_CGRP_STORAGE;
    for (u32 key_size : {0u, 4u, 8u, 16u}) {
      for (u32 value_size : {0u, 4u, 8u, 16u, 24u, 32u}) {
        for (u32 flags : {0u, BPF_F_NO_PREALLOC, BPF_F_RDONLY_PROG, BPF_F_NO_PREALLOC | BPF_F_RDONLY_PROG}) {
          MapCreate attr{};
          attr.map_type = type;
          attr.key_size = key_size;
          attr.value_size = value_size;
          attr.map_flags = flags;
          attr.btf_fd = static_cast<u32>(btf_fd);
          for (u32 entries : {0u, 1u, 4096u}) {
            attr.max_entries = entries;
            MapCreate plain = attr;  // a map that is refused for another reason says nothing of BTF
            if (storage)
              plain.btf_key_type_id = INT, plain.btf_value_type_id = value_size == 4 ? INT : LONG;
            else
              plain.btf_fd = 0;
            if (linux_create(plain) != 0) continue;
            types_seen |= u64{1} << type;
            for (u32 key_id = 0; key_id <= NR_IDS; ++key_id) {
              for (u32 value_id = 1; value_id <= NR_IDS; ++value_id) {
                if (storage && key_id == 0) continue;
                if (!worth_asking(*btf, key_id, value_id, key_size, value_size, ++asked, type)) continue;
                attr.btf_key_type_id = key_id;
                attr.btf_value_type_id = value_id;
                const u32 own_flags = type == BPF_MAP_TYPE_DEVMAP || type == BPF_MAP_TYPE_DEVMAP_HASH ? BPF_F_RDONLY_PROG : 0;
                const MapShape shape{static_cast<bpf_map_type>(type), key_size, value_size, entries, flags | own_flags};
                const auto got = map_check_btf(*btf, key_id, value_id, shape, &machine.types);
                const int ours = got.ok() ? 0 : got.error().value(), theirs = linux_create(attr);
                ++compared;
                // 6.12.y asks a hash for its key after the value's special fields, others before: which error wins is drift.
                if (is_hash(type) && key_id == 0 && ours != 0 && theirs != 0) continue;
                ASSERT_EQ(ours, theirs) << "map type " << type << " sizes " << key_size << " " << value_size << " flags " << flags
                                        << " entries " << entries << " key " << key_id << " value " << value_id;
              }
            }
          }
        }
      }
    }
  }
  EXPECT_GT(compared, 5000);
  for (u32 type : {BPF_MAP_TYPE_HASH, BPF_MAP_TYPE_ARRAY, BPF_MAP_TYPE_RINGBUF, BPF_MAP_TYPE_PERF_EVENT_ARRAY})
    EXPECT_NE(types_seen >> type & 1, 0u) << type;
  RecordProperty("types_seen", fmt::format("{:x}", types_seen));
  RecordProperty("compared", compared);
  close(static_cast<int>(btf_fd));
}

}  // namespace
}  // namespace skep::test
