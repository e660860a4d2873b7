// BPF_OBJ_GET_INFO_BY_FD. Linux: kernel/bpf/syscall.c:bpf_obj_get_info_by_fd() and the four it calls.
#include <fcntl.h>
#include <unistd.h>

#include <set>

#include "bpf_calls.h"
#include "program_text.h"

namespace skep::test {
namespace {

class InfoTest : public BpfTest {};

TEST_F(InfoTest, Map) {
  const Fd map(map_create({.key_size = 4, .value_size = 13, .max_entries = 10240, .flags = BPF_F_NO_PREALLOC, .name = "config"}));
  ASSERT_THAT(map.get(), SyscallSucceeds());
  Guarded<struct bpf_map_info> info;
  std::uint32_t len = sizeof *info;
  ASSERT_THAT(obj_get_info(map.get(), info.get(), &len), SyscallSucceeds());
  EXPECT_EQ(len, sizeof *info);
  EXPECT_EQ(info->type, static_cast<std::uint32_t>(BPF_MAP_TYPE_HASH));
  EXPECT_GT(info->id, 0u);
  EXPECT_EQ(info->key_size, 4u);
  EXPECT_EQ(info->value_size, 13u);
  EXPECT_EQ(info->max_entries, 10240u);
  EXPECT_EQ(info->map_flags, static_cast<std::uint32_t>(BPF_F_NO_PREALLOC));
  EXPECT_STREQ(info->name, "config");
  EXPECT_EQ(info->ifindex, 0u);
  EXPECT_EQ(info->btf_id, 0u);
  EXPECT_EQ(info->map_extra, 0u);
}

TEST_F(InfoTest, MapWithTypes) {
  const std::vector<unsigned char> data = minimal_btf();
  const Fd btf(btf_load(data.data(), static_cast<std::uint32_t>(data.size())));
  ASSERT_THAT(btf.get(), SyscallSucceeds());
  union bpf_attr attr = map_attr({.type = BPF_MAP_TYPE_ARRAY, .value_size = 4});
  attr.btf_fd = static_cast<std::uint32_t>(btf.get());
  attr.btf_key_type_id = 1;
  attr.btf_value_type_id = 1;
  const Fd map(bpf(BPF_MAP_CREATE, attr));
  ASSERT_THAT(map.get(), SyscallSucceeds());
  Guarded<struct bpf_map_info> info;
  std::uint32_t len = sizeof *info;
  ASSERT_THAT(obj_get_info(map.get(), info.get(), &len), SyscallSucceeds());
  EXPECT_EQ(info->btf_id, btf_id(btf.get()));
  EXPECT_EQ(info->btf_key_type_id, 1u);
  EXPECT_EQ(info->btf_value_type_id, 1u);
}

TEST_F(InfoTest, Program) {
  const Fd one(map_create({}));
  const Fd two(map_create({.type = BPF_MAP_TYPE_ARRAY, .max_entries = 1}));
  const auto insns = ProgramText().map_fd(R1, one.get()).map_value(R2, two.get()).map_fd(R1, one.get()).mov(R0, 0).exit().build();
  const Fd prog(prog_load({.type = BPF_PROG_TYPE_KPROBE, .insns = insns, .name = "hello"}));
  ASSERT_THAT(prog.get(), SyscallSucceeds());

  Guarded<struct bpf_prog_info> info;
  std::uint32_t len = sizeof *info;
  ASSERT_THAT(obj_get_info(prog.get(), info.get(), &len), SyscallSucceeds());
  EXPECT_EQ(info->type, static_cast<std::uint32_t>(BPF_PROG_TYPE_KPROBE));
  EXPECT_GT(info->id, 0u);
  EXPECT_STREQ(info->name, "hello");
  EXPECT_EQ(info->created_by_uid, getuid());
  EXPECT_EQ(info->gpl_compatible, 1u);
  EXPECT_EQ(info->nr_map_ids, 2u) << "each map once";
  EXPECT_EQ(info->xlated_prog_len % 8, 0u);
  EXPECT_GE(info->xlated_prog_len, 2u * 8);
  EXPECT_GT(info->load_time, 0u);
  EXPECT_EQ(info->btf_id, 0u);
  EXPECT_EQ(info->run_cnt, 0u);
  EXPECT_GT(info->verified_insns, 0u);
}

TEST_F(InfoTest, ProgramMapIds) {
  const Fd one(map_create({}));
  const Fd two(map_create({.type = BPF_MAP_TYPE_ARRAY, .max_entries = 1}));
  const auto insns = ProgramText().map_fd(R1, one.get()).map_value(R2, two.get()).mov(R0, 0).exit().build();
  const Fd prog(prog_load({.insns = insns}));
  ASSERT_THAT(prog.get(), SyscallSucceeds());
  GuardedBuffer ids(2 * sizeof(std::uint32_t));
  Guarded<struct bpf_prog_info> info;
  info->map_ids = user_ptr(ids.data());
  info->nr_map_ids = 2;
  std::uint32_t len = sizeof *info;
  ASSERT_THAT(obj_get_info(prog.get(), info.get(), &len), SyscallSucceeds());
  EXPECT_EQ(info->nr_map_ids, 2u);
  const std::set<std::uint32_t> found = {ids.read<std::uint32_t>(0), ids.read<std::uint32_t>(4)};
  EXPECT_EQ(found, (std::set<std::uint32_t>{map_id(one.get()), map_id(two.get())}));

  GuardedBuffer first(sizeof(std::uint32_t));
  std::memset(info.get(), 0, sizeof *info);
  info->map_ids = user_ptr(first.data());
  info->nr_map_ids = 1;
  len = sizeof *info;
  ASSERT_THAT(obj_get_info(prog.get(), info.get(), &len), SyscallSucceeds());
  EXPECT_EQ(info->nr_map_ids, 2u) << "how many there are, not how many came";
  EXPECT_EQ(found.count(first.read<std::uint32_t>()), 1u);
}

TEST_F(InfoTest, ProgramInstructionsComeBack) {
  const Fd prog(prog_load({.insns = return_program(77)}));
  ASSERT_THAT(prog.get(), SyscallSucceeds());
  GuardedBuffer out(16);
  Guarded<struct bpf_prog_info> info;
  info->xlated_prog_insns = user_ptr(out.data());
  info->xlated_prog_len = 16;
  std::uint32_t len = sizeof *info;
  ASSERT_THAT(obj_get_info(prog.get(), info.get(), &len), SyscallSucceeds());
  EXPECT_EQ(info->xlated_prog_len, 16u);
  const auto first = out.read<struct bpf_insn>(0);
  EXPECT_EQ(first.code, BPF_ALU64 | BPF_MOV | BPF_K);
  EXPECT_EQ(first.imm, 77);
  EXPECT_EQ(out.read<struct bpf_insn>(8).code, BPF_JMP | BPF_EXIT);
}

TEST_F(InfoTest, MapsAreKnownByIdInTheInstructions) {
  // Linux: syscall.c:bpf_insn_prepare_dump() puts ids in place of addresses.
  const Fd map(map_create({}));
  const Fd prog(prog_load({.insns = ProgramText().map_fd(R1, map.get()).mov(R0, 0).exit().build()}));
  ASSERT_THAT(prog.get(), SyscallSucceeds());
  GuardedBuffer out(32);
  Guarded<struct bpf_prog_info> info;
  info->xlated_prog_insns = user_ptr(out.data());
  info->xlated_prog_len = 32;
  std::uint32_t len = sizeof *info;
  ASSERT_THAT(obj_get_info(prog.get(), info.get(), &len), SyscallSucceeds());
  EXPECT_EQ(info->xlated_prog_len, 32u);
  const auto load = out.read<struct bpf_insn>(0);
  EXPECT_EQ(load.code, BPF_LD | BPF_DW | BPF_IMM);
  EXPECT_EQ(load.src_reg, BPF_PSEUDO_MAP_FD);
  EXPECT_EQ(static_cast<std::uint32_t>(load.imm), map_id(map.get()));
}

TEST_F(InfoTest, TagIsOfTheInstructionsAlone) {
  const auto tag = [](const std::vector<struct bpf_insn>& insns, const char* name) {
    const Fd prog(prog_load({.insns = insns, .name = name}));
    EXPECT_THAT(prog.get(), SyscallSucceeds());
    Guarded<struct bpf_prog_info> info;
    std::uint32_t len = sizeof *info;
    EXPECT_THAT(obj_get_info(prog.get(), info.get(), &len), SyscallSucceeds());
    return std::string(reinterpret_cast<char*>(info->tag), sizeof info->tag);
  };
  EXPECT_EQ(tag(return_program(0), "a"), tag(return_program(0), "b"));
  EXPECT_NE(tag(return_program(0), "a"), tag(return_program(1), "a"));
  const Fd one(map_create({}));
  const Fd two(map_create({}));
  const auto of = [](const Fd& map) { return ProgramText().map_fd(R1, map.get()).mov(R0, 0).exit().build(); };
  EXPECT_EQ(tag(of(one), ""), tag(of(two), "")) << "map addresses are left out";
  // drift: since 6.18 a tag is of SHA-256, up to 6.17 of SHA-1.
  if (drifted()) return;
  const unsigned char of_sha1[] = {0xa0, 0x4f, 0x5e, 0xef, 0x06, 0xa7, 0xf5, 0x55};
  EXPECT_EQ(tag(return_program(0), ""), std::string(reinterpret_cast<const char*>(of_sha1), sizeof of_sha1));
}

TEST_F(InfoTest, ProgramFillsNoArrayWithoutAPointer) {
  const Fd prog(prog_load({.insns = return_program(0)}));
  ASSERT_THAT(prog.get(), SyscallSucceeds());
  Guarded<struct bpf_prog_info> info;
  info->xlated_prog_insns = user_ptr(bad_pointer());
  info->xlated_prog_len = 16;
  std::uint32_t len = sizeof *info;
  EXPECT_THAT(obj_get_info(prog.get(), info.get(), &len), SyscallFailsWithErrno(EFAULT));
}

TEST_F(InfoTest, Btf) {
  const std::vector<unsigned char> data = minimal_btf();
  const Fd btf(btf_load(data.data(), static_cast<std::uint32_t>(data.size())));
  ASSERT_THAT(btf.get(), SyscallSucceeds());
  Guarded<struct bpf_btf_info> info;
  std::uint32_t len = sizeof *info;
  ASSERT_THAT(obj_get_info(btf.get(), info.get(), &len), SyscallSucceeds());
  EXPECT_GT(info->id, 0u);
  EXPECT_EQ(info->btf_size, data.size());
  EXPECT_EQ(info->name_len, 0u);
  EXPECT_EQ(info->kernel_btf, 0u);
}

// ---- the rules of info_len, for each kind of object
// ---------------------------------------------------------------------------------

struct InfoKind {
  const char* name;
  std::size_t size_in_6_12;
  std::size_t id_at;
  Fd (*make)();
};
void PrintTo(const InfoKind& kind, std::ostream* os) { *os << kind.name; }

class InfoLenTest : public BpfTest, public testing::WithParamInterface<InfoKind> {
 protected:
  void SetUp() override {
    BpfTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    object_ = GetParam().make();
    ASSERT_THAT(object_.get(), SyscallSucceeds());
  }
  Fd object_;
};

TEST_P(InfoLenTest, ShorterIsFilledThatFar) {
  // Linux: bpf_btf_get_info_by_fd() alone reads and writes by the caller's length in the same way.
  const auto size = static_cast<std::uint32_t>(GetParam().id_at + 4);
  GuardedBuffer info(size);
  std::memset(info.data(), 0, size);
  std::uint32_t len = size;
  ASSERT_THAT(obj_get_info(object_.get(), info.data(), &len), SyscallSucceeds());
  EXPECT_EQ(len, size);
  EXPECT_GT(info.read<std::uint32_t>(GetParam().id_at), 0u);
}

TEST_P(InfoLenTest, NothingAskedNothingTold) {
  GuardedBuffer info(8);
  std::uint32_t len = 0;
  EXPECT_THAT(obj_get_info(object_.get(), info.data(), &len), SyscallSucceeds());
  EXPECT_EQ(len, 0u);
  EXPECT_TRUE(info.untouched());
}

TEST_P(InfoLenTest, LongerComesBackWithTheKnownLength) {
  GuardedBuffer info(1024);
  std::memset(info.data(), 0, 1024);
  std::uint32_t len = 1024;
  ASSERT_THAT(obj_get_info(object_.get(), info.data(), &len), SyscallSucceeds());
  // drift: newer kernels know more.
  if (drifted())
    EXPECT_GE(len, GetParam().size_in_6_12);
  else
    EXPECT_EQ(len, GetParam().size_in_6_12);
  for (std::size_t at = len; at < 1024; ++at) ASSERT_EQ(info.data()[at], 0) << at;
}

TEST_P(InfoLenTest, NonZeroTailIsTooBig) {
  GuardedBuffer info(1024);
  std::memset(info.data(), 0, 1024);
  info.data()[1000] = 1;
  std::uint32_t len = 1024;
  EXPECT_THAT(obj_get_info(object_.get(), info.data(), &len), SyscallFailsWithErrno(E2BIG));
}

TEST_P(InfoLenTest, MoreThanAPageIsTooBig) {
  std::vector<unsigned char> info(static_cast<std::size_t>(getpagesize()) + 1, 0);
  auto len = static_cast<std::uint32_t>(info.size());
  EXPECT_THAT(obj_get_info(object_.get(), info.data(), &len), SyscallFailsWithErrno(E2BIG));
}

TEST_P(InfoLenTest, BadPointerFaults) {
  std::uint32_t len = 40;
  EXPECT_THAT(obj_get_info(object_.get(), bad_pointer(), &len), SyscallFailsWithErrno(EFAULT));
}

Fd make_map() { return Fd(map_create({})); }
Fd make_prog() { return Fd(prog_load({.insns = return_program(0)})); }
Fd make_btf() {
  const std::vector<unsigned char> data = minimal_btf();
  return Fd(btf_load(data.data(), static_cast<std::uint32_t>(data.size())));
}

INSTANTIATE_TEST_SUITE_P(Kinds, InfoLenTest,
                         testing::Values(InfoKind{"Map", 88, 4, make_map}, InfoKind{"Prog", 232, 4, make_prog},
                                         InfoKind{"Btf", 32, 12, make_btf}),
                         [](const testing::TestParamInfo<InfoKind>& param) { return std::string(param.param.name); });

TEST_F(InfoTest, WrongFds) {
  unsigned char info[64] = {};
  std::uint32_t len = sizeof info;
  // EBADFD, not EBADF: this command alone.
  EXPECT_THAT(obj_get_info(-1, info, &len), SyscallFailsWithErrno(EBADFD));
  EXPECT_THAT(obj_get_info(9999, info, &len), SyscallFailsWithErrno(EBADFD));
  const Fd null(open("/dev/null", O_RDWR | O_CLOEXEC));
  EXPECT_THAT(obj_get_info(null.get(), info, &len), SyscallFailsWithErrno(EINVAL));
}

}  // namespace
}  // namespace skep::test
