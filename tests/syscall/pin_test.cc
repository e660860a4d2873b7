// BPF_OBJ_PIN, BPF_OBJ_GET and the bpffs they live on. Linux: kernel/bpf/inode.c:bpf_obj_do_pin(), bpf_obj_get_user().
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <set>

#include "events.h"

namespace skep::test {
namespace {

class PinTest : public BpfTest {
 protected:
  void SetUp() override {
    BpfTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    std::string why;
    dir_ = bpffs_dir(&why);
    SKEP_NEEDS(why);
    map_ = Fd(map_create({}));
    prog_ = Fd(prog_load({.insns = return_program(0)}));
    ASSERT_THAT(map_.get(), SyscallSucceeds());
    ASSERT_THAT(prog_.get(), SyscallSucceeds());
  }
  /// Everything below the test's directory goes; a test that fails leaves nothing to the next.
  void TearDown() override { empty(dir_); }
  static std::set<std::string> names(const std::string& dir) {
    std::set<std::string> found;
    DIR* open_dir = opendir(dir.c_str());
    if (open_dir == nullptr) return found;
    while (const dirent* entry = readdir(open_dir))
      if (std::string(entry->d_name) != "." && std::string(entry->d_name) != "..") found.insert(entry->d_name);
    closedir(open_dir);
    return found;
  }
  static void empty(const std::string& dir) {
    if (dir.empty()) return;
    for (const std::string& name : names(dir)) {
      const std::string at = dir + "/" + name;
      if (unlink(at.c_str()) == 0) continue;
      empty(at);
      rmdir(at.c_str());
    }
  }
  std::string path(const std::string& name) const { return dir_ + "/" + name; }
  std::string dir_;
  Fd map_, prog_;
};

TEST_F(PinTest, GetFindsWhatWasPinned) {
  const std::uint32_t id = map_id(map_.get());
  ASSERT_THAT(obj_pin(map_.get(), path("map")), SyscallSucceeds());
  ASSERT_THAT(obj_pin(prog_.get(), path("prog")), SyscallSucceeds());
  const Fd map(obj_get(path("map")));
  ASSERT_THAT(map.get(), SyscallSucceeds());
  EXPECT_EQ(map_id(map.get()), id);
  EXPECT_EQ(fcntl(map.get(), F_GETFD), FD_CLOEXEC);
  const Fd prog(obj_get(path("prog")));
  ASSERT_THAT(prog.get(), SyscallSucceeds());
  EXPECT_EQ(prog_id(prog.get()), prog_id(prog_.get()));
}

TEST_F(PinTest, PinHoldsUntilUnlink) {
  const std::uint32_t map = map_id(map_.get());
  const std::uint32_t prog = prog_id(prog_.get());
  ASSERT_THAT(obj_pin(map_.get(), path("map")), SyscallSucceeds());
  ASSERT_THAT(obj_pin(prog_.get(), path("prog")), SyscallSucceeds());
  map_.reset();
  prog_.reset();
  EXPECT_TRUE(id_exists(BPF_MAP_GET_FD_BY_ID, map));
  EXPECT_TRUE(id_exists(BPF_PROG_GET_FD_BY_ID, prog));
  ASSERT_EQ(unlink(path("map").c_str()), 0);
  ASSERT_EQ(unlink(path("prog").c_str()), 0);
  EXPECT_TRUE(id_vanishes(BPF_MAP_GET_FD_BY_ID, map));
  EXPECT_TRUE(id_vanishes(BPF_PROG_GET_FD_BY_ID, prog));
}

TEST_F(PinTest, OutlivesTheProcessThatPinned) {
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const Fd map(map_create({.name = "childs"}));
    const std::uint32_t key = 1;
    const std::uint64_t value = 5;
    _exit(map_update(map.get(), &key, &value) == 0 && obj_pin(map.get(), path("childs")) == 0 ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_EQ(status, 0);
  const Fd map(obj_get(path("childs")));
  ASSERT_THAT(map.get(), SyscallSucceeds());
  const std::uint32_t key = 1;
  std::uint64_t value = 0;
  ASSERT_THAT(map_lookup(map.get(), &key, &value), SyscallSucceeds());
  EXPECT_EQ(value, 5u);
}

TEST_F(PinTest, OneObjectManyPins) {
  const std::uint32_t id = map_id(map_.get());
  ASSERT_THAT(obj_pin(map_.get(), path("one")), SyscallSucceeds());
  ASSERT_THAT(obj_pin(map_.get(), path("two")), SyscallSucceeds());
  map_.reset();
  ASSERT_EQ(unlink(path("one").c_str()), 0);
  EXPECT_TRUE(id_exists(BPF_MAP_GET_FD_BY_ID, id));
  ASSERT_EQ(unlink(path("two").c_str()), 0);
  EXPECT_TRUE(id_vanishes(BPF_MAP_GET_FD_BY_ID, id));
}

TEST_F(PinTest, Access) {
  ASSERT_THAT(obj_pin(map_.get(), path("map")), SyscallSucceeds());
  const std::uint32_t key = 1;
  std::uint64_t value = 1;
  const Fd reader(obj_get(path("map"), BPF_F_RDONLY));
  ASSERT_THAT(reader.get(), SyscallSucceeds());
  EXPECT_THAT(map_update(reader.get(), &key, &value), SyscallFailsWithErrno(EPERM));
  EXPECT_THAT(map_lookup(reader.get(), &key, &value), SyscallFailsWithErrno(ENOENT));
  const Fd writer(obj_get(path("map"), BPF_F_WRONLY));
  ASSERT_THAT(writer.get(), SyscallSucceeds());
  EXPECT_THAT(map_update(writer.get(), &key, &value), SyscallSucceeds());
  EXPECT_THAT(map_lookup(writer.get(), &key, &value), SyscallFailsWithErrno(EPERM));
  EXPECT_THAT(obj_get(path("map"), BPF_F_RDONLY | BPF_F_WRONLY), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(obj_get(path("map"), 1), SyscallFailsWithErrno(EINVAL)) << "a flag of something else";
}

TEST_F(PinTest, PinRefusals) {
  ASSERT_THAT(obj_pin(map_.get(), path("map")), SyscallSucceeds());
  EXPECT_THAT(obj_pin(map_.get(), path("map")), SyscallFailsWithErrno(EEXIST));
  EXPECT_THAT(obj_pin(prog_.get(), path("map")), SyscallFailsWithErrno(EEXIST));
  EXPECT_THAT(obj_pin(map_.get(), path("no/such/dir")), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(obj_pin(map_.get(), path("map") + "/below"), SyscallFailsWithErrno(ENOTDIR));
  EXPECT_THAT(obj_pin(map_.get(), path("a.b")), SyscallFailsWithErrno(EPERM)) << "names with dots are reserved";
  EXPECT_THAT(obj_pin(map_.get(), path(std::string(256, 'x'))), SyscallFailsWithErrno(ENAMETOOLONG));
  // Linux: inode.c:bpf_fd_probe_obj() asks each kind in turn and says EINVAL at the end, even of an fd that is not open.
  EXPECT_THAT(obj_pin(-1, path("new")), SyscallFailsWithErrno(EINVAL));
  EXPECT_THAT(obj_pin(9999, path("new")), SyscallFailsWithErrno(EINVAL));
  const Fd null(open("/dev/null", O_RDWR | O_CLOEXEC));
  EXPECT_THAT(obj_pin(null.get(), path("new")), SyscallFailsWithErrno(EINVAL));
  const std::vector<unsigned char> data = minimal_btf();
  const Fd btf(btf_load(data.data(), static_cast<std::uint32_t>(data.size())));
  EXPECT_THAT(obj_pin(btf.get(), path("new")), SyscallFailsWithErrno(EINVAL)) << "BTF cannot be pinned";
  EXPECT_EQ(names(dir_), std::set<std::string>{"map"});

  union bpf_attr attr = zero_attr();
  attr.bpf_fd = static_cast<std::uint32_t>(map_.get());
  attr.pathname = user_ptr(bad_pointer());
  EXPECT_THAT(bpf(BPF_OBJ_PIN, attr), SyscallFailsWithErrno(EFAULT));
  const std::string fresh = path("new");
  attr.pathname = user_ptr(fresh.c_str());
  attr.file_flags = BPF_F_RDONLY;
  EXPECT_THAT(bpf(BPF_OBJ_PIN, attr), SyscallFailsWithErrno(EINVAL)) << "flags of BPF_OBJ_GET";
}

TEST_F(PinTest, OutsideABpffs) {
  const std::string outside = "/tmp/syscall_test_pin_" + std::to_string(getpid());
  EXPECT_THAT(obj_pin(map_.get(), outside), SyscallFailsWithErrno(EPERM));
  EXPECT_THAT(obj_get(outside), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(obj_get("/dev/null"), SyscallFailsWithErrno(EACCES));
  EXPECT_THAT(obj_get("/tmp"), SyscallFailsWithErrno(EACCES));
}

TEST_F(PinTest, GetRefusals) {
  EXPECT_THAT(obj_get(path("missing")), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(obj_get(dir_), SyscallFailsWithErrno(EACCES)) << "a directory";
  ASSERT_THAT(obj_pin(map_.get(), path("map")), SyscallSucceeds());
  const std::string at = path("map");
  union bpf_attr attr = zero_attr();
  attr.pathname = user_ptr(at.c_str());
  attr.bpf_fd = static_cast<std::uint32_t>(map_.get());
  EXPECT_THAT(bpf(BPF_OBJ_GET, attr), SyscallFailsWithErrno(EINVAL)) << "an fd to fill";
  attr.bpf_fd = 0;
  attr.pathname = user_ptr(bad_pointer());
  EXPECT_THAT(bpf(BPF_OBJ_GET, attr), SyscallFailsWithErrno(EFAULT));
}

TEST_F(PinTest, PathsRelativeToAnFd) {
  // Since 6.5: BPF_F_PATH_FD (1 << 14) and path_fd at byte 20.
  constexpr std::uint32_t kPathFd = 1u << 14;
  const Fd dir(open(dir_.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  ASSERT_THAT(dir.get(), SyscallSucceeds());
  unsigned char attr[24] = {};
  const auto call = [&](int cmd, const char* name, int fd, std::uint32_t flags, int path_fd) {
    const std::uint64_t pointer = user_ptr(name);
    std::memcpy(attr, &pointer, 8);
    std::memcpy(attr + 8, &fd, 4);
    std::memcpy(attr + 12, &flags, 4);
    std::memcpy(attr + 16, &path_fd, 4);
    return bpf(cmd, attr, 20);
  };
  EXPECT_THAT(call(BPF_OBJ_PIN, "relative", map_.get(), kPathFd, dir.get()), SyscallSucceeds());
  const Fd map(call(BPF_OBJ_GET, "relative", 0, kPathFd, dir.get()));
  EXPECT_THAT(map.get(), SyscallSucceeds());
  EXPECT_EQ(names(dir_), std::set<std::string>{"relative"});
  EXPECT_THAT(call(BPF_OBJ_PIN, "relative2", map_.get(), kPathFd, 9999), SyscallFailsWithErrno(EBADF));
  EXPECT_THAT(call(BPF_OBJ_PIN, path("other").c_str(), map_.get(), 0, dir.get()), SyscallFailsWithErrno(EINVAL))
      << "an fd, no flag";
}

TEST_F(PinTest, LooksLikeAFile) {
  ASSERT_THAT(obj_pin(map_.get(), path("map")), SyscallSucceeds());
  struct stat info {};
  ASSERT_EQ(stat(path("map").c_str(), &info), 0);
  EXPECT_TRUE(S_ISREG(info.st_mode));
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  EXPECT_EQ(info.st_uid, getuid());
  struct statfs fs {};
  ASSERT_EQ(statfs(dir_.c_str(), &fs), 0);
  EXPECT_EQ(fs.f_type, 0xcafe4a11);
  EXPECT_EQ(access(path("map").c_str(), F_OK), 0);
  EXPECT_THAT(open(path("map").c_str(), O_RDONLY | O_CLOEXEC), SyscallFailsWithErrno(EIO)) << "only BPF_OBJ_GET opens it";
}

TEST_F(PinTest, NoOtherFilesLiveThere) {
  EXPECT_THAT(open(path("file").c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600), SyscallFailsWithErrno(EACCES));
  EXPECT_THAT(mkfifo(path("fifo").c_str(), 0600), SyscallFailsWithErrno(EPERM));
  EXPECT_EQ(names(dir_), std::set<std::string>{});
}

TEST_F(PinTest, Directories) {
  ASSERT_EQ(mkdir(path("sub").c_str(), 0700), 0);
  EXPECT_THAT(mkdir(path("sub").c_str(), 0700), SyscallFailsWithErrno(EEXIST));
  EXPECT_THAT(mkdir(path("a.b").c_str(), 0700), SyscallFailsWithErrno(EPERM));
  ASSERT_EQ(mkdir(path("sub/deeper").c_str(), 0700), 0);
  ASSERT_THAT(obj_pin(map_.get(), path("sub/deeper/map")), SyscallSucceeds());
  EXPECT_EQ(names(dir_), std::set<std::string>{"sub"});
  EXPECT_EQ(names(path("sub/deeper")), std::set<std::string>{"map"});
  struct stat info {};
  ASSERT_EQ(stat(path("sub").c_str(), &info), 0);
  EXPECT_TRUE(S_ISDIR(info.st_mode));
  EXPECT_THAT(rmdir(path("sub/deeper").c_str()), SyscallFailsWithErrno(ENOTEMPTY));
  EXPECT_THAT(unlink(path("sub").c_str()), SyscallFailsWithErrno(EISDIR));
  EXPECT_THAT(rmdir(path("sub/deeper/map").c_str()), SyscallFailsWithErrno(ENOTDIR));
  ASSERT_EQ(unlink(path("sub/deeper/map").c_str()), 0);
  ASSERT_EQ(rmdir(path("sub/deeper").c_str()), 0);
  ASSERT_EQ(rmdir(path("sub").c_str()), 0);
  EXPECT_THAT(rmdir(path("sub").c_str()), SyscallFailsWithErrno(ENOENT));
}

TEST_F(PinTest, Rename) {
  const std::uint32_t id = map_id(map_.get());
  ASSERT_EQ(mkdir(path("sub").c_str(), 0700), 0);
  ASSERT_THAT(obj_pin(map_.get(), path("old")), SyscallSucceeds());
  ASSERT_EQ(rename(path("old").c_str(), path("sub/new").c_str()), 0);
  EXPECT_THAT(obj_get(path("old")), SyscallFailsWithErrno(ENOENT));
  const Fd map(obj_get(path("sub/new")));
  ASSERT_THAT(map.get(), SyscallSucceeds());
  EXPECT_EQ(map_id(map.get()), id);
  EXPECT_THAT(rename(path("missing").c_str(), path("new").c_str()), SyscallFailsWithErrno(ENOENT));
  EXPECT_THAT(rename(path("sub/new").c_str(), "/tmp/syscall_test_renamed"), SyscallFailsWithErrno(EXDEV));
}

TEST_F(PinTest, RenameOverAPinDropsIt) {
  const Fd other(map_create({}));
  Fd gone(map_create({}));
  const std::uint32_t id = map_id(gone.get());
  ASSERT_THAT(obj_pin(other.get(), path("other")), SyscallSucceeds());
  ASSERT_THAT(obj_pin(gone.get(), path("gone")), SyscallSucceeds());
  gone.reset();
  ASSERT_EQ(rename(path("other").c_str(), path("gone").c_str()), 0);
  EXPECT_TRUE(id_vanishes(BPF_MAP_GET_FD_BY_ID, id));
  const Fd map(obj_get(path("gone")));
  ASSERT_THAT(map.get(), SyscallSucceeds());
  EXPECT_EQ(map_id(map.get()), map_id(other.get()));
}

TEST_F(PinTest, ModeIsKept) {
  ASSERT_THAT(obj_pin(map_.get(), path("map")), SyscallSucceeds());
  ASSERT_EQ(chmod(path("map").c_str(), 0640), 0);
  struct stat info {};
  ASSERT_EQ(stat(path("map").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0640u);
}

class PinnedLinkTest : public PinTest {
 protected:
  void SetUp() override {
    PinTest::SetUp();
    if (IsSkipped() || HasFatalFailure()) return;
    std::string why;
    tracefs_dir(&why);
    SKEP_NEEDS(why);
  }
  Results results_;
};

TEST_F(PinnedLinkTest, ProgramRunsOnWhileItsLinkIsPinned) {
  Fd event = open_tracepoint(kEnterGetppid);
  Fd prog = load(BPF_PROG_TYPE_TRACEPOINT, ProgramText().only_process(getpid()).count(results_.fd()).out());
  Fd link(link_create(prog.get(), event.get()));
  ASSERT_THAT(link.get(), SyscallSucceeds());
  ASSERT_THAT(enable(event.get()), SyscallSucceeds());
  const std::uint32_t id = link_id(link.get());
  ASSERT_THAT(obj_pin(link.get(), path("link")), SyscallSucceeds());
  event.reset();
  prog.reset();
  link.reset();
  fire(5);
  EXPECT_EQ(results_[0], 5u);
  EXPECT_THAT(obj_get(path("link"), BPF_F_RDONLY), SyscallFailsWithErrno(EINVAL)) << "links take no access";
  Fd again(obj_get(path("link")));
  ASSERT_THAT(again.get(), SyscallSucceeds());
  EXPECT_EQ(link_id(again.get()), id);
  again.reset();
  ASSERT_EQ(unlink(path("link").c_str()), 0);
  EXPECT_TRUE(id_vanishes(BPF_LINK_GET_FD_BY_ID, id));
  // Linux lets the id go first and takes the program from the event a little later.
  EXPECT_TRUE(eventually([&] {
    const std::uint64_t before = results_[0];
    fire();
    return results_[0] == before;
  }));
}

}  // namespace
}  // namespace skep::test
