// The kernel's own BTF: id 1, and a file. Linux: kernel/bpf/btf.c:btf_get_info_by_fd(), kernel/bpf/sysfs_btf.c.
#include <fcntl.h>
#include <unistd.h>

#include <cstring>

#include "bpf_calls.h"

namespace skep::test {
namespace {

constexpr std::uint32_t VMLINUX_ID = 1;

class VmlinuxBtfTest : public BpfTest {
 protected:
  void SetUp() override {
    BpfTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    SKEP_NEEDS(access("/sys/kernel/btf/vmlinux", R_OK) == 0 ? "" : "this kernel has no BTF");
    btf_ = Fd(get_fd_by_id(BPF_BTF_GET_FD_BY_ID, VMLINUX_ID));
    ASSERT_THAT(btf_.get(), SyscallSucceeds());
  }
  Fd btf_;
};

TEST_F(VmlinuxBtfTest, ComesFirst) {
  std::uint32_t id = 0;
  ASSERT_THAT(get_next_id(BPF_BTF_GET_NEXT_ID, 0, &id), SyscallSucceeds());
  EXPECT_EQ(id, VMLINUX_ID);
}

TEST_F(VmlinuxBtfTest, SaysWhatItIs) {
  Guarded<char[16]> name;
  Guarded<struct bpf_btf_info> info;
  info->name = user_ptr(name.get());
  info->name_len = sizeof *name;
  std::uint32_t len = sizeof *info;
  ASSERT_THAT(obj_get_info(btf_.get(), info.get(), &len), SyscallSucceeds());
  EXPECT_EQ(info->id, VMLINUX_ID);
  EXPECT_EQ(info->kernel_btf, 1u);
  EXPECT_EQ(info->name_len, std::strlen("vmlinux"));
  EXPECT_STREQ(*name, "vmlinux");
}

TEST_F(VmlinuxBtfTest, ShortNameIsCut) {
  Guarded<char[4]> name;
  Guarded<struct bpf_btf_info> info;
  info->name = user_ptr(name.get());
  info->name_len = sizeof *name;
  std::uint32_t len = sizeof *info;
  EXPECT_THAT(obj_get_info(btf_.get(), info.get(), &len), SyscallFailsWithErrno(ENOSPC));
  EXPECT_STREQ(*name, "vml");
  EXPECT_EQ(info->kernel_btf, 1u) << "the info is given all the same";
}

TEST_F(VmlinuxBtfTest, FileHasTheSameBytes) {
  const Fd file(open("/sys/kernel/btf/vmlinux", O_RDONLY | O_CLOEXEC));
  ASSERT_THAT(file.get(), SyscallSucceeds());
  std::vector<char> bytes(32u << 20);
  std::size_t size = 0;
  for (ssize_t n; (n = read(file.get(), bytes.data() + size, bytes.size() - size)) > 0;) size += static_cast<std::size_t>(n);
  std::vector<char> by_fd(size);
  struct bpf_btf_info info = {};
  info.btf = reinterpret_cast<std::uintptr_t>(by_fd.data());
  info.btf_size = static_cast<std::uint32_t>(size);
  std::uint32_t len = sizeof info;
  ASSERT_THAT(obj_get_info(btf_.get(), &info, &len), SyscallSucceeds());
  ASSERT_EQ(info.btf_size, size);
  EXPECT_EQ(std::memcmp(bytes.data(), by_fd.data(), size), 0);
}

}  // namespace
}  // namespace skep::test
