// The batch commands for a caller far away: his memory comes piece by piece, and a call that lacks some starts over.
#include <gtest/gtest.h>

#include <cstring>
#include <numeric>
#include <set>

#include "syscall/dispatch.h"

namespace skep {
namespace {

/// Each new piece that is asked for ends the call; from `fault_at` on there is nothing.
class FarMemory : public UserMemory {
 public:
  Status read(void* dst, u64 addr, u64 len) override {
    if (len == 0) return ok_status();
    if (asked.emplace(addr, len).second) return Errno(ERESTART_CALL);
    if (addr == 0 || addr + len > fault_at) return Errno(EFAULT);
    std::memcpy(dst, reinterpret_cast<const void*>(addr), len);
    return ok_status();
  }
  Result<std::string> read_string(u64, u64) override { return Errno(EFAULT); }
  Status write(u64 addr, const void* src, u64 len) override {
    ++writes;
    std::memcpy(reinterpret_cast<void*>(addr), src, len);
    return ok_status();
  }
  std::set<std::pair<u64, u64>> asked;
  u64 fault_at = ~0ULL;
  int writes = 0;
};

class BatchTest : public testing::Test, public FdTable {
 protected:
  BatchTest() : kernel_(std::move(WindowHost::create(2)).value()), pins_("") {}

  Result<FdIdentity> identify(s32 fd) override {
    if (far_fds_ && named_.insert(fd).second) return Errno(ERESTART_CALL);
    if (fd < 3 || static_cast<std::size_t>(fd) >= files_.size() + 3) return Errno(EBADF);
    return FdIdentity{0, files_[static_cast<std::size_t>(fd) - 3]->ino, 0};
  }
  /// Until it no longer asks for more. The attr itself is as far away as the rest.
  s64 bpf(u32 cmd, bpf_attr& attr, FarMemory& mem) {
    for (;;) {
      RunSlot* slot = slot_acquire_client(kernel_.window().view(), kernel_.host_owner(), 0);
      CallContext ctx{kernel_, Credentials{1, 0, 0}, mem, *this, pins_, OpCtx{kernel_.window().view(), slot, 0}, nullptr};
      const s64 rc = skep_bpf(ctx, cmd, reinterpret_cast<u64>(&attr), sizeof attr);
      slot_release(slot);
      if (rc == -ERESTART_CALL) {
        ++restarts_;
        continue;
      }
      if (rc < 0 || ctx.new_file == nullptr) return rc;
      ctx.new_file->ino = 100 + files_.size();
      kernel_.files[ctx.new_file->ino] = ctx.new_file;
      files_.push_back(ctx.new_file);
      return static_cast<s64>(files_.size()) + 2;
    }
  }
  s64 create(u32 type, u32 entries, s64 inner = 0) {
    bpf_attr a{};
    a.map_create.map_type = type;
    a.map_create.key_size = a.map_create.value_size = 4;
    a.map_create.max_entries = entries;
    a.map_create.inner_map_fd = static_cast<u32>(inner);
    FarMemory mem;
    return bpf(BPF_MAP_CREATE, a, mem);
  }
  s64 batch(u32 cmd, s64 map, const void* keys, const void* values, u32* count, FarMemory& mem) {
    bpf_attr a{};
    a.batch.map_fd = static_cast<u32>(map);
    a.batch.keys = reinterpret_cast<u64>(keys);
    a.batch.values = reinterpret_cast<u64>(values);
    a.batch.out_batch = reinterpret_cast<u64>(&token_);
    a.batch.count = *count;
    const s64 rc = bpf(cmd, a, mem);
    *count = a.batch.count;
    return rc;
  }
  static std::vector<u32> numbers(u32 n) {
    std::vector<u32> v(n);
    std::iota(v.begin(), v.end(), 0u);
    return v;
  }

  Kernel kernel_;
  PinStore pins_;
  std::vector<std::shared_ptr<File>> files_;
  std::set<s32> named_;
  bool far_fds_ = false;
  int restarts_ = 0;
  u32 token_ = 0;
};

TEST_F(BatchTest, NothingHappensBeforeAllIsThere) {
  const s64 map = create(BPF_MAP_TYPE_HASH, 8);
  const std::vector<u32> keys = numbers(8), values = numbers(8);
  FarMemory mem;
  u32 count = 8;
  restarts_ = 0;
  // Each key would be there already on a second start, had the first one put it in.
  EXPECT_EQ(batch(BPF_MAP_DELETE_BATCH, map, keys.data(), nullptr, &count, mem), -ENOENT);
  EXPECT_EQ(count, 0u);
  EXPECT_GT(restarts_, 1);
  count = 8;
  EXPECT_EQ(batch(BPF_MAP_UPDATE_BATCH, map, keys.data(), values.data(), &count, mem), 0);
  EXPECT_EQ(count, 8u);
  FarMemory again;
  EXPECT_EQ(batch(BPF_MAP_DELETE_BATCH, map, keys.data(), nullptr, &count, again), 0) << "deleted once, whatever was asked for on the way";
  EXPECT_EQ(count, 8u);
}

TEST_F(BatchTest, StopsWhereMemoryDoes) {
  const s64 map = create(BPF_MAP_TYPE_HASH, 4096);
  for (const u32 readable : {0u, 1u, 5u, 1023u, 1024u, 1025u, 3000u, 4095u, 4096u}) {
    std::vector<u32> raw(4096 + 2 * PAGE_SIZE / 4);
    u32* keys = reinterpret_cast<u32*>(round_up(reinterpret_cast<u64>(raw.data()), PAGE_SIZE));
    std::iota(keys, keys + 4096, 0u);
    // Memory ends at the end of a page: so that the last readable element is where one ends, they begin within a page.
    u32* first = keys + (1024 - readable % 1024) % 1024;
    std::iota(first, first + readable, 0u);
    FarMemory mem;
    mem.fault_at = reinterpret_cast<u64>(first + readable);
    bpf_attr a{};
    const std::vector<u32> values = numbers(4096);
    struct Both : FarMemory {
      FarMemory& keys;
      u64 from, to;
      Both(FarMemory& k, u64 f, u64 t) : keys(k), from(f), to(t) {}
      Status read(void* dst, u64 addr, u64 len) override {
        return addr >= from && addr < to ? keys.read(dst, addr, len) : FarMemory::read(dst, addr, len);
      }
    } both(mem, reinterpret_cast<u64>(first), reinterpret_cast<u64>(first) + 4096 * 4);
    a.batch.map_fd = static_cast<u32>(map);
    a.batch.keys = reinterpret_cast<u64>(first);
    a.batch.values = reinterpret_cast<u64>(values.data());
    a.batch.count = 4096;
    EXPECT_EQ(bpf(BPF_MAP_UPDATE_BATCH, a, both), readable == 4096 ? 0 : -EFAULT) << readable;
    EXPECT_EQ(a.batch.count, readable);
  }
}

TEST_F(BatchTest, ElementsNamedByFd) {
  const s64 inner = create(BPF_MAP_TYPE_ARRAY, 1), other = create(BPF_MAP_TYPE_ARRAY, 1), outer = create(BPF_MAP_TYPE_HASH_OF_MAPS, 4, inner);
  ASSERT_GT(outer, 0);
  const std::vector<u32> keys = numbers(3);
  const std::vector<s32> fds = {static_cast<s32>(inner), static_cast<s32>(other), 1000};
  far_fds_ = true;
  FarMemory mem;
  u32 count = 3;
  EXPECT_EQ(batch(BPF_MAP_UPDATE_BATCH, outer, keys.data(), fds.data(), &count, mem), -EBADF);
  EXPECT_EQ(count, 2u);
  std::vector<u32> seen(4), ids(4);
  count = 4;
  FarMemory look;
  EXPECT_EQ(batch(BPF_MAP_LOOKUP_AND_DELETE_BATCH, outer, seen.data(), ids.data(), &count, look), -ENOENT);
  EXPECT_EQ(count, 2u);
  EXPECT_EQ(ids[0] + ids[1], 1u + 2u);
  EXPECT_LE(look.writes, 6) << "elements go back in one piece";
}

TEST_F(BatchTest, TooManyNamedAtOnce) {
  const s64 inner = create(BPF_MAP_TYPE_ARRAY, 1), outer = create(BPF_MAP_TYPE_ARRAY_OF_MAPS, 100, inner);
  const std::vector<u32> keys = numbers(100);
  const std::vector<s32> fds(100, static_cast<s32>(inner));
  FarMemory mem;
  u32 count = 100;
  EXPECT_EQ(batch(BPF_MAP_UPDATE_BATCH, outer, keys.data(), fds.data(), &count, mem), -ENOMEM);
  EXPECT_EQ(kernel_.doctor.lines().size(), 1u);
}

}  // namespace
}  // namespace skep
