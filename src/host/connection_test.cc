#include "host/connection.h"

#include <gtest/gtest.h>
#include <sys/socket.h>

#include <cstring>
#include <random>

#include "wire/spin.h"

namespace skep {
namespace {

template <typename T>
void put(std::vector<u8>& to, const T& v) {
  const auto* p = reinterpret_cast<const u8*>(&v);
  to.insert(to.end(), p, p + sizeof v);
}

std::vector<u8> frame_with(const std::vector<std::pair<u64, std::string>>& memory, const std::vector<WireFd>& fds) {
  std::vector<u8> f;
  WireRequest r{};
  r.magic = WIRE_MAGIC;
  r.op = WireOp::Bpf;
  r.n_memory = static_cast<u16>(memory.size());
  r.n_fds = static_cast<u16>(fds.size());
  put(f, r);
  for (const auto& [addr, text] : memory) {
    put(f, WireMemory{addr, static_cast<u32>(text.size()), text.empty() ? 1u : 0u});
    f.insert(f.end(), text.begin(), text.end());
  }
  for (const WireFd& w : fds) put(f, w);
  r.length = static_cast<u32>(f.size());
  std::memcpy(f.data(), &r, sizeof r);
  return f;
}

TEST(RequestTest, WholeFramesOnly) {
  const std::vector<u8> f = frame_with({{0x1000, "key"}, {0x2000, ""}}, {WireFd{7, 0, 1, 2, 3, 0}});
  ASSERT_TRUE(parse_request(f));
  for (std::size_t n = 0; n < f.size(); ++n) EXPECT_FALSE(parse_request(std::span(f).first(n))) << n;
  std::vector<u8> longer = f;
  longer.push_back(0);
  EXPECT_FALSE(parse_request(longer));
}

TEST(RequestTest, RandomBytesNeverReadOutside) {
  std::mt19937 rng(1);
  const std::vector<u8> good = frame_with({{0x1000, "key"}, {0x2000, "value"}}, {WireFd{7, 0, 1, 2, 3, 0}});
  for (int i = 0; i < 20000; ++i) {
    std::vector<u8> f = good;
    for (int k = 0; k < 4; ++k) f[rng() % f.size()] = static_cast<u8>(rng());
    f.resize(rng() % (f.size() + 1));
    const auto r = parse_request(f);
    if (!r) continue;
    for (const auto& m : r->memory) EXPECT_LE(m.bytes.size(), f.size());
  }
}

TEST(RemoteCallerTest, AsksForWhatItLacks) {
  const std::vector<u8> f = frame_with({{0x1000, std::string("abcdefgh")}, {0x2000, ""}, {0x3000, std::string("name\0", 5)}},
                                       {WireFd{7, 0, 1, 42, 3, 0}, WireFd{8, -EBADF, 0, 0, 0, 0}});
  const auto r = parse_request(f);
  ASSERT_TRUE(r);
  RemoteCaller c(*r);
  char buf[8];
  ASSERT_TRUE(c.read(buf, 0x1002, 4).ok());
  EXPECT_EQ(std::string(buf, 4), "cdef");
  EXPECT_EQ(c.read(buf, 0x2000, 4).error(), Errno(EFAULT));
  EXPECT_EQ(c.read(buf, 0x1006, 4).error(), Errno(ERESTART_CALL)) << "runs past what came";
  EXPECT_EQ(c.need().kind, WireKind::NeedMemory);
  EXPECT_EQ(c.need().addr, 0x1006u);
  EXPECT_EQ(c.read(buf, 0, 4).error(), Errno(EFAULT)) << "never asked for";
  EXPECT_EQ(*c.read_string(0x3000, 16), "name");
  EXPECT_EQ(c.read_string(0x3000, 4).error(), Errno(E2BIG)) << "no NUL within four bytes";
  EXPECT_EQ(c.read_string(0x4000, 4).error(), Errno(ERESTART_CALL));
  EXPECT_EQ(c.identify(7)->ino, 42u);
  EXPECT_EQ(c.identify(8).error(), Errno(EBADF));
  EXPECT_EQ(c.identify(-1).error(), Errno(EBADF));
  EXPECT_EQ(c.identify(9).error(), Errno(ERESTART_CALL));
  EXPECT_EQ(c.need().fd, 9);
}

TEST(ConnectionTest, FramesInPiecesAndNonsense) {
  int sv[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sv), 0);
  Connection c{UniqueFd(sv[0])};
  const UniqueFd peer(sv[1]);
  const std::vector<u8> f = frame_with({{0x1000, "key"}}, {});
  for (const u8 b : f) {
    EXPECT_FALSE(c.next_frame());
    ASSERT_EQ(write(peer.get(), &b, 1), 1);
    ASSERT_TRUE(c.fill());
  }
  EXPECT_TRUE(c.next_frame());
  EXPECT_FALSE(c.next_frame());
  EXPECT_FALSE(c.broken());
  const u8 junk[64] = {1, 2, 3};
  ASSERT_EQ(write(peer.get(), junk, sizeof junk), static_cast<ssize_t>(sizeof junk));
  ASSERT_TRUE(c.fill());
  EXPECT_FALSE(c.next_frame());
  EXPECT_TRUE(c.broken());
}

TEST(SpinGuessTest, LooksWhereAnswersComeSoon) {
  SpinGuess g;
  EXPECT_FALSE(g.worthwhile()) << "nothing is known yet";
  g.waited(false, 2 * SpinGuess::SPIN);
  EXPECT_TRUE(g.worthwhile()) << "slept, and was woken soon";
  g.waited(true, 1000);
  EXPECT_TRUE(g.worthwhile());
  g.waited(true, 100 * SpinGuess::SPIN);
  EXPECT_FALSE(g.worthwhile());
}

TEST(SpinGuessTest, GivesUpWhereLookingDoesNotHelp) {
  // Both sides on one processor: nothing comes while one of them looks.
  SpinGuess g;
  u32 looked = 0;
  for (u32 i = 0; i < 10000; ++i) {
    const bool spin = g.worthwhile();
    looked += spin ? 1 : 0;
    g.waited(spin, 1000 + (spin ? SpinGuess::SPIN : 0));
  }
  EXPECT_LT(looked, 10000u / 50);
  EXPECT_GT(looked, 10000u / 200) << "and tries again";
}

}  // namespace
}  // namespace skep
