// Who may do what to a map: BPF_F_RDONLY, BPF_F_WRONLY, BPF_MAP_FREEZE, and mmap of the map's fd.
// Linux: kernel/bpf/syscall.c:map_get_sys_perms(), map_freeze(), bpf_map_mmap(); arraymap.c:array_map_mmap().
#include <unistd.h>

#include "bpf_calls.h"
#include "program_text.h"

namespace skep::test {
namespace {

class MapAccessTest : public BpfTest {
 protected:
  static constexpr std::uint32_t kKey = 0;
  std::uint64_t value_ = 5;
};

TEST_F(MapAccessTest, ReadOnlyFd) {
  const Fd map(map_create({.flags = BPF_F_RDONLY}));
  ASSERT_THAT(map.get(), SyscallSucceeds());
  EXPECT_THAT(map_update(map.get(), &kKey, &value_), SyscallFailsWithErrno(EPERM));
  EXPECT_THAT(map_delete(map.get(), &kKey), SyscallFailsWithErrno(EPERM));
  EXPECT_THAT(map_lookup_and_delete(map.get(), &kKey, &value_), SyscallFailsWithErrno(EPERM));
  EXPECT_THAT(map_freeze(map.get()), SyscallFailsWithErrno(EPERM));
  EXPECT_THAT(map_lookup(map.get(), &kKey, &value_), SyscallFailsWithErrno(ENOENT));
  std::uint32_t next = 0;
  EXPECT_THAT(map_get_next_key(map.get(), nullptr, &next), SyscallFailsWithErrno(ENOENT));
}

TEST_F(MapAccessTest, WriteOnlyFd) {
  const Fd map(map_create({.flags = BPF_F_WRONLY}));
  ASSERT_THAT(map.get(), SyscallSucceeds());
  ASSERT_THAT(map_update(map.get(), &kKey, &value_), SyscallSucceeds());
  std::uint32_t next = 0;
  EXPECT_THAT(map_lookup(map.get(), &kKey, &value_), SyscallFailsWithErrno(EPERM));
  EXPECT_THAT(map_get_next_key(map.get(), nullptr, &next), SyscallFailsWithErrno(EPERM));
  EXPECT_THAT(map_lookup_and_delete(map.get(), &kKey, &value_), SyscallFailsWithErrno(EPERM));
  EXPECT_THAT(map_delete(map.get(), &kKey), SyscallSucceeds());
}

TEST_F(MapAccessTest, AccessBelongsToTheFdNotToTheMap) {
  const Fd map(map_create({.flags = BPF_F_RDONLY}));
  ASSERT_THAT(map.get(), SyscallSucceeds());
  const Fd writer(get_fd_by_id(BPF_MAP_GET_FD_BY_ID, map_id(map.get())));
  ASSERT_THAT(writer.get(), SyscallSucceeds());
  ASSERT_THAT(map_update(writer.get(), &kKey, &value_), SyscallSucceeds());
  std::uint64_t seen = 0;
  ASSERT_THAT(map_lookup(map.get(), &kKey, &seen), SyscallSucceeds());
  EXPECT_EQ(seen, value_);
}

TEST_F(MapAccessTest, FrozenMapRefusesTheSyscall) {
  for (const std::uint32_t type : {BPF_MAP_TYPE_HASH, BPF_MAP_TYPE_ARRAY}) {
    const Fd map(map_create({.type = type}));
    ASSERT_THAT(map.get(), SyscallSucceeds());
    ASSERT_THAT(map_update(map.get(), &kKey, &value_), SyscallSucceeds());
    ASSERT_THAT(map_freeze(map.get()), SyscallSucceeds());
    EXPECT_THAT(map_update(map.get(), &kKey, &value_), SyscallFailsWithErrno(EPERM));
    EXPECT_THAT(map_delete(map.get(), &kKey), SyscallFailsWithErrno(EPERM));
    EXPECT_THAT(map_lookup_and_delete(map.get(), &kKey, &value_), SyscallFailsWithErrno(EPERM));
    std::uint64_t seen = 0;
    ASSERT_THAT(map_lookup(map.get(), &kKey, &seen), SyscallSucceeds());
    EXPECT_EQ(seen, value_);
    EXPECT_EQ(fdinfo(map.get(), "frozen"), "1");
  }
}

TEST_F(MapAccessTest, FreezesOnce) {
  const Fd map(map_create({.type = BPF_MAP_TYPE_ARRAY}));
  ASSERT_THAT(map.get(), SyscallSucceeds());
  ASSERT_THAT(map_freeze(map.get()), SyscallSucceeds());
  // Linux: map_freeze() asks for write permission first, which a frozen map no longer gives.
  EXPECT_THAT(map_freeze(map.get()), SyscallFailsWithErrno(EPERM));
}

TEST_F(MapAccessTest, FrozenForEveryFdOfTheMap) {
  const Fd map(map_create({.type = BPF_MAP_TYPE_ARRAY}));
  ASSERT_THAT(map.get(), SyscallSucceeds());
  const Fd other(get_fd_by_id(BPF_MAP_GET_FD_BY_ID, map_id(map.get())));
  ASSERT_THAT(map_freeze(map.get()), SyscallSucceeds());
  EXPECT_THAT(map_update(other.get(), &kKey, &value_), SyscallFailsWithErrno(EPERM));
}

TEST_F(MapAccessTest, ProgramsMayNotWriteAReadOnlyMap) {
  const Fd map(map_create({.type = BPF_MAP_TYPE_ARRAY, .max_entries = 1, .flags = BPF_F_RDONLY_PROG}));
  ASSERT_THAT(map.get(), SyscallSucceeds());
  const auto writes = ProgramText().map_value(R1, map.get()).store(BPF_DW, R1, 0, 1).mov(R0, 0).exit().build();
  EXPECT_THAT(prog_load({.insns = writes}), SyscallFailsWithErrno(EACCES));
  const auto reads = ProgramText().map_value(R1, map.get()).load(BPF_DW, R0, R1, 0).mov(R0, 0).exit().build();
  const Fd prog(prog_load({.insns = reads}));
  EXPECT_THAT(prog.get(), SyscallSucceeds());
}

TEST_F(MapAccessTest, ProgramsMayNotReadAWriteOnlyMap) {
  const Fd map(map_create({.type = BPF_MAP_TYPE_ARRAY, .max_entries = 1, .flags = BPF_F_WRONLY_PROG}));
  ASSERT_THAT(map.get(), SyscallSucceeds());
  const auto reads = ProgramText().map_value(R1, map.get()).load(BPF_DW, R0, R1, 0).mov(R0, 0).exit().build();
  EXPECT_THAT(prog_load({.insns = reads}), SyscallFailsWithErrno(EACCES));
  const auto writes = ProgramText().map_value(R1, map.get()).store(BPF_DW, R1, 0, 1).mov(R0, 0).exit().build();
  const Fd prog(prog_load({.insns = writes}));
  EXPECT_THAT(prog.get(), SyscallSucceeds());
}

class MapMmapTest : public BpfTest {
 protected:
  void SetUp() override {
    BpfTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    map_ = Fd(map_create({.type = BPF_MAP_TYPE_ARRAY, .value_size = 8, .max_entries = 600, .flags = BPF_F_MMAPABLE}));
    ASSERT_THAT(map_.get(), SyscallSucceeds());
  }
  const std::size_t page_ = static_cast<std::size_t>(getpagesize());
  Fd map_;  // 4,800 bytes: two pages
};

TEST_F(MapMmapTest, ShowsTheElements) {
  const Mapping memory(map_.get(), 0, 2 * page_, PROT_READ | PROT_WRITE);
  ASSERT_THAT(memory.result(), SyscallSucceeds());
  auto* elements = reinterpret_cast<std::uint64_t*>(memory.bytes());
  const std::uint32_t key = 599;
  std::uint64_t value = 42;
  ASSERT_THAT(map_update(map_.get(), &key, &value), SyscallSucceeds());
  EXPECT_EQ(elements[599], 42u);
  elements[599] = 43;
  ASSERT_THAT(map_lookup(map_.get(), &key, &value), SyscallSucceeds());
  EXPECT_EQ(value, 43u);
}

TEST_F(MapMmapTest, TwoMappingsAreOneMemory) {
  const Mapping one(map_.get(), 0, 2 * page_, PROT_READ | PROT_WRITE);
  const Mapping two(map_.get(), page_, page_, PROT_READ);
  ASSERT_THAT(one.result(), SyscallSucceeds());
  ASSERT_THAT(two.result(), SyscallSucceeds());
  one.bytes()[page_ + 5] = 77;
  EXPECT_EQ(two.bytes()[5], 77);
}

TEST_F(MapMmapTest, Refusals) {
  EXPECT_THAT(Mapping(map_.get(), 0, 3 * page_, PROT_READ).result(), SyscallFailsWithErrno(EINVAL)) << "longer than the map";
  EXPECT_THAT(Mapping(map_.get(), 2 * page_, page_, PROT_READ).result(), SyscallFailsWithErrno(EINVAL)) << "behind the map";
  EXPECT_THAT(Mapping(map_.get(), 0, page_, PROT_READ, MAP_PRIVATE).result(), SyscallFailsWithErrno(EINVAL)) << "private";
  const Fd plain(map_create({.type = BPF_MAP_TYPE_ARRAY}));
  EXPECT_THAT(Mapping(plain.get(), 0, page_, PROT_READ).result(), SyscallFailsWithErrno(EINVAL)) << "no BPF_F_MMAPABLE";
  const Fd hash(map_create({.type = BPF_MAP_TYPE_HASH}));
  EXPECT_THAT(Mapping(hash.get(), 0, page_, PROT_READ).result(), SyscallFailsWithErrno(kENOTSUPP)) << "a hash";
}

TEST_F(MapMmapTest, MapFixedReplacesWhatWasThere) {
  // libbpf puts global data over an anonymous mapping it made before.
  const Mapping anonymous(-1, 0, page_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
  const Mapping memory(map_.get(), 0, page_, PROT_READ | PROT_WRITE);
  ASSERT_THAT(anonymous.result(), SyscallSucceeds());
  ASSERT_THAT(memory.result(), SyscallSucceeds());
  ASSERT_EQ(mmap(anonymous.bytes(), page_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, map_.get(), 0), anonymous.bytes());
  memory.bytes()[3] = 9;
  EXPECT_EQ(anonymous.bytes()[3], 9);
}

TEST_F(MapMmapTest, ARefusedMapFixedLeavesAHole) {
  const Fd hash(map_create({.type = BPF_MAP_TYPE_HASH}));
  const Mapping anonymous(-1, 0, page_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
  ASSERT_THAT(anonymous.result(), SyscallSucceeds());
  void* fixed = mmap(anonymous.bytes(), page_, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, hash.get(), 0);
  ASSERT_THAT(reinterpret_cast<long>(fixed), SyscallFailsWithErrno(kENOTSUPP));
  EXPECT_THAT(msync(anonymous.bytes(), page_, MS_ASYNC), SyscallFailsWithErrno(ENOMEM)) << "the old mapping is still there";
}

TEST_F(MapMmapTest, WritableMappingAndFreezeExcludeEachOther) {
  Mapping writable(map_.get(), 0, page_, PROT_READ | PROT_WRITE);
  ASSERT_THAT(writable.result(), SyscallSucceeds());
  EXPECT_THAT(map_freeze(map_.get()), SyscallFailsWithErrno(EBUSY));
  writable.reset();
  ASSERT_THAT(map_freeze(map_.get()), SyscallSucceeds());
  EXPECT_THAT(Mapping(map_.get(), 0, page_, PROT_READ | PROT_WRITE).result(), SyscallFailsWithErrno(EPERM));
  const Mapping readable(map_.get(), 0, page_, PROT_READ);
  ASSERT_THAT(readable.result(), SyscallSucceeds());
  EXPECT_THAT(mprotect(readable.bytes(), page_, PROT_READ | PROT_WRITE), SyscallFailsWithErrno(EACCES));
}

TEST_F(MapMmapTest, ReadOnlyProgramMapMapsForReadingAndWriting) {
  // libbpf fills .rodata through a writable mapping and freezes it afterwards.
  const Fd map(map_create({.type = BPF_MAP_TYPE_ARRAY, .max_entries = 1, .flags = BPF_F_MMAPABLE | BPF_F_RDONLY_PROG}));
  ASSERT_THAT(map.get(), SyscallSucceeds());
  EXPECT_THAT(Mapping(map.get(), 0, page_, PROT_READ).result(), SyscallSucceeds());
}

}  // namespace
}  // namespace skep::test
