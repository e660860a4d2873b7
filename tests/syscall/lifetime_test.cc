// How long an object lives: as long as anything holds it, and not longer. Holders here are fds in every way an fd can be held,
// programs and mappings; events, links and pins have their own files.
#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <memory>

#include "bpf_calls.h"
#include "program_text.h"

namespace skep::test {
namespace {

/// A forked child that does something, says so, and then waits until it is told to end.
class Child {
 public:
  explicit Child(const std::function<void()>& work) {
    int ready[2], go[2];
    EXPECT_EQ(pipe2(ready, O_CLOEXEC), 0);
    EXPECT_EQ(pipe2(go, O_CLOEXEC), 0);
    pid_ = fork();
    EXPECT_GE(pid_, 0);
    if (pid_ == 0) {
      close(ready[0]);
      close(go[1]);
      work();
      char byte = 'r';
      if (write(ready[1], &byte, 1) != 1) _exit(1);
      while (read(go[0], &byte, 1) > 0) continue;
      _exit(0);
    }
    close(ready[1]);
    close(go[0]);
    go_ = Fd(go[1]);
    char byte;
    EXPECT_EQ(read(ready[0], &byte, 1), 1);
    close(ready[0]);
  }
  ~Child() { finish(); }
  void finish() {
    go_.reset();
    reap();
  }
  void kill_now() {
    kill(pid_, SIGKILL);
    reap();
  }
  pid_t pid() const { return pid_; }

 private:
  void reap() {
    if (pid_ > 0) waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }
  pid_t pid_ = -1;
  Fd go_;
};

class LifetimeTest : public BpfTest {
 protected:
  void SetUp() override {
    BpfTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    map_ = Fd(map_create({}));
    ASSERT_THAT(map_.get(), SyscallSucceeds());
    id_ = map_id(map_.get());
  }
  bool alive() const { return id_exists(BPF_MAP_GET_FD_BY_ID, id_); }
  bool dies() const { return id_vanishes(BPF_MAP_GET_FD_BY_ID, id_); }
  Fd map_;
  std::uint32_t id_ = 0;
};

TEST_F(LifetimeTest, EveryKindOfDuplicateHolds) {
  const int free_fd = dup(map_.get());
  close(free_fd);
  const std::vector<std::pair<const char*, std::function<int()>>> ways = {
      {"dup", [&] { return dup(map_.get()); }},
      {"dup2", [&] { return dup2(map_.get(), free_fd + 20); }},
      {"dup3", [&] { return dup3(map_.get(), free_fd + 21, O_CLOEXEC); }},
      {"dup3 by syscall()", [&] { return static_cast<int>(syscall(SYS_dup3, map_.get(), free_fd + 22, O_CLOEXEC)); }},
      {"F_DUPFD", [&] { return fcntl(map_.get(), F_DUPFD, free_fd + 23); }},
      {"F_DUPFD_CLOEXEC", [&] { return fcntl(map_.get(), F_DUPFD_CLOEXEC, free_fd + 24); }},
  };
  const std::uint32_t key = 1;
  std::uint64_t value = 7;
  ASSERT_THAT(map_update(map_.get(), &key, &value), SyscallSucceeds());
  for (const auto& [name, way] : ways) {
    SCOPED_TRACE(name);
    Fd copy(way());
    ASSERT_THAT(copy.get(), SyscallSucceeds());
    map_.reset();
    EXPECT_TRUE(alive());
    value = 0;
    EXPECT_THAT(map_lookup(copy.get(), &key, &value), SyscallSucceeds());
    EXPECT_EQ(value, 7u);
    map_ = std::move(copy);
  }
  map_.reset();
  EXPECT_FALSE(alive());
}

TEST_F(LifetimeTest, DuplicateOverAnFdClosesWhatWasThere) {
  // libbpf 1.4 puts the real map over a placeholder in this way.
  Fd other(map_create({}));
  ASSERT_THAT(other.get(), SyscallSucceeds());
  const std::uint32_t other_id = map_id(other.get());
  const int at = map_.get();
  ASSERT_EQ(dup3(other.get(), at, O_CLOEXEC), at);
  EXPECT_FALSE(alive());
  EXPECT_EQ(map_id(at), other_id);
  other.reset();
  EXPECT_TRUE(id_exists(BPF_MAP_GET_FD_BY_ID, other_id));
  map_.reset();
  EXPECT_FALSE(id_exists(BPF_MAP_GET_FD_BY_ID, other_id));
}

TEST_F(LifetimeTest, AMapMayLandOnAnotherFilesFd) {
  const Fd null(open("/dev/null", O_RDWR | O_CLOEXEC));
  const int at = null.get();
  ASSERT_EQ(dup2(map_.get(), at), at);
  EXPECT_EQ(map_id(at), id_);
  const Fd plain(open("/dev/null", O_RDWR | O_CLOEXEC));
  ASSERT_EQ(dup2(plain.get(), at), at);
  const std::uint32_t key = 1;
  EXPECT_THAT(map_delete(at, &key), SyscallFailsWithErrno(EINVAL)) << "the fd is no map any more";
}

TEST_F(LifetimeTest, CloseRangeCloses) {
  const int at = dup2(map_.get(), 700);
  ASSERT_EQ(at, 700);
  map_.reset();
  EXPECT_TRUE(alive());
  ASSERT_EQ(syscall(SYS_close_range, 700, 710, 0), 0);
  EXPECT_FALSE(alive());
}

TEST_F(LifetimeTest, ClosedFdIsBad) {
  const int fd = map_.get();
  map_.reset();
  const std::uint32_t key = 1;
  EXPECT_THAT(map_delete(fd, &key), SyscallFailsWithErrno(EBADF));
}

TEST_F(LifetimeTest, ForkedChildHolds) {
  Child child([] {});
  map_.reset();
  EXPECT_TRUE(alive());
  child.finish();
  EXPECT_FALSE(alive()) << "gone when wait returns";
}

TEST_F(LifetimeTest, ForkedChildUsesIt) {
  const std::uint32_t key = 1;
  std::uint64_t value = 99;
  Child child([&] { map_update(map_.get(), &key, &value); });
  std::uint64_t seen = 0;
  ASSERT_THAT(map_lookup(map_.get(), &key, &seen), SyscallSucceeds());
  EXPECT_EQ(seen, 99u);
}

TEST_F(LifetimeTest, ChildThatClosesHoldsNoMore) {
  Child child([&] { map_.reset(); });
  EXPECT_TRUE(alive());
  map_.reset();
  EXPECT_FALSE(alive());
}

TEST_F(LifetimeTest, KilledHolderReleases) {
  Child child([] {});
  map_.reset();
  EXPECT_TRUE(alive());
  child.kill_now();
  EXPECT_FALSE(alive());
}

TEST_F(LifetimeTest, ManyKilledHolders) {
  std::vector<std::unique_ptr<Child>> children;
  for (int i = 0; i < 8; ++i) children.push_back(std::make_unique<Child>([] {}));
  map_.reset();
  while (!children.empty()) {
    EXPECT_TRUE(alive());
    children.back()->kill_now();
    children.pop_back();
  }
  EXPECT_FALSE(alive());
}

/// Starts /bin/cat reading from a pipe, with whatever fds are not close-on-exec; returns when the new image runs.
class Cat {
 public:
  Cat() {
    int in[2], out[2];
    EXPECT_EQ(pipe2(in, O_CLOEXEC), 0);
    EXPECT_EQ(pipe2(out, O_CLOEXEC), 0);
    pid_ = fork();
    if (pid_ == 0) {
      dup2(in[0], 0);
      dup2(out[1], 1);
      execl("/bin/cat", "cat", nullptr);
      _exit(127);
    }
    close(in[0]);
    close(out[1]);
    in_ = Fd(in[1]);
    char byte = 'x';
    EXPECT_EQ(write(in_.get(), &byte, 1), 1);
    EXPECT_EQ(read(out[0], &byte, 1), 1) << "cat did not start";
    close(out[0]);
  }
  ~Cat() { finish(); }
  void finish() {
    in_.reset();
    if (pid_ > 0) waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }

 private:
  pid_t pid_;
  Fd in_;
};

TEST_F(LifetimeTest, ExecWithoutCloseOnExecHolds) {
  Fd inherited(dup(map_.get()));
  Cat cat;
  map_.reset();
  inherited.reset();
  EXPECT_TRUE(alive());
  cat.finish();
  EXPECT_FALSE(alive());
}

TEST_F(LifetimeTest, ExecClosesCloseOnExec) {
  Cat cat;
  map_.reset();
  EXPECT_FALSE(alive());
}

TEST_F(LifetimeTest, InheritedFdIsKnownByItsLink) {
  Fd inherited(dup(map_.get()));
  const Child child([] {});
  EXPECT_EQ(read_link("/proc/" + std::to_string(child.pid()) + "/fd/" + std::to_string(inherited.get())), "anon_inode:bpf-map");
}

// ---- SCM_RIGHTS
// ---------------------------------------------------------------------------------------------------------------------

long send_fd(int socket, int fd) {
  char byte = 'f';
  iovec data = {&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof fd)] = {};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  cmsghdr* header = CMSG_FIRSTHDR(&message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof fd);
  std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
  return sendmsg(socket, &message, 0);
}

long receive_fd(int socket) {
  char byte;
  iovec data = {&byte, 1};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  if (recvmsg(socket, &message, MSG_CMSG_CLOEXEC) != 1) return -1;
  const cmsghdr* header = CMSG_FIRSTHDR(&message);
  if (header == nullptr || header->cmsg_type != SCM_RIGHTS) return -1;
  int fd;
  std::memcpy(&fd, CMSG_DATA(header), sizeof fd);
  return fd;
}

class InFlightTest : public LifetimeTest {
 protected:
  void SetUp() override {
    LifetimeTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    int ends[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    here_ = Fd(ends[0]);
    there_ = Fd(ends[1]);
  }
  Fd here_, there_;
};

TEST_F(InFlightTest, HoldsAndArrives) {
  const std::uint32_t key = 1;
  std::uint64_t value = 12;
  ASSERT_THAT(map_update(map_.get(), &key, &value), SyscallSucceeds());
  ASSERT_EQ(send_fd(here_.get(), map_.get()), 1);
  map_.reset();
  EXPECT_TRUE(alive());
  Fd arrived(receive_fd(there_.get()));
  ASSERT_THAT(arrived.get(), SyscallSucceeds());
  EXPECT_EQ(map_id(arrived.get()), id_);
  std::uint64_t seen = 0;
  ASSERT_THAT(map_lookup(arrived.get(), &key, &seen), SyscallSucceeds());
  EXPECT_EQ(seen, 12u);
  arrived.reset();
  EXPECT_FALSE(alive());
}

TEST_F(InFlightTest, DroppedMessageReleases) {
  ASSERT_EQ(send_fd(here_.get(), map_.get()), 1);
  map_.reset();
  EXPECT_TRUE(alive());
  here_.reset();
  there_.reset();
  EXPECT_TRUE(dies());
}

TEST_F(InFlightTest, ReachesAProcessThatNeverHadIt) {
  // The child is forked before the fd exists there; it learns of it through the socket only.
  map_.reset();
  Fd map;
  int answer[2];
  ASSERT_EQ(pipe2(answer, O_CLOEXEC), 0);
  const pid_t child = fork();
  if (child == 0) {
    const Fd arrived(receive_fd(there_.get()));
    const std::uint32_t key = 1;
    std::uint64_t value = 0;
    const bool good = arrived.get() >= 0 && map_lookup(arrived.get(), &key, &value) == 0 && value == 31;
    _exit(write(answer[1], good ? "y" : "n", 1) == 1 ? 0 : 1);
  }
  close(answer[1]);
  map = Fd(map_create({}));
  const std::uint32_t key = 1;
  const std::uint64_t value = 31;
  EXPECT_THAT(map_update(map.get(), &key, &value), SyscallSucceeds());
  EXPECT_EQ(send_fd(here_.get(), map.get()), 1);
  char said = '?';
  EXPECT_EQ(read(answer[0], &said, 1), 1);
  EXPECT_EQ(said, 'y');
  close(answer[0]);
  waitpid(child, nullptr, 0);
}

// ---- objects that hold objects
// ------------------------------------------------------------------------------------------------------

TEST_F(LifetimeTest, ProgramHoldsItsMaps) {
  Fd prog(prog_load({.insns = ProgramText().map_fd(R1, map_.get()).mov(R0, 0).exit().build()}));
  ASSERT_THAT(prog.get(), SyscallSucceeds());
  map_.reset();
  EXPECT_TRUE(alive());
  prog.reset();
  EXPECT_TRUE(dies());
}

TEST_F(LifetimeTest, RefusedProgramHoldsNothing) {
  EXPECT_THAT(prog_load({.insns = ProgramText().map_fd(R1, map_.get()).build()}), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(prog_load({.insns = ProgramText().map_fd(R1, map_.get()).exit().build()}), SyscallFailsWithErrno(EACCES));
  map_.reset();
  EXPECT_TRUE(dies());
}

TEST_F(LifetimeTest, MapHoldsItsBtf) {
  const std::vector<unsigned char> data = minimal_btf();
  Fd btf(btf_load(data.data(), static_cast<std::uint32_t>(data.size())));
  ASSERT_THAT(btf.get(), SyscallSucceeds());
  const std::uint32_t btf_number = btf_id(btf.get());
  union bpf_attr attr = map_attr({.type = BPF_MAP_TYPE_ARRAY, .value_size = 4});
  attr.btf_fd = static_cast<std::uint32_t>(btf.get());
  attr.btf_key_type_id = attr.btf_value_type_id = 1;
  Fd map(bpf(BPF_MAP_CREATE, attr));
  ASSERT_THAT(map.get(), SyscallSucceeds());
  btf.reset();
  EXPECT_TRUE(id_exists(BPF_BTF_GET_FD_BY_ID, btf_number));
  map.reset();
  EXPECT_TRUE(id_vanishes(BPF_BTF_GET_FD_BY_ID, btf_number));
}

// ---- mappings
// -----------------------------------------------------------------------------------------------------------------------

class MappedLifetimeTest : public BpfTest, public testing::WithParamInterface<std::uint32_t> {
 protected:
  void SetUp() override {
    BpfTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    const bool ring = GetParam() == BPF_MAP_TYPE_RINGBUF;
    map_ = Fd(map_create({.type = GetParam(),
                          .key_size = ring ? 0u : 4u,
                          .value_size = ring ? 0u : 8u,
                          .max_entries = page_,
                          .flags = ring ? 0u : static_cast<unsigned>(BPF_F_MMAPABLE)}));
    ASSERT_THAT(map_.get(), SyscallSucceeds());
    id_ = map_id(map_.get());
    mapping_ = Mapping(map_.get(), 0, page_, PROT_READ | PROT_WRITE);
    ASSERT_THAT(mapping_.result(), SyscallSucceeds());
  }
  bool alive() const { return id_exists(BPF_MAP_GET_FD_BY_ID, id_); }
  const std::uint32_t page_ = static_cast<std::uint32_t>(getpagesize());
  Fd map_;
  Mapping mapping_;
  std::uint32_t id_ = 0;
};

TEST_P(MappedLifetimeTest, LivesUntilMunmap) {
  map_.reset();
  EXPECT_TRUE(alive());
  mapping_.bytes()[0] = 0;
  mapping_.reset();
  EXPECT_FALSE(alive());
}

TEST_P(MappedLifetimeTest, FdByIdFindsTheMappedMap) {
  map_.reset();
  Fd again(get_fd_by_id(BPF_MAP_GET_FD_BY_ID, id_));
  ASSERT_THAT(again.get(), SyscallSucceeds());
  mapping_.reset();
  EXPECT_TRUE(alive());
  again.reset();
  EXPECT_FALSE(alive());
}

TEST_P(MappedLifetimeTest, MappingOverItEndsIt) {
  map_.reset();
  void* over = mmap(mapping_.bytes(), page_, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  ASSERT_EQ(over, mapping_.bytes());
  EXPECT_FALSE(alive());
}

TEST_P(MappedLifetimeTest, ForkedChildsMappingHolds) {
  Child child([] {});
  map_.reset();
  mapping_.reset();
  EXPECT_TRUE(alive());
  child.kill_now();
  EXPECT_FALSE(alive());
}

INSTANTIATE_TEST_SUITE_P(Types, MappedLifetimeTest, testing::Values(BPF_MAP_TYPE_RINGBUF, BPF_MAP_TYPE_ARRAY),
                         [](const testing::TestParamInfo<std::uint32_t>& param) {
                           return param.param == BPF_MAP_TYPE_RINGBUF ? "RingBuffer" : "Array";
                         });

}  // namespace
}  // namespace skep::test
