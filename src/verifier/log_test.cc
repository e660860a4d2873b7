// The log buffer against a model that keeps everything, and against the machine's kernel.
#include "verifier/log.h"

#include "isa/asm_test.h"
#include "isa/linux_bpf_test.h"

namespace skep::test {
namespace {

std::string text_of(const VerifierLog::Outcome& o) { return o.bytes.substr(0, o.bytes.find('\0')); }

TEST(VerifierLog, Attributes) {
  EXPECT_TRUE(VerifierLog::check_attr(0, false, 0).ok());
  EXPECT_TRUE(VerifierLog::check_attr(1, false, 0).ok());
  EXPECT_TRUE(VerifierLog::check_attr(15, true, 1).ok());
  EXPECT_FALSE(VerifierLog::check_attr(1, true, 0).ok());
  EXPECT_FALSE(VerifierLog::check_attr(1, false, 10).ok());
  EXPECT_FALSE(VerifierLog::check_attr(0, true, 10).ok());
  EXPECT_FALSE(VerifierLog::check_attr(16, true, 10).ok());
  EXPECT_TRUE(VerifierLog::check_attr(1, true, 0x3fffffff).ok());
  EXPECT_FALSE(VerifierLog::check_attr(1, true, 0x40000000).ok());
}

TEST(VerifierLog, FitsOrNot) {
  for (u32 level : {1u, 1u | BPF_LOG_FIXED})
    for (u32 size = 1; size < 30; ++size) {
      VerifierLog log(level, size);
      log.append("{}{}", "hello ", "world");
      log.append("\nline {}\n", 2);
      const std::string all = "hello world\nline 2\n";
      const auto o = std::move(log).finish();
      EXPECT_EQ(o.true_size, all.size() + 1);
      EXPECT_EQ(o.error, size < all.size() + 1 ? ENOSPC : 0);
      const u64 kept = std::min<u64>(all.size(), size - 1);
      EXPECT_EQ(text_of(o), level == 1 ? all.substr(all.size() - kept) : all.substr(0, kept)) << size;
      EXPECT_LE(o.bytes.size(), size);
    }
}

TEST(VerifierLog, SilentAndBufferless) {
  VerifierLog off(0, 0);
  off.append("text");
  EXPECT_EQ(std::move(off).finish().true_size, 0u);
  VerifierLog counting(1, 0);
  counting.append("text");
  const auto o = std::move(counting).finish();
  EXPECT_EQ(o.true_size, 5u);
  EXPECT_EQ(o.error, 0);
  EXPECT_TRUE(o.bytes.empty());
}

TEST(VerifierLog, MessagesAreCutAt1023Bytes) {
  VerifierLog log(1, 4096);
  log.append("{}", std::string(2000, 'a'));
  EXPECT_EQ(std::move(log).finish().true_size, 1024u);
}

TEST(VerifierLog, ResetTakesBackButTheTrueSizeRemembers) {
  VerifierLog log(1, 64);
  log.append("keep ");
  const u64 mark = log.position();
  log.append("something that goes");
  log.reset(mark);
  log.append("this");
  const auto o = std::move(log).finish();
  EXPECT_EQ(text_of(o), "keep this");
  EXPECT_EQ(o.true_size, 25u);
}

TEST(VerifierLog, ResetBehindTheWindowLeavesAnEmptyOne) {
  VerifierLog log(1, 8);
  log.append("0123456789abcdef");
  log.reset(2);
  log.append("xyz");
  const auto o = std::move(log).finish();
  EXPECT_EQ(text_of(o), "xyz");
  EXPECT_EQ(o.error, ENOSPC);
  EXPECT_EQ(o.true_size, 17u);
}

/// The same messages in any cut give the same bytes: against a model with all text in one string.
TEST(VerifierLog, RandomWritesMatchTheModel) {
  u32 seed = 1;
  const auto rnd = [&](u32 n) { return (seed = seed * 1664525 + 1013904223) / 65536 % n; };
  for (int round = 0; round < 2000; ++round) {
    const bool fixed = rnd(2) != 0;
    const u32 size = 1 + rnd(60);
    VerifierLog log(fixed ? 1 | BPF_LOG_FIXED : 1, size);
    std::string all;
    for (u32 i = 0, n = rnd(12); i <= n; ++i) {
      const std::string message(rnd(25), static_cast<char>('a' + i));
      log.append("{}", message);
      all += message;
    }
    const auto o = std::move(log).finish();
    const u64 kept = std::min<u64>(all.size(), size - 1);
    ASSERT_EQ(text_of(o), fixed ? all.substr(0, kept) : all.substr(all.size() - kept)) << size;
    ASSERT_EQ(o.true_size, all.size() + 1);
  }
}

/// Linux's own buffer: what it writes for a long log into buffers of many sizes is what we make of the full log.
TEST(VerifierLog, LinuxKeepsTheSameBytes) {
  SKIP_WITHOUT_LINUX_BPF();
  Prog p;
  for (s32 i = 0; i < 20; ++i) p.push_back(mov(0, i));
  p.push_back(exit_());
  const LinuxVerdict full = linux_prog_load(p, BPF_PROG_TYPE_SOCKET_FILTER, 2);
  ASSERT_EQ(full.err, 0);
  ASSERT_GT(full.log.size(), 500u);
  for (u32 fixed : {0u, BPF_LOG_FIXED})
    for (u32 size : {1u, 2u, 10u, 100u, static_cast<u32>(full.log.size()), static_cast<u32>(full.log.size()) + 1, 100000u}) {
      const LinuxVerdict v = linux_prog_load(p, BPF_PROG_TYPE_SOCKET_FILTER, 2 | fixed, "GPL", size);
      VerifierLog log(2 | fixed, size);
      for (std::size_t at = 0; at < full.log.size(); at += 100) log.append("{}", full.log.substr(at, 100));
      const auto o = std::move(log).finish();
      EXPECT_EQ(v.log, text_of(o)) << size << " fixed " << fixed;
      EXPECT_EQ(v.err, o.error) << size;
    }
}

}  // namespace
}  // namespace skep::test
