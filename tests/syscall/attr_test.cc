// The rules every command shares: the size of attr, its unknown tail, and the bytes behind a command's last field.
// Linux: kernel/bpf/syscall.c:__sys_bpf(), bpf_check_uarg_tail_zero(), CHECK_ATTR.
#include <unistd.h>

#include <algorithm>

#include "bpf_calls.h"

namespace skep::test {
namespace {

/// An attr of any size, zero but for a MAP_CREATE of a small hash in front.
class BigAttr {
 public:
  explicit BigAttr(std::size_t size) : bytes_(size, 0) {
    const union bpf_attr attr = map_attr({});
    std::memcpy(bytes_.data(), &attr, std::min(size, sizeof attr));
  }
  unsigned char& operator[](std::size_t at) { return bytes_[at]; }
  long create_map() const { return bpf(BPF_MAP_CREATE, bytes_.data(), static_cast<unsigned>(bytes_.size())); }

 private:
  std::vector<unsigned char> bytes_;
};

class AttrTest : public BpfTest {};

TEST_F(AttrTest, UnknownCommandIsInvalid) {
  const union bpf_attr attr = zero_attr();
  EXPECT_THAT(bpf(1000, &attr, sizeof attr), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(bpf(-1, &attr, sizeof attr), SyscallFailsWithErrno(EINVAL));
}

TEST_F(AttrTest, MissingFieldsReadAsZero) {
  // Sixteen bytes reach to max_entries, which is all an old loader knew of MAP_CREATE.
  const Fd map(BigAttr(16).create_map());
  EXPECT_THAT(map.get(), SyscallSucceeds());
}

TEST_F(AttrTest, EmptyAttrIsAllZero) {
  const union bpf_attr attr = map_attr({});
  EXPECT_THAT(bpf(BPF_MAP_CREATE, &attr, 0), SyscallFailsWithErrno(EINVAL));   // type 0
  EXPECT_THAT(bpf(BPF_MAP_CREATE, &attr, 12), SyscallFailsWithErrno(EINVAL));  // max_entries 0
}

TEST_F(AttrTest, LongerAttrWithZeroTailIsAccepted) {
  const Fd map(BigAttr(1024).create_map());
  EXPECT_THAT(map.get(), SyscallSucceeds());
}

TEST_F(AttrTest, APageIsTheLongestAttr) {
  const auto page = static_cast<std::size_t>(getpagesize());
  const Fd map(BigAttr(page).create_map());
  EXPECT_THAT(map.get(), SyscallSucceeds());
  EXPECT_THAT(BigAttr(page + 1).create_map(), SyscallFailsWithErrno(E2BIG));
  const union bpf_attr attr = zero_attr();
  EXPECT_THAT(bpf(BPF_MAP_CREATE, &attr, 0xffffffff), SyscallFailsWithErrno(E2BIG));
}

TEST_F(AttrTest, NonZeroTailIsTooBig) {
  for (const std::size_t at : {std::size_t{512}, std::size_t{1023}}) {
    BigAttr attr(1024);
    attr[at] = 1;
    EXPECT_THAT(attr.create_map(), SyscallFailsWithErrno(E2BIG)) << "byte " << at;
  }
}

TEST_F(AttrTest, TailBeginsWhereTheKnownAttrEnds) {
  // 6.12 knows 152 bytes. drift: 6.18 knows more and finds the byte behind MAP_CREATE's last field.
  BigAttr attr(160);
  attr[152] = 1;
  EXPECT_THAT(attr.create_map(), SyscallFailsWithErrnoOrDrift(E2BIG, EINVAL));
  BigAttr inside(160);
  inside[151] = 1;
  EXPECT_THAT(inside.create_map(), SyscallFailsWithErrno(EINVAL));
}

TEST_F(AttrTest, TailIsCheckedBeforeTheCommand) {
  std::vector<unsigned char> attr(1024, 0);
  attr[1000] = 1;
  EXPECT_THAT(bpf(1000, attr.data(), 1024), SyscallFailsWithErrno(E2BIG));
}

TEST_F(AttrTest, UnreadableAttrFaults) {
  EXPECT_THAT(bpf(BPF_MAP_CREATE, bad_pointer(), sizeof(union bpf_attr)), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(bpf(BPF_MAP_CREATE, nullptr, 32), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(bpf(BPF_MAP_CREATE, bad_pointer(), 1024), SyscallFailsWithErrno(EFAULT));  // already its tail
}

TEST_F(AttrTest, AttrMayEndAtTheEndOfMemory) {
  const auto page = static_cast<std::size_t>(getpagesize());
  const Mapping two(-1, 0, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
  ASSERT_THAT(two.result(), SyscallSucceeds());
  ASSERT_EQ(mprotect(two.bytes() + page, page, PROT_NONE), 0);
  const union bpf_attr attr = map_attr({});
  unsigned char* at = two.bytes() + page - 20;
  std::memcpy(at, &attr, 20);
  const Fd map(bpf(BPF_MAP_CREATE, at, 20));
  EXPECT_THAT(map.get(), SyscallSucceeds());
  EXPECT_THAT(bpf(BPF_MAP_CREATE, at, 24), SyscallFailsWithErrno(EFAULT));
}

/// A command and the first byte behind its last field in 6.12.
struct LastField {
  const char* name;
  int cmd;
  std::size_t end;
};
void PrintTo(const LastField& field, std::ostream* os) { *os << field.name; }

class LastFieldTest : public BpfTest, public testing::WithParamInterface<LastField> {};

TEST_P(LastFieldTest, BytesBehindItMustBeZero) {
  // Behind what newer kernels added too: the last bytes of the attr that 6.12 knows.
  for (std::size_t at : {std::size_t{148}, std::size_t{151}}) {
    if (GetParam().end > at) continue;
    unsigned char attr[152] = {};
    attr[at] = 1;
    EXPECT_THAT(bpf(GetParam().cmd, attr, sizeof attr), SyscallFailsWithErrno(EINVAL)) << "byte " << at;
  }
}

TEST_P(LastFieldTest, ItEndsWhereItShould) {
  unsigned char attr[152] = {};
  attr[GetParam().end] = 1;
  EXPECT_THAT(bpf(GetParam().cmd, attr, sizeof attr), SyscallFailsWithErrno(EINVAL));
}

INSTANTIATE_TEST_SUITE_P(
    Commands, LastFieldTest,
    testing::Values(LastField{"MAP_LOOKUP_ELEM", BPF_MAP_LOOKUP_ELEM, 32}, LastField{"MAP_UPDATE_ELEM", BPF_MAP_UPDATE_ELEM, 32},
                    LastField{"MAP_DELETE_ELEM", BPF_MAP_DELETE_ELEM, 16},
                    LastField{"MAP_LOOKUP_AND_DELETE_ELEM", BPF_MAP_LOOKUP_AND_DELETE_ELEM, 32},
                    LastField{"MAP_GET_NEXT_KEY", BPF_MAP_GET_NEXT_KEY, 24}, LastField{"MAP_FREEZE", BPF_MAP_FREEZE, 4},
                    LastField{"OBJ_PIN", BPF_OBJ_PIN, 20}, LastField{"OBJ_GET", BPF_OBJ_GET, 20},
                    LastField{"PROG_GET_NEXT_ID", BPF_PROG_GET_NEXT_ID, 8}, LastField{"MAP_GET_NEXT_ID", BPF_MAP_GET_NEXT_ID, 8},
                    LastField{"BTF_GET_NEXT_ID", BPF_BTF_GET_NEXT_ID, 8}, LastField{"LINK_GET_NEXT_ID", BPF_LINK_GET_NEXT_ID, 8},
                    LastField{"PROG_GET_FD_BY_ID", BPF_PROG_GET_FD_BY_ID, 4},
                    LastField{"MAP_GET_FD_BY_ID", BPF_MAP_GET_FD_BY_ID, 12},
                    LastField{"LINK_GET_FD_BY_ID", BPF_LINK_GET_FD_BY_ID, 4},
                    LastField{"OBJ_GET_INFO_BY_FD", BPF_OBJ_GET_INFO_BY_FD, 16}, LastField{"TASK_FD_QUERY", BPF_TASK_FD_QUERY, 48},
                    LastField{"LINK_DETACH", BPF_LINK_DETACH, 4}, LastField{"PROG_BIND_MAP", BPF_PROG_BIND_MAP, 12}),
    [](const testing::TestParamInfo<LastField>& param) { return std::string(param.param.name); });

}  // namespace
}  // namespace skep::test
