// tests/syscall: BPF_MAP_LOOKUP_BATCH, BPF_MAP_LOOKUP_AND_DELETE_BATCH, BPF_MAP_UPDATE_BATCH, BPF_MAP_DELETE_BATCH.
// Linux: kernel/bpf/syscall.c:bpf_map_do_batch(), kernel/bpf/hashtab.c:__htab_map_lookup_and_delete_batch()
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <numeric>

#include "bpf_calls.h"

namespace skep::test {
namespace {

using Keys = std::vector<std::uint32_t>;
using Values = std::vector<std::uint64_t>;

struct BatchCall {
  int map = -1;
  const void* in = nullptr;
  void* out = nullptr;
  void* keys = nullptr;
  void* values = nullptr;
  std::uint32_t count = 0;
  std::uint64_t elem_flags = 0, flags = 0;

  /// `count` is what the kernel left there.
  long operator()(int cmd) {
    union bpf_attr attr = zero_attr();
    attr.batch.in_batch = user_ptr(in);
    attr.batch.out_batch = user_ptr(out);
    attr.batch.keys = user_ptr(keys);
    attr.batch.values = user_ptr(values);
    attr.batch.count = count;
    attr.batch.map_fd = static_cast<std::uint32_t>(map);
    attr.batch.elem_flags = elem_flags;
    attr.batch.flags = flags;
    const long rc = bpf(cmd, attr);
    count = attr.batch.count;
    return rc;
  }
};

constexpr int ALL[] = {BPF_MAP_LOOKUP_BATCH, BPF_MAP_LOOKUP_AND_DELETE_BATCH, BPF_MAP_UPDATE_BATCH, BPF_MAP_DELETE_BATCH};

Keys keys_from(std::uint32_t first, std::uint32_t n) {
  Keys k(n);
  std::iota(k.begin(), k.end(), first);
  return k;
}
Values squares(const Keys& keys) {
  Values v;
  for (const std::uint32_t k : keys) v.push_back(std::uint64_t{k} * k + 1);
  return v;
}

class MapBatchTest : public BpfTest {
 protected:
  static Fd make(const MapSpec& spec) {
    Fd map(map_create(spec));
    EXPECT_THAT(map.get(), SyscallSucceeds());
    return map;
  }
  static void fill(int map, std::uint32_t n) {
    Keys keys = keys_from(0, n);
    Values values = squares(keys);
    BatchCall call{.map = map, .keys = keys.data(), .values = values.data(), .count = n};
    ASSERT_THAT(call(BPF_MAP_UPDATE_BATCH), SyscallSucceeds());
    ASSERT_EQ(call.count, n);
  }
  /// All elements, by as many calls as it takes with `step` places each. Fails on a key that comes twice.
  static std::map<std::uint32_t, std::uint64_t> walk(int map, int cmd, std::uint32_t step) {
    std::map<std::uint32_t, std::uint64_t> seen;
    std::uint32_t token = 0;
    for (bool first = true;; first = false) {
      Keys keys(step);
      Values values(step);
      BatchCall call{.map = map, .in = first ? nullptr : &token, .out = &token, .keys = keys.data(), .values = values.data(), .count = step};
      const long rc = call(cmd);
      if (rc != 0 && errno == ENOSPC) {  // a bucket that is larger
        step *= 2;
        continue;
      }
      for (std::uint32_t i = 0; i < call.count; ++i) EXPECT_TRUE(seen.emplace(keys[i], values[i]).second) << "twice: " << keys[i];
      if (rc == 0) continue;
      EXPECT_EQ(errno, ENOENT);
      return seen;
    }
  }
  static std::map<std::uint32_t, std::uint64_t> expected(std::uint32_t n) {
    std::map<std::uint32_t, std::uint64_t> all;
    for (std::uint32_t k = 0; k < n; ++k) all[k] = std::uint64_t{k} * k + 1;
    return all;
  }
};

TEST_F(MapBatchTest, ArrayGoesIndexByIndex) {
  const Fd map = make({.type = BPF_MAP_TYPE_ARRAY, .max_entries = 10});
  fill(map.get(), 10);
  Keys keys(4);
  Values values(4);
  std::uint32_t token = 77;
  BatchCall call{.map = map.get(), .out = &token, .keys = keys.data(), .values = values.data(), .count = 4};
  ASSERT_THAT(call(BPF_MAP_LOOKUP_BATCH), SyscallSucceeds());
  EXPECT_EQ(call.count, 4u);
  EXPECT_EQ(token, 3u) << "the last key";
  EXPECT_EQ(keys, keys_from(0, 4));
  EXPECT_EQ(values, squares(keys));
  call.in = &token;
  ASSERT_THAT(call(BPF_MAP_LOOKUP_BATCH), SyscallSucceeds());
  EXPECT_EQ(keys, keys_from(4, 4));
  EXPECT_THAT(call(BPF_MAP_LOOKUP_BATCH), SyscallFailsWithErrno(ENOENT));
  EXPECT_EQ(call.count, 2u);
  EXPECT_EQ(keys[1], 9u);
  EXPECT_EQ(token, 9u);
  call.count = 4;
  EXPECT_THAT(call(BPF_MAP_LOOKUP_BATCH), SyscallFailsWithErrno(ENOENT)) << "behind the last";
  EXPECT_EQ(call.count, 0u);
  EXPECT_EQ(token, 9u) << "no key, no token";
}

TEST_F(MapBatchTest, HashIsMetWhole) {
  for (const std::uint32_t step : {1u, 7u, 100u, 300u}) {
    const Fd map = make({.max_entries = 300});
    fill(map.get(), 200);
    EXPECT_EQ(walk(map.get(), BPF_MAP_LOOKUP_BATCH, step), expected(200)) << step;
    EXPECT_EQ(walk(map.get(), BPF_MAP_LOOKUP_AND_DELETE_BATCH, step), expected(200)) << step;
    EXPECT_TRUE(walk(map.get(), BPF_MAP_LOOKUP_BATCH, step).empty()) << step;
    fill(map.get(), 300);  // all elements came back
  }
}

TEST_F(MapBatchTest, LruHashIsMetWhole) {
  const Fd map = make({.type = BPF_MAP_TYPE_LRU_HASH, .max_entries = 4096});
  fill(map.get(), 50);
  EXPECT_EQ(walk(map.get(), BPF_MAP_LOOKUP_BATCH, 16), expected(50));
  EXPECT_EQ(walk(map.get(), BPF_MAP_LOOKUP_AND_DELETE_BATCH, 16), expected(50));
  EXPECT_TRUE(walk(map.get(), BPF_MAP_LOOKUP_BATCH, 16).empty());
}

TEST_F(MapBatchTest, HashTokenIsABucket) {
  const Fd map = make({.max_entries = 8});
  fill(map.get(), 8);
  Keys keys(8);
  Values values(8);
  std::uint32_t token = 0;
  BatchCall call{.map = map.get(), .out = &token, .keys = keys.data(), .values = values.data(), .count = 8};
  EXPECT_THAT(call(BPF_MAP_LOOKUP_BATCH), SyscallFailsWithErrno(ENOENT)) << "all was had";
  EXPECT_EQ(call.count, 8u);
  const std::uint32_t buckets = token;
  EXPECT_GT(buckets, 0u) << "their number";
  std::sort(keys.begin(), keys.end());
  EXPECT_EQ(keys, keys_from(0, 8));
  for (const std::uint32_t behind : {buckets, 1000u, ~0u}) {
    token = behind;
    call.in = &token;
    call.count = 8;
    EXPECT_THAT(call(BPF_MAP_LOOKUP_BATCH), SyscallFailsWithErrno(ENOENT));
    EXPECT_EQ(call.count, 0u);
    EXPECT_EQ(token, behind) << "refused before anything is written";
  }
}

TEST_F(MapBatchTest, ABucketThatDoesNotFit) {
  const Fd map = make({.max_entries = 2});
  fill(map.get(), 2);
  Keys keys(2);
  Values values(2);
  std::uint32_t token = 55;
  BatchCall call{.map = map.get(), .out = &token, .keys = keys.data(), .values = values.data(), .count = 1};
  const long rc = call(BPF_MAP_LOOKUP_BATCH);
  if (rc == 0) {  // one in each bucket
    EXPECT_EQ(call.count, 1u);
    EXPECT_EQ(token, 1u);
  } else {
    EXPECT_EQ(errno, ENOSPC);
    EXPECT_EQ(call.count, 0u);
    EXPECT_LE(token, 1u) << "the bucket that is too large";
  }
}

TEST_F(MapBatchTest, ABucketThatDoesNotFitLeavesTheMapAlone) {
  for (int tries = 0; tries < 64; ++tries) {  // each map has a seed of its own
    const Fd map = make({.max_entries = 2});
    fill(map.get(), 2);
    Keys keys(2);
    Values values(2);
    std::uint32_t token = 0;
    BatchCall call{.map = map.get(), .out = &token, .keys = keys.data(), .values = values.data(), .count = 1};
    if (call(BPF_MAP_LOOKUP_AND_DELETE_BATCH) == 0) continue;
    ASSERT_EQ(errno, ENOSPC);
    EXPECT_EQ(call.count, 0u);
    EXPECT_EQ(walk(map.get(), BPF_MAP_LOOKUP_BATCH, 2), expected(2));
    return;
  }
  FAIL() << "never two in one bucket";
}

TEST_F(MapBatchTest, PerCpuValuesAreRounded) {
  const unsigned cpus = possible_cpus();
  for (const std::uint32_t type : {BPF_MAP_TYPE_PERCPU_ARRAY, BPF_MAP_TYPE_PERCPU_HASH}) {
    const Fd map = make({.type = type, .value_size = 5, .max_entries = 3});
    Keys keys = keys_from(0, 3);
    std::vector<unsigned char> values(3 * cpus * 8);
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<unsigned char>(i);
    BatchCall call{.map = map.get(), .keys = keys.data(), .values = values.data(), .count = 3};
    ASSERT_THAT(call(BPF_MAP_UPDATE_BATCH), SyscallSucceeds());
    std::uint32_t token = 0;
    GuardedBuffer seen(values.size());
    std::memset(seen.data(), 0xee, seen.size());
    Keys seen_keys(3);
    BatchCall look{.map = map.get(), .out = &token, .keys = seen_keys.data(), .values = seen.data(), .count = 3};
    look(BPF_MAP_LOOKUP_BATCH);
    ASSERT_EQ(look.count, 3u);
    for (unsigned i = 0; i < 3 * cpus; ++i)
      EXPECT_EQ(std::memcmp(seen.data() + i * 8, values.data() + (seen_keys[i / cpus] * cpus + i % cpus) * 8, 5), 0) << type << ": " << i;
  }
}

TEST_F(MapBatchTest, LpmTrie) {
  const Fd map = make({.type = BPF_MAP_TYPE_LPM_TRIE, .key_size = 8, .max_entries = 8, .flags = BPF_F_NO_PREALLOC});
  struct Key {
    std::uint32_t bits;
    unsigned char addr[4];
  };
  Key keys[3] = {{8, {10, 0, 0, 0}}, {16, {10, 1, 0, 0}}, {32, {10, 1, 2, 3}}};
  Values values = {1, 2, 3};
  BatchCall call{.map = map.get(), .keys = keys, .values = values.data(), .count = 3};
  ASSERT_THAT(call(BPF_MAP_UPDATE_BATCH), SyscallSucceeds());
  Key seen[4], token;
  Values got(4);
  BatchCall look{.map = map.get(), .out = &token, .keys = seen, .values = got.data(), .count = 4};
  EXPECT_THAT(look(BPF_MAP_LOOKUP_BATCH), SyscallFailsWithErrno(ENOENT));
  EXPECT_EQ(look.count, 3u);
  got.resize(3);
  EXPECT_THAT(got, testing::UnorderedElementsAre(1, 2, 3));
  EXPECT_THAT(BatchCall(call)(BPF_MAP_LOOKUP_AND_DELETE_BATCH), SyscallFailsWithErrno(kENOTSUPP));
  EXPECT_THAT(call(BPF_MAP_DELETE_BATCH), SyscallSucceeds());
  EXPECT_EQ(call.count, 3u);
}

TEST_F(MapBatchTest, StopsAtTheFirstThatFails) {
  const Fd array = make({.type = BPF_MAP_TYPE_ARRAY, .max_entries = 4});
  Keys keys = {0, 1, 9, 2};
  Values values = {5, 6, 7, 8};
  BatchCall call{.map = array.get(), .keys = keys.data(), .values = values.data(), .count = 4};
  EXPECT_THAT(call(BPF_MAP_UPDATE_BATCH), SyscallFailsWithErrno(E2BIG));
  EXPECT_EQ(call.count, 2u);
  std::uint64_t v = 0;
  ASSERT_THAT(map_lookup(array.get(), &keys[1], &v), SyscallSucceeds());
  EXPECT_EQ(v, 6u);
  ASSERT_THAT(map_lookup(array.get(), &keys[3], &v), SyscallSucceeds());
  EXPECT_EQ(v, 0u);
  const Fd hash = make({.max_entries = 8});
  fill(hash.get(), 3);
  Keys gone = {0, 1, 9, 2};
  BatchCall del{.map = hash.get(), .keys = gone.data(), .count = 4};
  EXPECT_THAT(del(BPF_MAP_DELETE_BATCH), SyscallFailsWithErrno(ENOENT));
  EXPECT_EQ(del.count, 2u);
  EXPECT_EQ(walk(hash.get(), BPF_MAP_LOOKUP_BATCH, 8), (std::map<std::uint32_t, std::uint64_t>{{2, 5}}));
}

TEST_F(MapBatchTest, FullHash) {
  const Fd map = make({.max_entries = 4});
  Keys keys = keys_from(0, 6);
  Values values = squares(keys);
  BatchCall call{.map = map.get(), .keys = keys.data(), .values = values.data(), .count = 6};
  EXPECT_THAT(call(BPF_MAP_UPDATE_BATCH), SyscallFailsWithErrno(E2BIG));
  EXPECT_EQ(call.count, 4u);
}

TEST_F(MapBatchTest, NothingToDo) {
  for (const std::uint32_t type : {BPF_MAP_TYPE_HASH, BPF_MAP_TYPE_ARRAY}) {
    const Fd map = make({.type = type});
    for (const int cmd : ALL) {
      if (type == BPF_MAP_TYPE_ARRAY && (cmd == BPF_MAP_LOOKUP_AND_DELETE_BATCH || cmd == BPF_MAP_DELETE_BATCH)) continue;
      BatchCall call{.map = map.get(), .in = bad_pointer(), .out = bad_pointer(), .keys = bad_pointer(), .values = bad_pointer()};
      EXPECT_THAT(call(cmd), SyscallSucceeds()) << cmd;
    }
  }
}

TEST_F(MapBatchTest, KindsThatHaveNone) {
  for (const int cmd : ALL) {
    const Fd array = make({.type = BPF_MAP_TYPE_ARRAY});
    const bool has = cmd == BPF_MAP_LOOKUP_BATCH || cmd == BPF_MAP_UPDATE_BATCH;
    BatchCall call{.map = array.get()};
    if (has)
      EXPECT_THAT(call(cmd), SyscallSucceeds()) << cmd;
    else
      EXPECT_THAT(call(cmd), SyscallFailsWithErrno(kENOTSUPP)) << cmd;
    const Fd queue = make({.type = BPF_MAP_TYPE_QUEUE, .key_size = 0});
    EXPECT_THAT(BatchCall{.map = queue.get()}(cmd), SyscallFailsWithErrno(kENOTSUPP)) << cmd;
    const Fd ring = make({.type = BPF_MAP_TYPE_RINGBUF, .key_size = 0, .value_size = 0, .max_entries = 4096});
    EXPECT_THAT(BatchCall{.map = ring.get()}(cmd), SyscallFailsWithErrno(kENOTSUPP)) << cmd;
    const Fd progs = make({.type = BPF_MAP_TYPE_PROG_ARRAY, .value_size = 4});
    EXPECT_THAT(BatchCall{.map = progs.get()}(cmd), SyscallFailsWithErrno(kENOTSUPP)) << cmd;
  }
}

TEST_F(MapBatchTest, Flags) {
  const Fd hash = make({}), array = make({.type = BPF_MAP_TYPE_ARRAY});
  Keys keys(4);
  Values values(4);
  std::uint32_t token;
  for (const int cmd : ALL) {
    const BatchCall base{.map = hash.get(), .out = &token, .keys = keys.data(), .values = values.data(), .count = 0};
    BatchCall unknown = base, lock = base, flags = base;
    unknown.elem_flags = BPF_EXIST;
    EXPECT_THAT(unknown(cmd), SyscallFailsWithErrno(EINVAL)) << cmd;
    lock.elem_flags = BPF_F_LOCK;
    EXPECT_THAT(lock(cmd), SyscallFailsWithErrno(EINVAL)) << "no lock in the value: " << cmd;
    flags.flags = 1;
    const bool looks = cmd == BPF_MAP_LOOKUP_BATCH || cmd == BPF_MAP_LOOKUP_AND_DELETE_BATCH;
    if (looks)
      EXPECT_THAT(flags(cmd), SyscallFailsWithErrno(EINVAL)) << cmd;
    else
      EXPECT_THAT(flags(cmd), SyscallSucceeds()) << cmd;
  }
  BatchCall call{.map = array.get(), .out = &token, .keys = keys.data(), .values = values.data(), .count = 4, .flags = 1};
  EXPECT_THAT(call(BPF_MAP_LOOKUP_BATCH), SyscallSucceeds()) << "an array does not look";
}

TEST_F(MapBatchTest, AttrAndFd) {
  for (const int cmd : ALL) {
    EXPECT_THAT(BatchCall{.map = -1}(cmd), SyscallFailsWithErrno(EBADF)) << cmd;
    EXPECT_THAT(BatchCall{.map = 0}(cmd), SyscallFailsWithErrno(EINVAL)) << "no map: " << cmd;
    union bpf_attr attr = zero_attr();
    reinterpret_cast<unsigned char*>(&attr)[56] = 1;
    attr.batch.map_fd = static_cast<std::uint32_t>(-1);
    EXPECT_THAT(bpf(cmd, attr), SyscallFailsWithErrno(EINVAL)) << "behind the last field: " << cmd;
  }
}

TEST_F(MapBatchTest, Access) {
  const Fd readable = make({.flags = BPF_F_RDONLY}), writable = make({.flags = BPF_F_WRONLY});
  for (const int cmd : ALL) {
    const bool reads = cmd == BPF_MAP_LOOKUP_BATCH || cmd == BPF_MAP_LOOKUP_AND_DELETE_BATCH, writes = cmd != BPF_MAP_LOOKUP_BATCH;
    EXPECT_THAT(BatchCall{.map = readable.get()}(cmd), writes ? SyscallFailsWithErrno(EPERM) : SyscallSucceeds()) << cmd;
    EXPECT_THAT(BatchCall{.map = writable.get()}(cmd), reads ? SyscallFailsWithErrno(EPERM) : SyscallSucceeds()) << cmd;
    const Fd frozen = make({});
    ASSERT_THAT(map_freeze(frozen.get()), SyscallSucceeds());
    EXPECT_THAT(BatchCall{.map = frozen.get()}(cmd), writes ? SyscallFailsWithErrno(EPERM) : SyscallSucceeds()) << cmd;
  }
}

class MapBatchFaultTest : public MapBatchTest {
 protected:
  void SetUp() override {
    MapBatchTest::SetUp();
    page_ = static_cast<std::size_t>(getpagesize());
    memory_ = Mapping(-1, 0, 2 * page_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
    ASSERT_THAT(memory_.result(), SyscallSucceeds());
    ASSERT_EQ(munmap(memory_.bytes() + page_, page_), 0);
  }
  /// Room for n objects that ends where memory ends.
  template <typename T>
  T* last(std::size_t n) {
    return reinterpret_cast<T*>(memory_.bytes() + page_) - n;
  }
  std::size_t page_ = 0;
  Mapping memory_;
};

TEST_F(MapBatchFaultTest, KeysEndEarly) {
  const Fd map = make({.max_entries = 8});
  std::uint32_t* keys = last<std::uint32_t>(3);
  for (std::uint32_t i = 0; i < 3; ++i) keys[i] = i;
  Values values = squares(keys_from(0, 8));
  BatchCall call{.map = map.get(), .keys = keys, .values = values.data(), .count = 8};
  EXPECT_THAT(call(BPF_MAP_UPDATE_BATCH), SyscallFailsWithErrno(EFAULT));
  EXPECT_EQ(call.count, 3u);
  EXPECT_EQ(walk(map.get(), BPF_MAP_LOOKUP_BATCH, 8), expected(3));
  call.count = 8;
  EXPECT_THAT(call(BPF_MAP_DELETE_BATCH), SyscallFailsWithErrno(EFAULT));
  EXPECT_EQ(call.count, 3u);
  EXPECT_TRUE(walk(map.get(), BPF_MAP_LOOKUP_BATCH, 8).empty());
}

TEST_F(MapBatchFaultTest, ValuesEndEarly) {
  const Fd map = make({.max_entries = 8});
  Keys keys = keys_from(0, 8);
  std::uint64_t* values = last<std::uint64_t>(5);
  for (std::uint32_t i = 0; i < 5; ++i) values[i] = std::uint64_t{i} * i + 1;
  BatchCall call{.map = map.get(), .keys = keys.data(), .values = values, .count = 8};
  EXPECT_THAT(call(BPF_MAP_UPDATE_BATCH), SyscallFailsWithErrno(EFAULT));
  EXPECT_EQ(call.count, 5u);
  EXPECT_EQ(walk(map.get(), BPF_MAP_LOOKUP_BATCH, 8), expected(5));
}

TEST_F(MapBatchFaultTest, LookUpLeavesTheCountAtNothing) {
  const Fd array = make({.type = BPF_MAP_TYPE_ARRAY, .max_entries = 8});
  fill(array.get(), 8);
  Keys keys(8);
  std::uint64_t* values = last<std::uint64_t>(3);
  std::uint32_t token = 66;
  BatchCall call{.map = array.get(), .out = &token, .keys = keys.data(), .values = values, .count = 8};
  EXPECT_THAT(call(BPF_MAP_LOOKUP_BATCH), SyscallFailsWithErrno(EFAULT));
  EXPECT_EQ(call.count, 0u);
  EXPECT_EQ(token, 66u);
  EXPECT_EQ(values[2], 5u) << "what could be written was";
  const Fd hash = make({.max_entries = 8});
  fill(hash.get(), 8);
  call = BatchCall{.map = hash.get(), .out = &token, .keys = keys.data(), .values = bad_pointer(), .count = 8};
  EXPECT_THAT(call(BPF_MAP_LOOKUP_BATCH), SyscallFailsWithErrno(EFAULT));
  EXPECT_EQ(call.count, 0u);
  EXPECT_EQ(token, 66u);
}

TEST_F(MapBatchFaultTest, Tokens) {
  for (const std::uint32_t type : {BPF_MAP_TYPE_HASH, BPF_MAP_TYPE_ARRAY}) {
    const Fd map = make({.type = type, .max_entries = 4});
    fill(map.get(), 4);
    Keys keys(4);
    Values values(4);
    std::uint32_t token = 0;
    BatchCall in{.map = map.get(), .in = bad_pointer(), .out = &token, .keys = keys.data(), .values = values.data(), .count = 4};
    EXPECT_THAT(in(BPF_MAP_LOOKUP_BATCH), SyscallFailsWithErrno(EFAULT)) << type;
    EXPECT_EQ(in.count, 0u);
    BatchCall out{.map = map.get(), .out = bad_pointer(), .keys = keys.data(), .values = values.data(), .count = 4};
    EXPECT_THAT(out(BPF_MAP_LOOKUP_BATCH), SyscallFailsWithErrno(EFAULT)) << type;
  }
}

TEST_F(MapBatchFaultTest, AttrThatCannotBeWritten) {
  const Fd map = make({.max_entries = 8});
  Keys keys = keys_from(0, 4);
  Values values = squares(keys);
  auto* attr = reinterpret_cast<union bpf_attr*>(memory_.bytes());
  std::memset(attr, 0, sizeof *attr);
  attr->batch.map_fd = static_cast<std::uint32_t>(map.get());
  attr->batch.keys = user_ptr(keys.data());
  attr->batch.values = user_ptr(values.data());
  attr->batch.count = 4;
  ASSERT_EQ(mprotect(memory_.bytes(), page_, PROT_READ), 0);
  EXPECT_THAT(bpf(BPF_MAP_UPDATE_BATCH, attr, sizeof *attr), SyscallFailsWithErrno(EFAULT));
  EXPECT_TRUE(walk(map.get(), BPF_MAP_LOOKUP_BATCH, 8).empty()) << "refused before anything was done";
}

TEST_F(MapBatchTest, LargeBatches) {
  constexpr std::uint32_t N = 20000;
  const Fd map = make({.value_size = 8, .max_entries = N});
  fill(map.get(), N);
  EXPECT_EQ(walk(map.get(), BPF_MAP_LOOKUP_BATCH, N), expected(N));
  Keys keys = keys_from(0, N);
  BatchCall call{.map = map.get(), .keys = keys.data(), .count = N};
  ASSERT_THAT(call(BPF_MAP_DELETE_BATCH), SyscallSucceeds());
  EXPECT_EQ(call.count, N);
}

TEST_F(MapBatchTest, LargeValues) {
  constexpr std::uint32_t SIZE = 100'000;
  const Fd map = make({.value_size = SIZE, .max_entries = 12});
  Keys keys = keys_from(0, 12);
  std::vector<unsigned char> values(12 * SIZE), seen(12 * SIZE);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<unsigned char>(i / SIZE + i);
  BatchCall call{.map = map.get(), .keys = keys.data(), .values = values.data(), .count = 12};
  ASSERT_THAT(call(BPF_MAP_UPDATE_BATCH), SyscallSucceeds());
  std::uint32_t token = 0;
  BatchCall look{.map = map.get(), .out = &token, .keys = keys.data(), .values = seen.data(), .count = 12};
  EXPECT_THAT(look(BPF_MAP_LOOKUP_AND_DELETE_BATCH), SyscallFailsWithErrno(ENOENT));
  ASSERT_EQ(look.count, 12u);
  for (std::uint32_t i = 0; i < 12; ++i)
    EXPECT_EQ(std::memcmp(seen.data() + std::size_t{i} * SIZE, values.data() + std::size_t{keys[i]} * SIZE, SIZE), 0) << i;
}

class MapOfMapsBatchTest : public MapBatchTest {
 protected:
  static Fd make_outer(std::uint32_t type, int inner) {
    union bpf_attr attr = map_attr({.type = type, .value_size = 4, .max_entries = 4});
    attr.inner_map_fd = static_cast<std::uint32_t>(inner);
    return Fd(bpf(BPF_MAP_CREATE, attr));
  }
};

TEST_F(MapOfMapsBatchTest, FdsGoInAndIdsComeOut) {
  for (const std::uint32_t type : {BPF_MAP_TYPE_ARRAY_OF_MAPS, BPF_MAP_TYPE_HASH_OF_MAPS}) {
    const Fd a = make({}), b = make({}), outer = make_outer(type, a.get());
    ASSERT_THAT(outer.get(), SyscallSucceeds());
    Keys keys = {0, 1, 2};
    std::vector<std::int32_t> fds = {a.get(), b.get(), 0};
    BatchCall call{.map = outer.get(), .keys = keys.data(), .values = fds.data(), .count = 3};
    EXPECT_THAT(call(BPF_MAP_UPDATE_BATCH), SyscallFailsWithErrno(EINVAL)) << "0 is no map";
    EXPECT_EQ(call.count, 2u);
    std::map<std::uint32_t, std::uint32_t> seen;
    Keys got(4), ids(4);
    std::uint32_t token = 0;
    BatchCall look{.map = outer.get(), .out = &token, .keys = got.data(), .values = ids.data(), .count = 4};
    EXPECT_THAT(look(BPF_MAP_LOOKUP_BATCH), SyscallFailsWithErrno(ENOENT));
    for (std::uint32_t i = 0; i < look.count; ++i) seen[got[i]] = ids[i];
    EXPECT_EQ(seen, (std::map<std::uint32_t, std::uint32_t>{{0, map_id(a.get())}, {1, map_id(b.get())}})) << type;
    if (type == BPF_MAP_TYPE_ARRAY_OF_MAPS) continue;
    look = BatchCall{.map = outer.get(), .out = &token, .keys = got.data(), .values = ids.data(), .count = 4};
    EXPECT_THAT(look(BPF_MAP_LOOKUP_AND_DELETE_BATCH), SyscallFailsWithErrno(ENOENT));
    EXPECT_EQ(look.count, 2u);
    std::uint32_t id;
    EXPECT_THAT(map_lookup(outer.get(), &keys[0], &id), SyscallFailsWithErrno(ENOENT));
  }
}

}  // namespace
}  // namespace skep::test
