// BPF_BTF_LOAD. Linux: kernel/bpf/btf.c:btf_new_fd(), btf_parse_hdr().
#include <fcntl.h>

#include "bpf_calls.h"

namespace skep::test {
namespace {

class BtfLoadTest : public BpfTest {
 protected:
  static long load(const std::vector<unsigned char>& data) {
    return btf_load(data.data(), static_cast<std::uint32_t>(data.size()));
  }
  static std::vector<unsigned char> with_byte(std::size_t at, unsigned char value) {
    std::vector<unsigned char> data = minimal_btf();
    data.at(at) = value;
    return data;
  }
};

TEST_F(BtfLoadTest, Minimal) {
  const Fd btf(load(minimal_btf()));
  ASSERT_THAT(btf.get(), SyscallSucceeds());
  EXPECT_EQ(fcntl(btf.get(), F_GETFD), FD_CLOEXEC);
  EXPECT_EQ(read_link("/proc/self/fd/" + std::to_string(btf.get())), "anon_inode:btf");
  EXPECT_EQ(fdinfo(btf.get(), "btf_id"), std::to_string(btf_id(btf.get())));
}

TEST_F(BtfLoadTest, TruncatedAnywhere) {
  const std::vector<unsigned char> data = minimal_btf();
  for (std::uint32_t size = 0; size < data.size(); ++size)
    EXPECT_THAT(btf_load(data.data(), size), SyscallFailsWithErrno(EINVAL)) << size;
}

TEST_F(BtfLoadTest, Headers) {
  EXPECT_THAT(load(with_byte(0, 0x9e)), SyscallFailsWithErrno(EINVAL)) << "magic";
  EXPECT_THAT(load(with_byte(2, 2)), SyscallFailsWithErrno(kENOTSUPP)) << "version";
  EXPECT_THAT(load(with_byte(3, 1)), SyscallFailsWithErrno(kENOTSUPP)) << "flags";
  EXPECT_THAT(load(with_byte(4, 4)), SyscallFailsWithErrno(EINVAL)) << "header too short";
  EXPECT_THAT(load(with_byte(8, 2)), SyscallFailsWithErrno(EINVAL)) << "types not aligned";
  EXPECT_THAT(load(with_byte(12, 12)), SyscallFailsWithErrno(EINVAL)) << "a hole behind the types";
  EXPECT_THAT(load(with_byte(12, 0)), SyscallFailsWithErrno(EINVAL)) << "no types";
  EXPECT_THAT(load(with_byte(16, 12)), SyscallFailsWithErrno(EINVAL)) << "strings overlap types";
}

TEST_F(BtfLoadTest, Strings) {
  EXPECT_THAT(load(with_byte(40, 'x')), SyscallFailsWithErrno(EINVAL)) << "the first is not empty";
  EXPECT_THAT(load(with_byte(44, 'x')), SyscallFailsWithErrno(EINVAL)) << "the last does not end";
}

TEST_F(BtfLoadTest, Types) {
  EXPECT_THAT(load(with_byte(24, 100)), SyscallFailsWithErrno(EINVAL)) << "name outside the strings";
  EXPECT_THAT(load(with_byte(31, 30)), SyscallFailsWithErrno(EINVAL)) << "unknown kind";
  EXPECT_THAT(load(with_byte(28, 1)), SyscallFailsWithErrno(EINVAL)) << "an int with members";
  EXPECT_THAT(load(with_byte(36, 200)), SyscallFailsWithErrno(EINVAL)) << "an int of 200 bits";
  EXPECT_THAT(load(with_byte(32, 2)), SyscallFailsWithErrno(EINVAL)) << "32 bits in two bytes";
}

TEST_F(BtfLoadTest, BadPointersAndSizes) {
  EXPECT_THAT(btf_load(bad_pointer(), 64), SyscallFailsWithErrno(EFAULT));
  EXPECT_THAT(btf_load(nullptr, 64), SyscallFailsWithErrno(EFAULT));
  const std::vector<unsigned char> data = minimal_btf();
  EXPECT_THAT(btf_load(data.data(), 17 << 20), SyscallFailsWithErrno(E2BIG)) << "above 16 MB";
}

TEST_F(BtfLoadTest, LogTellsWhatIsWrong) {
  const std::vector<unsigned char> data = with_byte(0, 0x9e);
  GuardedBuffer log(4096);
  union bpf_attr attr = zero_attr();
  attr.btf = user_ptr(data.data());
  attr.btf_size = static_cast<std::uint32_t>(data.size());
  attr.btf_log_buf = user_ptr(log.data());
  attr.btf_log_size = 4096;
  attr.btf_log_level = 1;
  ASSERT_THAT(bpf(BPF_BTF_LOAD, attr), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(reinterpret_cast<char*>(log.data()), testing::HasSubstr("magic"));
}

TEST_F(BtfLoadTest, DataComesBackAsItWent) {
  const std::vector<unsigned char> data = minimal_btf();
  const Fd btf(load(data));
  ASSERT_THAT(btf.get(), SyscallSucceeds());
  GuardedBuffer out(data.size());
  Guarded<struct bpf_btf_info> info;
  info->btf = user_ptr(out.data());
  info->btf_size = static_cast<std::uint32_t>(out.size());
  std::uint32_t len = sizeof *info;
  ASSERT_THAT(obj_get_info(btf.get(), info.get(), &len), SyscallSucceeds());
  EXPECT_EQ(info->btf_size, data.size());
  EXPECT_EQ(std::memcmp(out.data(), data.data(), data.size()), 0);
  EXPECT_EQ(info->kernel_btf, 0u);
}

}  // namespace
}  // namespace skep::test
