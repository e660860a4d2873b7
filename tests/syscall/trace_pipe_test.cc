// bpf_trace_printk() speaks through trace_pipe. Linux: kernel/trace/bpf_trace.c:bpf_trace_printk(), kernel/trace/trace.c.
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "events.h"

namespace skep::test {
namespace {

class TracePipeTest : public TracepointTest {
 protected:
  void SetUp() override {
    TracepointTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    std::string why;
    pipe_ = Fd(open((tracefs_dir(&why) + "/trace_pipe").c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
    ASSERT_THAT(pipe_.get(), SyscallSucceeds());
  }
  /// Reads until a line with `words` comes, at most ten seconds; other writers' lines are passed over.
  std::string line_with(const std::string& words) {
    std::string text, found;
    eventually([&] {
      pollfd wait = {pipe_.get(), POLLIN, 0};
      if (poll(&wait, 1, 100) < 1) return false;
      char part[4096];
      const ssize_t n = read(pipe_.get(), part, sizeof part);
      if (n > 0) text.append(part, static_cast<std::size_t>(n));
      const std::size_t at = text.find(words);
      const std::size_t end = at == std::string::npos ? at : text.find('\n', at);
      if (end == std::string::npos) return false;
      const std::size_t line = text.rfind('\n', at);
      found = text.substr(line == std::string::npos ? 0 : line + 1, end - (line == std::string::npos ? 0 : line + 1));
      return true;
    });
    return found;
  }
  /// trace_printk(format, r3, r4) on every getppid() of this process.
  ProgramText printer(const std::string& format, std::int32_t first, std::int32_t second) {
    std::string bytes = format;
    bytes.resize((format.size() + 8) / 8 * 8, '\0');
    ProgramText text;
    text.only_process(getpid());
    const int at = -static_cast<int>(bytes.size());
    for (std::size_t i = 0; i < bytes.size(); i += 8) {
      std::uint64_t word;
      std::memcpy(&word, bytes.data() + i, 8);
      text.imm64(R1, word).store(BPF_DW, R10, at + static_cast<int>(i), R1);
    }
    return text.mov(R1, R10)
        .alu(BPF_ADD, R1, at)
        .mov(R2, static_cast<std::int32_t>(format.size() + 1))
        .mov(R3, first)
        .mov(R4, second)
        .call(BPF_FUNC_trace_printk)
        .mov(R7, R0)
        .save(results_.fd(), 0, R7)
        .out();
  }
  Fd pipe_;
};

TEST_F(TracePipeTest, LineOfAProgram) {
  const std::string token = "skep" + std::to_string(getpid());
  const Attached attached(open_tracepoint(kEnterGetppid), load(BPF_PROG_TYPE_TRACEPOINT, printer(token + " %d 0x%x", -5, 255)));
  fire();
  const std::string said = token + " -5 0xff";
  const std::string line = line_with(said);
  EXPECT_THAT(line, testing::EndsWith("bpf_trace_printk: " + said));
  // The name before the number may be <...>: the kernel remembers comms only while some trace asks it to.
  EXPECT_THAT(line, testing::HasSubstr("-" + std::to_string(getpid()) + " ")) << "who";
  EXPECT_EQ(results_[0], said.size()) << "the number of bytes written";
}

TEST_F(TracePipeTest, NothingToReadIsEagain) {
  char part[64];
  // Other writers of this machine may have filled it: read what is there first.
  ssize_t n;
  while ((n = read(pipe_.get(), part, sizeof part)) > 0) continue;
  EXPECT_THAT(n, SyscallFailsWithErrno(EAGAIN));
}

TEST_F(TracePipeTest, UnknownFormatIsRefused) {
  const Attached attached(open_tracepoint(kEnterGetppid), load(BPF_PROG_TYPE_TRACEPOINT, printer("%z", 1, 2)));
  fire();
  EXPECT_EQ(static_cast<std::int64_t>(results_[0]), -EINVAL);
}

}  // namespace
}  // namespace skep::test
