// Values with special fields: which maps may have them, and what bpf(2) makes of them.
// Linux: kernel/bpf/syscall.c:map_check_btf(), include/linux/bpf.h:copy_map_value()
#include "bpf_calls.h"
#include "btf_text.h"

namespace skep::test {
namespace {

enum Field { kLock, kTimer, kWorkqueue, kRefcount };

constexpr std::uint32_t kKeySize = 4, kValueSize = 32, kFieldAt = 8;

struct FieldKind {
  const char* struct_name;
  std::uint32_t size;
};
FieldKind kind_of(Field field) {
  switch (field) {
    case kLock: return {"bpf_spin_lock", 4};
    case kTimer: return {"bpf_timer", 16};
    case kWorkqueue: return {"bpf_wq", 16};
    case kRefcount: return {"bpf_refcount", 4};
  }
  return {"", 0};
}

/// { u64 before; FIELD field at 8; u64 after at 24 }
class ValueBtf {
 public:
  explicit ValueBtf(Field field) {
    const FieldKind kind = kind_of(field);
    BtfText text;
    key = text.integer("int", 4);
    const std::uint32_t u64 = text.integer("long", 8);
    const std::uint32_t part = kind.size == 4 ? key : u64;
    std::vector<BtfText::Member> inside = {{"a", part, 0}};
    if (kind.size == 16) inside.push_back({"b", part, 8});
    const std::uint32_t special = text.structure(kind.struct_name, kind.size, inside);
    value = text.structure("value", kValueSize, {{"before", u64, 0}, {"field", special, kFieldAt}, {"after", u64, 24}});
    const std::vector<unsigned char> data = text.build();
    fd = Fd(btf_load(data.data(), static_cast<std::uint32_t>(data.size())));
  }
  Fd fd;
  std::uint32_t key = 0, value = 0;
};

long create_with(const MapSpec& spec, const ValueBtf& btf) {
  union bpf_attr attr = map_attr(spec);
  attr.btf_fd = static_cast<std::uint32_t>(btf.fd.get());
  attr.btf_key_type_id = btf.key;
  attr.btf_value_type_id = btf.value;
  return bpf(BPF_MAP_CREATE, attr);
}

MapSpec spec_of(std::uint32_t type, std::uint32_t flags = 0) {
  return {.type = type, .key_size = kKeySize, .value_size = kValueSize, .max_entries = 4, .flags = flags};
}

class MapFieldsTest : public BpfTest {
 protected:
  static void expect_kinds(Field field, const std::vector<std::uint32_t>& with, const std::vector<std::uint32_t>& without) {
    const ValueBtf btf(field);
    ASSERT_THAT(btf.fd.get(), SyscallSucceeds());
    for (const std::uint32_t type : with) {
      const Fd map(create_with(spec_of(type), btf));
      EXPECT_THAT(map.get(), SyscallSucceeds()) << type;
      EXPECT_THAT(map_freeze(map.get()), SyscallFailsWithErrno(kENOTSUPP)) << "with fields no map freezes: " << type;
    }
    for (const std::uint32_t type : without) EXPECT_THAT(create_with(spec_of(type), btf), SyscallFailsWithErrno(EOPNOTSUPP)) << type;
    EXPECT_THAT(create_with(spec_of(BPF_MAP_TYPE_HASH, BPF_F_RDONLY_PROG), btf), SyscallFailsWithErrno(EACCES));
    EXPECT_THAT(create_with(spec_of(BPF_MAP_TYPE_ARRAY, BPF_F_WRONLY_PROG), btf), SyscallFailsWithErrno(EACCES));
    EXPECT_THAT(create_with(spec_of(without.front(), BPF_F_WRONLY_PROG), btf), SyscallFailsWithErrno(EACCES)) << "asked first";
  }
};

TEST_F(MapFieldsTest, KindsWithASpinLock) {
  expect_kinds(kLock, {BPF_MAP_TYPE_HASH, BPF_MAP_TYPE_ARRAY},
               {BPF_MAP_TYPE_PERCPU_HASH, BPF_MAP_TYPE_PERCPU_ARRAY, BPF_MAP_TYPE_LRU_HASH, BPF_MAP_TYPE_LRU_PERCPU_HASH});
}
TEST_F(MapFieldsTest, KindsWithATimer) {
  expect_kinds(kTimer, {BPF_MAP_TYPE_HASH, BPF_MAP_TYPE_ARRAY, BPF_MAP_TYPE_LRU_HASH},
               {BPF_MAP_TYPE_PERCPU_HASH, BPF_MAP_TYPE_PERCPU_ARRAY, BPF_MAP_TYPE_LRU_PERCPU_HASH});
}
TEST_F(MapFieldsTest, KindsWithAWorkqueue) {
  expect_kinds(kWorkqueue, {BPF_MAP_TYPE_HASH, BPF_MAP_TYPE_ARRAY, BPF_MAP_TYPE_LRU_HASH},
               {BPF_MAP_TYPE_PERCPU_HASH, BPF_MAP_TYPE_PERCPU_ARRAY, BPF_MAP_TYPE_LRU_PERCPU_HASH});
}

TEST_F(MapFieldsTest, StorageKinds) {
  const ValueBtf lock(kLock), timer(kTimer);
  for (const std::uint32_t type : {BPF_MAP_TYPE_SK_STORAGE, BPF_MAP_TYPE_TASK_STORAGE}) {
    MapSpec spec = spec_of(type, BPF_F_NO_PREALLOC);
    spec.max_entries = 0;
    const Fd map(create_with(spec, lock));
    EXPECT_THAT(map.get(), SyscallSucceeds()) << type;
    EXPECT_THAT(create_with(spec, timer), SyscallFailsWithErrno(EOPNOTSUPP)) << type;
  }
}

TEST_F(MapFieldsTest, KindsWithoutTypes) {
  const ValueBtf lock(kLock);
  EXPECT_THAT(create_with({.type = BPF_MAP_TYPE_QUEUE, .key_size = 0, .value_size = kValueSize}, lock), SyscallFailsWithErrno(EINVAL));
}

class MapFieldBytesTest : public MapFieldsTest, public testing::WithParamInterface<std::tuple<std::uint32_t, Field>> {
 protected:
  struct Value {
    unsigned char bytes[kValueSize];
    std::string str() const { return {reinterpret_cast<const char*>(bytes), sizeof bytes}; }
  };
  static Value filled(unsigned char with) {
    Value v;
    std::memset(v.bytes, with, sizeof v.bytes);
    return v;
  }
  /// As user space must see what filled(with) stored.
  static Value shown(unsigned char with, Field field) {
    Value v = filled(with);
    std::memset(v.bytes + kFieldAt, 0, kind_of(field).size);
    return v;
  }
};

TEST_P(MapFieldBytesTest, AreNeitherStoredNorShown) {
  const auto [type, field] = GetParam();
  const ValueBtf btf(field);
  const Fd map(create_with(spec_of(type), btf));
  ASSERT_THAT(map.get(), SyscallSucceeds());
  const std::uint32_t key = 1;
  for (const unsigned char with : {0x11, 0xff}) {
    const Value in = filled(with);
    ASSERT_THAT(map_update(map.get(), &key, &in), SyscallSucceeds());
    Guarded<Value> out;
    ASSERT_THAT(map_lookup(map.get(), &key, out.get()), SyscallSucceeds());
    EXPECT_EQ(out->str(), shown(with, field).str());
  }
  if (type != BPF_MAP_TYPE_HASH) return;
  Guarded<Value> out;
  ASSERT_THAT(map_lookup_and_delete(map.get(), &key, out.get()), SyscallSucceeds());
  EXPECT_EQ(out->str(), shown(0xff, field).str());
}

TEST_P(MapFieldBytesTest, LockFlagNeedsALock) {
  const auto [type, field] = GetParam();
  const ValueBtf btf(field);
  const Fd map(create_with(spec_of(type), btf));
  ASSERT_THAT(map.get(), SyscallSucceeds());
  const std::uint32_t key = 1, beyond = 9;
  const Value in = filled(0x33);
  Guarded<Value> out;
  if (field != kLock) {
    EXPECT_THAT(map_update(map.get(), &key, &in, BPF_F_LOCK), SyscallFailsWithErrno(EINVAL));
    EXPECT_THAT(map_lookup(map.get(), &key, out.get(), BPF_F_LOCK), SyscallFailsWithErrno(EINVAL));
    EXPECT_THAT(map_lookup_and_delete(map.get(), &key, out.get(), BPF_F_LOCK), SyscallFailsWithErrno(EINVAL));
    return;
  }
  const bool hash = type == BPF_MAP_TYPE_HASH;
  EXPECT_THAT(map_update(map.get(), &key, &in, BPF_F_LOCK | BPF_EXIST), hash ? SyscallFailsWithErrno(ENOENT) : SyscallSucceeds());
  EXPECT_THAT(map_update(map.get(), &key, &in, BPF_F_LOCK), SyscallSucceeds()) << "a new key, for a hash map";
  EXPECT_THAT(map_update(map.get(), &key, &in, BPF_F_LOCK), SyscallSucceeds()) << "in place";
  EXPECT_THAT(map_update(map.get(), &key, &in, BPF_F_LOCK | BPF_NOEXIST), SyscallFailsWithErrno(EEXIST));
  EXPECT_THAT(map_update(map.get(), &key, &in, BPF_F_LOCK | 8), SyscallFailsWithErrno(EINVAL));
  ASSERT_THAT(map_lookup(map.get(), &key, out.get(), BPF_F_LOCK), SyscallSucceeds());
  EXPECT_EQ(out->str(), shown(0x33, field).str());
  EXPECT_THAT(map_lookup(map.get(), &beyond, out.get(), BPF_F_LOCK), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(map_lookup_and_delete(map.get(), &key, out.get(), BPF_F_LOCK),
              hash ? SyscallSucceeds() : SyscallFailsWithErrno(kENOTSUPP));
  EXPECT_EQ(out->str(), shown(0x33, field).str());
}

INSTANTIATE_TEST_SUITE_P(Kinds, MapFieldBytesTest,
                         testing::Combine(testing::Values(static_cast<std::uint32_t>(BPF_MAP_TYPE_HASH),
                                                          static_cast<std::uint32_t>(BPF_MAP_TYPE_ARRAY)),
                                          testing::Values(kLock, kTimer, kWorkqueue)),
                         [](const auto& param) {
                           return std::string(std::get<0>(param.param) == BPF_MAP_TYPE_HASH ? "Hash" : "Array") +
                                  (kind_of(std::get<1>(param.param)).struct_name + 4);
                         });

TEST_F(MapFieldsTest, RefcountReadsAsOne) {
  const ValueBtf btf(kRefcount);
  const Fd map(create_with(spec_of(BPF_MAP_TYPE_ARRAY), btf));
  ASSERT_THAT(map.get(), SyscallSucceeds());
  const std::uint32_t key = 0;
  GuardedBuffer out(kValueSize);
  ASSERT_THAT(map_lookup(map.get(), &key, out.data()), SyscallSucceeds());
  EXPECT_EQ(out.read<std::uint32_t>(kFieldAt), 1u);
}

TEST_F(MapFieldsTest, InnerMapsMustHaveTheSame) {
  const ValueBtf lock(kLock), timer(kTimer);
  const Fd meta(create_with(spec_of(BPF_MAP_TYPE_HASH), lock)), same(create_with(spec_of(BPF_MAP_TYPE_HASH), lock)),
      other(create_with(spec_of(BPF_MAP_TYPE_HASH), timer)), none(map_create(spec_of(BPF_MAP_TYPE_HASH)));
  union bpf_attr attr = map_attr({.type = BPF_MAP_TYPE_ARRAY_OF_MAPS, .key_size = 4, .value_size = 4, .max_entries = 2});
  attr.inner_map_fd = static_cast<std::uint32_t>(meta.get());
  const Fd outer(bpf(BPF_MAP_CREATE, attr));
  ASSERT_THAT(outer.get(), SyscallSucceeds());
  const std::uint32_t key = 0;
  const int good = same.get(), bad = other.get(), plain = none.get();
  EXPECT_THAT(map_update(outer.get(), &key, &good), SyscallSucceeds());
  EXPECT_THAT(map_update(outer.get(), &key, &bad), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(map_update(outer.get(), &key, &plain), SyscallFailsWithErrno(EINVAL));
}

}  // namespace
}  // namespace skep::test
