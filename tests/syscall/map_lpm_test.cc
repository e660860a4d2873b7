// Elements of BPF_MAP_TYPE_LPM_TRIE through the syscall. Linux: kernel/bpf/lpm_trie.c.
#include <array>
#include <tuple>

#include "bpf_calls.h"
#include "program_text.h"

namespace skep::test {
namespace {

struct Key {
  std::uint32_t len;
  std::array<unsigned char, 4> data;
  bool operator==(const Key&) const = default;
};
void PrintTo(const Key& k, std::ostream* os) {
  *os << int{k.data[0]} << '.' << int{k.data[1]} << '.' << int{k.data[2]} << '.' << int{k.data[3]} << '/' << k.len;
}

class MapLpmTest : public BpfTest {
 protected:
  void SetUp() override {
    BpfTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    map_ = Fd(map_create({.type = BPF_MAP_TYPE_LPM_TRIE, .key_size = 8, .value_size = 8, .max_entries = kEntries, .flags = BPF_F_NO_PREALLOC}));
    ASSERT_THAT(map_.get(), SyscallSucceeds());
  }
  long update(const Key& key, std::uint64_t value, std::uint64_t flags = BPF_ANY) { return map_update(map_.get(), &key, &value, flags); }
  long remove(const Key& key) { return map_delete(map_.get(), &key); }
  long lookup(const Key& key) {
    GuardedBuffer out(8);
    const long result = map_lookup(map_.get(), &key, out.data());
    const int error = errno;
    if (result == 0)
      value_ = out.read<std::uint64_t>();
    else
      EXPECT_TRUE(out.untouched());
    errno = error;
    return result;
  }
  std::vector<Key> walk() {
    std::vector<Key> keys;
    Key key{}, next{};
    const void* from = nullptr;
    while (keys.size() < 20 && map_get_next_key(map_.get(), from, &next) == 0) {
      keys.push_back(key = next);
      from = &key;
    }
    EXPECT_EQ(errno, ENOENT);
    return keys;
  }
  static constexpr std::uint32_t kEntries = 5;
  Fd map_;
  std::uint64_t value_ = 0;
};

TEST_F(MapLpmTest, TheLongestPrefixWins) {
  EXPECT_THAT(lookup({32, {10, 1, 2, 3}}), SyscallFailsWithErrno(ENOENT));
  ASSERT_THAT(update({8, {10, 0, 0, 0}}, 8), SyscallSucceeds());
  ASSERT_THAT(update({24, {10, 1, 2, 0}}, 24), SyscallSucceeds());
  ASSERT_THAT(update({16, {10, 1, 0, 0}}, 16), SyscallSucceeds());
  const std::tuple<Key, std::uint64_t> expected[] = {{{32, {10, 1, 2, 3}}, 24}, {{32, {10, 1, 3, 3}}, 16}, {{32, {10, 2, 2, 3}}, 8},
                                                     {{20, {10, 1, 2, 0}}, 16}, {{8, {10, 9, 9, 9}}, 8}};
  for (const auto& [key, value] : expected) {
    ASSERT_THAT(lookup(key), SyscallSucceeds());
    EXPECT_EQ(value_, value);
  }
  EXPECT_THAT(lookup({32, {11, 1, 2, 3}}), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(lookup({7, {10, 1, 2, 3}}), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(lookup({33, {10, 1, 2, 3}}), SyscallFailsWithErrno(ENOENT)) << "no such length";
  ASSERT_THAT(update({0, {99, 0, 0, 0}}, 100), SyscallSucceeds());
  ASSERT_THAT(lookup({32, {11, 1, 2, 3}}), SyscallSucceeds());
  EXPECT_EQ(value_, 100u);
}

TEST_F(MapLpmTest, FlagsAndErrors) {
  EXPECT_THAT(update({16, {10, 1, 0, 0}}, 1, BPF_EXIST), SyscallFailsWithErrno(ENOENT));
  ASSERT_THAT(update({16, {10, 1, 0, 0}}, 1, BPF_NOEXIST), SyscallSucceeds());
  EXPECT_THAT(update({16, {10, 1, 7, 7}}, 2, BPF_NOEXIST), SyscallFailsWithErrno(EEXIST)) << "the same prefix";
  ASSERT_THAT(update({16, {10, 1, 7, 7}}, 3, BPF_EXIST), SyscallSucceeds());
  EXPECT_THAT(update({16, {10, 1, 0, 0}}, 4, 3), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(update({16, {10, 1, 0, 0}}, 4, BPF_F_LOCK), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(update({33, {10, 1, 0, 0}}, 4), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(remove({33, {10, 1, 0, 0}}), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(remove({15, {10, 1, 0, 0}}), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(remove({17, {10, 1, 0, 0}}), SyscallFailsWithErrno(ENOENT));
  const Key key{16, {10, 1, 0, 0}};
  std::uint64_t out = 0;
  EXPECT_THAT(map_lookup_and_delete(map_.get(), &key, &out), SyscallFailsWithErrno(kENOTSUPP));
  EXPECT_THAT(map_update(map_.get(), &key, bad_pointer()), SyscallFailsWithErrno(EFAULT));
  ASSERT_THAT(remove(key), SyscallSucceeds());
  EXPECT_THAT(remove(key), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(lookup(key), SyscallFailsWithErrno(ENOENT));
}

TEST_F(MapLpmTest, FullIsNoSpace) {
  for (unsigned char i = 0; i < kEntries; ++i) ASSERT_THAT(update({32, {i, 3, 2, 1}}, i), SyscallSucceeds());
  EXPECT_THAT(update({32, {9, 3, 2, 1}}, 1), SyscallFailsWithErrno(ENOSPC));
  EXPECT_THAT(update({32, {9, 3, 2, 1}}, 1, BPF_EXIST), SyscallFailsWithErrno(ENOENT)) << "before the room";
  EXPECT_THAT(update({0, {}}, 1), SyscallFailsWithErrno(ENOSPC));
  ASSERT_THAT(remove({32, {0, 3, 2, 1}}), SyscallSucceeds());
  ASSERT_THAT(update({0, {}}, 1), SyscallSucceeds()) << "where paths part there are no prefixes that count";
}

TEST_F(MapLpmTest, KeysComeMostSpecificFirst) {
  EXPECT_TRUE(walk().empty());
  const std::vector<Key> order = {{24, {192, 168, 0, 0}}, {28, {192, 168, 1, 128}}, {24, {192, 168, 1, 0}}, {24, {192, 168, 128, 0}},
                                  {16, {192, 168, 0, 0}}};
  for (const std::size_t i : {4u, 3u, 0u, 2u, 1u}) ASSERT_THAT(update(order[i], i), SyscallSucceeds());
  EXPECT_EQ(walk(), order);
  // A key that is not there, or cannot be: the first.
  Key next{};
  for (const Key& absent : {Key{22, {192, 168, 1, 0}}, Key{32, {1, 2, 3, 4}}, Key{33, {192, 168, 0, 0}}}) {
    ASSERT_THAT(map_get_next_key(map_.get(), &absent, &next), SyscallSucceeds());
    EXPECT_EQ(next, order[0]);
  }
  EXPECT_THAT(map_get_next_key(map_.get(), &order[4], &next), SyscallFailsWithErrno(ENOENT));
}

TEST_F(MapLpmTest, KeysAreGivenBackAsTheyWerePut) {
  ASSERT_THAT(update({16, {10, 1, 55, 66}}, 1), SyscallSucceeds());
  EXPECT_EQ(walk(), (std::vector<Key>{{16, {10, 1, 55, 66}}}));
  ASSERT_THAT(update({16, {10, 1, 77, 88}}, 1), SyscallSucceeds());
  EXPECT_EQ(walk(), (std::vector<Key>{{16, {10, 1, 77, 88}}}));
}

TEST_F(MapLpmTest, DeletionsKeepTheRest) {
  const Key all[] = {{8, {10, 0, 0, 0}}, {16, {10, 1, 0, 0}}, {16, {10, 2, 0, 0}}, {24, {10, 1, 1, 0}}, {24, {10, 1, 2, 0}}};
  for (std::uint64_t i = 0; i < 5; ++i) ASSERT_THAT(update(all[i], i), SyscallSucceeds());
  ASSERT_THAT(remove(all[1]), SyscallSucceeds());  // two children: stays as a place where paths part
  ASSERT_THAT(lookup({32, {10, 1, 9, 9}}), SyscallSucceeds());
  EXPECT_EQ(value_, 0u);
  EXPECT_THAT(remove(all[1]), SyscallFailsWithErrno(ENOENT));
  ASSERT_THAT(remove(all[3]), SyscallSucceeds());
  ASSERT_THAT(lookup({32, {10, 1, 2, 9}}), SyscallSucceeds());
  EXPECT_EQ(value_, 4u);
  EXPECT_EQ(walk(), (std::vector<Key>{all[4], all[2], all[0]}));
}

TEST_F(MapLpmTest, ProgramsLookUpPutAndTakeOut) {
  ASSERT_THAT(update({8, {10, 0, 0, 0}}, 8), SyscallSucceeds());
  // update(10.1/16 = 16), lookup(10.1.2.3) -> its value, delete(10.1/16)
  const auto key_on_stack = [](ProgramText& text, std::uint32_t len) -> ProgramText& {
    return text.store(BPF_W, R10, -8, static_cast<std::int32_t>(len)).mov(R2, R10).alu(BPF_ADD, R2, -8).map_fd(R1, 0);
  };
  ProgramText text;
  text.store(BPF_W, R10, -4, 0x03020000 | 1 << 8 | 10).store(BPF_DW, R10, -16, 16);
  key_on_stack(text, 16);
  text.mov(R3, R10).alu(BPF_ADD, R3, -16).mov(R4, 0).call(BPF_FUNC_map_update_elem).mov(R6, R0);
  key_on_stack(text, 32);
  text.call(BPF_FUNC_map_lookup_elem).jump_if(BPF_JNE, R0, 0, "found").mov(R0, 1).exit().label("found").load(BPF_DW, R7, R0, 0);
  key_on_stack(text, 16);
  text.call(BPF_FUNC_map_delete_elem).raw(insn(BPF_ALU64 | BPF_OR | BPF_X, R6, R0, 0, 0)).mov(R0, R7);
  text.raw(insn(BPF_ALU64 | BPF_ADD | BPF_X, R0, R6, 0, 0)).exit();
  std::vector<struct bpf_insn> insns = text.build();
  for (struct bpf_insn& i : insns)
    if (i.code == (BPF_LD | BPF_DW | BPF_IMM) && i.src_reg == BPF_PSEUDO_MAP_FD) i.imm = map_.get();
  const Fd prog(prog_load({.type = BPF_PROG_TYPE_SOCKET_FILTER, .insns = insns}));
  ASSERT_THAT(prog.get(), SyscallSucceeds());
  unsigned char packet[64] = {};
  union bpf_attr attr = zero_attr();
  attr.test.prog_fd = static_cast<std::uint32_t>(prog.get());
  attr.test.data_in = user_ptr(packet);
  attr.test.data_size_in = sizeof packet;
  ASSERT_THAT(bpf(BPF_PROG_TEST_RUN, attr), SyscallSucceeds());
  EXPECT_EQ(attr.test.retval, 16u);
  EXPECT_EQ(walk(), (std::vector<Key>{{8, {10, 0, 0, 0}}}));
}

}  // namespace
}  // namespace skep::test
