// bpf_probe_read_user() of every short size, up to and across the end of what is mapped. Linux: mm/maccess.c:copy_from_user_nofault(),
// kernel/trace/bpf_trace.c:bpf_probe_read_user_common()
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <vector>

#include "events.h"

namespace skep::test {
namespace {

constexpr std::uint32_t kRoom = 512;

class ProbeReadTest : public TracepointTest {
 protected:
  void SetUp() override {
    TracepointTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    bytes_ = Fd(map_create({.type = BPF_MAP_TYPE_ARRAY, .value_size = kRoom, .max_entries = 1}));
    ASSERT_THAT(bytes_.get(), SyscallSucceeds());
    // setpgid(address, size) never succeeds with such a process id; its arguments are what matters.
    const ProgramText text = ProgramText()
                                 .only_process(getpid())
                                 .load(BPF_DW, R3, R6, 16)
                                 .load(BPF_DW, R2, R6, 24)
                                 .alu(BPF_AND, R2, kRoom - 1)
                                 .map_value(R1, bytes_.get())
                                 .call(BPF_FUNC_probe_read_user)
                                 .mov(R7, R0)
                                 .save(results_.fd(), 0, R7)
                                 .out();
    attached_ = Attached(open_tracepoint("syscalls/sys_enter_setpgid"), load(BPF_PROG_TYPE_TRACEPOINT, text));
    char* pages = static_cast<char*>(mmap(nullptr, 3 * kPage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    ASSERT_NE(pages, MAP_FAILED);
    pages_ = pages;
    for (std::size_t i = 0; i < 2 * kPage; ++i) pages[i] = static_cast<char>(i * 7 + i / 256 + 1);
    ASSERT_EQ(mprotect(pages + 2 * kPage, kPage, PROT_NONE), 0);
    end_ = pages + 2 * kPage;
  }
  void TearDown() override {
    if (pages_ != nullptr) munmap(pages_, 3 * kPage);
  }
  /// Reads `size` bytes from `at` over a value full of 0xee: the helper's answer, and the value.
  std::int64_t read(const char* at, std::size_t size, std::vector<unsigned char>* value) const {
    const std::uint32_t key = 0;
    const std::vector<unsigned char> before(kRoom, 0xee);
    EXPECT_THAT(map_update(bytes_.get(), &key, before.data()), SyscallSucceeds());
    syscall(SYS_setpgid, at, size);
    value->assign(kRoom, 0);
    EXPECT_THAT(map_lookup(bytes_.get(), &key, value->data()), SyscallSucceeds());
    return static_cast<std::int64_t>(results_[0]);
  }
  std::vector<unsigned char> expected(const char* from, std::size_t size) const {
    std::vector<unsigned char> value(kRoom, 0xee);
    for (std::size_t i = 0; i < size; ++i) value[i] = from == nullptr ? 0 : static_cast<unsigned char>(from[i]);
    return value;
  }

  static constexpr std::size_t kPage = 4096;
  Fd bytes_;
  Attached attached_;
  char *pages_ = nullptr, *end_ = nullptr;
};

TEST_F(ProbeReadTest, EverySizeAtEveryOffset) {
  std::vector<unsigned char> got;
  for (std::size_t size = 0; size < 200; ++size) {
    const char* at = pages_ + kPage - 64 + size % 61;
    ASSERT_EQ(read(at, size, &got), 0) << size;
    ASSERT_EQ(got, expected(at, size)) << size;
  }
}

TEST_F(ProbeReadTest, UpToTheLastByteAndOnePastIt) {
  std::vector<unsigned char> got;
  for (const std::size_t size : {1u, 2u, 3u, 4u, 5u, 7u, 8u, 9u, 15u, 16u, 31u, 64u, 127u, 128u, 129u, 136u, 200u, 511u}) {
    ASSERT_EQ(read(end_ - size, size, &got), 0) << size;
    ASSERT_EQ(got, expected(end_ - size, size)) << size;
    for (const std::size_t past : {std::size_t{1}, size / 2 + 1, size}) {
      ASSERT_EQ(read(end_ - size + past, size, &got), -EFAULT) << size << " " << past;
      ASSERT_EQ(got, expected(nullptr, size)) << size << " " << past;
    }
  }
}

}  // namespace
}  // namespace skep::test
