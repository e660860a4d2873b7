// tests/syscall: the surroundings of the suite. Natively it gives itself a private mount namespace with its own bpffs and a
// tracefs, so that nothing stays behind; in every mode it fails a test that leaves a file descriptor open.
#include <dirent.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <map>

#include "bpf_calls.h"

namespace skep::test {
namespace {

constexpr const char* kBpffs = "/sys/fs/bpf";
constexpr const char* kTracefs = "/sys/kernel/tracing";

struct Surroundings {
  std::string bpf_refusal;
  std::string bpffs_dir, bpffs_missing;
  std::string tracefs_dir, tracefs_missing;
};

Surroundings& surroundings() {
  static Surroundings s;
  return s;
}

std::string failure(const std::string& what) { return what + ": " + std::strerror(errno); }

/// Only this process and its children see these mounts; they end with it.
std::string private_mounts() {
  if (unshare(CLONE_NEWNS) != 0) return failure("unshare(CLONE_NEWNS)");
  if (mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0) return failure("making / private");
  return {};
}

void find_bpf() {
  const Fd map(map_create({.type = BPF_MAP_TYPE_ARRAY}));
  if (map.get() < 0) surroundings().bpf_refusal = failure("bpf(BPF_MAP_CREATE)");
}

void find_bpffs(const std::string& no_mounts) {
  Surroundings& s = surroundings();
  const char* given = std::getenv("SKEP_TEST_BPFFS");
  const std::string root = given != nullptr ? given : kBpffs;
  if (native() && given == nullptr) {
    s.bpffs_missing = no_mounts;
    if (no_mounts.empty() && mount("bpf", kBpffs, "bpf", 0, nullptr) != 0) s.bpffs_missing = failure("mounting a bpffs");
    if (!s.bpffs_missing.empty()) return;
  }
  const std::string dir = root + "/syscall_test_" + std::to_string(getpid());
  if (mkdir(dir.c_str(), 0700) != 0)
    s.bpffs_missing = failure("mkdir " + dir);
  else
    s.bpffs_dir = dir;
}

void find_tracefs(const std::string& no_mounts) {
  Surroundings& s = surroundings();
  const std::string probe = std::string(kTracefs) + "/events/syscalls";
  if (native() && access(probe.c_str(), F_OK) != 0) {
    s.tracefs_missing = no_mounts;
    if (no_mounts.empty() && mount("tracefs", kTracefs, "tracefs", 0, nullptr) != 0)
      s.tracefs_missing = failure("mounting a tracefs");
    if (!s.tracefs_missing.empty()) return;
  }
  if (access(probe.c_str(), F_OK) != 0)
    s.tracefs_missing = failure(probe);
  else
    s.tracefs_dir = kTracefs;
}

class SurroundingsEnvironment : public testing::Environment {
 public:
  void SetUp() override {
    const std::string no_mounts = native() ? private_mounts() : std::string();
    find_bpf();
    find_bpffs(no_mounts);
    find_tracefs(no_mounts);
  }
  void TearDown() override {
    const std::string& dir = surroundings().bpffs_dir;
    if (dir.empty()) return;
    EXPECT_EQ(rmdir(dir.c_str()), 0) << failure("rmdir " + dir + " (a test left a pin)");
  }
};

using OpenFds = std::map<int, std::string>;

OpenFds open_fds() {
  OpenFds fds;
  DIR* dir = opendir("/proc/self/fd");
  if (dir == nullptr) return fds;
  while (const dirent* entry = readdir(dir)) {
    const int fd = std::atoi(entry->d_name);
    if (entry->d_name[0] != '.' && fd != dirfd(dir)) fds[fd] = read_link(std::string("/proc/self/fd/") + entry->d_name);
  }
  closedir(dir);
  return fds;
}

class FdLeakListener : public testing::EmptyTestEventListener {
  void OnTestStart(const testing::TestInfo&) override { before_ = open_fds(); }
  void OnTestEnd(const testing::TestInfo&) override {
    const OpenFds after = open_fds();
    EXPECT_EQ(before_.size(), after.size()) << "the test changed the number of open file descriptors";
    for (const auto& [fd, target] : after) EXPECT_EQ(before_.count(fd), 1u) << "left open: fd " << fd << " (" << target << ")";
  }
  OpenFds before_;
};

}  // namespace

const std::string& bpf_refusal() { return surroundings().bpf_refusal; }

const std::string& bpffs_dir(std::string* why) {
  *why = surroundings().bpffs_missing;
  return surroundings().bpffs_dir;
}

const std::string& tracefs_dir(std::string* why) {
  *why = surroundings().tracefs_missing;
  return surroundings().tracefs_dir;
}

}  // namespace skep::test

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  testing::AddGlobalTestEnvironment(new skep::test::SurroundingsEnvironment);
  testing::UnitTest::GetInstance()->listeners().Append(new skep::test::FdLeakListener);
  return RUN_ALL_TESTS();
}
